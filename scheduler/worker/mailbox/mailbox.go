// Package mailbox is an unbounded queue from any goroutine to one: Put never
// blocks, so two parties that feed each other cannot deadlock. It belongs where
// the number of items in flight is bounded by something else (tasks running,
// workers up), never in front of a source that can flood. It imports only the
// standard library.
package mailbox

import "sync"

// Box is a queue with many writers and one reader.
//
//	for range box.Wake() {
//		for _, v := range box.Take() { … }
//	}
type Box[T any] struct {
	mu    sync.Mutex
	items []T
	spare []T
	wake  chan struct{}
}

// New is an empty Box.
func New[T any]() *Box[T] {
	return &Box[T]{wake: make(chan struct{}, 1)}
}

// Put adds items in order. It never blocks.
func (b *Box[T]) Put(items ...T) {
	if len(items) == 0 {
		return
	}
	b.mu.Lock()
	b.items = append(b.items, items...)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Wake delivers a value when there may be something to Take; it is never closed.
func (b *Box[T]) Wake() <-chan struct{} { return b.wake }

// Take hands over everything that was put, oldest first; nil where there is
// nothing. The slice is the reader's until it calls Take again.
func (b *Box[T]) Take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) == 0 {
		return nil
	}
	taken := b.items
	const keep = 4096 // a burst's backing array is not held on to for ever
	if cap(b.spare) > keep {
		b.spare = nil
	}
	clear(b.spare[:cap(b.spare)])
	b.items, b.spare = b.spare[:0], taken
	return taken
}

// Len is how many items wait.
func (b *Box[T]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items)
}
