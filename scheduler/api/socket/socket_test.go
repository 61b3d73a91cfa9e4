package socket_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"loadstar/scheduler/api/socket"
)

// answers reports whether somebody takes a connection at path.
func answers(path string) bool {
	conn, err := socket.Dial(context.Background(), path)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestTheSocketIsTheOwnersAloneAndGoesWhenClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Errorf("%v %v", info, err)
	}
	if l.Addr().String() != path || !answers(path) {
		t.Errorf("%v", l.Addr())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestALiveSocketIsNotTakenOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path)
	if _, err := socket.Listen(path); !errors.Is(err, socket.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if !answers(path) {
		t.Error("the first one no longer answers")
	}
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	listen(t, path)
	if !answers(path) {
		t.Error("nobody answers")
	}
}

func TestAFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Listen(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("%v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("%q", text)
	}
}

func TestASuccessorsSocketSurvivesItsPredecessorsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := listen(t, path)
	if err := os.Remove(path); err != nil { // by hand, say
		t.Fatal(err)
	}
	listen(t, path)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if !answers(path) {
		t.Error("the second one's socket is gone")
	}
}

func TestAPathTooLongForTheKernelWorksOrIsExplained(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	if runtime.GOOS != "linux" {
		if _, err := socket.Listen(path); err == nil || !strings.Contains(err.Error(), "--state-dir") {
			t.Errorf("%v", err)
		}
		return
	}
	l := listen(t, path)
	if !answers(path) {
		t.Error("nobody answers")
	}
	if _, err := socket.Listen(path); !errors.Is(err, socket.ErrInUse) {
		t.Errorf("%v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	listen(t, path) // and again, over nothing
}
