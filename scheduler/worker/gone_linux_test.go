package worker

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// waitGone waits for a process that is no child of ours to be dead.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatalf("pidfd of %d: %v", pid, err)
	}
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(patience.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			t.Fatal(err)
		case n == 0:
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d still lives", pid)
		default:
			return
		}
	}
}
