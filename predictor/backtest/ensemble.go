package backtest

import (
	"math"

	"loadstar/predictor/baseline"
)

const (
	scoreWindow = 288 // steps that losses rest on, newer ones more: half as much every quarter
	blendShort  = 5   // steps ahead that have weights of their own
	leastRoom   = 0.02
)

// calibration keeps a model's coverage, as the service does: it learns from what
// came of the model's earlier forecasts as soon as that is known.
type calibration struct {
	conformal *baseline.Conformal
	values    []float64
	origins   []int
	floor     float64 // of the room that is widened
	paths     []*baseline.Quantiles
	used      [][]float32
	learned   []int // steps ahead of each path that were learnt from
	open      int   // the first path that is not done with
}

func (r *run) calibration() *calibration {
	known := r.grid.values[:r.origins[0]]
	return &calibration{
		conformal: baseline.NewConformal(r.cfg.Horizon), values: r.grid.values, origins: r.origins,
		floor: leastRoom * naiveError(known, 1),
	}
}

// apply learns what is known at the origin of path number i, and corrects the path.
func (c *calibration) apply(q *baseline.Quantiles) {
	i := len(c.paths)
	origin := c.origins[i]
	for k := c.open; k < i; k++ {
		p := c.paths[k]
		for ; p != nil && c.learned[k] < len(p.P50) && c.origins[k]+c.learned[k] < origin; c.learned[k]++ {
			h := c.learned[k]
			c.conformal.Learn(h, c.values[c.origins[k]+h], p.P10[h], p.P50[h], p.P90[h], c.floor, c.used[k])
		}
		if k == c.open && (p == nil || c.learned[k] == len(p.P50)) {
			c.open++
		}
	}
	if q != nil {
		c.conformal.Apply(*q, c.floor)
	}
	c.paths, c.used, c.learned = append(c.paths, q), append(c.used, c.conformal.Used()), append(c.learned, 0)
}

// ensemble blends the models measured so far, by their losses on the targets of
// recent earlier origins that lie before each origin.
func (r *run) ensemble() []*baseline.Quantiles {
	c := r.calibration()
	lo, hi := bounds(r.grid.values[:r.origins[0]])
	for i, o := range r.origins {
		var paths []baseline.Quantiles
		var losses []baseline.Losses
		for _, m := range r.models {
			if p := m.paths[i]; p != nil {
				paths, losses = append(paths, *p), append(losses, r.losses(m, i, o).Losses)
			}
		}
		q, ok := baseline.Blend(paths, losses)
		if !ok {
			c.apply(nil)
			continue
		}
		c.apply(&q)
		if q.Settle(lo, hi) != nil {
			c.paths[i] = nil
		}
	}
	return c.paths
}

// lead is how much better than the one in use a model must be to take over.
const lead = 0.95

// live is what the service would have believed: at each origin the model with the
// least loss on the known targets of recent origins, changed for a clear lead only.
func (r *run) live() measured {
	out := measured{name: "live", paths: make([]*baseline.Quantiles, len(r.origins))}
	champion := ""
	for i, o := range r.origins {
		best, mine := math.Inf(1), math.Inf(1)
		var path, stay *baseline.Quantiles
		name := ""
		for _, m := range r.models {
			if m.paths[i] == nil {
				continue
			}
			loss := r.losses(m, i, o).all
			if path == nil || loss < best {
				best, path, name = loss, m.paths[i], m.name
			}
			if m.name == champion {
				mine, stay = loss, m.paths[i]
			}
		}
		if stay != nil && best > lead*mine {
			path, name = stay, champion
		}
		out.paths[i], champion = path, name
	}
	return out
}

// recent is a model's mean loss on known targets, by range of steps ahead, and over all.
type recent struct {
	baseline.Losses
	all float64
}

func (r *run) losses(m measured, i, origin int) recent {
	var sum, n [2]float64
	for k := i - 1; k >= 0 && origin-r.origins[k] <= scoreWindow+r.cfg.Horizon; k-- {
		p := m.paths[k]
		if p == nil {
			continue
		}
		weight := math.Exp2(-4 * float64(origin-r.origins[k]) / scoreWindow)
		for h := 0; h < len(p.P50) && r.origins[k]+h < origin; h++ {
			if y := r.grid.values[r.origins[k]+h]; !math.IsNaN(y) {
				at := min(h/blendShort, 1)
				sum[at] += weight * (pinball(y, p, h) + 1e-12)
				n[at] += weight
			}
		}
	}
	return recent{
		Losses: baseline.Losses{Short: sum[0] / max(n[0], 1e-9), Long: sum[1] / max(n[1], 1e-9)},
		all:    (sum[0] + sum[1]) / max(n[0]+n[1], 1e-9),
	}
}

// pinball is the mean of the three levels' losses.
func pinball(y float64, q *baseline.Quantiles, h int) float64 {
	return (baseline.Pinball(y, q.P10[h], 0.1) + baseline.Pinball(y, q.P50[h], 0.5) + baseline.Pinball(y, q.P90[h], 0.9)) / 3
}
