package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Spawner starts processes so that none outlives the program that started it.
//
// Each process leads a group of its own, which is killed as one. On Linux the
// kernel also kills a process when the thread that forked it ends
// (PR_SET_PDEATHSIG), so all are forked by a few goroutines that keep their threads
// until Run ends; several, since a fork holds its thread until the program that it
// executes has been loaded. That covers the leaders only; what they started in turn is
// covered by a guard, a tiny shell that sleeps until this program is gone,
// however it went, and then kills every group that is still on its list.
// Orphans (processes whose parent, a task's process, has ended) become children of
// this program, which reaps them.
type Spawner struct {
	logger   *slog.Logger
	cfg      SpawnerConfig
	threads  int
	requests chan *startRequest
	done     chan struct{} // closed when Run has ended
	devNull  *os.File

	runOnce sync.Once
	guard   *guard // written before the first request is served
}

// SpawnerConfig configures a Spawner.
type SpawnerConfig struct {
	// NoGuard leaves out the guard process, and with it the promise that processes
	// started by a task's own process die with the program on SIGKILL.
	NoGuard bool
	// NoAdopt leaves orphans to process 1. It is for programs that embed the spawner
	// and start processes in sessions of their own by other means, whose end this
	// spawner might see first.
	NoAdopt bool
	// Logger takes warnings. Default slog.Default().
	Logger *slog.Logger
}

// NewSpawner makes a Spawner; nothing starts before Run.
func NewSpawner(cfg SpawnerConfig) (*Spawner, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("make a spawner: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Spawner{
		logger: cfg.Logger, cfg: cfg, devNull: null, threads: min(max(2, runtime.GOMAXPROCS(0)), mostThreads),
		requests: make(chan *startRequest), done: make(chan struct{}),
	}, nil
}

// mostThreads bounds the threads that fork, each asleep while there is nothing to.
const mostThreads = 16

// errSpawnerDone says that no process can be started any more.
var errSpawnerDone = errors.New("the program is ending")

// Run forks on behalf of the others until ctx ends. Processes that are still
// there then are killed, by the kernel or by the guard; callers wait for theirs
// before they end ctx. It runs once.
func (s *Spawner) Run(ctx context.Context) error {
	err := errors.New("the spawner has already run")
	s.runOnce.Do(func() { err = s.run(ctx) })
	return err
}

func (s *Spawner) run(ctx context.Context) error {
	s.prepare()
	var threads sync.WaitGroup
	for range s.threads {
		threads.Go(func() {
			// It is never unlocked: the thread ends with its goroutine, and with it, by the
			// kernel's hand, what it forked.
			runtime.LockOSThread()
			s.serve(ctx)
		})
	}
	s.sweep(ctx)
	threads.Wait()
	close(s.done)
	if !s.cfg.NoAdopt {
		reapLast()
	}
	s.guard.stop()
	s.devNull.Close()
	return nil
}

// prepare is done before anything is forked.
func (s *Spawner) prepare() {
	if !s.cfg.NoAdopt {
		if err := adoptOrphans(); err != nil {
			s.logger.Warn("orphans are left to process 1", "err", err)
		}
	}
	if !s.cfg.NoGuard {
		g, err := startGuard(s.devNull)
		if err != nil {
			s.logger.Warn("no guard process: what tasks start may outlive a daemon that is killed", "err", err)
		}
		s.guard = g
	}
}

// sweep reaps orphans now and then, until ctx ends.
func (s *Spawner) sweep(ctx context.Context) {
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !s.cfg.NoAdopt {
				reapOrphans()
			}
		}
	}
}

// serve is one of the threads that fork.
func (s *Spawner) serve(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.requests:
			r.process, r.err = s.fork(r)
			close(r.done)
		}
	}
}

// reapEvery is the time between two looks for dead orphans.
const reapEvery = 2 * time.Second

