package simulate

import (
	"context"
	"time"

	"loadstar/models"
	"loadstar/scheduler"
)

const (
	poolName   = "replay"
	agentName  = "virtual"
	settle     = 20 * time.Millisecond // an early decision waits for the rest of its burst, as live
	maxOverrun = 24 * time.Hour        // after the trace, for what is left to end
)

// Sizer chooses the pool's size. It sees what the core knows.
type Sizer func(spec models.PoolSpec, in models.DecisionInput) models.Decision

// engine is the scheduler under a world: the core, or the sketch of it.
type engine interface {
	begin()
	arrive(job int)
	ready(e *event)
	finish(e *event)
	tick()
	// input is what a decision is made on.
	input() (models.PoolSpec, models.DecisionInput)
	apply(d *models.Decision)
}

// world is one run of one policy: the clock, the workers and the work.
type world struct {
	cfg    *Config
	w      *Workload
	engine engine
	sizer  Sizer
	// forecasts are by the number of whole bins seen; nil where there are none.
	forecasts []*models.DemandForecast
	// decided, where set, is told each decision.
	decided func(models.Decision)

	now     time.Duration
	events  eventHeap
	next    int           // the next arrival
	earlyAt time.Duration // when a decision between the ticks is due; negative is never
	started int           // workers started, from the run's beginning

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
func newWorld(cfg *Config, w *Workload, from time.Duration, sizer Sizer) *world {
	v := &world{cfg: cfg, w: w, sizer: sizer, now: from, earlyAt: -1}
	for v.next < len(w.Jobs) && w.Jobs[v.next].At < from {
		v.next++
	}
	v.meter = newMeter(cfg, w, v.next)
	return v
}

// run drives the engine until every arrival has ended.
func (v *world) run(ctx context.Context) error {
	v.engine.begin()
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
			v.meter.abandoned = v.now // far too few workers: what has not begun is late for good
			return nil
		}
		v.now = at
		v.meter.advance(at)
		switch what {
		case 't':
			v.engine.tick()
			v.decide()
			tick += v.cfg.Interval
		case 'e':
			v.earlyAt = -1
			v.decide()
		case 'a':
			v.next++
			v.meter.arrived()
			v.engine.arrive(v.next - 1)
		case 'v':
			v.happen(v.events.pop())
		}
	}
}

func (v *world) clock() time.Time { return v.w.Start.Add(v.now) }

// happen reports a worker that is ready or a task that has ended.
func (v *world) happen(e event) {
	switch e.kind {
	case eventReady:
		v.meter.ready++
		v.engine.ready(&e)
	case eventFinish:
		v.meter.ended(int(e.job))
		v.engine.finish(&e)
	}
}

// decide asks the sizer and hands the engine its answer.
func (v *world) decide() {
	spec, in := v.engine.input()
	in.Forecast = v.forecast()
	v.meter.sample(v.now)
	d := v.sizer(spec, in)
	v.meter.decided(v.now, d.Gate && spec.Policy == models.PolicyPredictive)
	if v.decided != nil {
		v.decided(d)
	}
	v.engine.apply(&d)
}

// forecast is the newest that is there: it takes a second to be made.
func (v *world) forecast() *models.DemandForecast {
	if v.forecasts == nil || v.now < metricLag {
		return nil
	}
	return v.forecasts[min(int((v.now-metricLag)/v.w.Bin), len(v.forecasts)-1)]
}

// early asks for a decision between the ticks.
func (v *world) early() {
	if v.earlyAt < 0 {
		v.earlyAt = v.now + settle
	}
}

// launch begins a worker's cold start; those of one place in the order of starts
// take the same time under every policy.
func (v *world) launch(worker string) {
	rng := stream(v.cfg.Seed, streamCold, v.started)
	v.started++
	cold := max(time.Nanosecond, time.Duration(float64(v.cfg.ColdStart)*(0.8+0.4*rng.Float64())))
	v.meter.start()
	v.events.push(event{at: v.now + cold, order: uint64(v.started), kind: eventReady, worker: worker, cold: cold}) //nolint:gosec // a count
}

// retire ends an idle worker.
func (v *world) retire() {
	v.meter.paid--
	v.meter.ready--
}

// work begins a job.
func (v *world) work(job int, lease scheduler.Lease) {
	v.meter.began(job, v.now)
	v.events.push(event{at: v.now + v.w.Jobs[job].Run, order: uint64(job), kind: eventFinish, job: int32(job), lease: lease}) //nolint:gosec // at most maxJobs
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
