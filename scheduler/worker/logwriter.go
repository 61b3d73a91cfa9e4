package worker

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// segment is one file of an attempt's output.
type segment struct {
	start int64 // offset of its first byte in the whole output
	size  int64
	path  string
	at    int64 // offset of its first byte in the file
}

// logView is an attempt's output at one moment.
type logView struct {
	segments []segment // ascending; gaps between them were dropped
	memory   []byte    // the whole output instead, where there are no segments yet
	total    int64     // bytes printed, dropped ones included
	ended    bool      // nothing more will come
}

// LogWriter takes one attempt's output. Write never fails and never blocks on
// anything but the disk: what cannot be kept is dropped, counted and told to
// readers, since a full disk must not stop the work. It is safe for use by
// several goroutines.
type LogWriter struct {
	store            *LogStore
	taskID           string
	attempt          int
	began            time.Time
	base, path       string
	headMax, tailMax int64

	mu         sync.Mutex
	memory     []byte // all of the output until it is spilled; bytes once written stay
	spilled    bool
	segments   []segment
	file       *os.File // of the last segment; nil where the next write begins a new one
	total      int64
	closed     bool
	complained bool
	followers  map[chan struct{}]struct{}
}

// memoryTime is how long output is held in memory.
const memoryTime = time.Second

// maxTails is how many segments beyond the head are kept.
const maxTails = 2

// open begins the segment at an offset.
func (w *LogWriter) open(start int64) error {
	path := w.path
	if start > 0 {
		path += "." + strconv.FormatInt(start, 10)
	}
	const flags = os.O_CREATE | os.O_TRUNC | os.O_WRONLY | os.O_APPEND
	f, err := os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // the first of its shard
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			f, err = os.OpenFile(path, flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	w.file = f
	w.segments = append(w.segments, segment{start: start, path: path})
	return nil
}

// Write keeps p, as far as the bounds and the disk allow; it always takes all of it.
func (w *LogWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	if w.closed {
		return n, nil
	}
	if !w.spilled {
		if len(w.memory)+n <= maxPacked && w.store.cfg.Clock().Sub(w.began) < memoryTime {
			w.memory = append(w.memory, p...)
			w.total += int64(n)
			w.notify()
			return n, nil
		}
		w.spill()
	}
	w.writeAll(p)
	w.notify()
	return n, nil
}

func (w *LogWriter) writeAll(p []byte) {
	for len(p) > 0 {
		p = w.writeSome(p)
	}
}

// spill moves what is in memory to a file.
func (w *LogWriter) spill() {
	memory := w.memory
	w.memory, w.total, w.spilled = nil, 0, true
	w.writeAll(memory)
}

// settle spills what is in memory.
func (w *LogWriter) settle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && !w.spilled && len(w.memory) > 0 {
		w.spill()
	}
}

// writeSome writes to one segment and gives back what is left of p.
func (w *LogWriter) writeSome(p []byte) []byte {
	if w.file == nil {
		w.dropOldestTail()
		if err := w.open(w.total); err != nil {
			return w.lose(p, err)
		}
	}
	seg := &w.segments[len(w.segments)-1]
	room := w.tailMax - seg.size
	if len(w.segments) == 1 {
		room = w.headMax - seg.size
	}
	n, full := len(p), false
	if int64(n) >= room {
		// A segment ends with a line where it can, so that what is read after a gap
		// begins with one.
		n, full = int(room), true
		if eol := bytes.LastIndexByte(p[:n], '\n'); eol >= 0 {
			n = eol + 1
		}
	}
	written, err := w.file.Write(p[:n])
	seg.size += int64(written)
	w.total += int64(written)
	if err != nil {
		return w.lose(p[written:], err)
	}
	if full {
		w.closeFile()
	}
	return p[n:]
}

// lose counts p as dropped; the next write begins a new segment after the gap.
func (w *LogWriter) lose(p []byte, err error) []byte {
	if !w.complained {
		w.complained = true
		w.store.cfg.Logger.Warn("output is not kept", "log", w.base, "err", err)
	}
	w.total += int64(len(p))
	w.closeFile()
	return nil
}

func (w *LogWriter) closeFile() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

func (w *LogWriter) dropOldestTail() {
	if len(w.segments) <= maxTails {
		return
	}
	if err := os.Remove(w.segments[1].path); err != nil {
		w.store.cfg.Logger.Warn("an old log segment stays", "err", err)
	}
	w.segments = slices.Delete(w.segments, 1, 2)
}

// Close ends the log and its followers; closing twice does nothing.
func (w *LogWriter) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	files := keptLog{base: w.base, tail: len(w.segments) > 1}
	for _, seg := range w.segments {
		files.bytes += seg.size
		files.attempts = 1
	}
	w.finish()
	output := w.memory
	w.mu.Unlock()
	w.store.ended(w, files, output)
	return nil
}

// abandon ends a log that another takes the place of.
func (w *LogWriter) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finish()
}

func (w *LogWriter) finish() {
	w.closed = true
	w.closeFile()
	w.notify()
}

func (w *LogWriter) notify() {
	for c := range w.followers {
		select {
		case c <- struct{}{}:
		default: // it has yet to look
		}
	}
}

func (w *LogWriter) view() logView {
	w.mu.Lock()
	defer w.mu.Unlock()
	return logView{memory: w.memory, segments: slices.Clone(w.segments), total: w.total, ended: w.closed}
}

func (w *LogWriter) follow() chan struct{} {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.followers == nil {
		w.followers = map[chan struct{}]struct{}{}
	}
	w.followers[c] = struct{}{}
	return c
}

func (w *LogWriter) unfollow(c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.followers, c)
}
