package autoscale

import (
	"fmt"
	"math"
	"strings"
	"time"

	"loadstar/models"
)

// leastLoad is the offered load, in busy workers, under which a forecast counts as
// none: a model's P90 is seldom exactly zero, and a pool must be able to rest.
const leastLoad = 0.01

// gridPoints is the number of equally likely loads that a forecast's quantiles
// are read at.
const gridPoints = 9

// Decide chooses a pool's size. Equal arguments give equal decisions; it reads no
// clock and keeps nothing. Numbers that are not finite count as unknown.
func Decide(p models.PoolSpec, in models.DecisionInput) models.Decision {
	clean(&in)
	var peak float64
	d := models.Decision{Pool: p.Name, At: in.Now, Policy: p.Policy, Inputs: in, Applied: p.Policy != models.PolicyRecommend}
	d.Predicted, peak, d.PredictedAt = expected(p, &in)
	d.Gate, d.GateWhy = gate(p, &in)
	d.Reactive = reactive(p, &in, d.Gate)
	d.Want = d.Reactive
	if d.Gate {
		d.Want = max(d.Reactive, d.Predicted)
	}
	if p.Policy == models.PolicyStatic || p.Kind.Slots() {
		d.Want = p.Max
	}
	capHostCPU(&d, &in)
	capSlowScaleIn(&d, p, &in)
	capBounds(&d, p)
	capMemory(&d, p, &in)
	d.Reason = sentence(&d, p, &in, peak)
	return d
}

// clean replaces what cannot be reckoned with.
func clean(in *models.DecisionInput) {
	for _, v := range []*float64{&in.OldestWaitS, &in.ArrivalsPerS, &in.ServiceS, &in.ServiceCV2, &in.LeadS, &in.IntervalS, &in.IdleS} {
		if math.IsNaN(*v) || math.IsInf(*v, 0) || *v < 0 {
			*v = 0
		}
	}
	if !sound(in.Advice) {
		in.Advice = nil
	}
	for _, v := range []*float64{&in.HostCPU, &in.HostCPUForecast} {
		if math.IsNaN(*v) || math.IsInf(*v, 0) {
			*v = -1
		}
	}
}

// sound reports whether advice can be reckoned with; none can.
func sound(a *models.Advice) bool {
	if a == nil {
		return true
	}
	numbers := []float64{a.RecentPerS, a.ServiceS}
	for _, r := range []*models.AdvisedRule{a.Best, a.Rate} {
		if r != nil {
			numbers = append(numbers, float64(r.Need), r.Load, r.PriceS, r.Spread, r.Late, r.Workers, r.Tasks)
		}
	}
	for _, v := range numbers {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return false
		}
	}
	return true
}

// serviceTime is what one task takes; a second until one has finished.
func serviceTime(in *models.DecisionInput) float64 {
	if in.ServiceS > 0 {
		return in.ServiceS
	}
	return 1
}

// reactive is the size that what is here now asks for: never less than the tasks
// that run, enough for the present rate, and enough to clear what will still wait
// when a worker that is started now is there.
//
// Without advice the rate of half a minute is staffed by Erlang-C, and a backlog is
// cleared within the wait target. With advice the rate is the mean of as long as a
// worker takes to be there; where the forecast does not count (open is false) it is
// staffed by the rule that has been the cheapest of those that look at the rate only;
// and a backlog may take another lead, as its tasks are late by then and workers
// for a burst that is over would be paid for.
func reactive(p models.PoolSpec, in *models.DecisionInput, open bool) int {
	slo, service, perS, spare := p.SLO.Std().Seconds(), serviceTime(in), in.ArrivalsPerS, 0
	clearS := slo
	if a := in.Advice; advised(in) {
		service, perS, clearS = a.ServiceS, a.RecentPerS, math.Max(in.LeadS, slo)
		if !open && a.Rate != nil {
			spare = a.Rate.Need
		}
	} else {
		spare = Workers([]float64{perS * service}, service, in.ServiceCV2, slo, p.Violations, p.Max)
	}
	present := in.Busy + in.Queued
	need := presentNeed(perS, service, float64(in.Queued), in.Ready+in.Starting, in.LeadS, clearS)
	if in.Queued > 0 { // one worker a task is the most that a backlog is worth
		need = min(need, max(present, presentNeed(perS, service, 0, 0, in.LeadS, clearS)))
	}
	return max(in.Busy, min(max(need, spare), p.Max))
}