// startRequest asks for a process.
type startRequest struct {
	path  string // of the program
	args  []string
	env   []string
	dir   string
	stdin *os.File // nil is /dev/null
	out   *os.File
	errs  *os.File

	process *Process
	err     error
	done    chan struct{}
}

// start forks and executes; it returns after the exec succeeded, or why it did
// not. The files stay the caller's.
func (s *Spawner) start(r *startRequest) (*Process, error) {
	r.done = make(chan struct{})
	select {
	case s.requests <- r:
	case <-s.done:
		return nil, errSpawnerDone
	}
	<-r.done
	return r.process, r.err
}

func (s *Spawner) fork(r *startRequest) (*Process, error) {
	files := make([]uintptr, 3)
	for i, f := range []*os.File{r.stdin, r.out, r.errs} {
		if f == nil {
			f = s.devNull
		}
		files[i] = f.Fd()
	}
	p := &Process{guard: s.guard}
	attr := &syscall.ProcAttr{Dir: r.dir, Env: r.env, Files: files, Sys: p.sysProcAttr()}
	pid, err := syscall.ForkExec(r.path, r.args, attr)
	runtime.KeepAlive(r)
	if err != nil {
		return nil, err
	}
	p.pid, p.begun = pid, time.Now() // here: whoever asked may be scheduled long after
	p.slot = s.guard.add(pid)
	p.adopt()
	return p, nil
}

// Process is a started process that leads a group of its own.
type Process struct {
	pid   int
	begun time.Time // its program was executed
	guard *guard
	slot  int // in the guard's list
	platformProcess

	mu     sync.Mutex
	reaped bool
}

// PID is the process's and its group's number.
func (p *Process) PID() int { return p.pid }

// signal sends to the whole group; it does nothing once the leader is reaped,
// when the number may be somebody else's.
func (p *Process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(-p.pid, sig) //nolint:errcheck // gone already is as good
	}
}

// bury is called when the leader is dead and before it is reaped: it kills the
// rest of the group and lets go of its number.
func (p *Process) bury() {
	p.signal(syscall.SIGKILL)
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	p.guard.remove(p.slot)
}

// terminate asks the group to end; the channel says when the grace is over, after
// which the caller sends SIGKILL. Without a grace it is killed at once.
func (p *Process) terminate(grace time.Duration) <-chan time.Time {
	if grace <= 0 {
		p.signal(syscall.SIGKILL)
		return nil
	}
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGCONT) // a stopped process heeds nothing before it goes on
	return time.After(grace)
}

// exit is how a process ended.
type exit struct {
	code   int // 128 + signal where it was killed by one
	signal syscall.Signal
	at     time.Time
}

func exitOf(ws syscall.WaitStatus, at time.Time) exit {
	if ws.Signaled() {
		return exit{code: 128 + int(ws.Signal()), signal: ws.Signal(), at: at}
	}
	return exit{code: ws.ExitStatus(), at: at}
}

// String says it in words; empty where all went well.
func (e exit) String() string {
	switch {
	case e.signal != 0:
		return fmt.Sprintf("killed by signal %d (%s)", int(e.signal), signalName(e.signal))
	case e.code != 0:
		return fmt.Sprintf("exited with code %d", e.code)
	}
	return ""
}

func signalName(sig syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT", syscall.SIGQUIT: "SIGQUIT", syscall.SIGILL: "SIGILL",
		syscall.SIGTRAP: "SIGTRAP", syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE",
		syscall.SIGKILL: "SIGKILL", syscall.SIGUSR1: "SIGUSR1", syscall.SIGSEGV: "SIGSEGV", syscall.SIGUSR2: "SIGUSR2",
		syscall.SIGPIPE: "SIGPIPE", syscall.SIGALRM: "SIGALRM", syscall.SIGTERM: "SIGTERM", syscall.SIGXCPU: "SIGXCPU",
		syscall.SIGXFSZ: "SIGXFSZ", syscall.SIGSYS: "SIGSYS",
	}
	if name, ok := names[sig]; ok {
		return name
	}
	return sig.String()
}
