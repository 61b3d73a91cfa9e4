package scheduler_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"loadstar/models"
	"loadstar/scheduler"
)

// memory is a journal that keeps its frames in memory, and can refuse.
type memory struct {
	mu       sync.Mutex
	snapshot [][]byte
	frames   [][]byte
	refuse   error
	keep     bool // the refused frame is in the log all the same: its acknowledgement was lost
	appends  int
}

func (m *memory) Load(_ context.Context, snapshot, frame func([]byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.snapshot {
		if err := snapshot(c); err != nil {
			return err
		}
	}
	for _, f := range m.frames {
		if err := frame(f); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Append(_ context.Context, f []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.appends++
	if len(f) > scheduler.MaxFrame {
		return fmt.Errorf("a frame of %d bytes", len(f))
	}
	if m.refuse == nil || m.keep {
		m.frames = append(m.frames, slices.Clone(f))
	}
	return m.refuse
}

func (m *memory) Snapshot(_ context.Context, chunks [][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshot, m.frames = nil, nil
	for _, c := range chunks {
		if len(c) > scheduler.MaxFrame {
			return fmt.Errorf("a chunk of %d bytes", len(c))
		}
		m.snapshot = append(m.snapshot, slices.Clone(c))
	}
	return nil
}

func (m *memory) set(refuse error, keep bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse, m.keep = refuse, keep
}

// hand is an agent whose work a test does by hand, or that does everything at once.
type hand struct {
	info    models.Agent
	reports chan scheduler.Report
	auto    bool

	mu       sync.Mutex
	commands []scheduler.Command
	changed  chan struct{}
}

func newHand(id string, auto bool) *hand {
	return &hand{info: models.Agent{ID: id, State: "ready"}, reports: make(chan scheduler.Report, 1<<16), auto: auto, changed: make(chan struct{}, 1)}
}

func (h *hand) Info() models.Agent               { return h.info }
func (h *hand) Reports() <-chan scheduler.Report { return h.reports }

func (h *hand) Send(commands []scheduler.Command) {
	if h.auto {
		for _, c := range commands {
			h.obey(c)
		}
		return
	}
	h.mu.Lock()
	h.commands = append(h.commands, commands...)
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *hand) obey(c scheduler.Command) {
	switch {
	case c.StartWorker != nil:
		h.reports <- scheduler.Report{WorkerReady: &scheduler.WorkerReady{Worker: c.StartWorker.Worker, ColdStart: time.Millisecond}}
	case c.StopWorker != nil:
		h.reports <- scheduler.Report{WorkerGone: &scheduler.WorkerGone{Worker: c.StopWorker.Worker}}
	case c.Run != nil:
		h.start(c.Run)
		h.finish(c.Run, "SUCCESS", 0)
	}
}

func (h *hand) start(r *scheduler.Run) {
	h.reports <- scheduler.Report{Started: &scheduler.Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: time.Now()}}
}

func (h *hand) finish(r *scheduler.Run, outcome string, exit int) {
	h.reports <- scheduler.Report{Finished: &scheduler.Finished{TaskID: r.Task.TaskID, Lease: r.Lease, At: time.Now(), Outcome: outcome, ExitCode: &exit}}
}

// next waits for the next command of a kind.
func next[T any](t *testing.T, h *hand, pick func(scheduler.Command) *T) *T {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		h.mu.Lock()
		for i, c := range h.commands {
			if v := pick(c); v != nil {
				h.commands = slices.Delete(h.commands, i, i+1)
				h.mu.Unlock()
				return v
			}
		}
		h.mu.Unlock()
		select {
		case <-h.changed:
		case <-deadline:
			t.Fatalf("no such command came: %T", *new(T))
		}
	}
}

func run(c scheduler.Command) *scheduler.Run           { return c.Run }
func kill(c scheduler.Command) *scheduler.Kill         { return c.Kill }
func start(c scheduler.Command) *scheduler.StartWorker { return c.StartWorker }

func sizer(p models.PoolSpec, in models.DecisionInput) models.Decision {
	want := min(max(p.Min, in.Busy+in.Queued), p.Max)
	return models.Decision{Pool: p.Name, At: in.Now, Policy: p.Policy, Inputs: in, Reactive: want, Want: want, Applied: true, Reason: "as many as there are tasks"}
}
