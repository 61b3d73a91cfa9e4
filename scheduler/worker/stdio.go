package worker

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"loadstar/models"
	"loadstar/scheduler/worker/mailbox"
)

// StdioConfig configures one stdio worker.
type StdioConfig struct {
	ID      string // unique while the daemon runs
	Pool    models.PoolSpec
	Spawner *Spawner
	Logs    *LogStore
	// Env is what the process starts with, as os.Environ gives it; the pool's own
	// variables go over it.
	Env []string
	// StartTimeout is how long the worker may take to be ready, where Pool does not
	// say. Default 10 min.
	StartTimeout time.Duration
	// PingInterval is how long a worker may be silent before it is pinged; negative
	// never pings. Default 10 s.
	PingInterval time.Duration
	// PingTimeout is how long it may take to say anything after a ping. Default 10 s.
	PingTimeout time.Duration
	// StopGrace is the time between the shutdown request and SIGTERM. Default 5 s.
	StopGrace time.Duration
	// KillGrace is the time between SIGTERM and SIGKILL, and how long a task may go
	// on after its timeout before its worker is killed. Default 5 s.
	KillGrace time.Duration
	// MaxGarbage is how many lines in a row on its standard output may be no
	// messages before the worker is killed. Default 1000.
	MaxGarbage int
	// OnReady is called once, when the cold start is over; it must not block.
	OnReady func(coldStart time.Duration)
	// Logger takes warnings. Default slog.Default().
	Logger *slog.Logger
}

// WithDefaults fills what was left zero.
func (c StdioConfig) WithDefaults() StdioConfig {
	c.StartTimeout = cmp.Or(c.Pool.StartTimeout.Std(), c.StartTimeout, 10*time.Minute)
	c.PingInterval = cmp.Or(c.PingInterval, 10*time.Second)
	c.PingTimeout = cmp.Or(c.PingTimeout, 10*time.Second)
	c.StopGrace = cmp.Or(c.StopGrace, 5*time.Second)
	c.KillGrace = cmp.Or(c.KillGrace, 5*time.Second)
	c.MaxGarbage = cmp.Or(c.MaxGarbage, 1000)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.OnReady == nil {
		c.OnReady = func(time.Duration) {}
	}
	return c
}

// Validate checks the config after WithDefaults; the error is a *models.FieldError.
func (c *StdioConfig) Validate() error {
	switch {
	case c.ID == "":
		return models.Invalid("id", "the worker has no name")
	case c.Spawner == nil:
		return models.Invalid("spawner", "there is none")
	case c.Logs == nil:
		return models.Invalid("logs", "there is no log store")
	case len(c.Pool.Command) == 0 || c.Pool.Command[0] == "":
		return models.Invalid("pools."+c.Pool.Name+".command", "a stdio pool needs the command of its workers")
	case c.StartTimeout < 0 || c.PingTimeout < 0 || c.StopGrace < 0 || c.KillGrace < 0:
		return models.Invalid("start_timeout, ping_timeout, stop_grace, kill_grace", "none may be negative")
	case c.MaxGarbage < 1:
		return models.Invalid("max_garbage", "%d is not positive", c.MaxGarbage)
	}
	return nil
}

// Job is an attempt for a stdio worker. The callbacks must not block.
type Job struct {
	Task    models.TaskSpec
	Attempt int
	// Started is called when the worker was given the task.
	Started func(at time.Time)
	// Done is called once at the end, unless the worker went away before it was
	// known how the task ended: then Run's return says so instead.
	Done func(Result)
}

// Stdio is one long-lived worker process; see the package comment for its states.
// Assign, Kill and Stop may be called from any goroutine and never block.
type Stdio struct {
	cfg    StdioConfig
	orders *mailbox.Box[order]
}

// order is what others ask of a worker; exactly one field is set.
type order struct {
	assign *Job
	kill   *killOrder
	stop   bool
}

type killOrder struct {
	taskID string
	grace  time.Duration
}

// NewStdio makes a worker; nothing starts before Run.
func NewStdio(cfg StdioConfig) (*Stdio, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Stdio{cfg: cfg, orders: mailbox.New[order]()}, nil
}

// Assign gives the worker a task; it must be ready and idle, else the job is Done
// with OutcomeLost. A worker that has ended ignores it.
func (w *Stdio) Assign(job Job) { w.orders.Put(order{assign: &job}) }

// Kill cancels the task if the worker runs it: first by a message, and after grace
// by killing the worker. The job is Done with Cancelled either way.
func (w *Stdio) Kill(taskID string, grace time.Duration) {
	w.orders.Put(order{kill: &killOrder{taskID: taskID, grace: grace}})
}

// Stop lets the worker end, after its task where it has one.
func (w *Stdio) Stop() { w.orders.Put(order{stop: true}) }

// Run starts the process and owns it to its end; its whole group is dead and it is
// reaped when Run returns. The error says why the worker ended by itself or had to
// be killed; it is nil where it was asked to end, by Stop or by the end of ctx.
func (w *Stdio) Run(ctx context.Context) error {
	s, err := w.open()
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// stderrTail remembers the last line that a worker wrote to stderr, and which
// attempt's log gets its output.
type stderrTail struct {
	mu   sync.Mutex
	line string
	log  *LogWriter
}

func (t *stderrTail) set(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line = line
}

func (t *stderrTail) get() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.line
}

// to makes later output go to an attempt's log too; nil is none.
func (t *stderrTail) to(log *LogWriter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = log
}

// task writes a line to the log of the attempt that runs, where there is one.
func (t *stderrTail) task(line string) {
	t.mu.Lock()
	log := t.log
	t.mu.Unlock()
	if log != nil {
		_, _ = log.Write([]byte(line + "\n")) //nolint:errcheck // a LogWriter takes all
	}
}
