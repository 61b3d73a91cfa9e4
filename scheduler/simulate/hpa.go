package simulate

import (
	"math"
	"time"

	"loadstar/models"
	"loadstar/scheduler/autoscale"
)

const (
	hpaTolerance = 0.1
	hpaLeastStep = 4 // workers that may be started in one step, or as many as there are
)

// hpa is the horizontal pod autoscaler's rule with its defaults: the mean number of
// tasks, waiting or running, of a ready worker over the target. Within a tenth of it
// nothing changes; workers that start count as idle where it asks for more; a step
// up adds four or doubles; scale-in as in stabilised. A metric that is bounded, such
// as utilisation, would do worse: it cannot tell a long queue from a short one.
func (p *problem) hpa(target float64) Sizer {
	return p.stabilised(func(_ models.PoolSpec, in models.DecisionInput) float64 {
		have, tasks := float64(in.Ready+in.Starting), float64(in.Queued+in.Busy)
		if have == 0 {
			return math.Min(1, tasks)
		}
		if in.Ready == 0 {
			return have
		}
		ratio := tasks / float64(in.Ready) / target
		all := ratio
		if ratio > 1 {
			all = tasks / have / target
		}
		if math.Abs(all-1) <= hpaTolerance || (all > 1) != (ratio > 1) {
			return have
		}
		return math.Min(math.Ceil(all*have-1e-9), have+math.Max(hpaLeastStep, have))
	})
}

// phpa is the predictive horizontal pod autoscaler's idea at its best: additive
// Holt-Winters, damped, with a season of a day, on the load of five minutes (not on
// replica counts, which a busy pool censors); the larger of the load now and of the
// forecast from now until a worker started now is of use, times a margin.
func (p *problem) phpa(margin float64) Sizer {
	model := newHoltWinters(p.w, p.cfg)
	return p.stabilised(func(spec models.PoolSpec, in models.DecisionInput) float64 {
		s := serviceS(&in)
		load := math.Max(in.ArrivalsPerS*s, model.ahead(in.Now.Sub(p.w.Start), in.LeadS))
		n := autoscale.Workers([]float64{load * margin}, s, in.ServiceCV2, spec.SLO.Std().Seconds(), p.cfg.Violations, spec.Max)
		return float64(max(n, min(1, in.Queued)))
	})
}

// The weights are fixed, as the original asks its user for.
const (
	hwLevel  = 0.5
	hwTrend  = 0.05
	hwSeason = 0.3
	hwDamp   = 0.98
	hwBin    = 5 * time.Minute
)

// holtWinters forecasts the workload's recorded load in bins of five minutes (or its
// own, where those are longer), from the bins that have ended.
type holtWinters struct {
	w            *Workload
	bin          time.Duration
	per          int // of the workload's bins
	seen         int
	level, trend float64
	season       []float64
	damped       []float64 // sums of the powers of hwDamp
}

func newHoltWinters(w *Workload, cfg *Config) *holtWinters {
	h := &holtWinters{w: w, per: max(1, int(hwBin/w.Bin))}
	h.bin = time.Duration(h.per) * w.Bin
	h.season = make([]float64, max(1, int(24*time.Hour/h.bin)))
	sum, power := 0.0, 1.0
	for range int(2*cfg.ColdStart/h.bin) + 4 {
		power *= hwDamp
		sum += power
		h.damped = append(h.damped, sum)
	}
	return h
}

// learn takes in the bins that have ended. The first day only sets the season.
func (h *holtWinters) learn(now time.Duration) {
	for end := h.bin * time.Duration(h.seen+1); end <= now; end = h.bin * time.Duration(h.seen+1) {
		y := mean(h.w.Load[h.seen*h.per : min((h.seen+1)*h.per, len(h.w.Load))])
		at, m := h.seen%len(h.season), len(h.season)
		if h.seen < m {
			h.season[at] = y
			h.level += y / float64(m)
			if h.seen == m-1 {
				for i := range h.season {
					h.season[i] -= h.level
				}
			}
			h.seen++
			continue
		}
		old := h.level
		h.level = hwLevel*(y-h.season[at]) + (1-hwLevel)*(old+hwDamp*h.trend)
		h.season[at] = hwSeason*(y-old-hwDamp*h.trend) + (1-hwSeason)*h.season[at]
		h.trend = hwTrend*(h.level-old) + (1-hwTrend)*hwDamp*h.trend
		h.seen++
	}
}

// ahead is the largest load forecast from now to a lead ahead; 0 within the first day.
func (h *holtWinters) ahead(now time.Duration, leadS float64) float64 {
	if now <= h.w.End() {
		h.learn(now)
	}
	if h.seen < len(h.season) {
		return 0
	}
	load := 0.0
	last := int((now + time.Duration(leadS*float64(time.Second))) / h.bin)
	for b := h.seen; b <= last && b-h.seen < len(h.damped); b++ {
		load = math.Max(load, h.level+h.damped[b-h.seen]*h.trend+h.season[b%len(h.season)])
	}
	return load
}
