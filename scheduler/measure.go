package scheduler

import (
	"math"
	"slices"
	"time"

	"loadstar/models"
)

// noteKind is what a note tells.
type noteKind uint8

const (
	noteArrived noteKind = iota
	noteStarted
	noteEnded
)

// note is something to measure. Notes are kept until the records that they come
// from are on disk, so that nothing is counted twice. Times are in ns.
type note struct {
	kind    noteKind
	outcome outcome
	final   bool
	pool    *pool
	at      int64
	wait    int64 // ready to start
	since   int64 // since submission
	run     int64 // start to end; 0 where it never began
	prio    uint8 // of a start
}

func (c *Core) note(n note) {
	if !c.replaying {
		c.undo.notes = append(c.undo.notes, n)
	}
}

// Windows of what is measured.
const (
	latencyWindow   = 4096 // starts and ends that the quantiles are taken over
	rateWindow      = 10   // s, of tasks_per_s
	arrivalWindow   = 30   // s, of a pool's arrival rate
	coldStartWindow = 50   // cold starts that the P90 is taken over
	serviceAlpha    = 0.05 // weight of the newest run time
)

// measure is what is counted over all pools.
type measure struct {
	start, done sampleRing
	finished    rate
}

// poolMeasure is what is counted of a pool while the daemon runs.
type poolMeasure struct {
	totals   models.PoolTotals
	arrivals rate
	since    int64 // when counting began
	runs     int
	mean     float64 // s, of run times; exponentially weighted
	variance float64
	cold     []float64 // s, the last ones
	coldAt   int
	coldN    int
}

func (m *measure) take(n *note) {
	p := &n.pool.measure
	switch n.kind {
	case noteArrived:
		p.totals.Arrived++
		p.arrivals.add(n.at)
	case noteStarted:
		p.totals.Started++
		p.totals.WaitS += seconds(n.wait)
		n.pool.bands.of(n.prio).begun(n.wait)
		m.start.add(millis(n.since))
	case noteEnded:
		p.totals.Finished++
		p.totals.RunS += seconds(n.run)
		if n.run > 0 && n.outcome != outcomeLost && n.outcome != outcomeCancelled {
			p.service(seconds(n.run))
		}
		if n.final {
			m.finished.add(n.at)
			m.done.add(millis(n.since))
		}
	}
}

func seconds(ns int64) float64 { return float64(max(0, ns)) / 1e9 }

func millis(ns int64) float32 { return float32(max(0, ns)) / 1e6 }

// service takes in a run time: exponentially weighted mean and variance (West
// 1979), plain ones until there are enough.
func (m *poolMeasure) service(s float64) {
	m.runs++
	alpha := max(serviceAlpha, 1/float64(m.runs))
	d := s - m.mean
	m.mean += alpha * d
	m.variance = (1 - alpha) * (m.variance + alpha*d*d)
}

func (m *poolMeasure) cv2() float64 {
	if m.mean <= 0 {
		return 0
	}
	return m.variance / (m.mean * m.mean)
}

func (m *poolMeasure) coldStart(d time.Duration) {
	if len(m.cold) < coldStartWindow {
		m.cold = append(m.cold, d.Seconds())
	} else {
		m.cold[m.coldAt] = d.Seconds()
		m.coldAt = (m.coldAt + 1) % coldStartWindow
	}
	m.coldN++
}

// coldP90 is the 90th percentile of the last cold starts in seconds, or the prior.
func (m *poolMeasure) coldP90(prior models.Duration) float64 {
	if len(m.cold) == 0 {
		return prior.Std().Seconds()
	}
	s := slices.Sorted(slices.Values(m.cold))
	return s[int(math.Ceil(0.9*float64(len(s))))-1]
}

// arrivalRate is the recent rate in tasks/s.
func (m *poolMeasure) arrivalRate(now int64) float64 {
	n, span := m.arrivals.over(now, arrivalWindow)
	return float64(n) / min(span, max(1, seconds(now-m.since)))
}

// rate counts events by the second over the last minute.
type rate struct {
	counts [64]uint32
	second int64 // the newest one counted
}

func (r *rate) add(ns int64) {
	r.move(ns / 1e9)
	if s := ns / 1e9; s > r.second-int64(len(r.counts)) {
		r.counts[s&63]++
	}
}

func (r *rate) move(second int64) {
	if second <= r.second {
		return
	}
	if second-r.second >= int64(len(r.counts)) {
		r.counts = [64]uint32{}
	} else {
		for s := r.second + 1; s <= second; s++ {
			r.counts[s&63] = 0
		}
	}
	r.second = second
}

// over is the number of events in the window that ends now and begins with a
// whole second, and its length in seconds: up to one less than window.
func (r *rate) over(now, window int64) (n int, span float64) {
	r.move(now / 1e9)
	for s := r.second - window + 1; s <= r.second; s++ {
		n += int(r.counts[s&63])
	}
	return n, seconds(max(now-(r.second-window+1)*1e9, (window-1)*1e9))
}

// sampleRing keeps the newest samples.
type sampleRing struct {
	samples []float32
	at      int
}

func (r *sampleRing) add(v float32) {
	if len(r.samples) < latencyWindow {
		r.samples = append(r.samples, v)
		return
	}
	r.samples[r.at] = v
	r.at = (r.at + 1) % latencyWindow
}

func (r *sampleRing) quantiles() models.Quantiles {
	if len(r.samples) == 0 {
		return models.Quantiles{}
	}
	s := slices.Sorted(slices.Values(r.samples))
	at := func(q float64) float64 { return float64(s[max(0, int(math.Ceil(q*float64(len(s))))-1)]) }
	return models.Quantiles{P50: at(.50), P95: at(.95), P99: at(.99)}
}
