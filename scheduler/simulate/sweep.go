package simulate

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// try runs one policy as it is set, or looks for its cheapest setting.
func (p *problem) try(ctx context.Context, policy string, tell func(string)) (Result, []Result, error) {
	k := p.cfg.knobOf(policy, p)
	if !p.cfg.Sweep {
		r, err := p.run(ctx, policy, k, k.standard, false)
		tell(policy)
		return r, nil, err
	}
	points, err := p.search(ctx, policy, k, tell)
	if err != nil {
		return Result{}, nil, err
	}
	// The core has the last word, on the best of the sketches that it agrees with.
	for i := range points {
		r, err := p.run(ctx, policy, k, points[i].Knob, false)
		if err != nil {
			return Result{}, nil, err
		}
		if r.Met || !points[i].Met || i == len(points)-1 {
			slices.SortStableFunc(points, func(a, b Result) int { return cmp.Compare(a.WorkerHours, b.WorkerHours) })
			tell(policy)
			return r, points, nil
		}
	}
	return Result{}, nil, nil
}

// search tries settings with the sketch, the best first in what it returns: it
// halves the stretch between one that fails and one that does, and then looks
// around, as not every rule gets dearer all the way.
func (p *problem) search(ctx context.Context, policy string, k knob, tell func(string)) ([]Result, error) {
	var points []Result
	seen := map[float64]Result{}
	at := func(x float64) (Result, error) {
		setting := k.at(x)
		if r, ok := seen[setting]; ok {
			tell(policy)
			return r, nil
		}
		r, err := p.run(ctx, policy, k, setting, true)
		tell(policy)
		if err == nil {
			seen[setting] = r
			points = append(points, r)
		}
		return r, err
	}
	const coarse = 4
	met := -1
	for i := range coarse + 1 {
		r, err := at(float64(i) / coarse)
		if err != nil {
			return nil, err
		}
		if r.Met {
			met = i
			break
		}
	}
	if met > 0 {
		low, high := float64(met-1)/coarse, float64(met)/coarse
		for range max(1, p.cfg.SweepRuns-met-1) {
			mid := (low + high) / 2
			r, err := at(mid)
			if err != nil {
				return nil, err
			}
			if r.Met {
				high = mid
			} else {
				low = mid
			}
		}
	}
	slices.SortStableFunc(points, func(a, b Result) int {
		switch {
		case a.Met && b.Met:
			return cmp.Compare(a.WorkerHours, b.WorkerHours)
		case a.Met:
			return -1
		case b.Met:
			return 1
		}
		return cmp.Compare(a.ViolationsPct, b.ViolationsPct)
	})
	return points, nil
}

// run is one policy with one setting, on the core or on the sketch of it.
func (p *problem) run(ctx context.Context, policy string, k knob, setting float64, sketched bool) (Result, error) {
	began := time.Now()
	v, err := p.world(policy, setting, sketched)
	if err != nil {
		return Result{}, err
	}
	if err := v.run(ctx); err != nil {
		return Result{}, err
	}
	if err := v.meter.check(); err != nil {
		return Result{}, err
	}
	r := v.meter.result()
	r.Policy, r.Knob, r.KnobName = policy, setting, k.name
	r.Met = r.ViolationsPct <= p.cfg.AtViolations
	r.TookS = time.Since(began).Seconds()
	return r, nil
}

// runIn is how long before the warm-up's end a run begins, to be in full swing by then.
func (p *problem) runIn() time.Duration { return max(30*time.Minute, 5*p.cfg.ColdStart) }

// begin is when a run begins.
func (p *problem) begin() time.Duration { return max(0, p.cfg.from(p.w)-p.runIn()) }

func (p *problem) world(policy string, setting float64, sketched bool) (*world, error) {
	spec, sizer := p.sizer(policy, setting)
	v := newWorld(p.cfg, p.w, p.begin(), sizer)
	v.forecasts, v.meter.need = p.forecasts, p.need
	if sketched {
		v.engine = newSketch(v, spec)
		return v, nil
	}
	var err error
	v.engine, err = newCoreEngine(v, spec)
	return v, err
}
