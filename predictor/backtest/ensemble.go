package backtest

import (
	"math"

	"loadstar/predictor/baseline"
)

const leastRoom = 0.02 // of the naive error: what is widened at least where a model gives no room

// calibration keeps a model's coverage, as the service does: it learns from what
// came of the model's earlier forecasts as soon as that is known.
type calibration struct {
	conformal *baseline.Conformal
	known     *pending
	floor     float64 // of the room that is widened
	paths     []*baseline.Quantiles
	used      [][]float32
}

func (r *run) calibration() *calibration {
	return &calibration{
		conformal: baseline.NewConformal(r.cfg.Horizon), known: newPending(r),
		floor: leastRoom * naiveError(r.grid.values[:r.origins[0]], 1),
	}
}

// apply learns what is known at the origin of the next path, and corrects the path.
func (c *calibration) apply(q *baseline.Quantiles) {
	c.known.upTo(len(c.paths), func(k, h int, y float64) {
		if p := c.paths[k]; p != nil {
			c.conformal.Learn(h, y, p.P10[h], p.P50[h], p.P90[h], c.floor, c.used[k])
		}
	})
	if q != nil {
		c.conformal.Apply(*q, c.floor)
	}
	c.paths, c.used = append(c.paths, q), append(c.used, c.conformal.Used())
}

// ensemble mixes the models measured so far, as the service does: with weights
// learnt from the targets that lie before each origin.
func (r *run) ensemble() []*baseline.Quantiles {
	c := r.calibration()
	lo, hi := bounds(r.grid.values[:r.origins[0]])
	var mix baseline.Mixture
	mixtures := make([]*baseline.Quantiles, len(r.origins))
	known := newPending(r)
	for i, o := range r.origins {
		if i > 0 {
			mix.Fade(int64(o - r.origins[i-1]))
		}
		known.upTo(i, func(k, h int, y float64) {
			if mixtures[k] != nil {
				mix.Learn(h, y, r.told(k, h), mixtures[k].At(h))
			}
		})
		q, ok := mix.Blend(r.said(i))
		if !ok || q.Settle(lo, hi) != nil {
			c.apply(nil)
			continue
		}
		mixed := q.Clone()
		mixtures[i] = &mixed
		c.apply(&q)
		if q.Settle(lo, hi) != nil {
			c.paths[i] = nil
		}
	}
	return c.paths
}

// said is what the models measured so far said at an origin.
func (r *run) said(i int) []baseline.Said {
	var out []baseline.Said
	for _, m := range r.models {
		if m.raw != nil && m.raw[i] != nil {
			out = append(out, baseline.Said{Name: m.name, Quantiles: *m.raw[i]})
		}
	}
	return out
}

// told is the same of one step ahead.
func (r *run) told(i, h int) []baseline.Told {
	var out []baseline.Told
	for _, m := range r.models {
		if m.raw != nil && m.raw[i] != nil {
			out = append(out, baseline.Told{Name: m.name, Q: m.raw[i].At(h)})
		}
	}
	return out
}

// pending are the targets of earlier origins in the order in which they come to pass.
type pending struct {
	r    *run
	done []int // steps ahead of each origin that have come
	open int   // the first origin with steps to come
}

func newPending(r *run) *pending { return &pending{r: r, done: make([]int, len(r.origins))} }

// upTo visits every target that lies before origin number i and was not visited
// yet: the origin's number k, the index h ahead, and what was measured.
func (p *pending) upTo(i int, visit func(k, h int, y float64)) {
	for k := p.open; k < i; k++ {
		from := p.r.origins[k]
		for ; p.done[k] < p.r.cfg.Horizon && from+p.done[k] < p.r.origins[i]; p.done[k]++ {
			if y := p.r.grid.values[from+p.done[k]]; !math.IsNaN(y) {
				visit(k, p.done[k], y)
			}
		}
		if k == p.open && p.done[k] == p.r.cfg.Horizon {
			p.open++
		}
	}
}

const (
	scoreWindow = 288  // newest steps that the choice rests on
	lead        = 0.95 // of the champion's loss: what another must be within to take its place
	unmeasured  = 1e9  // a loss where a model had nothing to say
)

// recent is every model's loss on the targets of the newest steps.
type recent struct {
	total []float64
	steps map[int][]float64 // by step, those within the window
	from  int
}

func newRecent(models, first int) *recent {
	return &recent{total: make([]float64, models), steps: map[int][]float64{}, from: first}
}

func (l *recent) add(step, model int, loss float64) {
	if l.steps[step] == nil {
		l.steps[step] = make([]float64, len(l.total))
	}
	l.steps[step][model] += loss
	l.total[model] += loss
}

// slide forgets what lies before the window that ends at an origin.
func (l *recent) slide(origin int) {
	for ; l.from < origin-scoreWindow; l.from++ {
		for m, loss := range l.steps[l.from] {
			l.total[m] -= loss
		}
		delete(l.steps, l.from)
	}
}

// live is what the service would have believed: the ensemble, or another model
// while that has clearly had less loss of late.
func (r *run) live() measured {
	out := measured{name: "live", paths: make([]*baseline.Quantiles, len(r.origins))}
	losses := newRecent(len(r.models), r.origins[0])
	home := len(r.models) - 1 // the ensemble is the last, where it is there
	known, champion := newPending(r), home
	for i, o := range r.origins {
		known.upTo(i, func(k, h int, y float64) {
			for m := range r.models {
				loss := unmeasured * (1 + math.Abs(y))
				if q := r.models[m].paths[k]; q != nil {
					loss = pinball(y, q, h)
				}
				losses.add(r.origins[k]+h, m, loss)
			}
		})
		losses.slide(o)
		champion = r.elect(i, champion, home, losses.total)
		out.paths[i] = r.models[champion].paths[i]
	}
	return out
}

// elect is who is believed at origin number i, given who was until then.
func (r *run) elect(i, champion, home int, losses []float64) int {
	best := champion
	for m := range losses {
		if r.models[m].paths[i] != nil && losses[m] < lead*losses[champion] && losses[m] < losses[best] {
			best = m
		}
	}
	if best == champion && losses[home] <= losses[champion] {
		best = home
	}
	if r.models[best].paths[i] != nil {
		return best
	}
	for m := range r.models { // it has nothing to say: whoever has
		if r.models[m].paths[i] != nil && (r.models[best].paths[i] == nil || losses[m] < losses[best]) {
			best = m
		}
	}
	return best
}

// pinball is the mean of the three levels' losses.
func pinball(y float64, q *baseline.Quantiles, h int) float64 {
	return (baseline.Pinball(y, q.P10[h], 0.1) + baseline.Pinball(y, q.P50[h], 0.5) + baseline.Pinball(y, q.P90[h], 0.9)) / 3
}
