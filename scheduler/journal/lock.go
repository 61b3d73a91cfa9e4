package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Lock is one process's hold on a state folder.
type Lock struct{ file *os.File }

// LockedError says who holds a state folder.
type LockedError struct {
	Dir   string
	PID   int       // 0 where the holder has not said
	Since time.Time // zero where the holder has not said
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("state folder %s is in use by another process", e.Dir)
	}
	return fmt.Sprintf("state folder %s is in use by process %d, since %s", e.Dir, e.PID, e.Since.Local().Format(time.DateTime))
}

type holder struct {
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// LockDir takes the folder for this process, until Release or the process's end.
// It makes the folder where it is missing. A folder in use is a *LockedError.
func LockDir(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock state folder: %w", err)
	}
	if err := lock(f, dir); err != nil {
		_ = f.Close()
		return nil, err
	}
	text, err := json.Marshal(holder{PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second)})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(text, '\n'), 0)
	}
	if err != nil && !isNoSpace(err) { // on a full disk the lock holds, it only does not say whose it is
		_ = f.Close()
		return nil, fmt.Errorf("lock state folder %s: %w", dir, err)
	}
	return &Lock{file: f}, nil
}

// How long the lock of a holder that has died is waited for: a process that it was
// just starting as it was killed has the file open until it runs its own program.
const (
	deadPatience = 5 * time.Second
	deadPause    = 10 * time.Millisecond
)

func lock(f *os.File, dir string) error {
	for deadline := time.Now().Add(deadPatience); ; time.Sleep(deadPause) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock state folder %s: %w", dir, err)
		}
		held := &LockedError{Dir: dir}
		var h holder
		if text, err := io.ReadAll(io.NewSectionReader(f, 0, 4096)); err == nil && json.Unmarshal(text, &h) == nil {
			held.PID, held.Since = h.PID, h.Since
		}
		dead := held.PID > 0 && errors.Is(syscall.Kill(held.PID, 0), syscall.ESRCH)
		if !dead || time.Now().After(deadline) {
			return held
		}
	}
}

// Release gives the folder free. It may be called twice.
func (l *Lock) Release() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close() // closing ends the flock; the file stays, or a waiter could lock a deleted one
}
