package worker

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// platformProcess is what Linux knows of a process beyond its number.
type platformProcess struct {
	pidfd int      // as the kernel gave it; -1 before Linux 5.3
	exits *os.File // pidfd under Go's poller, so that waiting takes no thread; nil where that fails
}

func (p *Process) sysProcAttr() *syscall.SysProcAttr {
	p.pidfd = -1
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &p.pidfd}
}

// adopt takes over the pidfd.
func (p *Process) adopt() {
	if p.pidfd < 0 {
		return
	}
	if err := unix.SetNonblock(p.pidfd, true); err != nil {
		_ = unix.Close(p.pidfd) //nolint:errcheck // wait does without it
		return
	}
	p.exits = os.NewFile(uintptr(p.pidfd), "pidfd")
}

// wait waits for the process to end, kills the rest of its group and only then
// reaps it: as long as the leader is there, dead or alive, the kernel gives its
// number to nobody else, so the kill cannot hit a stranger.
func (p *Process) wait() exit {
	p.waitNoReap()
	at := time.Now()
	p.bury()
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.pid, &ws, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil { // somebody else has reaped it
			return exit{code: -1, at: at}
		}
		return exitOf(ws, at)
	}
}

func (p *Process) waitNoReap() {
	if p.exits != nil {
		defer p.exits.Close()
		if conn, err := p.exits.SyscallConn(); err == nil {
			err = conn.Read(func(fd uintptr) bool {
				var info unix.Siginfo
				err := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
				return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) && (err != nil || info.Signo != 0)
			})
			if err == nil {
				return
			}
		}
	}
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// anonymousFile is a file without a name, gone when it is closed.
func anonymousFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
