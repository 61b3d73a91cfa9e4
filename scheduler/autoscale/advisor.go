package autoscale

import (
	"math"
	"slices"

	"loadstar/models"
)

// Advisor weighs rules for a pool's size by what they would have cost on what has
// arrived lately, and tells the one that would have kept to the share of late tasks
// with the fewest worker-hours. Every candidate is an expectation of the load
// (signal) with a way to staff it (sizing), and has a small simulated pool (shadow)
// that it sizes from step to step, with the pool's own cold start.
//
// It is stepped with the inputs of a pool's decisions, in order, live and in replay
// alike; equal inputs give equal advice. It keeps some 500 KB and is not safe for
// concurrent use.
type Advisor struct {
	sizes   []sizing
	signals []signal
	shadows []shadow
	due     []int16 // starting workers, by the step at which they are ready (modulo pipe) and shadow

	seen      arrivals
	step      int64
	now       int64 // ns, of the newest step; 0 is none
	arrived   uint64
	restarted bool
	service   float64 // s, of a task; slower than the core's
	scv       float64
	refit     bool    // the tables are other ones than at the last step
	lead      float64 // s, that the shadows' costs are of

	best, plain int // shadows: the best, and the best of those that look back no further than an hour
	advice      *models.Advice
}

const (
	serviceMemory = 1800.0 // s, over which the run time is averaged
	shadowMemory  = 3 * 86400.0
	proofLeads    = 100   // leads that a candidate must have been watched for
	proofTasks    = 300   // and tasks
	safety        = 0.75  // of the late share is asked for of a fluid, which leaves out the chance within a step
	chooseEvery   = 4     // steps
	keepLead      = 0.02  // by how much another must be cheaper to take over
	floorMost     = 300.0 // s, that the present rate is averaged over at most
	floorLeast    = 30.0
	leadChange    = 1.5 // by so much another lead makes what was learnt worthless
)

// NewAdvisor returns one that has seen nothing.
func NewAdvisor() *Advisor { return &Advisor{best: -1, plain: -1} }

// begin makes the candidates.
func (a *Advisor) begin() {
	for _, spread := range []float64{0, 0.2, 0.5} {
		for price := 2.0; price <= 16384; price *= 2 {
			a.sizes = append(a.sizes, sizing{spread: spread, price: price})
		}
	}
	for _, window := range []float64{60, 120, 300, 900} {
		for _, hold := range []holdKind{holdLead, holdLonger, holdLong} {
			a.signals = append(a.signals, signal{kind: signalRate, window: window, hold: hold})
		}
	}
	for _, hold := range []holdKind{holdNone, holdLead} {
		a.signals = append(a.signals,
			signal{kind: signalWeek, hold: hold}, signal{kind: signalDay, hold: hold}, signal{kind: signalDays, hold: hold},
			signal{kind: signalForecast, level: 0.5, hold: hold}, signal{kind: signalForecast, level: 0.9, hold: hold})
	}
	for i := range a.signals {
		for k := range a.sizes {
			a.shadows = append(a.shadows, shadow{signal: int32(i), size: int32(k)}) //nolint:gosec // few
		}
	}
	a.due = make([]int16, pipe*len(a.shadows))
}

// Step takes in a decision's input and returns the advice for it; nil while there
// is none.
func (a *Advisor) Step(p models.PoolSpec, in *models.DecisionInput) *models.Advice {
	now := in.Now.UnixNano()
	if a.now == 0 || a.restarted {
		if len(a.shadows) == 0 {
			a.begin()
		}
		a.now, a.arrived, a.restarted = now, in.Arrived, false
		return a.advice
	}
	dt := float64(now-a.now) / 1e9
	if dt < in.LeadS/(pipe/2) || dt < 0.99*in.IntervalS {
		return a.advice
	}
	tasks := 0.0
	if in.Arrived > a.arrived {
		tasks = float64(in.Arrived - a.arrived)
	}
	a.now, a.arrived = now, in.Arrived
	a.step++
	if in.LeadS > a.lead*leadChange || in.LeadS < a.lead/leadChange {
		a.forget(in.LeadS)
	}
	a.learnService(p, in, dt)
	a.serve(p, tasks, dt)
	a.seen.add(now, tasks)
	a.expect(in)
	recent := a.seen.rate(math.Max(floorLeast, math.Min(in.LeadS, floorMost)))
	a.order(p, in, dt, tasks, recent)
	if a.step%chooseEvery == 0 {
		a.choose(p, in)
	}
	a.advise(p, recent)
	return a.advice
}

// forget drops what candidates would have cost: another lead is another game.
func (a *Advisor) forget(leadS float64) {
	a.lead, a.best, a.plain = leadS, -1, -1
	for i := range a.signals {
		a.signals[i].tasks, a.signals[i].spanS = 0, 0
	}
	for i := range a.shadows {
		a.shadows[i].late, a.shadows[i].paid = 0, 0
	}
}

// Restart says that the count of arrivals begins anew.
func (a *Advisor) Restart() { a.restarted = true }

func (a *Advisor) learnService(p models.PoolSpec, in *models.DecisionInput, dt float64) {
	if a.service == 0 {
		a.service, a.scv = serviceTime(in), in.ServiceCV2
	}
	weight := math.Min(1, dt/serviceMemory)
	a.service += weight * (serviceTime(in) - a.service)
	a.scv += weight * (in.ServiceCV2 - a.scv)
	for i := range a.sizes {
		a.refit = a.sizes[i].fit(a.service, a.scv, p.SLO.Std().Seconds()) || a.refit
	}
}

