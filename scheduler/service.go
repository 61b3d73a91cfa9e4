package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"loadstar/models"
)

// Config says what a Service works with.
type Config struct {
	// Core sets the rules of the core.
	Core CoreConfig
	// Journal is the durable log; needed. An Append that fails must leave the frame
	// out of the log, or at its end (its acknowledgement was lost): the next frame
	// then carries the same number, and replay drops the former.
	Journal Journal
	// Agents are those that run tasks in this process: they live and die with it.
	Agents []Agent
	// Fleet says that agents of other hosts may join, see Service.Join. Then what
	// such an agent had when the last daemon ended is kept for it a while.
	// Default: none may.
	Fleet bool
	// Archive takes finished tasks out of memory; nil keeps them all there.
	Archive Archive
	// KeepFinished is how many finished tasks stay in memory beside it. Default: 10000.
	KeepFinished int
	// Forecasts gives the demand ahead; nil is none.
	Forecasts Forecasts
	// Metrics gives the host's state; nil is none.
	Metrics Metrics
	// Telemetry is told the steps of tasks once they are on disk; nil is nobody.
	Telemetry Telemetry
	// Alerts is told the id of each task that has failed for good, once that is on
	// disk; nil is nobody.
	Alerts Alerts
	// Logger takes what went wrong. Default: none.
	Logger *slog.Logger
	// DecisionInterval is the time between two decisions on a pool's size. Default: 2s.
	DecisionInterval time.Duration
	// AgentTimeout is how long an agent that sends heartbeats may be silent before it
	// counts as lost, and how long those of other hosts have to join again after a
	// start. Default: 16s.
	AgentTimeout time.Duration
	// MetricLag is how old a metric may be when it is looked at. Default: 1s.
	MetricLag time.Duration
	// Sizer decides a pool's size; needed. It is called by one goroutine, reads no clock, and puts all that it
	// goes by into the decision's inputs; see autoscale.Sizer.
	Sizer func(models.PoolSpec, models.DecisionInput) models.Decision
	// Planner says what a pool's size is expected to be at some moments from now on, a time apart; nil plans
	// nothing. It is called by the goroutine that calls Sizer.
	Planner func(p models.PoolSpec, in models.DecisionInput, every time.Duration, steps int) []models.PlanStep
	// SnapshotEvery is how many bytes of frames are written between two snapshots;
	// a snapshot is put off until as much was written as the last one had. Default: 64 MiB.
	SnapshotEvery models.Bytes
	// RetryEvery is the time between two tries to write while the journal refuses. Default: 500ms.
	RetryEvery time.Duration
	// Pools are the configured pools; one at least.
	Pools []models.PoolSpec
	// Clock tells the time. Default: time.Now.
	Clock func() time.Time
}

func (c Config) withDefaults() Config {
	setDefault(&c.DecisionInterval, 2*time.Second)
	setDefault(&c.AgentTimeout, 16*time.Second)
	setDefault(&c.Core.MissedTicks, int((c.AgentTimeout+c.watchEvery()-1)/c.watchEvery()))
	setDefault(&c.MetricLag, time.Second)
	setDefault(&c.SnapshotEvery, 64<<20)
	setDefault(&c.KeepFinished, 10_000)
	setDefault(&c.RetryEvery, 500*time.Millisecond)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

// watchEvery is the time between two ticks of the core, in which it looks whether
// agents have fallen silent: often enough, however rarely sizes are decided.
func (c *Config) watchEvery() time.Duration { return min(c.DecisionInterval, 2*time.Second) }

// Validate checks the configuration; the error is a *models.FieldError.
func (c *Config) Validate() error {
	switch {
	case c.AgentTimeout < 0:
		return models.Invalid("agent_timeout", "%s is negative", c.AgentTimeout)
	case c.Journal == nil:
		return models.Invalid("journal", "it is needed")
	case c.Sizer == nil:
		return models.Invalid("sizer", "it is needed")
	case len(c.Pools) == 0:
		return models.Invalid("pools", "there is none")
	case c.DecisionInterval < 0:
		return models.Invalid("decision_interval", "%s is negative", c.DecisionInterval)
	case c.MetricLag < 0:
		return models.Invalid("metric_lag", "%s is negative", c.MetricLag)
	case c.SnapshotEvery < 0:
		return models.Invalid("snapshot_every", "%d is negative", c.SnapshotEvery)
	case c.KeepFinished < 0:
		return models.Invalid("keep_finished", "%d is negative", c.KeepFinished)
	case c.RetryEvery < 0:
		return models.Invalid("retry_every", "%s is negative", c.RetryEvery)
	}
	return c.Core.Validate()
}

// Service drives a Core: one goroutine takes in what has come, steps, writes the
// records of all of it as one frame, and only then answers, sends commands and
// tells events. Its methods may be called from any goroutine; they answer once
// the journal has been replayed.
type Service struct {
	cfg     Config
	core    *Core // of the goroutine of Run
	inbox   chan request
	reports chan Report
	left    chan leaving
	ready   chan struct{}
	ended   chan struct{}
	running atomic.Bool
	hub     hub
	started time.Time

	// Of the goroutine of Run.
	batch    batch
	number   uint64 // of the next frame
	written  int    // bytes of frames since the last snapshot
	lastSize int    // bytes of the last snapshot
	stalled  error  // why the journal refuses, nil while it does not
	retried  error  // why it refused before the batch that tries it again
	held     held   // what it refused, to be taken in again
	commits  uint64
	effects  effects
	waiters  map[uint64][]*waiter
	decideAt time.Time // when a decision asked for early is made; zero is none
	early    map[string]bool
	drainers []*drainer
	fleet    []member // who is there
	shelving shelving
	aside    sync.WaitGroup // goroutines that work for that of Run
}

// New makes a Service and starts nothing.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	cfg.Core.Steps = cfg.Core.Steps || cfg.Telemetry != nil
	if cfg.Fleet {
		cfg.Core.OwnAgents = []string{}
		for _, a := range cfg.Agents {
			cfg.Core.OwnAgents = append(cfg.Core.OwnAgents, a.Info().ID)
		}
	}
	core, err := NewCore(cfg.Core, cfg.Pools)
	if err != nil {
		return nil, err
	}
	core.keepsFinals = cfg.Archive != nil
	return &Service{
		cfg: cfg, core: core,
		inbox: make(chan request, 256), reports: make(chan Report, 1024), left: make(chan leaving, len(cfg.Agents)),
		ready: make(chan struct{}), ended: make(chan struct{}),
		waiters: map[uint64][]*waiter{}, early: map[string]bool{},
	}, nil
}