// presentNeed is what keeps up with the present rate and clears, within clearS, the
// backlog that will still be there when new workers are, a lead from now: one that
// is gone by then is not worth a start.
func presentNeed(perS, serviceS, backlog float64, have int, leadS, clearS float64) int {
	load := perS * serviceS
	want := math.Ceil(load)
	if backlog > 0 {
		if left := backlog + (perS-float64(have)/serviceS)*leadS; left > 0 {
			want = math.Ceil(load + left*serviceS/clearS)
		}
		want = math.Max(want, 1)
	}
	return int(math.Min(want, math.MaxInt32))
}

// advised reports whether there is advice to go by.
func advised(in *models.DecisionInput) bool {
	return in.Advice != nil && in.Advice.Best != nil && in.Advice.ServiceS > 0
}

// expected is what the best rule or, without advice, the forecast asks for.
func expected(p models.PoolSpec, in *models.DecisionInput) (workers int, peak float64, at *time.Time) {
	switch {
	case advised(in) && in.Advice.Best.Forecast:
		return min(in.Advice.Best.Need, p.Max), in.Advice.Best.Load, nil
	case in.Forecast == nil:
		return 0, 0, nil
	}
	workers, peak, when := predicted(p, in)
	return workers, peak, &when
}

// predicted is the size for the busiest step from now to one lead and one more
// cold start ahead: a worker started now serves from the lead on, and one that is
// let go now must not be missed before another could replace it.
func predicted(p models.PoolSpec, in *models.DecisionInput) (workers int, peak float64, at time.Time) {
	f := in.Forecast
	at = f.IssuedAt
	if f.StepS <= 0 {
		return 0, 0, at
	}
	step := time.Duration(f.StepS * float64(time.Second))
	until := in.Now.Add(time.Duration((2*in.LeadS + in.IntervalS) * float64(time.Second)))
	for i, quantiles := range f.Values {
		begins := f.IssuedAt.Add(time.Duration(i) * step)
		if !begins.Add(step).After(in.Now) {
			continue
		}
		if begins.After(until) {
			break
		}
		loads := grid(f.Levels, quantiles)
		n := Workers(loads, serviceTime(in), in.ServiceCV2, p.SLO.Std().Seconds(), p.Violations, p.Max)
		if top := loads[len(loads)-1]; n > workers || n == workers && top > peak {
			workers, peak, at = n, top, begins
		}
	}
	return workers, peak, at
}

// grid reads a quantile function, given at some levels, at gridPoints equally
// likely ones: linear between the levels, and continued by half the slope of the
// last piece beyond them.
func grid(levels, values []float64) []float64 {
	loads := make([]float64, gridPoints)
	n := min(len(levels), len(values))
	if n == 0 {
		return loads
	}
	for k := range loads {
		tau := (float64(k) + 0.5) / gridPoints
		loads[k] = math.Max(0, quantileAt(levels[:n], values[:n], tau))
		if math.IsNaN(loads[k]) || math.IsInf(loads[k], 0) || loads[k] < leastLoad {
			loads[k] = 0
		}
		if k > 0 {
			loads[k] = math.Max(loads[k], loads[k-1])
		}
	}
	return loads
}

func quantileAt(levels, values []float64, tau float64) float64 {
	last := len(levels) - 1
	if last == 0 {
		return values[0]
	}
	slope := func(i int) float64 { return (values[i+1] - values[i]) / (levels[i+1] - levels[i]) }
	switch {
	case tau <= levels[0]:
		return values[0] - slope(0)/2*(levels[0]-tau)
	case tau >= levels[last]:
		return values[last] + slope(last-1)/2*(tau-levels[last])
	}
	i := 0
	for tau > levels[i+1] {
		i++
	}
	return values[i] + slope(i)*(tau-levels[i])
}

func applyCap(d *models.Decision, name string, to int, why string) {
	if to == d.Want {
		return
	}
	d.Caps = append(d.Caps, models.Cap{Name: name, Before: d.Want, After: to, Why: why})
	d.Want = to
}

// capHostCPU starts nothing ahead of need on a host that is forecast to be full:
// the worker's start would be paid for by the tasks that run.
func capHostCPU(d *models.Decision, in *models.DecisionInput) {
	if in.HostCPUForecast > hostCPUCap && d.Gate && d.Want > d.Reactive {
		applyCap(d, "headroom_cpu", d.Reactive, fmt.Sprintf("the host is forecast at %.0f %% CPU", 100*in.HostCPUForecast))
	}
}

