package scheduler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"loadstar/models"
)

// TestSimulatedDriverTellsNothingThatIsNotOnDisk drives the driver's own loop, turn
// by turn, over a journal that refuses, loses acknowledgements and dies in any
// append, before its frame is stored or after. Whatever the driver tells anybody
// (an answer, a command, an event), it must stand in the journal by then, and what
// was answered must be there after each restart.
func TestSimulatedDriverTellsNothingThatIsNotOnDisk(t *testing.T) {
	first, last := simRange(150, 30)
	var total driverCounters
	for seed := first; seed <= last; seed++ {
		d := &driverSim{rng: rand.New(rand.NewPCG(seed, 11)), count: &total, now: time.Unix(1_700_000_000, 0), acked: map[string]bool{}}
		if err := d.run(t.Context(), *simSteps); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("%+v", total)
	if *simSeed != 0 {
		return
	}
	for name, n := range map[string]int{
		"answers": total.Answers, "refusals": total.Refusals, "runs": total.Runs, "events": total.Events,
		"crashes before": total.Before, "crashes after": total.After, "snapshots": total.Snapshots,
	} {
		if n == 0 {
			t.Errorf("it never came to this: %s", name)
		}
	}
}

type driverCounters struct{ Answers, Refusals, Runs, Events, Before, After, Snapshots int }

// driverSim is the world around a driver. It is the driver's journal and its agent.
type driverSim struct {
	rng   *rand.Rand
	count *driverCounters
	now   time.Time
	s     *Service
	ctx   context.Context //nolint:containedctx // of the test; an agent's Send has none

	frames   [][]byte
	chunks   [][]byte
	disk     *Core // what the journal's frames make of a core, as they are acknowledged
	refusing int   // so many appends are refused
	settled  bool  // no append fails or dies

	events <-chan models.Event
	stop   context.CancelFunc
	acked  map[string]bool
	next   int
	runs   []*Run
	queue  []Report
	wrong  error
}

// died is the panic of an append in which the process dies.
type died struct{}

var errRefused = errors.New("the disk refuses")

func (d *driverSim) fail(format string, args ...any) {
	if d.wrong == nil {
		d.wrong = fmt.Errorf(format, args...)
	}
}

// Load, Append and Snapshot make it a Journal.
func (d *driverSim) Load(_ context.Context, snapshot, frame func([]byte) error) error {
	for _, c := range d.chunks {
		if err := snapshot(c); err != nil {
			return err
		}
	}
	for _, f := range d.frames {
		if err := frame(f); err != nil {
			return err
		}
	}
	return nil
}

func (d *driverSim) Append(_ context.Context, f []byte) error {
	if d.settled {
		return d.store(f)
	}
	if d.refusing > 0 {
		d.refusing--
		if d.rng.IntN(3) == 0 { // its acknowledgement was lost
			d.frames = append(d.frames, slices.Clone(f))
		}
		return errRefused
	}
	switch d.rng.IntN(60) {
	case 0:
		d.count.Before++
		panic(died{})
	case 1:
		d.count.After++
		if err := d.store(f); err != nil {
			return err
		}
		panic(died{})
	case 2:
		d.refusing = d.rng.IntN(3)
		return errRefused
	}
	return d.store(f)
}

func (d *driverSim) store(f []byte) error {
	d.frames = append(d.frames, slices.Clone(f))
	h, rest, err := splitFrame(f)
	var r Record
	var n int
	for ; err == nil && len(rest) > 0; rest = rest[n:] {
		if n, err = decodeRecord(rest, h.base, &r); err == nil {
			err = d.disk.Restore(&r)
		}
	}
	if err != nil {
		d.fail("a frame does not fit what the journal holds: %v", err)
	}
	return nil
}

func (d *driverSim) Snapshot(_ context.Context, chunks [][]byte) error {
	d.count.Snapshots++
	d.chunks, d.frames = nil, nil
	for _, c := range chunks {
		d.chunks = append(d.chunks, slices.Clone(c))
	}
	return nil
}

// Info, Send and Reports make it an Agent.
func (d *driverSim) Info() models.Agent     { return models.Agent{ID: "a", State: "ready", Slots: 3} }
func (d *driverSim) Reports() <-chan Report { return nil }

func (d *driverSim) Send(commands []Command) {
	for _, c := range commands {
		if c.Run == nil {
			continue
		}
		d.count.Runs++
		if t := d.disk.find(c.Run.Task.TaskID); t == nil || t.lease < c.Run.Lease {
			d.fail("task %s is run under lease %d, which is not on disk", c.Run.Task.TaskID, c.Run.Lease)
		}
		d.runs = append(d.runs, c.Run)
	}
}

// start is a new process: the driver on the journal that is there.
func (d *driverSim) start() error {
	if d.stop != nil {
		d.stop()
	}
	s, err := New(Config{
		Journal: d, Agents: []Agent{d}, Pools: []models.PoolSpec{{Name: "default", Max: 2}},
		Clock: func() time.Time { return d.now }, Sizer: func(p models.PoolSpec, in models.DecisionInput) models.Decision {
			return models.Decision{Pool: p.Name, At: in.Now, Want: p.Max, Applied: true}
		},
		SnapshotEvery: 2000, DecisionInterval: time.Second, RetryEvery: time.Second,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return err
	}
	if d.disk, err = NewCore(CoreConfig{}, s.cfg.Pools); err != nil {
		return err
	}
	if err := s.load(d.ctx); err != nil {
		return err
	}
	if err := d.catchUp(); err != nil {
		return err
	}
	s.fleet = []member{{id: "a", agent: d}}
	d.s, d.runs, d.refusing = s, nil, 0
	var ctx context.Context
	ctx, d.stop = context.WithCancel(d.ctx)
	d.events = s.hub.subscribe(ctx, 1000)
	for id := range d.acked {
		if s.core.find(id) == nil {
			return fmt.Errorf("task %s was acknowledged and is lost", id)
		}
	}
	d.living(func() { s.begin(d.ctx) })
	return nil
}

// catchUp brings disk to what the journal holds.
func (d *driverSim) catchUp() error {
	chunks := restorer{core: d.disk}
	for _, c := range d.chunks {
		if err := chunks.chunk(c); err != nil {
			return err
		}
	}
	replay := replayer{apply: d.disk.Restore, next: max(1, d.disk.snapshotFrame)}
	for _, f := range d.frames {
		if err := replay.frame(f); err != nil {
			return err
		}
	}
	_, _, err := replay.end()
	return err
}

// living does something in the process's life; where it dies on the way, another
// one is started.
func (d *driverSim) living(do func()) {
	defer func() {
		switch v := recover(); v.(type) {
		case nil:
		case died:
			if err := d.start(); err != nil {
				d.fail("after a crash: %w", err)
			}
		default:
			panic(v)
		}
	}()
	do()
}

func (d *driverSim) run(ctx context.Context, steps int) error {
	d.ctx = ctx
	if err := d.start(); err != nil {
		return err
	}
	defer func() { d.stop() }()
	for i := range steps {
		d.now = d.now.Add(time.Duration(d.rng.IntN(300)) * time.Millisecond)
		d.turn(func() {
			for range 1 + d.rng.IntN(3) {
				d.act()
			}
		})
		if d.wrong != nil {
			return fmt.Errorf("step %d: %w", i, d.wrong)
		}
	}
	return d.finish()
}

// turn is one turn of the driver's loop.
func (d *driverSim) turn(take func()) {
	d.living(func() {
		d.s.batch.reset(d.now.UnixNano())
		take()
		d.s.commit(d.ctx)
		d.s.checkDrain(d.ctx)
	})
	d.watch()
}

func (d *driverSim) act() {
	switch n := d.rng.IntN(10); {
	case n < 3:
		d.submit()
	case n < 4:
		d.s.due()
	case n < 7:
		if len(d.runs) > 0 {
			d.work()
		}
	case n < 8 && d.next > 0:
		id := fmt.Sprint("t", d.rng.IntN(d.next))
		d.s.take(request{input: &Input{Cancel: &models.Selection{IDs: []string{id}}}, answer: func(o *Output, err error) {
			if err != nil {
				return
			}
			if t := d.disk.find(id); t == nil || slices.Contains(o.Bulk.Changed, id) && !t.toCancel && !t.state.final() {
				d.fail("task %s is said to be cancelled, and that is not on disk", id)
			}
		}})
	default:
		if len(d.queue) > 0 && d.s.stalled == nil {
			i := d.rng.IntN(len(d.queue))
			d.s.report(d.queue[i])
			if d.rng.IntN(8) > 0 {
				d.queue = slices.Delete(d.queue, i, i+1)
			}
		}
	}
}

func (d *driverSim) submit() {
	var ids []string
	var specs []models.TaskSpec
	for range 1 + d.rng.IntN(3) {
		spec := models.NewTaskSpec()
		spec.TaskID, spec.Run, spec.Retries = fmt.Sprint("t", d.next), []string{"true"}, 1
		d.next++
		ids, specs = append(ids, spec.TaskID), append(specs, spec)
	}
	sub, err := NewSubmission(specs, "", nil)
	if err != nil {
		d.fail("%w", err)
		return
	}
	d.s.take(request{input: &Input{Submit: sub}, answer: func(_ *Output, err error) {
		if err != nil {
			d.count.Refusals++
			return
		}
		d.count.Answers++
		for _, id := range ids {
			if d.acked[id] = true; d.disk.find(id) == nil {
				d.fail("task %s is acknowledged and not on disk", id)
			}
		}
	}})
}

// work begins an attempt and ends it.
func (d *driverSim) work() {
	i := d.rng.IntN(len(d.runs))
	r := d.runs[i]
	d.runs = slices.Delete(d.runs, i, i+1)
	outcome := "SUCCESS"
	if d.rng.IntN(4) == 0 {
		outcome = "FAILED"
	}
	d.queue = append(d.queue,
		Report{Agent: "a", Started: &Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: d.now}},
		Report{Agent: "a", Finished: &Finished{TaskID: r.Task.TaskID, Lease: r.Lease, At: d.now, Outcome: outcome, Err: "exit"}})
}

// watch holds the events against what is on disk.
func (d *driverSim) watch() {
	for {
		select {
		case e := <-d.events:
			d.count.Events++
			if e.TaskID == "" || e.Kind != models.EventTask {
				continue
			}
			t, state := d.disk.find(e.TaskID), statePending
			if e.State != "" {
				state, _ = stateOf(e.State)
			}
			if t == nil || int(t.attempt) < e.Attempt || int(t.attempt) == e.Attempt && t.state < state && !(t.state == statePending && state == stateAssigned) {
				d.fail("task %s is told to be %s in attempt %d, and that is not on disk", e.TaskID, e.State, e.Attempt)
			}
		default:
			return
		}
	}
}

// finish lets everything end: what was acknowledged must end, each once.
func (d *driverSim) finish() error {
	d.settled = true
	for range 2000 {
		d.now = d.now.Add(time.Second)
		d.turn(func() {
			d.s.due()
			for _, r := range d.queue {
				d.s.report(r)
			}
			d.queue = d.queue[:0]
			for len(d.runs) > 0 {
				d.work()
			}
		})
		if d.wrong != nil {
			return d.wrong
		}
		if !slices.ContainsFunc(d.s.core.tasks, func(t *task) bool { return !t.state.final() }) {
			break
		}
	}
	for id := range d.acked {
		if t := d.s.core.find(id); t == nil || !t.state.final() {
			return fmt.Errorf("task %s was acknowledged and never ended: %+v", id, t)
		}
	}
	if diff := difference(d.disk, d.s.core); diff != "" {
		return fmt.Errorf("the driver's core is not what is on disk: %s", diff)
	}
	return nil
}
