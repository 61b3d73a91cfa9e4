package simulate

import (
	"math"
	"time"

	"loadstar/models"
	"loadstar/scheduler/autoscale"
)

// Names of the policies.
const (
	Predictive = "predictive"    // ours: max(reactive, gate × forecast), autoscale.Decide
	Ours       = "ours-reactive" // ours without the forecast, autoscale.Decide
	Reactive   = "reactive"      // the horizontal pod autoscaler's: tasks a ready worker over a target
	KEDA       = "keda"          // ceil(tasks waiting or running / target), scale-in after 5 minutes
	KPA        = "kpa"           // Knative's: concurrency over a stable and a panic window
	Erlang     = "erlang"        // the present rate by Erlang-C, scale-in after 5 minutes
	PHPA       = "phpa"          // Holt-Winters on the load, a day's season, by Erlang-C
	Offset     = "offset"        // the largest load of now, and of a day and a week before a new worker is of use, by Erlang-C
	Static     = "static"        // one size, always
	Oracle     = "oracle"        // knows arrivals and run times, but not the cold starts
)

// Policies lists every policy, in the order of a report.
func Policies() []string {
	return []string{Predictive, Ours, Reactive, KEDA, KPA, Erlang, PHPA, Offset, Static, Oracle}
}

// knob is a policy's one setting: its default and the two ends between which a
// sweep looks, the cheap one first.
type knob struct {
	name              string
	standard          float64
	cheap, dear       float64
	logarithmic, full bool // full: a whole number
}

func (c *Config) knobOf(policy string, p *problem) knob {
	switch policy {
	case Predictive, Ours, Erlang: // the share of late tasks that Erlang-C is asked for
		return knob{name: "violations", standard: c.Violations, cheap: 0.99, dear: 1e-9, logarithmic: true}
	case KEDA:
		return knob{name: "tasks a worker", standard: 1, cheap: 4, dear: 0.2, logarithmic: true}
	case KPA, Reactive:
		return knob{name: "target utilisation", standard: 0.7, cheap: 1.5, dear: 0.1, logarithmic: true}
	case Offset, PHPA:
		return knob{name: "margin", standard: 1, cheap: 0.6, dear: 4, logarithmic: true}
	case Static:
		return knob{name: "workers", standard: float64(p.peak), cheap: math.Ceil(p.busy), dear: float64(2 * p.peak), full: true}
	}
	return knob{name: "late share", standard: 0, cheap: 0.2, dear: 0}
}

// at is the setting at a place between the cheap end (0) and the dear one (1).
func (k knob) at(x float64) float64 {
	v := k.cheap + x*(k.dear-k.cheap)
	if k.logarithmic && x > 0 && x < 1 { // the ends are as they stand
		v = math.Exp(math.Log(k.cheap) + x*(math.Log(k.dear)-math.Log(k.cheap)))
	}
	if k.full {
		return math.Round(v)
	}
	return v
}

// sizer makes a policy's rule and the pool that it works on.
func (p *problem) sizer(policy string, setting float64) (models.PoolSpec, Sizer) {
	c := p.cfg
	spec := models.PoolSpec{
		Name: poolName, Kind: models.KindStdio, Command: []string{"simulated"}, Min: c.Min, Max: c.Max,
		Policy: models.PolicyReactive, SLO: models.Duration(c.SLO), Violations: c.Violations, ColdStart: models.Duration(c.ColdStart),
	}
	switch policy {
	case Predictive:
		spec.Policy, spec.Violations = models.PolicyPredictive, setting
		return spec, p.advised(spec)
	case Ours:
		spec.Violations = setting
		return spec, p.advised(spec)
	case Reactive:
		return spec, p.hpa(setting)
	case PHPA:
		return spec, p.phpa(setting)
	case Static:
		spec.Policy, spec.Max = models.PolicyStatic, max(1, int(setting))
		spec.Min = min(spec.Min, spec.Max)
		return spec, autoscale.Decide
	case KEDA:
		return spec, p.keda(setting)
	case KPA:
		return spec, p.kpa(setting)
	case Erlang:
		return spec, p.erlang(setting)
	case Offset:
		return spec, p.offset(setting)
	}
	return spec, p.oracle(setting)
}

// decision is a rule's answer, within the pool's bounds.
func decision(spec models.PoolSpec, in models.DecisionInput, want int) models.Decision {
	want = min(max(want, spec.Min), spec.Max)
	return models.Decision{Pool: spec.Name, At: in.Now, Policy: spec.Policy, Inputs: in, Reactive: want, Want: want, Applied: true}
}

// recent keeps values of the last stretch of time.
type recent struct {
	span   time.Duration
	at     []time.Time
	values []float64
}

func (r *recent) add(now time.Time, v float64) {
	r.at, r.values = append(r.at, now), append(r.values, v)
	old := 0
	for old < len(r.at)-1 && now.Sub(r.at[old]) >= r.span {
		old++
	}
	r.at, r.values = append(r.at[:0], r.at[old:]...), append(r.values[:0], r.values[old:]...)
}

