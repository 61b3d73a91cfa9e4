package worker

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of its descendants' orphans (a
// "child subreaper"), in place of process 1, which in a container may never reap
// them.
func adoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// reapOrphans reaps adopted processes that are dead, and says how many live on.
//
// Which children are adopted is told by their groups. Those that this program
// started are in its own group, or lead one within its session, as a Spawner's do.
// An orphan belongs to a group whose leader is another, or to another session; one
// that made itself the leader of a group in this session is taken for a child, and
// stays a zombie until the program ends.
func reapOrphans() (alive int) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return 0
	}
	ownGroup := syscall.Getpgrp()
	ownSession, err := unix.Getsid(0)
	if err != nil {
		return 0
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			continue // that thread has ended
		}
		for field := range strings.FieldsSeq(string(children)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			group, err1 := syscall.Getpgid(pid)
			session, err2 := unix.Getsid(pid)
			if err1 != nil || err2 != nil || session == ownSession && (group == ownGroup || group == pid) {
				continue
			}
			if reaped, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); err == nil && reaped == 0 {
				alive++
			}
		}
	}
	return alive
}

// reapLast reaps the orphans that were killed a moment ago. It waits for them a
// little, since daemons that left on purpose may be among them.
func reapLast() {
	const times, pause = 20, 5 * time.Millisecond
	for range times {
		if reapOrphans() == 0 {
			return
		}
		time.Sleep(pause)
	}
}
