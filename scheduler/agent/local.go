package agent

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/worker"
	"loadstar/scheduler/worker/mailbox"
)

// Weights say how much each kind of load counts in the load score; their sum need
// not be 1.
type Weights struct {
	CPU, Memory, IO float64
}

// Config configures a Local agent.
type Config struct {
	// ID is the agent's name. Default "local".
	ID string
	// Host is the host's name. Default what the system says.
	Host string
	// Capabilities are what this host can do, for tasks that ask for it.
	Capabilities []string
	// Slots is how many tasks the host should run at once; it is told to the core,
	// not enforced here.
	Slots int
	// CPUs and MemoryTotal are what tasks may ask for together: cores and bytes.
	// They are told to the core; zero is no limit.
	CPUs        float64
	MemoryTotal models.Bytes
	// Logs keeps what attempts print.
	Logs *worker.LogStore
	// Load gives the host's CPU, memory and IO load now, each 0 to 1; nil reports none.
	Load func() (cpu, mem, io float64)
	// Weights of the load score. Default 0.5, 0.3, 0.2.
	Weights Weights
	// Weight is the agent's base weight under the dispatch policy weighted. Default 100.
	Weight int
	// Heartbeat is the time between two heartbeat reports. Default 2 s.
	Heartbeat time.Duration
	// BatchMax and BatchDelay close a batch of reports: so many of them, or so long
	// after the first. Only where work waits here for a slot are reports held back
	// at all: nobody waits for them then. Default 100 and 2 ms.
	BatchMax   int
	BatchDelay time.Duration
	// KillGrace is the time between SIGTERM and SIGKILL after a task's timeout, and
	// when a worker is stopped. Default 5 s.
	KillGrace time.Duration
	// Env is what every process starts with. Default os.Environ().
	Env []string
	// StartTimeout, PingInterval, PingTimeout and MaxGarbage are those of
	// worker.StdioConfig; zero is its default.
	StartTimeout, PingInterval, PingTimeout time.Duration
	MaxGarbage                              int
	// NoGuard leaves out the guard process; see worker.SpawnerConfig.
	NoGuard bool
	// Logger takes warnings. Default slog.Default().
	Logger *slog.Logger
}

// WithDefaults fills what was left zero.
func (c Config) WithDefaults() Config {
	c.ID = cmp.Or(c.ID, "local")
	if c.Host == "" {
		c.Host, _ = os.Hostname() //nolint:errcheck // a host may have no name
	}
	c.Weights = cmp.Or(c.Weights, Weights{CPU: 0.5, Memory: 0.3, IO: 0.2})
	c.Weight = cmp.Or(c.Weight, models.DefaultWeight)
	c.Heartbeat = cmp.Or(c.Heartbeat, 2*time.Second)
	c.KillGrace = cmp.Or(c.KillGrace, 5*time.Second)
	c.BatchMax = cmp.Or(c.BatchMax, 100)
	c.BatchDelay = cmp.Or(c.BatchDelay, 2*time.Millisecond)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Env == nil {
		c.Env = os.Environ()
	}
	return c
}

// Validate checks the config after WithDefaults; the error is a *models.FieldError.
func (c *Config) Validate() error {
	w := c.Weights
	switch {
	case c.Slots < 1:
		return models.Invalid("agent.slots", "%d is not positive", c.Slots)
	case c.Logs == nil:
		return models.Invalid("agent.logs", "there is no log store")
	case !(w.CPU >= 0 && w.Memory >= 0 && w.IO >= 0 && w.CPU+w.Memory+w.IO > 0): // NaN too
		return models.Invalid("agent.weights", "they must not be negative, nor all zero")
	case c.Weight < 1 || c.Weight > models.MaxWeight:
		return models.Invalid("agent.weight", "%d is not between 1 and %d", c.Weight, models.MaxWeight)
	case !(c.CPUs >= 0 && c.CPUs < 1e6) || c.MemoryTotal < 0: // NaN too
		return models.Invalid("agent.cpus, agent.memory_total", "neither may be negative")
	case c.Heartbeat < 0 || c.KillGrace < 0:
		return models.Invalid("agent.heartbeat, agent.kill_grace", "neither may be negative")
	case c.BatchMax < 0 || c.BatchDelay < 0:
		return models.Invalid("agent.batch_max, agent.batch_delay", "neither may be negative")
	}
	return nil
}

// Local runs tasks on this host. It implements scheduler.Agent.
type Local struct {
	cfg      Config
	spawner  *worker.Spawner
	exec     *worker.Exec
	http     *worker.HTTP
	commands *mailbox.Box[scheduler.Command]
	endings  *mailbox.Box[ending]
	outbox   *mailbox.Box[scheduler.Report]
	reports  chan scheduler.Report
	info     atomic.Pointer[models.Agent]
	ran      atomic.Bool
	waiting  atomic.Int32 // attempts that wait for a slot

	// The rest belongs to Run.
	attempts map[attemptKey]*attempt
	lanes    map[string]*lane // by pool, of exec and http
	workers  map[string]*worker.Stdio
	running  sync.WaitGroup // attempts and workers
}

