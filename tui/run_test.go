package tui

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.uber.org/goleak"

	"loadstar/models"
	"loadstar/tui/internal/fake"
)

// terminal keeps what is written to it, and tells when it has a text.
type terminal struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	want string
	seen chan struct{}
}

func (o *terminal) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(p)
	if o.want != "" && strings.Contains(o.buf.String(), o.want) {
		o.want = ""
		close(o.seen)
	}
	return len(p), nil
}

func (o *terminal) text() string { o.mu.Lock(); defer o.mu.Unlock(); return o.buf.String() }

// start runs the screen on a pseudo-terminal and waits until it shows a text.
func start(ctx context.Context, t *testing.T, src Source, want string) (out *terminal, keys io.Writer, done <-chan error) {
	t.Helper()
	host, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	if err := pty.Setsize(host, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	out = &terminal{want: want, seen: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { _, _ = io.Copy(out, host) }()
	go func() {
		err := Run(ctx, Config{Source: src, Getenv: environment(nil), Refresh: 100 * time.Millisecond}, tty, tty)
		_ = tty.Close() // what was written is read before the copy ends
		ended <- err
	}()
	select {
	case <-out.seen:
	case err := <-ended:
		t.Fatalf("the screen ended: %v\n%q", err, out.text())
	case <-time.After(20 * time.Second):
		t.Fatalf("the screen never showed %q:\n%q", want, out.text())
	}
	t.Cleanup(func() { _ = host.Close() })
	return out, host, ended
}

func wait(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the screen does not end")
		return nil
	}
}

// restored checks that the terminal is given back: its own screen, the cursor, the mouse.
func restored(t *testing.T, out *terminal) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(out.text(), "\x1b[?1049l") && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond) // the kernel hands the last bytes over
	}
	for name, seq := range map[string]string{"screen": "\x1b[?1049l", "cursor": "\x1b[?25h", "mouse": "\x1b[?1002l"} {
		if strings.LastIndex(out.text(), seq) < strings.LastIndex(out.text(), "\x1b[?1049h") {
			t.Errorf("the %s is not given back", name)
		}
	}
}

func TestQuittingGivesTheTerminalBack(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	out, keys, done := start(context.Background(), t, fake.New(time.Now, true), "live")
	_, _ = keys.Write([]byte("q"))
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	restored(t, out)
}

func TestTheEndOfTheContextGivesTheTerminalBack(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	ctx, cancel := context.WithCancel(context.Background())
	out, _, done := start(ctx, t, fake.New(time.Now, true), "live")
	cancel()
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	restored(t, out)
}

// panicking is a Source that fails in the worst way.
type panicking struct{ *fake.Source }

func (panicking) Host(context.Context) (models.HostStatus, error) { panic("no host") }

func TestAPanicLeavesTheScreenUp(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	out, keys, done := start(context.Background(), t, panicking{fake.New(time.Now, true)}, "no host")
	_, _ = keys.Write([]byte("q"))
	if err := wait(t, done); err != nil {
		t.Error(err)
	}
	restored(t, out)
}
