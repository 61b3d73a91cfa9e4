package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// linkHolder hands out the link and replaces it, between two uses, once its
// storage has failed: a stream that met a full disk refuses writes until it is
// opened anew.
type linkHolder struct {
	dial func() (*link, error)

	mu     sync.RWMutex // held for reading while a link is in use
	now    *link        // nil after a replacement that failed
	closed bool
}

func (h *linkHolder) open() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, err := h.dial()
	h.now = l
	return err
}

// with calls fn with a link that works as far as is known.
func (h *linkHolder) with(ctx context.Context, fn func(context.Context, *link) error) error {
	var cause error
	for range 3 { // the disk may fail a new server too, as it starts
		h.mu.RLock()
		if h.closed {
			h.mu.RUnlock()
			return ErrClosed
		}
		if h.now != nil {
			if cause = h.now.broken(); cause == nil {
				defer h.mu.RUnlock()
				return fn(ctx, h.now)
			}
		}
		h.mu.RUnlock()
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := h.replace(); err != nil {
			return err
		}
	}
	return fmt.Errorf("the server inside the process keeps failing: %w", cause)
}

func (h *linkHolder) replace() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.now != nil && h.now.broken() == nil {
		return nil // another goroutine was first
	}
	if h.now != nil {
		h.now.close()
		h.now = nil
	}
	l, err := h.dial()
	if err != nil {
		return err
	}
	h.now = l
	return nil
}

func (h *linkHolder) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.now != nil {
		h.now.close()
		h.now = nil
	}
}

// syncBlocks makes what an embedded server has recovered durable: a record whose
// own sync failed may be readable and still not be on disk.
func syncBlocks(dir string, l *link) error {
	if l.embedded == nil {
		return nil
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		return err
	}
	slices.SortFunc(blocks, func(a, b string) int { return int(blockIndex(a)) - int(blockIndex(b)) })
	f, err := os.OpenFile(blocks[len(blocks)-1], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}
