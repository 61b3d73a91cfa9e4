package simulate

import (
	"slices"
	"time"

	"loadstar/models"
)

// oracleBlock is how long the oracle's plan keeps to one size.
const oracleBlock = time.Minute

// oracle plans with the arrivals and run times of the whole workload and then acts
// through the core like anybody else: it wants the largest size that the plan has
// within the longest cold start and one decision from now. A dip that is shorter
// than that saves nothing, as a worker stopped in it would not be back in time.
// It knows neither the cold starts nor how to do without a decision's interval, so
// it is a good plan and not the best there could be.
func (p *problem) oracle(lateShare float64) Sizer {
	ahead := p.cfg.ColdStart*12/10 + p.cfg.Interval + time.Second
	plan := p.plan(lateShare)
	return func(spec models.PoolSpec, in models.DecisionInput) models.Decision {
		now := in.Now.Sub(p.w.Start)
		want := 0
		for b := max(0, int(now/oracleBlock)); b <= min(int((now+ahead)/oracleBlock), len(plan)-1); b++ {
			want = max(want, plan[b])
		}
		if want == 0 {
			want = min(1, in.Queued) // what came before the plan began
		}
		return decision(spec, in, want)
	}
}

// plan is the smallest size for each block with which no task that arrives in it
// waits longer than the target, or a share of them at most, given what the blocks
// before have left.
func (p *problem) plan(lateShare float64) []int {
	w := p.w
	plan := make([]int, int(w.End()/oracleBlock)+1)
	s := line{slo: p.cfg.SLO, jobs: w.Jobs}
	for b := range plan {
		begin := time.Duration(b) * oracleBlock
		first := s.next
		last := first
		for last < len(w.Jobs) && w.Jobs[last].At < begin+oracleBlock {
			last++
		}
		s.next = last
		if first == last {
			continue
		}
		allowed := int(lateShare * float64(last-first))
		low, high := 0, max(1, len(s.free)) // too few, and perhaps enough
		for s.late(first, last, high) > allowed {
			low, high = high, 2*high
		}
		for high-low > 1 {
			if mid := (low + high) / 2; s.late(first, last, mid) > allowed {
				low = mid
			} else {
				high = mid
			}
		}
		plan[b] = high
		s.free = s.run(first, last, high, nil)
		for len(s.free) > 0 && s.free[0] <= begin { // idle since before: not needed
			s.free = s.free[1:]
		}
	}
	return plan
}

// line is a first come, first served queue, job by job.
type line struct {
	slo  time.Duration
	jobs []Job
	next int
	free []time.Duration // when each busy worker is free again, ascending
	heap []time.Duration
}

// late is how many of the jobs wait longer than the target with n workers.
func (s *line) late(first, last, n int) int {
	late := 0
	s.run(first, last, n, func(wait time.Duration) {
		if wait > s.slo {
			late++
		}
	})
	return late
}

// run gives the jobs to n workers, of which those busy with earlier ones come
// free when they do, also where they are more than n: the last n of them stay. It
// returns when each is free again, ascending.
func (s *line) run(first, last, n int, told func(wait time.Duration)) []time.Duration {
	h := s.heap[:0]
	h = append(h, s.free[max(0, len(s.free)-n):]...) // ascending, so it is a heap
	for len(h) < n {
		h = append(h, 0)
	}
	slices.Sort(h)
	for i := first; i < last; i++ {
		at := max(s.jobs[i].At, h[0])
		if told != nil {
			told(at - s.jobs[i].At)
		}
		h[0] = at + s.jobs[i].Run
		for k := 0; ; { // down the heap
			least := k
			for c := 2*k + 1; c <= 2*k+2 && c < len(h); c++ {
				if h[c] < h[least] {
					least = c
				}
			}
			if least == k {
				break
			}
			h[k], h[least] = h[least], h[k]
			k = least
		}
	}
	s.heap = h
	if told != nil {
		return nil
	}
	slices.Sort(h)
	return slices.Clone(h)
}
