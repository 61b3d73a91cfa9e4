package autoscale

import (
	"fmt"
	"math"
	"slices"
	"time"

	"loadstar/models"
)

// Plan is what a pool's size would be at each of some later moments if what is
// expected now comes true: the rule that is followed now, its caps by the pool's
// bounds, and no backlog. Where the rule looks at the present rate only, or the
// forecast does not reach, the present rate is taken to go on. It is as good as the
// expectation: decisions are made anew all the time.
func (s *Sizer) Plan(p models.PoolSpec, in models.DecisionInput, every time.Duration, steps int) []models.PlanStep {
	clean(&in)
	var a *Advisor
	if a = s.advisors[p.Name]; a != nil && in.Advice == nil {
		in.Advice = a.advice
	}
	open, why := gate(p, &in)
	now := in.Now
	plan := make([]models.PlanStep, 0, steps)
	var highest []float64 // expectations, for the rule's hold
	for k := range steps {
		in.Now = now.Add(time.Duration(k) * every)
		step := models.PlanStep{At: in.Now}
		switch {
		case p.Policy == models.PolicyStatic || p.Kind.Slots():
			step.Workers, step.Why = p.Max, "the pool stays at its max"
		case open && advised(&in):
			step = a.planned(p, &in, step, &highest, every)
		case open:
			if n, load, at := predicted(p, &in); load > 0 {
				step.Workers, step.Load = n, load
				step.Why = fmt.Sprintf("%s expects up to %.1f busy workers at %s", in.Forecast.Model, load, at.Format("15:04:05"))
			}
		}
		if step.Why == "" {
			step.Workers, step.Load, step.Why = unforeseen(p, &in, why)
		}
		step.Workers = max(p.Min, min(step.Workers, p.Max))
		plan = append(plan, step)
	}
	return plan
}

// planned is a step by the rule that is followed.
func (a *Advisor) planned(p models.PoolSpec, in *models.DecisionInput, step models.PlanStep, highest *[]float64, every time.Duration) models.PlanStep {
	if a == nil || a.best < 0 {
		return step
	}
	shadow := &a.shadows[a.best]
	signal := a.signals[shadow.signal] // a copy: reading is not to change it
	signal.read(&a.seen, in, a.service)
	if !signal.known {
		return step
	}
	if len(*highest) == 0 {
		signal.value = math.Max(signal.value, signal.load)
	}
	*highest = append(*highest, signal.value)
	held := 1 + int(signal.holdS/every.Seconds())
	step.Load = slices.Max((*highest)[max(0, len(*highest)-held):])
	step.Workers = a.sizes[shadow.size].need(step.Load, p.Max)
	step.Why = fmt.Sprintf("%s lets expect up to %.1f busy workers", signal.String(), step.Load)
	return step
}

// unforeseen is the size if the present rate goes on.
func unforeseen(p models.PoolSpec, in *models.DecisionInput, gateWhy string) (workers int, load float64, why string) {
	in.Queued, in.Busy = 0, 0
	load = in.ArrivalsPerS * serviceTime(in)
	if advised(in) {
		load = in.Advice.RecentPerS * in.Advice.ServiceS
	}
	why = fmt.Sprintf("if the present rate goes on, %.1f busy workers", load)
	if gateWhy != "" {
		why += "; the forecast does not count or does not reach: " + gateWhy
	}
	return reactive(p, in, false), load, why
}