// Ready is closed once the journal has been replayed and calls are answered.
func (s *Service) Ready() <-chan struct{} { return s.ready }

var errStopped = fmt.Errorf("the scheduler is not running: %w", models.ErrUnavailable)

// Run replays the journal and then drives the scheduler until ctx ends. It may be
// called once. It returns nil where ctx ended it.
func (s *Service) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("the scheduler was run before")
	}
	defer s.hub.close()
	defer close(s.ended)
	if err := s.load(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var forwarders sync.WaitGroup
	defer forwarders.Wait()
	defer s.aside.Wait()
	defer cancel()
	for _, a := range s.cfg.Agents {
		s.fleet = append(s.fleet, member{id: a.Info().ID, agent: a})
		forwarders.Go(func() { s.forward(ctx, a) })
	}
	return s.drive(ctx)
}

// load restores the state of the journal and takes back what was left unfinished.
func (s *Service) load(ctx context.Context) error {
	began := s.cfg.Clock()
	s.started = began
	snapshot := restorer{core: s.core}
	replay := replayer{apply: s.core.Restore, next: 1}
	first := true
	err := s.cfg.Journal.Load(ctx,
		func(data []byte) error {
			s.lastSize += len(data)
			return snapshot.chunk(data)
		},
		func(data []byte) error {
			if first {
				first = false
				if err := snapshot.whole(); err != nil {
					return err
				}
				replay.next = max(1, s.core.snapshotFrame)
			}
			return replay.frame(data)
		})
	if err == nil {
		err = snapshot.whole()
	}
	if err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	if first {
		replay.next = max(1, s.core.snapshotFrame)
	}
	number, dropped, err := replay.end()
	if err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	s.number, s.written = number, replay.bytes
	if dropped > 0 {
		s.cfg.Logger.Warn("the journal ends within a group of frames that was never acknowledged; it was dropped", "frames", dropped)
	}
	took := s.cfg.Clock().Sub(began)
	s.cfg.Logger.Info("the journal is replayed", "tasks", s.core.known(), "records", replay.count, "took", took.Round(time.Millisecond))
	return nil
}

func (s *restorer) whole() error {
	if s.next > 0 && !s.done {
		return fmt.Errorf("%w: the snapshot ends after %d chunks", errRecord, s.next)
	}
	return nil
}

// effects are what a batch asks for, until its records are on disk.
type effects struct {
	commands []Directed
	events   []models.Event
	final    []uint64
	answers  []func(err error) // err is why nothing was written, nil where it was
	again    []Report          // the reports of the batch, to be taken in again where it fails
	left     []string
	opened   bool
}

// held is what could not be written and must not be forgotten.
type held struct {
	again  []Report
	left   []string
	opened bool
}

func (e *effects) reset() {
	clear(e.commands)
	clear(e.answers)
	clear(e.again)
	e.commands, e.events, e.final, e.answers, e.again, e.left = e.commands[:0], e.events[:0], e.final[:0], e.answers[:0], e.again[:0], e.left[:0]
	e.opened = false
}
