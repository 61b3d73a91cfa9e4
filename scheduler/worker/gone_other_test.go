//go:build unix && !linux

package worker

import (
	"syscall"
	"testing"
	"time"
)

// waitGone waits for a process that is no child of ours to be dead.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d still lives", pid)
		}
	}
}
