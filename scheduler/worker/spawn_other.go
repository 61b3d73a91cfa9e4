//go:build unix && !linux

package worker

import (
	"errors"
	"os"
	"syscall"
	"time"
)

type platformProcess struct{}

func (p *Process) sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

func (p *Process) adopt() {}

// wait reaps the process and kills the rest of its group. Without Linux's
// waitid(WNOWAIT) in the standard library the group's number is free for an
// instant in between.
func (p *Process) wait() exit {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.pid, &ws, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		at := time.Now()
		p.bury()
		if err != nil {
			return exit{code: -1, at: at}
		}
		return exitOf(ws, at)
	}
}

// anonymousFile is a file without a name, gone when it is closed.
func anonymousFile(name string) (*os.File, error) {
	f, err := os.CreateTemp("", name+"-*")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