// serve lets every shadow pool have the step's arrivals.
func (a *Advisor) serve(p models.PoolSpec, tasks, dt float64) {
	keep := math.Exp(-dt / shadowMemory)
	for i := range a.signals {
		s := &a.signals[i]
		if s.known {
			s.tasks, s.spanS = keep*s.tasks+tasks, keep*s.spanS+dt
		}
	}
	row := a.row(0)
	each := dt / a.service
	most := p.SLO.Std().Seconds() / a.service
	for i := range a.shadows {
		s := &a.shadows[i]
		late := s.serve(row[i], tasks, each, most)
		row[i] = 0
		if a.signals[s.signal].known {
			s.late, s.paid = keep*s.late+late, keep*s.paid+float64(s.ready+s.starting)*dt
		}
	}
}

// row is what is due so many steps ahead.
func (a *Advisor) row(ahead int) []int16 {
	at := int((a.step+int64(ahead))%pipe) * len(a.shadows)
	return a.due[at : at+len(a.shadows)]
}

func (a *Advisor) expect(in *models.DecisionInput) {
	for i := range a.signals {
		s := &a.signals[i]
		s.read(&a.seen, in, a.service)
		s.holdS = s.hold.seconds(in.LeadS)
		load := s.highs.add(a.now, s.value, int64(s.holdS*1e9))
		s.moved, s.load = load != s.load, load
	}
}

// order lets every candidate size its shadow pool, above the floor as the pool itself.
func (a *Advisor) order(p models.PoolSpec, in *models.DecisionInput, dt, tasks, recent float64) {
	row := a.row(min(pipe-1, max(1, int(math.Ceil((in.LeadS-in.IntervalS)/dt)))))
	clearS := math.Max(in.LeadS, p.SLO.Std().Seconds())
	busy := int32(min(math.Ceil(tasks*a.service/dt), math.MaxInt32))
	calm := int32(min(p.Max, max(p.Min, presentNeed(recent, a.service, 0, 0, in.LeadS, clearS)))) //nolint:gosec // a pool's bounds
	for i := range a.shadows {
		s := &a.shadows[i]
		if g := &a.signals[s.signal]; g.moved || a.refit {
			s.need = int32(a.sizes[s.size].need(g.load, p.Max)) //nolint:gosec // at most max
		}
		want := max(calm, s.need)
		if s.backlog > 0 {
			want = max(want, int32(min(p.Max, presentNeed(recent, a.service, s.backlog, int(s.ready+s.starting), in.LeadS, clearS)))) //nolint:gosec // likewise
		}
		s.resize(want, busy, &row[i])
	}
	a.refit = false
}

// choose picks the cheapest candidate that would have kept to the late share.
func (a *Advisor) choose(p models.PoolSpec, in *models.DecisionInput) {
	target := safety * p.Violations
	a.best = a.cheapest(in, a.best, target, func(*signal) bool { return true })
	a.plain = a.cheapest(in, a.plain, target, func(s *signal) bool { return s.kind == signalRate })
}

func (a *Advisor) cheapest(in *models.DecisionInput, present int, target float64, pass func(*signal) bool) int {
	best := -1
	for i := range a.shadows {
		if s := &a.signals[a.shadows[i].signal]; !pass(s) || !s.known || s.tasks < proofTasks || s.spanS < proofLeads*in.LeadS {
			continue
		}
		if best < 0 || a.better(i, best, target, 1) {
			best = i
		}
	}
	if present >= 0 && best >= 0 && a.signals[a.shadows[present].signal].known && !a.better(best, present, target, 1-keepLead) {
		return present
	}
	return best
}

// better compares two candidates; the first one's cost must be below a share of the other's.
func (a *Advisor) better(i, j int, target, share float64) bool {
	x, y := &a.shadows[i], &a.shadows[j]
	xs, ys := &a.signals[x.signal], &a.signals[y.signal]
	late, other := x.late/xs.tasks, y.late/ys.tasks
	switch {
	case late <= target && other <= target:
		return x.paid/xs.tasks < share*y.paid/ys.tasks
	case late <= target || other <= target:
		return late <= target
	}
	return late < share*other
}

func (a *Advisor) advise(p models.PoolSpec, recent float64) {
	a.advice = &models.Advice{RecentPerS: recent, ServiceS: a.service, Candidates: len(a.shadows), Best: a.rule(p, a.best), Rate: a.rule(p, a.plain)}
}

func (a *Advisor) rule(p models.PoolSpec, i int) *models.AdvisedRule {
	if i < 0 {
		return nil
	}
	s := &a.shadows[i]
	g, z := &a.signals[s.signal], &a.sizes[s.size]
	return &models.AdvisedRule{
		Rule: g.String(), Forecast: g.kind != signalRate, Model: g.kind == signalForecast, Load: g.load, Need: z.need(g.load, p.Max),
		PriceS: z.price, Spread: z.spread, Late: s.late / g.tasks, Workers: s.paid / g.spanS, Tasks: g.tasks,
	}
}

// Clone is an independent copy.
func (a *Advisor) Clone() *Advisor {
	b := *a
	b.seen.at, b.seen.counts, b.seen.minutes = slices.Clone(a.seen.at), slices.Clone(a.seen.counts), slices.Clone(a.seen.minutes)
	b.shadows, b.signals, b.sizes, b.due = slices.Clone(a.shadows), slices.Clone(a.signals), slices.Clone(a.sizes), slices.Clone(a.due)
	for i := range b.signals {
		h := &b.signals[i].highs
		h.at, h.values = slices.Clone(h.at), slices.Clone(h.values)
	}
	for i := range b.sizes {
		b.sizes[i].reach = slices.Clone(b.sizes[i].reach)
	}
	return &b
}
