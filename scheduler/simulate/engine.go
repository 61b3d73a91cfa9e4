package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"loadstar/models"
	"loadstar/scheduler"
)

const (
	poolName   = "replay"
	agentName  = "virtual"
	settle     = 20 * time.Millisecond // an early decision waits for the rest of its burst, as live
	maxOverrun = 30 * 24 * time.Hour   // after the trace, for what is left to end
)

// Sizer chooses the pool's size. It sees what the core knows.
type Sizer func(spec models.PoolSpec, in models.DecisionInput) models.Decision

// world is one run of one policy.
type world struct {
	cfg   *Config
	w     *Workload
	core  *scheduler.Core
	sizer Sizer
	// forecasts are by the number of whole bins seen; nil where there are none.
	forecasts []*models.DemandForecast
	// decided, where set, is told each decision.
	decided func(models.Decision)

	now     time.Duration
	events  eventHeap
	next    int // the next arrival
	earlyAt time.Duration
	started int // workers started, from the run's beginning

	meter meter
}

// eventKind is what comes due. Of those at one moment ends come first, so that
// who is free then can be given work.
type eventKind uint8

const (
	eventFinish eventKind = iota
	eventReady
)

type event struct {
	at     time.Duration
	order  uint64
	kind   eventKind
	job    int32
	lease  scheduler.Lease
	worker string
	cold   time.Duration
}

// newWorld begins at from: earlier arrivals are left out.
func newWorld(cfg *Config, w *Workload, spec models.PoolSpec, from time.Duration, sizer Sizer) (*world, error) {
	core, err := scheduler.NewCore(scheduler.CoreConfig{KeepDecisions: 64, Seed: cfg.Seed}, []models.PoolSpec{spec})
	if err != nil {
		return nil, err
	}
	v := &world{cfg: cfg, w: w, core: core, sizer: sizer, now: from, earlyAt: -1}
	for v.next < len(w.Jobs) && w.Jobs[v.next].At < from {
		v.next++
	}
	v.meter = newMeter(cfg, w, v.next)
	return v, nil
}

// run drives the core until every arrival has ended.
func (v *world) run(ctx context.Context) error {
	v.step(scheduler.Input{Open: true})
	v.step(scheduler.Input{Join: &models.Agent{ID: agentName, State: "ready"}})
	tick := v.now
	end := v.w.End()
	for n := 0; ; n++ {
		if n&0xffff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		at, what := tick, 't'
		if v.earlyAt >= 0 && v.earlyAt < at {
			at, what = v.earlyAt, 'e'
		}
		if v.next < len(v.w.Jobs) && v.w.Jobs[v.next].At < at {
			at, what = v.w.Jobs[v.next].At, 'a'
		}
		if len(v.events) > 0 && v.events[0].at <= at {
			at, what = v.events[0].at, 'v'
		}
		if at >= end && v.next == len(v.w.Jobs) && v.meter.open == 0 {
			v.meter.advance(end)
			return nil
		}
		if at > end+maxOverrun {
			return fmt.Errorf("%d tasks had not ended %s after the trace", v.meter.open, maxOverrun)
		}
		v.now = at
		v.meter.advance(at)
		switch what {
		case 't':
			v.step(scheduler.Input{Tick: true})
			v.decide()
			tick += v.cfg.Interval
		case 'e':
			v.earlyAt = -1
			v.decide()
		case 'a':
			v.arrive()
		case 'v':
			v.happen(v.events.pop())
		}
	}
}

func (v *world) clock() time.Time { return v.w.Start.Add(v.now) }

// arrive submits the next job.
func (v *world) arrive() {
	i := v.next
	v.next++
	id := strconv.Itoa(i)
	spec := models.NewTaskSpec()
	spec.TaskID, spec.Pool, spec.Input = id, poolName, json.RawMessage("1")
	body := make([]byte, 0, 64)
	body = append(body, `{"task_id":"`...)
	body = append(body, id...)
	body = append(body, `","priority":50,"pool":"`+poolName+`","input":1}`...)
	v.meter.arrived()
	v.step(scheduler.Input{Submit: &scheduler.Submission{Specs: []models.TaskSpec{spec}, Bodies: [][]byte{body}}})
}

