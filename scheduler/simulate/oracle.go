package simulate

import (
	"container/heap"
	"time"

	"loadstar/models"
)

// oracle plans with the arrivals and run times of the whole workload and then acts
// through the core like anybody else: a worker is wanted for as long as the plan
// needs one within the longest cold start and one decision from now.
func (p *problem) oracle(lateShare float64) Sizer {
	ahead := p.cfg.ColdStart*12/10 + p.cfg.Interval + time.Second
	busy := p.plan(ahead, lateShare)
	return func(spec models.PoolSpec, in models.DecisionInput) models.Decision {
		from := int(in.Now.Sub(p.w.Start) / time.Second)
		want := int32(0)
		for s := max(0, from); s <= min(from+int(ahead/time.Second)+1, len(busy)-1); s++ {
			want = max(want, busy[s])
		}
		return decision(spec, in, int(want))
	}
}

// plan is how many workers are busy in each second where tasks wait for capacity
// that is there anyhow (it was busy within the stretch hold before), and a further
// worker is added only when one would else wait longer than the target. lateShare
// of the tasks may.
func (p *problem) plan(hold time.Duration, lateShare float64) []int32 {
	w := p.w
	peak := make([]int32, int((w.End()+maxPlanOverrun)/time.Second)+1)
	var ends durations
	var queue []int
	var caps window
	busy, late, seen := 0, 0, 0
	excused := -1 // the job that may be late: it begins when the next one ends
	clock := time.Duration(0)
	begin := func(job int, now time.Duration) {
		busy++
		heap.Push(&ends, now+w.Jobs[job].Run)
		caps.add(now, busy)
		if s := int(now / time.Second); s < len(peak) {
			peak[s] = max(peak[s], int32(busy)) //nolint:gosec // at most maxJobs
		}
	}
	second := 0
	fill := func(now time.Duration) { // what is busy stays so through the seconds between events
		for ; second < int(now/time.Second) && second+1 < len(peak); second++ {
			peak[second+1] = max(peak[second+1], int32(busy)) //nolint:gosec // as above
		}
	}
	for next := 0; next < len(w.Jobs) || len(queue) > 0 || len(ends) > 0; {
		now, what := time.Duration(1<<62), 0
		if next < len(w.Jobs) {
			now, what = w.Jobs[next].At, 1
		}
		if len(queue) > 0 && queue[0] != excused {
			if due := max(clock, w.Jobs[queue[0]].At+p.cfg.SLO); due < now {
				now, what = due, 2
			}
		}
		if len(ends) > 0 && ends[0] <= now {
			now, what = ends[0], 3
		}
		fill(now)
		clock = now
		switch what {
		case 1:
			seen++
			if len(queue) == 0 && busy < caps.most(now-hold) {
				begin(next, now)
			} else {
				queue = append(queue, next)
			}
			next++
		case 2:
			if len(ends) > 0 && float64(late+1) <= lateShare*float64(seen) {
				late++
				excused = queue[0]
				continue
			}
			begin(queue[0], now)
			queue = queue[1:]
		case 3:
			heap.Pop(&ends)
			busy--
			caps.add(now, busy)
			if len(queue) > 0 {
				begin(queue[0], now)
				queue = queue[1:]
			}
		}
	}
	return peak
}

// maxPlanOverrun is how long after the trace the plan is kept.
const maxPlanOverrun = 24 * time.Hour

// durations is a heap of times, the earliest first.
type durations []time.Duration

func (d durations) Len() int           { return len(d) }
func (d durations) Less(i, j int) bool { return d[i] < d[j] }
func (d durations) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *durations) Push(x any)        { *d = append(*d, x.(time.Duration)) } //nolint:forcetypeassert // container/heap
func (d *durations) Pop() any {
	old := *d
	x := old[len(old)-1]
	*d = old[:len(old)-1]
	return x
}

// window is the largest of a value's states over the time up to now: a queue of
// those that none later exceeds.
type window struct {
	at     []time.Duration // until when each held
	values []int
	now    int
}

// add says that the value is v from a time on.
func (w *window) add(now time.Duration, v int) {
	was := w.now // it held until now
	for n := len(w.values); n > 0 && w.values[n-1] <= was; n-- {
		w.at, w.values = w.at[:n-1], w.values[:n-1]
	}
	w.at, w.values = append(w.at, now), append(w.values, was)
	w.now = v
}

// most is the largest value since a time, which never goes back.
func (w *window) most(since time.Duration) int {
	old := 0
	for old < len(w.at) && w.at[old] < since {
		old++
	}
	w.at, w.values = w.at[old:], w.values[old:]
	if len(w.values) > 0 {
		return max(w.now, w.values[0])
	}
	return w.now
}
