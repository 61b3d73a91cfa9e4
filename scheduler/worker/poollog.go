package worker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"loadstar/models"
)

// PoolLog takes what a pool's workers say outside of any task: one line each,
// with the time and the worker's name. It is kept in two files, the newer of
// which takes the older's place when it is full, MaxBytesPerAttempt together.
type PoolLog struct {
	store *LogStore
	path  string
	max   int64 // of one file

	mu         sync.Mutex
	file       *os.File
	size       int64
	users      int
	complained bool
}

// Pool opens a pool's log for one more user, who must Close it.
func (s *LogStore) Pool(pool string) (*PoolLog, error) {
	if err := models.CheckPoolName("pool", pool); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.pools[pool]
	if l == nil {
		l = &PoolLog{store: s, path: filepath.Join(s.poolsDir(), pool+".log"), max: s.cfg.MaxBytesPerAttempt / 2}
		s.pools[pool] = l
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users++
	return l, nil
}

// OpenPool reads what is kept of a pool's log. The error wraps models.ErrNotFound
// where there is nothing.
func (s *LogStore) OpenPool(pool string) (io.ReadCloser, error) {
	if err := models.CheckPoolName("pool", pool); err != nil {
		return nil, err
	}
	view := logView{ended: true}
	for _, suffix := range []string{".log.1", ".log"} {
		path := filepath.Join(s.poolsDir(), pool+suffix)
		if info, err := os.Stat(path); err == nil {
			view.segments = append(view.segments, segment{start: view.total, size: info.Size(), path: path})
			view.total += info.Size()
		}
	}
	if len(view.segments) == 0 {
		return nil, fmt.Errorf("log of pool %s: %w", pool, models.ErrNotFound)
	}
	return &logReader{view: func() logView { return view }, stop: make(chan struct{})}, nil
}

// Line adds one line; text is cut at 4 KiB. It never fails: what cannot be
// written is dropped.
func (l *PoolLog) Line(worker, text string) {
	const longest = 4 << 10
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	at := l.store.cfg.Clock().UTC().Format("2006-01-02T15:04:05.000Z")
	line := at + " " + worker + " " + text + "\n"
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(line); err != nil && !l.complained {
		l.complained = true
		l.store.cfg.Logger.Warn("a pool's log is not kept", "log", l.path, "err", err)
	}
}

func (l *PoolLog) write(line string) error {
	if l.file != nil && l.size+int64(len(line)) > l.max {
		l.file.Close()
		l.file = nil
		if err := os.Rename(l.path, l.path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if l.file == nil {
		f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return err
		}
		l.file, l.size = f, info.Size()
	}
	n, err := l.file.WriteString(line)
	l.size += int64(n)
	return err
}

// Close gives the log back; its file is closed after the last user.
func (l *PoolLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users--
	if l.users == 0 && l.file != nil {
		l.file.Close()
		l.file = nil
	}
	return nil
}