func (r *recent) max() float64 {
	m := r.values[0]
	for _, v := range r.values {
		m = math.Max(m, v)
	}
	return m
}

func (r *recent) mean() float64 {
	sum := 0.0
	for _, v := range r.values {
		sum += v
	}
	return sum / float64(len(r.values))
}

func (p *problem) longestCold() time.Duration { return p.cfg.ColdStart*12/10 + p.cfg.Interval }

// stabilised is the horizontal autoscaler's scale-in rule: the largest answer of
// the last five minutes, or of the longest cold start where that is longer. The
// core stops idle workers and never starting ones, so that a rule which changes its
// mind within a cold start would trade workers that are up for others that are not.
func (p *problem) stabilised(want func(spec models.PoolSpec, in models.DecisionInput) float64) Sizer {
	window := recent{span: max(5*time.Minute, p.longestCold())}
	return func(spec models.PoolSpec, in models.DecisionInput) models.Decision {
		window.add(in.Now, math.Min(want(spec, in), float64(spec.Max)))
		return decision(spec, in, int(math.Ceil(window.max()-1e-9)))
	}
}

// keda is a queue scaler with an average value: tasks waiting or running over the target.
func (p *problem) keda(target float64) Sizer {
	return p.stabilised(func(_ models.PoolSpec, in models.DecisionInput) float64 {
		return math.Ceil(float64(in.Queued+in.Busy)/target - 1e-9)
	})
}

func serviceS(in *models.DecisionInput) float64 {
	if in.ServiceS > 0 {
		return in.ServiceS
	}
	return 1
}

// erlang sizes for the rate measured now, and for the backlog as ours does not: not at all.
func (p *problem) erlang(violations float64) Sizer {
	return p.stabilised(func(spec models.PoolSpec, in models.DecisionInput) float64 {
		s := serviceS(&in)
		n := autoscale.Workers([]float64{in.ArrivalsPerS * s}, s, in.ServiceCV2, spec.SLO.Std().Seconds(), violations, spec.Max)
		return float64(max(n, min(1, in.Queued)))
	})
}

const (
	kpaStable    = time.Minute
	kpaPanicOver = 2.0
	kpaGrace     = 30 * time.Second
)

// kpa is Knative's autoscaler: the mean concurrency of a minute over the target,
// or in a panic (the newest reading asks for twice what is there) the largest
// reading's answer, for a minute after the last such reading. Workers that start
// count as there (knative/serving #13284 is what comes of not doing so). Its
// six-second window is one reading here, and its scale-down delay the longest cold
// start, without which it does nothing but start and stop (see stabilised).
func (p *problem) kpa(utilisation float64) Sizer {
	window, delay := recent{span: kpaStable}, recent{span: p.longestCold()}
	var panicAt, busyAt time.Time
	panicking, highest := false, 0.0
	return func(spec models.PoolSpec, in models.DecisionInput) models.Decision {
		now := float64(in.Queued + in.Busy)
		window.add(in.Now, now)
		stable, burst := math.Ceil(window.mean()/utilisation), math.Ceil(now/utilisation)
		if now > 0 {
			busyAt = in.Now
		}
		if burst/math.Max(1, float64(in.Ready+in.Starting)) >= kpaPanicOver {
			panicking, panicAt = true, in.Now
		} else if in.Now.Sub(panicAt) > kpaStable {
			panicking, highest = false, 0
		}
		want := stable
		if panicking {
			highest = math.Max(highest, math.Max(stable, burst))
			want = highest
		}
		if want < 1 && in.Now.Sub(busyAt) < kpaGrace {
			want = 1
		}
		delay.add(in.Now, math.Min(want, float64(spec.Max)))
		return decision(spec, in, int(delay.max()))
	}
}

// offset sizes for the largest of the load now and the loads that were recorded
// one day and one week before the time until a worker started now is of use.
func (p *problem) offset(margin float64) Sizer {
	return p.stabilised(func(spec models.PoolSpec, in models.DecisionInput) float64 {
		s := serviceS(&in)
		load := in.ArrivalsPerS * s
		now := in.Now.Sub(p.w.Start)
		for _, back := range []time.Duration{24 * time.Hour, 7 * 24 * time.Hour} {
			last := min(int((now-back+time.Duration(in.LeadS*float64(time.Second)))/p.w.Bin), int(now/p.w.Bin)-1)
			for i := max(0, int((now-back)/p.w.Bin)); i <= last && now >= back; i++ {
				load = math.Max(load, p.w.Load[i])
			}
		}
		n := autoscale.Workers([]float64{load * margin}, s, in.ServiceCV2, spec.SLO.Std().Seconds(), p.cfg.Violations, spec.Max)
		return float64(max(n, min(1, in.Queued)))
	})
}
