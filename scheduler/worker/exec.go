package worker

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"loadstar/models"
)

// Result is how an attempt ended.
type Result struct {
	Outcome  string // models.Success, Failed, Cancelled as strings, models.OutcomeTimeout or OutcomeLost
	ExitCode *int
	Err      string
	At       time.Time

	aborted bool // http: whether Err may come from an end that we made
}

// ExecConfig configures Exec.
type ExecConfig struct {
	Spawner *Spawner
	Logs    *LogStore
	// Env is what every process starts with, as os.Environ gives it; a task's own
	// variables go over it.
	Env []string
	// KillGrace is the time between SIGTERM and SIGKILL after a timeout. Default 5 s.
	KillGrace time.Duration
	// DrainDelay is how long output is still read after the whole group is dead, in
	// case a process that left the group holds the pipe. Default 250 ms.
	DrainDelay time.Duration
	// Logger takes warnings. Default slog.Default().
	Logger *slog.Logger
}

// Exec runs attempts as one process each.
type Exec struct {
	cfg     ExecConfig
	buffers sync.Pool
}

// NewExec makes an Exec; the error is a *models.FieldError.
func NewExec(cfg ExecConfig) (*Exec, error) {
	switch {
	case cfg.Spawner == nil:
		return nil, models.Invalid("spawner", "there is none")
	case cfg.Logs == nil:
		return nil, models.Invalid("logs", "there is no log store")
	case cfg.KillGrace < 0 || cfg.DrainDelay < 0:
		return nil, models.Invalid("kill_grace, drain_delay", "neither may be negative")
	}
	cfg.KillGrace = cmp.Or(cfg.KillGrace, 5*time.Second)
	cfg.DrainDelay = cmp.Or(cfg.DrainDelay, 250*time.Millisecond)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	const size = 16 << 10
	return &Exec{cfg: cfg, buffers: sync.Pool{New: func() any { b := make([]byte, size); return &b }}}, nil
}

// Run runs one attempt to its end. It calls started once, after the program was
// executed; an attempt that could not begin has a Result without it. A grace sent
// on kill cancels the attempt: SIGTERM now, SIGKILL after the grace; a later one
// sets it anew. The end of ctx is the program's: SIGKILL at once, and the attempt is
// LOST. When Run returns, the process's whole group is dead and its leader reaped.
func (e *Exec) Run(ctx context.Context, task *models.TaskSpec, attempt int, kill <-chan time.Duration, started func(time.Time)) Result {
	select {
	case <-kill:
		return Result{Outcome: string(models.Cancelled), At: time.Now()}
	case <-ctx.Done():
		return Result{Outcome: models.OutcomeLost, Err: errAgentEnded, At: time.Now()}
	default:
	}
	out := io.Discard
	log, err := e.cfg.Logs.Create(task.TaskID, attempt)
	if err != nil {
		e.cfg.Logger.Warn("an attempt's output is not kept", "err", err)
	} else {
		defer log.Close() //nolint:errcheck // it never fails
		out = log
	}
	process, output, err := e.start(task, attempt)
	if err != nil {
		res := Result{Outcome: string(models.Failed), Err: err.Error(), At: time.Now()}
		var se *startError
		if errors.As(err, &se) {
			res.ExitCode = &se.code
		}
		_, _ = io.WriteString(out, "loadstar: "+res.Err+"\n") //nolint:errcheck // a LogWriter takes all
		return res
	}
	started(process.begun)

	copied := make(chan struct{})
	go func() {
		defer close(copied)
		e.copyOutput(out, output)
	}()
	res := e.await(ctx, process, task.Timeout.Std(), kill)
	// Everybody in the group is dead, so what they wrote is in the pipe and then it
	// ends, unless somebody outside the group holds it.
	if err := output.SetReadDeadline(time.Now().Add(e.cfg.DrainDelay)); err != nil {
		output.Close()
	}
	<-copied
	output.Close()
	return res
}

const errAgentEnded = "the agent ended"

// start starts the process and hands over the reading end of its output.
func (e *Exec) start(task *models.TaskSpec, attempt int) (*Process, *os.File, error) {
	if len(task.Run) == 0 {
		return nil, nil, cannotStart(exitCannot, "run: the task has no command")
	}
	env := environ(e.cfg.Env, map[string]string{
		"LOADSTAR_TASK_ID": task.TaskID,
		"LOADSTAR_ATTEMPT": strconv.Itoa(attempt),
		"LOADSTAR_POOL":    task.Pool,
	}, task.Env)
	r := &startRequest{args: task.Run, env: env, dir: task.Dir}
	output, err := r.prepare(task.Stdin)
	if err != nil {
		return nil, nil, err
	}
	r.errs = r.out // both into one pipe, so that they interleave as they come
	defer r.out.Close()
	p, err := e.cfg.Spawner.start(r)
	if r.stdin != nil {
		r.stdin.Close()
	}
	if err != nil {
		output.Close()
		return nil, nil, explainStart(task.Run[0], task.Dir, err)
	}
	return p, output, nil
}

// prepare finds the program and opens its files; output is the end to read from.
func (r *startRequest) prepare(stdin string) (output *os.File, err error) {
	if err := checkDir(r.dir); err != nil {
		return nil, err
	}
	if r.path, err = lookPath(r.args[0], r.dir, r.env); err != nil {
		return nil, err
	}
	if stdin != "" {
		if r.stdin, err = fileOf(stdin); err != nil {
			return nil, err
		}
	}
	output, r.out, err = os.Pipe()
	if err != nil && r.stdin != nil {
		r.stdin.Close()
	}
	return output, err
}

// fileOf is an anonymous file with this content, to be read from its start. Unlike
// a pipe it needs nobody to feed it.
func fileOf(content string) (*os.File, error) {
	f, err := anonymousFile("loadstar-stdin")
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteString(content); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (e *Exec) copyOutput(to io.Writer, from *os.File) {
	buf := e.buffers.Get().(*[]byte) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer e.buffers.Put(buf)
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			_, _ = to.Write((*buf)[:n]) //nolint:errcheck // a LogWriter takes all
		}
		if err != nil {
			return
		}
	}
}

// await waits for the process, and kills it where it must.
func (e *Exec) await(ctx context.Context, p *Process, timeout time.Duration, kill <-chan time.Duration) Result {
	ended := make(chan exit, 1)
	go func() { ended <- p.wait() }()
	var late, lastly <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	var res Result // why it is being killed, where it is
	agentEnds := ctx.Done()
	for {
		select {
		case x := <-ended:
			return res.with(x)
		case <-late:
			res.Outcome, res.Err = models.OutcomeTimeout, "timed out after "+timeout.String()
			lastly = p.terminate(e.cfg.KillGrace)
		case grace := <-kill:
			res.Outcome, res.Err, late = string(models.Cancelled), "", nil
			lastly = p.terminate(grace)
		case <-lastly:
			p.signal(syscall.SIGKILL)
		case <-agentEnds:
			if res.Outcome == "" {
				res.Outcome, res.Err = models.OutcomeLost, errAgentEnded
			}
			agentEnds, late = nil, nil
			p.signal(syscall.SIGKILL)
		}
	}
}

// with is the result of an attempt whose process ended so; an Outcome that was
// set before stays, since the process was killed for it.
func (r Result) with(x exit) Result {
	r.ExitCode, r.At = &x.code, x.at
	if r.Outcome != "" {
		return r
	}
	r.Outcome, r.Err = string(models.Success), x.String()
	if x.code != 0 {
		r.Outcome = string(models.Failed)
	}
	return r
}
