package simulate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"loadstar/scheduler/autoscale"
)

// Result is what one policy cost with one setting of its knob. Shares are percent.
type Result struct {
	Policy        string  `json:"policy"`
	Knob          float64 `json:"knob"`      // what it means: Policies
	KnobName      string  `json:"knob_name"` //
	Met           bool    `json:"met"`       // violations within the share asked for
	Tasks         int     `json:"tasks"`
	Unfinished    int     `json:"unfinished,omitempty"` // a day after the trace's end; they count as late
	ViolationsPct float64 `json:"violations_pct"`       // of the tasks waited longer than the target
	WaitP50S      float64 `json:"wait_p50_s"`
	WaitP95S      float64 `json:"wait_p95_s"`
	WaitP99S      float64 `json:"wait_p99_s"`
	WaitMaxS      float64 `json:"wait_max_s"`
	WorkerHours   float64 `json:"worker_hours"` // starting ones included
	BusyHours     float64 `json:"busy_hours"`   // the work itself
	Starts        int     `json:"starts"`
	UnderPct      float64 `json:"under_pct"`        // of the time fewer were ready than the true rate needed
	OverPct       float64 `json:"over_pct"`         // of the time more were
	UnderShortPct float64 `json:"under_by_pct"`     // by how much fewer, on average over all time
	OverByPct     float64 `json:"over_by_pct"`      // by how much more
	GatePct       float64 `json:"gate_pct"`         // of the decisions the forecast counted in
	SimulatedS    float64 `json:"simulated_s"`      // of trace
	TookS         float64 `json:"took_s,omitempty"` // wall clock; the only number that is not repeatable
}

// meter measures a run from the end of the warm-up on.
type meter struct {
	cfg        *Config
	w          *Workload
	from       time.Duration // nothing counts before
	need       []int         // workers that each bin's true rate asks for
	first      int           // the first job submitted
	begins     []time.Duration
	ends       []uint8 // how often each job ended
	open       int     // submitted and not ended
	paid       int     // workers starting or up
	ready      int
	last       time.Duration
	paidNs     float64
	starts     int
	refused    error         // the first step that the core refused; there should be none
	abandoned  time.Duration // when the run was given up; 0 is never
	samples    int
	under      int
	over       int
	underBy    float64
	overBy     float64
	decisions  int
	gateOpened int
}

func newMeter(cfg *Config, w *Workload, first int) meter {
	m := meter{cfg: cfg, w: w, from: cfg.from(w), first: first, begins: make([]time.Duration, len(w.Jobs)), ends: make([]uint8, len(w.Jobs))}
	for i := range m.begins {
		m.begins[i] = -1
	}
	m.last = m.from
	return m
}

func (m *meter) advance(now time.Duration) {
	now = min(now, m.w.End())
	if now > m.last {
		m.paidNs += float64(m.paid) * float64(now-m.last)
		m.last = now
	}
}

func (m *meter) start() {
	m.paid++
	if m.last > m.from && m.last < m.w.End() {
		m.starts++
	}
}

// check says what should never be: a task that did not end exactly once.
func (m *meter) check() error {
	if m.refused != nil {
		return fmt.Errorf("the core refused a step: %w", m.refused)
	}
	for i := m.first; i < len(m.ends); i++ {
		if m.ends[i] != 1 && (m.abandoned == 0 || m.ends[i] != 0) {
			return fmt.Errorf("task %d ended %d times", i, m.ends[i])
		}
	}
	return nil
}

func (m *meter) arrived() { m.open++ }

func (m *meter) began(job int, now time.Duration) { m.begins[job] = now }

func (m *meter) ended(job int) {
	if m.ends[job] < math.MaxUint8 {
		m.ends[job]++
	}
	m.open--
}

// sample compares the ready workers with the need of the bin at hand.
func (m *meter) sample(now time.Duration) {
	if now < m.from || now >= m.w.End() || m.need == nil {
		return
	}
	need := m.need[now/m.w.Bin]
	m.samples++
	switch {
	case m.ready < need:
		m.under++
		m.underBy += float64(need-m.ready) / float64(need)
	case m.ready > need:
		m.over++
		m.overBy += float64(m.ready-need) / float64(max(need, 1))
	}
}

func (m *meter) decided(now time.Duration, gate bool) {
	if now < m.from || now >= m.w.End() {
		return
	}
	m.decisions++
	if gate {
		m.gateOpened++
	}
}

// needs is how many workers each bin's expected rate asks for, by Erlang-C.
func needs(cfg *Config, w *Workload, mean, cv2 float64) []int {
	out := make([]int, len(w.Rate))
	for i, a := range w.Rate {
		out[i] = autoscale.Workers([]float64{a}, mean, cv2, cfg.SLO.Seconds(), cfg.Violations, cfg.Max)
	}
	return out
}

// result sums up the tasks that arrived after the warm-up.
func (m *meter) result() Result {
	r := Result{SimulatedS: (m.w.End() - m.from).Seconds(), WorkerHours: m.paidNs / float64(time.Hour), Starts: m.starts}
	waits := make([]float64, 0, len(m.w.Jobs)-m.first)
	late := 0
	for i := m.first; i < len(m.w.Jobs); i++ {
		j := &m.w.Jobs[i]
		if j.At < m.from {
			continue
		}
		wait := m.begins[i] - j.At
		if m.begins[i] < 0 {
			wait = m.abandoned - j.At
			r.Unfinished++
		}
		if wait > m.cfg.SLO {
			late++
		}
		waits = append(waits, wait.Seconds())
		r.BusyHours += j.Run.Hours()
	}
	r.Tasks = len(waits)
	if r.Tasks > 0 {
		slices.Sort(waits)
		r.ViolationsPct = 100 * float64(late) / float64(r.Tasks)
		r.WaitP50S, r.WaitP95S, r.WaitP99S, r.WaitMaxS = rank(waits, .5), rank(waits, .95), rank(waits, .99), waits[len(waits)-1]
	}
	share := func(n float64, of int) float64 { return finite(100 * n / float64(of)) }
	r.UnderPct, r.OverPct = share(float64(m.under), m.samples), share(float64(m.over), m.samples)
	r.UnderShortPct, r.OverByPct = share(m.underBy, m.samples), share(m.overBy, m.samples)
	r.GatePct = share(float64(m.gateOpened), m.decisions)
	return r
}

// rank is the smallest of the ascending values that a share q of them does not exceed.
func rank(sorted []float64, q float64) float64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// finite is v, or 0 where it is not a number to show.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}
