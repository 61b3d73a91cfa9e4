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
// them; release undoes it.
func adoptOrphans() (release func(), err error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	return func() {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) //nolint:errcheck // it worked a while ago
	}, nil
}

// reapOrphans reaps adopted processes that are dead, and says how many of them
// live on. Children that the program has started by other means share its process
// group, unless they lead one; those it must not start while this runs, see
// SpawnerConfig.NoAdopt.
func (s *Spawner) reapOrphans() (alive int) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return 0
	}
	own := syscall.Getpgrp()
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			continue // that thread has ended
		}
		for field := range strings.FieldsSeq(string(children)) {
			pid, err := strconv.Atoi(field)
			if err != nil || s.leads(pid) {
				continue
			}
			if group, err := syscall.Getpgid(pid); err != nil || group == own {
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
func (s *Spawner) reapLast() {
	const times, pause = 20, 5 * time.Millisecond
	for range times {
		if s.reapOrphans() == 0 {
			return
		}
		time.Sleep(pause)
	}
}
