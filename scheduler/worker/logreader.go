package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"loadstar/models"
)

// logReader reads an attempt's segments in order and tells of gaps. It holds one
// open file and no output; a follower sleeps until the writer wakes it.
type logReader struct {
	view     func() logView
	wake     chan struct{} // nil for a reader that does not follow
	stop     chan struct{}
	stopOnce sync.Once
	onStop   func()
	release  func() bool // lets go of the context that would end it; nil where there is none

	mu      sync.Mutex // held by Read, so that Close closes the file after it
	why     error      // why it was stopped; written before stop is closed
	pos     int64
	last    byte
	pending []byte // a line about a gap, not yet handed out
	file    *os.File
	path    string // of file
}

// Follow reads an attempt's output from its start and goes on as more comes, until
// its writer closes or ctx ends (io.EOF), or the reader is closed. Where the output is faster
// than the reader and older segments are dropped meanwhile, a line says so.
func (s *LogStore) Follow(ctx context.Context, taskID string, attempt int) (io.ReadCloser, error) {
	s.mu.Lock()
	w := s.live[logBase(taskID, attempt)]
	s.mu.Unlock()
	if w == nil {
		return s.Open(taskID, attempt)
	}
	r := &logReader{view: w.view, wake: w.follow(), stop: make(chan struct{})}
	r.onStop = func() { w.unfollow(r.wake) } // before ctx can end it
	r.release = context.AfterFunc(ctx, func() { r.end(io.EOF) })
	return r, nil
}

// end makes a Read that waits return err.
func (r *logReader) end(err error) {
	r.stopOnce.Do(func() {
		r.why = err
		close(r.stop)
		if r.onStop != nil {
			r.onStop()
		}
	})
}

// Close ends a Read that waits.
func (r *logReader) Close() error {
	r.end(os.ErrClosed)
	if r.release != nil {
		r.release()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closeFile()
	return nil
}

func (r *logReader) closeFile() {
	if r.file != nil {
		r.file.Close()
		r.file = nil
	}
}

// Read gives the next bytes of the output, or waits for them.
func (r *logReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	for {
		select {
		case <-r.stop:
			return 0, r.why
		default:
		}
		if len(r.pending) > 0 {
			n := copy(p, r.pending)
			r.pending = r.pending[n:]
			return n, nil
		}
		v := r.view()
		n, err := r.readSegment(p, v)
		switch {
		case err != nil || n > 0:
			return n, err
		case len(r.pending) > 0:
			continue
		case v.ended:
			return 0, io.EOF
		}
		select {
		case <-r.wake:
		case <-r.stop:
		}
	}
}

// readSegment reads at pos, or notes a gap in pending, or does neither where there
// is nothing yet.
func (r *logReader) readSegment(p []byte, v logView) (int, error) {
	if r.pos < int64(len(v.memory)) {
		n := copy(p, v.memory[r.pos:])
		r.pos += int64(n)
		r.last = p[n-1]
		return n, nil
	}
	for _, seg := range v.segments {
		if r.pos < seg.start {
			r.gap(seg.start)
			return 0, nil
		}
		if r.pos >= seg.start+seg.size {
			continue
		}
		if err := r.use(seg); err != nil {
			if errors.Is(err, fs.ErrNotExist) && r.rotatedAway(seg) {
				return 0, nil // the next look finds the gap
			}
			return 0, err
		}
		limit := min(int64(len(p)), seg.start+seg.size-r.pos)
		n, err := r.file.ReadAt(p[:limit], seg.at+r.pos-seg.start)
		if n == 0 {
			return 0, fmt.Errorf("read a log: %w", err)
		}
		r.pos += int64(n)
		r.last = p[n-1]
		return n, nil
	}
	if r.pos < v.total {
		r.gap(v.total)
	}
	return 0, nil
}

// rotatedAway reports whether a segment is gone because newer output took its
// place; it wakes the reader to look again.
func (r *logReader) rotatedAway(seg segment) bool {
	for _, s := range r.view().segments {
		if s.path == seg.path {
			return false
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return r.wake != nil
}

func (r *logReader) use(seg segment) error {
	if r.file != nil && r.path == seg.path {
		return nil
	}
	r.closeFile()
	f, err := os.Open(seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read a log: %w: it was dropped to make room (%w)", models.ErrNotFound, err)
	}
	if err != nil {
		return fmt.Errorf("read a log: %w", err)
	}
	r.file, r.path = f, seg.path
	return nil
}

func (r *logReader) gap(to int64) {
	line := fmt.Sprintf("[loadstar: %d bytes of output were dropped here]\n", to-r.pos)
	if r.pos > 0 && r.last != '\n' {
		line = "\n" + line
	}
	r.pending, r.last, r.pos = []byte(line), '\n', to
}
