package simulate

import (
	"math"
	"slices"
	"time"

	"loadstar/models"
)

// The core's constants, of which a sketch must know.
const (
	scaleInWindow = 5 * time.Minute
	arrivalWindow = 30 // s
	coldWindow    = 50
	serviceAlpha  = 0.05
)

// sketch is what the core does with one stdio pool of equal tasks and workers that
// never fail, and nothing else: a tenth of the work. A sweep looks for a setting
// with it and takes the numbers from the real core; a test holds that both decide
// the same.
type sketch struct {
	*world
	spec     models.PoolSpec
	queue    []int // jobs, the first to come first
	idle     []time.Duration
	up       int // ready workers
	starting int
	busy     int
	want     int

	since    time.Duration
	arrivals [64]uint32 // by second
	second   int64
	runs     int
	mean     float64
	variance float64
	cold     []float64
	coldAt   int
	coldP90  float64
	needs    recent // of the decisions
	arrived  uint64
}

func newSketch(v *world, spec models.PoolSpec) *sketch {
	spec = spec.WithDefaults()
	s := &sketch{world: v, spec: spec, want: spec.Min, since: v.now, needs: recent{span: scaleInWindow + 1}}
	if spec.Policy == models.PolicyStatic {
		s.want = spec.Max
	}
	return s
}

func (s *sketch) begin() { s.move() }

func (s *sketch) arrive(job int) {
	s.shift(s.ns() / 1e9)
	s.arrivals[(s.ns()/1e9)&63]++
	s.queue = append(s.queue, job)
	s.arrived++
	if s.up+s.starting == 0 {
		s.early()
	}
	s.move()
}

func (s *sketch) ready(e *event) {
	if len(s.cold) < coldWindow {
		s.cold = append(s.cold, e.cold.Seconds())
	} else {
		s.cold[s.coldAt] = e.cold.Seconds()
		s.coldAt = (s.coldAt + 1) % coldWindow
	}
	sorted := slices.Sorted(slices.Values(s.cold))
	s.coldP90 = sorted[int(math.Ceil(0.9*float64(len(sorted))))-1]
	s.starting--
	s.up++
	s.idle = append(s.idle, s.now)
	s.move()
}

func (s *sketch) finish(e *event) {
	run := float64(s.w.Jobs[e.job].Run) / 1e9 // as the core does it
	s.runs++
	alpha := max(serviceAlpha, 1/float64(s.runs))
	d := run - s.mean
	s.mean += alpha * d
	s.variance = (1 - alpha) * (s.variance + alpha*d*d)
	s.busy--
	s.idle = append(s.idle, s.now)
	s.move()
}

func (s *sketch) tick() { s.move() }

func (s *sketch) apply(d *models.Decision) {
	s.needs.add(d.At, float64(d.Reactive))
	if d.Applied {
		s.want = d.Want
	}
	s.move()
}

// move gives the idle workers work, and then starts and stops workers.
func (s *sketch) move() {
	for len(s.queue) > 0 && len(s.idle) > 0 && s.busy < s.spec.Max {
		job := s.queue[0]
		s.queue = s.queue[1:]
		s.idle = s.idle[:len(s.idle)-1]
		s.busy++
		s.work(job, 0)
	}
	target := min(max(s.want, s.spec.Min), s.spec.Max)
	for s.up+s.starting < target {
		s.starting++
		s.launch("")
	}
	for s.up+s.starting > target && len(s.idle) > 0 {
		s.idle = s.idle[1:]
		s.up--
		s.retire()
	}
}

func (s *sketch) ns() int64 { return s.clock().UnixNano() }

func (s *sketch) shift(second int64) {
	if second <= s.second {
		return
	}
	if second-s.second >= 64 {
		s.arrivals = [64]uint32{}
	} else {
		for t := s.second + 1; t <= second; t++ {
			s.arrivals[t&63] = 0
		}
	}
	s.second = second
}

func (s *sketch) rate() float64 {
	ns := s.ns()
	s.shift(ns / 1e9)
	n := 0
	for t := s.second - arrivalWindow + 1; t <= s.second; t++ {
		n += int(s.arrivals[t&63])
	}
	span := float64(max(ns-(s.second-arrivalWindow+1)*1e9, (arrivalWindow-1)*1e9)) / 1e9
	return float64(n) / min(span, max(1, float64(s.now-s.since)/1e9))
}

func (s *sketch) input() (models.PoolSpec, models.DecisionInput) {
	now := s.clock()
	in := models.DecisionInput{
		Now: now, Ready: s.up, Busy: s.busy, Starting: s.starting, Queued: len(s.queue), ArrivalsPerS: s.rate(),
		ServiceS: s.mean, IntervalS: s.cfg.Interval.Seconds(), FreeMemory: -1, HostCPU: -1, HostCPUForecast: -1, Arrived: s.arrived,
	}
	if s.mean > 0 {
		in.ServiceCV2 = s.variance / (s.mean * s.mean)
	}
	if len(s.queue) > 0 {
		in.OldestWaitS = float64(s.now-s.w.Jobs[s.queue[0]].At) / 1e9
	}
	if len(s.idle) > 0 {
		in.IdleS = float64(s.now-s.idle[0]) / 1e9
	}
	in.LeadS = s.spec.ColdStart.Std().Seconds()
	if len(s.cold) > 0 {
		in.LeadS = s.coldP90
	}
	in.LeadS = in.LeadS + s.cfg.Interval.Seconds() + metricLag.Seconds()
	for i := len(s.needs.at) - 1; i >= 0 && now.Sub(s.needs.at[i]) <= scaleInWindow; i-- {
		in.RecentNeedMax = max(in.RecentNeedMax, int(s.needs.values[i]))
	}
	return s.spec, in
}
