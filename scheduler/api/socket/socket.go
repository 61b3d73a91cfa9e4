// Package socket listens on and dials a unix socket by its path: with mode 0600,
// over what a dead daemon has left behind, and (on Linux) where the path is
// longer than the kernel's address takes. It imports the standard library only.
package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// maxPath is the longest path in bytes that fits a socket's address everywhere:
// 108 on Linux, 104 on the BSDs and macOS, with the closing NUL and some room for
// the temporary name.
const maxPath = 90

// ErrInUse says that somebody answers on the socket already.
var ErrInUse = errors.New("somebody answers on it already")

// Listen serves on path with mode 0600. A socket that nobody answers on is
// replaced; a live one, or a file that is no socket, is left alone and refused.
// Closing the listener removes the socket where it is still this one.
func Listen(path string) (net.Listener, error) {
	if err := probe(path); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// Bound under another name first, so that the socket is never there with a
	// wider mode, and takes the place of a stale one in one step.
	temp := path + "." + strconv.Itoa(os.Getpid())
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	address, release, err := shorten(temp)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	defer release()
	inner, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, plain(err))
	}
	inner.SetUnlinkOnClose(false) // by then it has another name
	l := &listener{UnixListener: inner, path: path}
	if err := l.place(temp); err != nil {
		_ = inner.Close()
		_ = os.Remove(temp)
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func (l *listener) place(temp string) error {
	if err := os.Chmod(temp, 0o600); err != nil {
		return err
	}
	info, err := os.Lstat(temp)
	if err != nil {
		return err
	}
	l.info = info
	return os.Rename(temp, l.path)
}

// probe refuses a path on which somebody answers, or that is no socket.
func probe(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file of that name that is not a socket")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := Dial(ctx, path)
	switch {
	case err == nil:
		_ = conn.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EAGAIN):
		return ErrInUse // it is there, only busy
	}
	return err
}

// Dial connects to the socket at path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	address, release, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer release()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", address)
	if err != nil {
		return nil, plain(err)
	}
	return conn, nil
}

// shorten gives an address for path that fits: the path itself, or where it is
// too long the same file by way of its open folder in /proc. release is called
// once the address was used.
func shorten(path string) (address string, release func(), err error) {
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	folder := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd()))
	if _, err := os.Stat(folder); err != nil {
		_ = dir.Close()
		return "", nil, fmt.Errorf("the path has %d bytes, a socket's may have %d: choose a shorter --state-dir", len(path), maxPath)
	}
	return folder + "/" + filepath.Base(path), func() { _ = dir.Close() }, nil
}

// plain takes the address out of a net error: it may be the one in /proc, and
// the caller names the path anyway.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

type listener struct {
	*net.UnixListener
	path   string
	info   fs.FileInfo
	remove sync.Once
}

// Addr is the socket with the path that was asked for.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close stops listening and removes the socket, unless another daemon has put
// its own there meanwhile.
func (l *listener) Close() error {
	l.remove.Do(func() {
		if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.info) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
