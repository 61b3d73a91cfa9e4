package backtest

import (
	"math"

	"loadstar/predictor/baseline"
)

const (
	recentOrigins = 50 // whose losses the weights rest on
	sharpness     = 2  // weights go with the inverse loss to this power
)

// ensemble averages the quantiles of the models measured so far. At an origin a
// model's weight is the inverse of its loss (squared, so that a bad one fades)
// on the targets of recent earlier origins that lie before this one; before
// there are any, all weigh the same.
func (r *run) ensemble() []*baseline.Quantiles {
	out := make([]*baseline.Quantiles, len(r.origins))
	for i, o := range r.origins {
		q := baseline.NewQuantiles(r.cfg.Horizon)
		total := 0.0
		for _, m := range r.models {
			p := m.paths[i]
			if p == nil {
				continue
			}
			w := r.weight(m, i, o)
			total += w
			for h := range q.P50 {
				q.P10[h] += w * p.P10[h]
				q.P50[h] += w * p.P50[h]
				q.P90[h] += w * p.P90[h]
			}
		}
		if total == 0 {
			continue
		}
		for h := range q.P50 {
			q.P10[h] /= total
			q.P50[h] /= total
			q.P90[h] /= total
		}
		if q.Settle(-1e15, 1e15) == nil {
			out[i] = &q
		}
	}
	return out
}

func (r *run) weight(m measured, i, origin int) float64 {
	loss, n := 0.0, 0.0
	for k := max(0, i-recentOrigins); k < i; k++ {
		p := m.paths[k]
		if p == nil {
			continue
		}
		for h := 0; h < len(p.P50) && r.origins[k]+h < origin; h++ {
			if y := r.grid.values[r.origins[k]+h]; !math.IsNaN(y) {
				loss += pinball(y, p, h)
				n++
			}
		}
	}
	if n == 0 {
		return 1
	}
	return 1 / math.Pow(loss/n+1e-12, sharpness)
}

// pinball is the mean of the three levels' losses.
func pinball(y float64, q *baseline.Quantiles, h int) float64 {
	return (baseline.Pinball(y, q.P10[h], 0.1) + baseline.Pinball(y, q.P50[h], 0.5) + baseline.Pinball(y, q.P90[h], 0.9)) / 3
}