// capSlowScaleIn lets a pool shrink only when neither the last minutes nor the
// forecast asks for the workers, when one has been idle long enough, and then by
// a tenth at a time (at least one). A rule that has been compared with others holds
// on to workers for as long as has paid, so that with advice only the idle time
// counts.
func capSlowScaleIn(d *models.Decision, p models.PoolSpec, in *models.DecisionInput) {
	if p.Kind.Slots() || p.Policy == models.PolicyStatic {
		return
	}
	current := in.Ready + in.Starting
	if d.Want >= current {
		return
	}
	if !advised(in) && in.RecentNeedMax > d.Want {
		applyCap(d, "scale_in", min(current, in.RecentNeedMax), "the need was that high within the scale-in window")
	}
	if d.Want >= current {
		return
	}
	if timeout := p.IdleTimeout.Std().Seconds(); in.IdleS < timeout {
		applyCap(d, "scale_in", current, fmt.Sprintf("no worker has been idle for %s yet", p.IdleTimeout))
		return
	}
	if slowest := current - max(1, current/10); !advised(in) && d.Want < slowest {
		applyCap(d, "scale_in", slowest, "a pool shrinks by a tenth at a time")
	}
}

func capBounds(d *models.Decision, p models.PoolSpec) {
	if d.Want > p.Max {
		applyCap(d, "max", p.Max, "the pool's max")
	}
	if d.Want < p.Min {
		applyCap(d, "min", p.Min, "the pool's min")
	}
}

// capMemory holds back workers that the host has no memory for. Workers that are
// up already count as paid for.
func capMemory(d *models.Decision, p models.PoolSpec, in *models.DecisionInput) {
	if p.MemoryPerWorker <= 0 || in.FreeMemory < 0 {
		return
	}
	current := in.Ready
	if p.Kind.Slots() {
		current = in.Busy
	}
	usable := float64(in.FreeMemory) * (1 - memoryMargin)
	if fits := current + int(usable/float64(p.MemoryPerWorker)); d.Want > fits {
		applyCap(d, "headroom_memory", fits, fmt.Sprintf("%s free at %s a worker", approx(in.FreeMemory), p.MemoryPerWorker))
	}
}

func approx(b models.Bytes) string {
	return fmt.Sprintf("%.1f GiB", float64(b)/(1<<30))
}

// sentence says the decision in words.
func sentence(d *models.Decision, p models.PoolSpec, in *models.DecisionInput, peak float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", count(d.Want, "worker"))
	switch {
	case p.Policy == models.PolicyStatic:
		b.WriteString("the policy is static, so the pool stays at its max")
	case p.Kind.Slots():
		fmt.Fprintf(&b, "%s slots cost nothing while idle, so all are open; %d busy and %d queued use %d", p.Kind, in.Busy, in.Queued, min(d.Want, in.Busy+in.Queued))
	case d.Gate && advised(in):
		r := in.Advice.Best
		fmt.Fprintf(&b, "%s lets expect up to %.1f busy workers within the %.1fs until a new one is there, which asks for %d, and what is here now for %d", r.Rule, peak, in.LeadS, d.Predicted, d.Reactive)
	case d.Gate && d.Predicted > d.Reactive:
		fmt.Fprintf(&b, "%s expects up to %.1f busy workers at %s and a worker takes %.1fs to be there, while what is here now asks for %d",
			in.Forecast.Model, peak, d.PredictedAt.Format("15:04:05"), in.LeadS, d.Reactive)
	default:
		fmt.Fprintf(&b, "%d busy, %d queued and %.2g tasks/s of %.2gs ask for %d", in.Busy, in.Queued, in.ArrivalsPerS, serviceTime(in), d.Reactive)
		if advised(in) && in.Advice.Rate != nil {
			fmt.Fprintf(&b, " (%s, and what has been worth its price beside it: %d)", in.Advice.Rate.Rule, in.Advice.Rate.Need)
		}
		if d.Gate {
			fmt.Fprintf(&b, ", and the forecast for no more (%d)", d.Predicted)
		} else if d.GateWhy != "" {
			fmt.Fprintf(&b, "; the forecast does not count: %s", d.GateWhy)
		}
	}
	for _, c := range d.Caps {
		fmt.Fprintf(&b, "; %s: %d instead of %d, %s", strings.ReplaceAll(c.Name, "_", " "), c.After, c.Before, c.Why)
	}
	if !d.Applied {
		b.WriteString("; recommended only, nothing was changed")
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
