package baseline

import (
	"fmt"
	"math"
	"slices"
)

const (
	maxOrigins = 300  // origins whose errors are looked at
	shrinkAt   = 20.0 // so many errors weigh as much as all horizons together
	z90        = 1.2816
)

// spread is what to add to a point forecast, by horizon, to get its quantiles.
type spread struct {
	low, mid, high []float64
	loss           float64 // mean pinball loss over the origins measured
}

// at is the three offsets of index i; past the end they grow with the square
// root of the horizon, as a random walk's do.
func (s spread) at(i int) (low, mid, high float64) {
	n := len(s.low)
	if n == 0 {
		return 0, 0, 0
	}
	if i < n {
		return s.low[i], s.mid[i], s.high[i]
	}
	f := math.Sqrt(float64(i+1) / float64(n))
	return s.low[n-1] * f, s.mid[n-1], s.high[n-1] * f
}

// measure walks the model over its recent past and takes the empirical
// quantiles of its errors at each horizon. Few errors are shrunk towards those
// of all horizons; with none at all the spread is that of the values.
func measure(m walker, values []float64, p Params) (spread, error) {
	if p.Horizon < 1 {
		return spread{}, fmt.Errorf("horizon %d is not positive", p.Horizon)
	}
	if Count(values) < 1 {
		return spread{}, ErrTooShort
	}
	origins := recentOrigins(len(values), p.Season)
	errs := make([][]float64, p.Horizon)
	var all []float64
	m.walk(values, origins, p.Horizon, func(o int, path []float64) {
		for i := 0; i < len(path) && o+i < len(values); i++ {
			if y := values[o+i]; !math.IsNaN(y) {
				errs[i] = append(errs[i], y-path[i])
				all = append(all, y-path[i])
			}
		}
	})
	s := spread{low: make([]float64, p.Horizon), mid: make([]float64, p.Horizon), high: make([]float64, p.Horizon)}
	pl, pm, ph := pooled(values, all)
	var loss float64
	for i, e := range errs {
		slices.Sort(e)
		w := float64(len(e)) / (float64(len(e)) + shrinkAt)
		s.low[i], s.mid[i], s.high[i] = pl, pm, ph
		if len(e) > 0 {
			s.low[i] = w*quantile(e, 0.1) + (1-w)*pl
			s.mid[i] = w*quantile(e, 0.5) + (1-w)*pm
			s.high[i] = w*quantile(e, 0.9) + (1-w)*ph
		}
		for _, r := range e {
			loss += (Pinball(r, s.low[i], 0.1) + Pinball(r, s.mid[i], 0.5) + Pinball(r, s.high[i], 0.9)) / 3
		}
	}
	if len(all) > 0 {
		s.loss = loss / float64(len(all))
	}
	return s, nil
}

// pooled is the spread of all horizons' errors together; where there are few,
// the errors count less than the spread of the values themselves.
func pooled(values, all []float64) (low, mid, high float64) {
	var n, sum, sq float64
	for _, v := range values {
		if !math.IsNaN(v) {
			n++
			sum += v
		}
	}
	mean := sum / n
	for _, v := range values {
		if !math.IsNaN(v) {
			sq += (v - mean) * (v - mean)
		}
	}
	sd := math.Sqrt(sq / n)
	if len(all) == 0 {
		return -z90 * sd, 0, z90 * sd
	}
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	w := float64(len(all)) / (float64(len(all)) + shrinkAt)
	return w*quantile(sorted, 0.1) - (1-w)*z90*sd, w * quantile(sorted, 0.5), w*quantile(sorted, 0.9) + (1-w)*z90*sd
}

// recentOrigins are at most maxOrigins indices spread evenly over the last two
// seasons, or the last maxOrigins steps where that is more.
func recentOrigins(n, season int) []int {
	span := min(n-1, max(maxOrigins, 2*season))
	if span < 1 {
		return nil
	}
	stride := max(1, (span+maxOrigins-1)/maxOrigins)
	var out []int
	for o := n - span; o < n; o += stride {
		out = append(out, o)
	}
	return out
}

func forecast(m walker, s spread, values []float64, h int) (Quantiles, error) {
	q := NewQuantiles(h)
	found := false
	m.walk(values, []int{len(values)}, h, func(_ int, path []float64) {
		found = true
		for i, v := range path {
			low, mid, high := s.at(i)
			q.P10[i], q.P50[i], q.P90[i] = v+low, v+mid, v+high
		}
	})
	if !found {
		return Quantiles{}, ErrTooShort
	}
	return q, q.Settle(-math.MaxFloat64, math.MaxFloat64)
}

// Pinball is the quantile loss of the forecast q for level tau when y happened.
func Pinball(y, q, tau float64) float64 {
	if e := y - q; e >= 0 {
		return tau * e
	} else {
		return (tau - 1) * e
	}
}

// quantile interpolates in ascending values; there must be one at least.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i >= len(sorted)-1 {
		return sorted[len(sorted)-1]
	}
	f := at - float64(i)
	return sorted[i]*(1-f) + sorted[i+1]*f
}