// happen reports a worker that is ready or a task that has ended.
func (v *world) happen(e event) {
	r := scheduler.Report{Agent: agentName}
	switch e.kind {
	case eventReady:
		r.WorkerReady = &scheduler.WorkerReady{Worker: e.worker, ColdStart: e.cold}
		v.meter.ready++
	case eventFinish:
		exit := 0
		r.Finished = &scheduler.Finished{
			TaskID: strconv.Itoa(int(e.job)), Lease: e.lease, At: v.clock(), Outcome: string(models.Success), ExitCode: &exit,
		}
		v.meter.ended(int(e.job))
	}
	v.step(scheduler.Input{Report: &r})
}

// decide asks the sizer and hands the core its answer.
func (v *world) decide() {
	spec, in, ok := v.core.DecisionInput(poolName, v.clock(), v.cfg.Interval, metricLag)
	if !ok {
		return
	}
	in.Forecast = v.forecast()
	v.meter.sample(v.now)
	d := v.sizer(spec, in)
	v.meter.decided(v.now, d.Gate && d.Predicted > 0)
	if v.decided != nil {
		v.decided(d)
	}
	v.step(scheduler.Input{Decision: &d})
}

// forecast is the newest that is there: it takes a second to be made.
func (v *world) forecast() *models.DemandForecast {
	if v.forecasts == nil || v.now < metricLag {
		return nil
	}
	return v.forecasts[min(int((v.now-metricLag)/v.w.Bin), len(v.forecasts)-1)]
}

// step takes one thing in, commits it, and does what the core asks for.
func (v *world) step(in scheduler.Input) {
	out := v.core.Step(v.clock(), in)
	v.core.Commit()
	if out.Err != nil {
		v.meter.refused++
	}
	if len(out.Decide) > 0 && v.earlyAt < 0 {
		v.earlyAt = v.now + settle
	}
	// The commands are only valid until the next step, which a command may bring on.
	var few [4]scheduler.Directed
	for _, c := range append(few[:0], out.Commands...) {
		v.command(&c.Command)
	}
}

// command is the virtual agent.
func (v *world) command(c *scheduler.Command) {
	switch {
	case c.StartWorker != nil:
		rng := stream(v.cfg.Seed, streamCold, v.started)
		v.started++
		cold := time.Duration(float64(v.cfg.ColdStart) * (0.8 + 0.4*rng.Float64()))
		v.meter.start()
		v.events.push(event{at: v.now + cold, order: uint64(v.started), kind: eventReady, worker: c.StartWorker.Worker, cold: max(cold, time.Nanosecond)})
	case c.StopWorker != nil:
		v.meter.paid--
		v.meter.ready--
		v.step(scheduler.Input{Report: &scheduler.Report{Agent: agentName, WorkerGone: &scheduler.WorkerGone{Worker: c.StopWorker.Worker}}})
	case c.Run != nil:
		i, err := strconv.Atoi(c.Run.Task.TaskID)
		if err != nil || i >= len(v.w.Jobs) {
			v.meter.refused++
			return
		}
		v.meter.began(i, v.now)
		v.events.push(event{at: v.now + v.w.Jobs[i].Run, order: uint64(i), kind: eventFinish, job: int32(i), lease: c.Run.Lease}) //nolint:gosec // at most maxJobs
		v.step(scheduler.Input{Report: &scheduler.Report{Agent: agentName, Started: &scheduler.Started{TaskID: c.Run.Task.TaskID, Lease: c.Run.Lease, At: v.clock()}}})
	}
}

// eventHeap is a binary heap by time, then kind, then order of insertion.
type eventHeap []event

func (h eventHeap) less(i, j int) bool {
	a, b := &h[i], &h[j]
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.kind != b.kind:
		return a.kind < b.kind
	}
	return a.order < b.order
}

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	for i := len(*h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			break
		}
		(*h)[i], (*h)[parent] = (*h)[parent], (*h)[i]
		i = parent
	}
}

func (h *eventHeap) pop() event {
	top, last := (*h)[0], len(*h)-1
	(*h)[0] = (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < last; c++ {
			if h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return top
		}
		(*h)[i], (*h)[least] = (*h)[least], (*h)[i]
		i = least
	}
}

// finite is v, or 0 where it is not a number to show.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