var _ scheduler.Agent = (*Local)(nil)

type attemptKey struct {
	taskID string
	lease  scheduler.Lease
}

// attempt is one that the agent has: on a worker, in a process of its own, or as a request.
type attempt struct {
	worker string             // empty for exec and http
	pool   string             // exec and http: whose lane it is in
	kill   chan time.Duration // exec and http: a grace, see worker.Exec; nil until it begins
}

// ending takes an attempt or a worker off the books; exactly one field is set.
type ending struct {
	attempt attemptKey
	worker  string
}

// New makes an agent; nothing starts before Run. What is sent to it meanwhile waits.
func New(cfg Config) (*Local, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	spawner, err := worker.NewSpawner(worker.SpawnerConfig{NoGuard: cfg.NoGuard, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	ex, err := worker.NewExec(worker.ExecConfig{
		Spawner: spawner, Logs: cfg.Logs, Env: cfg.Env, KillGrace: cfg.KillGrace, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	ht, err := worker.NewHTTP(worker.HTTPConfig{Logs: cfg.Logs, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	const buffer = 256 // saves the pump from waking for each report; correctness does not rest on it
	a := &Local{
		cfg: cfg, spawner: spawner, exec: ex, http: ht,
		commands: mailbox.New[scheduler.Command](), endings: mailbox.New[ending](), outbox: mailbox.New[scheduler.Report](),
		reports:  make(chan scheduler.Report, buffer),
		attempts: map[attemptKey]*attempt{}, lanes: map[string]*lane{}, workers: map[string]*worker.Stdio{},
	}
	a.info.Store(a.measure(time.Now(), 0))
	return a, nil
}

// Info is who the agent is, and its load as of the last heartbeat.
func (a *Local) Info() models.Agent {
	info := *a.info.Load()
	info.Capabilities = slices.Clone(info.Capabilities)
	return info
}

// Send queues commands, in order. It never blocks.
func (a *Local) Send(commands []scheduler.Command) { a.commands.Put(commands...) }

// Reports delivers what happened, in order; it is closed when Run has ended.
func (a *Local) Reports() <-chan scheduler.Report { return a.reports }

func (a *Local) report(r scheduler.Report) {
	r.Agent = a.cfg.ID
	a.outbox.Put(r)
}

// measure is the agent with its load as it is now.
func (a *Local) measure(now time.Time, busy int) *models.Agent {
	m := &models.Agent{
		ID: a.cfg.ID, Host: a.cfg.Host, Capabilities: append([]string{}, a.cfg.Capabilities...),
		Slots: a.cfg.Slots, Weight: a.cfg.Weight, CPUs: a.cfg.CPUs, MemoryTotal: a.cfg.MemoryTotal, Busy: busy, LastHeard: now, State: "ready",
	}
	if a.cfg.Load != nil {
		cpu, mem, io := a.cfg.Load()
		m.CPU, m.Memory, m.IO = share(cpu), share(mem), share(io)
	}
	w := a.cfg.Weights
	m.LoadScore = share((w.CPU*m.CPU + w.Memory*m.Memory + w.IO*m.IO) / (w.CPU + w.Memory + w.IO))
	return m
}

// share is v within 0 to 1; NaN is 0.
func share(v float64) float64 {
	if !(v > 0) {
		return 0
	}
	return min(v, 1)
}

func (a *Local) heartbeat() {
	m := a.measure(time.Now(), len(a.attempts))
	a.info.Store(m)
	told := *m
	a.report(scheduler.Report{Heartbeat: &told})
}

// pump moves reports from the outbox to the channel. After stop is closed it hands
// over what is left as long as somebody listens, and closes the channel.
func (a *Local) pump(stop <-chan struct{}) {
	defer close(a.reports)
	for stopped := false; ; {
		a.gather(stop)
		for _, r := range a.outbox.Take() {
			if !a.deliver(r, stop) {
				return
			}
		}
		if stopped && a.outbox.Len() == 0 {
			return
		}
		select {
		case <-a.outbox.Wake():
		case <-stop:
			stopped = true
		}
	}
}

// gather lets reports come together while work waits here, so that a batch of them
// costs one commit.
func (a *Local) gather(stop <-chan struct{}) {
	if a.waiting.Load() == 0 || a.outbox.Len() == 0 {
		return
	}
	late := time.NewTimer(a.cfg.BatchDelay)
	defer late.Stop()
	for a.waiting.Load() > 0 && a.outbox.Len() < a.cfg.BatchMax {
		select {
		case <-a.outbox.Wake():
		case <-late.C:
			return
		case <-stop:
			return
		}
	}
}

// deliver waits for the report to be taken; false says that nobody does any more.
func (a *Local) deliver(r scheduler.Report, stop <-chan struct{}) bool {
	const patience = 200 * time.Millisecond // once the agent has stopped
	select {
	case a.reports <- r:
		return true
	case <-stop:
	}
	select {
	case a.reports <- r:
		return true
	case <-time.After(patience):
		return false
	}
}

// contextOf is ctx for work that goes on until the agent says so.
func contextOf(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(ctx))
}
