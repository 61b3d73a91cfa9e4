package queue

import (
	"iter"
	"time"
)

// Absent is the position of an entry that is in no heap.
const Absent int32 = -1

// Key orders entries: the larger Rank first, then the smaller Tie.
type Key struct {
	Rank int64
	Tie  uint64
}

// Before reports whether k is taken before o.
func (k Key) Before(o Key) bool {
	return k.Rank > o.Rank || k.Rank == o.Rank && k.Tie < o.Tie
}

// Aged is the key of an entry of a priority (larger first) that has been ready
// since a time (Unix nanoseconds), where waiting for every is worth one point of
// priority. Of equal ones the smaller tie goes first. See the package comment.
func Aged(priority int, ready int64, every time.Duration, tie uint64) Key {
	return Key{Rank: int64(priority)*int64(every) - ready, Tie: tie}
}

// Earliest is the key that takes the smallest time (Unix nanoseconds) first.
func Earliest(at int64, tie uint64) Key { return Key{Rank: -at, Tie: tie} }

// Heap is an indexed heap: each entry knows its position, so that it can be
// moved or removed in O(log n). The zero value is not usable; see New. It is for
// one goroutine.
type Heap[T any] struct {
	nodes    []node[T]
	position func(T) *int32
}

type node[T any] struct {
	key   Key
	value T
}

// arity is the number of children of a node: four are compared within one or two
// cache lines, and the tree is half as deep as a binary one.
const arity = 4

// New is an empty heap. position is where an entry keeps its place in this heap;
// it must be Absent while the entry is not in it.
func New[T any](position func(T) *int32) *Heap[T] {
	return &Heap[T]{position: position}
}

// Len is the number of entries.
func (h *Heap[T]) Len() int { return len(h.nodes) }

// Contains reports whether the entry is in the heap.
func (h *Heap[T]) Contains(v T) bool { return *h.position(v) != Absent }

// Push adds an entry, or moves it where it is in the heap already. O(log n).
func (h *Heap[T]) Push(v T, k Key) {
	if i := *h.position(v); i != Absent {
		h.nodes[i].key = k
		h.fix(int(i))
		return
	}
	h.nodes = append(h.nodes, node[T]{key: k, value: v})
	h.up(len(h.nodes) - 1)
}

// Peek is the first entry and its key; ok is false where the heap is empty. O(1).
func (h *Heap[T]) Peek() (v T, k Key, ok bool) {
	if len(h.nodes) == 0 {
		return v, k, false
	}
	return h.nodes[0].value, h.nodes[0].key, true
}

// Pop removes and returns the first entry; ok is false where the heap is empty. O(log n).
func (h *Heap[T]) Pop() (v T, ok bool) {
	if len(h.nodes) == 0 {
		return v, false
	}
	v = h.nodes[0].value
	h.Remove(v)
	return v, true
}

// Remove takes an entry out and reports whether it was in. O(log n).
func (h *Heap[T]) Remove(v T) bool {
	at := h.position(v)
	i := int(*at)
	if i == int(Absent) {
		return false
	}
	*at = Absent
	last := len(h.nodes) - 1
	moved := h.nodes[last]
	h.nodes[last] = node[T]{}
	h.nodes = h.nodes[:last]
	if i < last {
		h.nodes[i] = moved
		h.fix(i)
	}
	h.shrink()
	return true
}

// All yields the entries, in no order that means something. The heap must not be
// changed meanwhile.
func (h *Heap[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := range h.nodes {
			if !yield(h.nodes[i].value) {
				return
			}
		}
	}
}

// Reorder gives every entry the key that it should have from now on. O(n).
func (h *Heap[T]) Reorder(key func(T) Key) {
	for i := range h.nodes {
		h.nodes[i].key = key(h.nodes[i].value)
	}
	for i := (len(h.nodes) - 2) / arity; i >= 0 && len(h.nodes) > 1; i-- {
		h.down(i)
	}
}

// Rank is how many entries are taken before this one, counted by looking at all
// of them; -1 where it is not in the heap. O(n).
func (h *Heap[T]) Rank(v T) int {
	i := *h.position(v)
	if i == Absent {
		return -1
	}
	k, n := h.nodes[i].key, 0
	for j := range h.nodes {
		if h.nodes[j].key.Before(k) {
			n++
		}
	}
	return n
}

// shrink gives memory back after a backlog has gone.
func (h *Heap[T]) shrink() {
	if c := cap(h.nodes); c > 4096 && len(h.nodes) < c/8 {
		h.nodes = append(make([]node[T], 0, c/4), h.nodes...)
	}
}

func (h *Heap[T]) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h *Heap[T]) up(i int) {
	n := h.nodes[i]
	for i > 0 {
		parent := (i - 1) / arity
		if !n.key.Before(h.nodes[parent].key) {
			break
		}
		h.set(i, h.nodes[parent])
		i = parent
	}
	h.set(i, n)
}

func (h *Heap[T]) down(i int) (moved bool) {
	n, start := h.nodes[i], i
	for {
		first := i*arity + 1
		if first >= len(h.nodes) {
			break
		}
		best := first
		for c := first + 1; c < min(first+arity, len(h.nodes)); c++ {
			if h.nodes[c].key.Before(h.nodes[best].key) {
				best = c
			}
		}
		if !h.nodes[best].key.Before(n.key) {
			break
		}
		h.set(i, h.nodes[best])
		i = best
	}
	h.set(i, n)
	return i != start
}

func (h *Heap[T]) set(i int, n node[T]) {
	h.nodes[i] = n
	*h.position(n.value) = int32(i)
}
