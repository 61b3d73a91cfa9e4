package baseline

import "math"

const (
	levelOrigins = 2000 // newest origins that the pull is fitted on
	levelClip    = 4.0  // mean absolute errors that an error counts at most
)

// LevelNaive is seasonal naive moved by how far the series has lately been from
// the season before: at each horizon by a share of that distance, fitted by least
// squares, between nothing (seasonal naive) and all of it.
type LevelNaive struct {
	naive  SeasonalNaive
	share  []float64 // by horizon
	spread spread
}

// NewLevelNaive is a model that has to be fitted.
func NewLevelNaive() *LevelNaive { return &LevelNaive{} }

// Name is "lsnaive".
func (m *LevelNaive) Name() string { return "lsnaive" }

// Loss is as Model says.
func (m *LevelNaive) Loss() float64 { return m.spread.loss }

// Fit is as Model says; it needs a season, and two and a half of it.
func (m *LevelNaive) Fit(values []float64, p Params) (err error) {
	m.naive.season = p.Season
	first := 2 * p.Season
	if p.Season < 2 || len(values) < first+max(p.Season/2, 8) {
		return ErrTooShort
	}
	m.fitShare(values, first, p.Horizon)
	m.spread, err = measure(m, values, p)
	return err
}

func (m *LevelNaive) fitShare(values []float64, first, horizon int) {
	first = max(first, len(values)-max(levelOrigins, 4*m.naive.season))
	stride := max(1, (len(values)-first)/levelOrigins)
	m.share = make([]float64, horizon)
	up, down := make([]float64, horizon), make([]float64, horizon)
	size, n := 0.0, 0.0
	for i := first; i < len(values); i++ {
		if d := values[i] - m.naive.at(values[:i], i, math.NaN()); !math.IsNaN(d) {
			size += math.Abs(d)
			n++
		}
	}
	clip := levelClip * size / max(n, 1)
	for o := first; o < len(values); o += stride {
		move, ok := m.move(values, o)
		if !ok {
			continue
		}
		move = min(max(move, -clip), clip)
		for h := 0; h < horizon && o+h < len(values); h++ {
			e := values[o+h] - m.naive.at(values[:o], o+h, math.NaN())
			if math.IsNaN(e) {
				continue
			}
			up[h] += move * min(max(e, -clip), clip)
			down[h] += move * move
		}
	}
	last := 0.0
	for h := range horizon {
		if down[h] > 0 {
			last = min(max(up[h]/down[h], 0), 1)
		}
		m.share[h] = last
	}
}

// move is the mean distance of the newest steps from the season before; an
// eighth of a season, 3 to 12 steps.
func (m *LevelNaive) move(values []float64, o int) (float64, bool) {
	sum, n := 0.0, 0.0
	for i := max(0, o-min(12, max(3, m.naive.season/8))); i < o; i++ {
		if d := values[i] - m.naive.at(values[:i], i, math.NaN()); !math.IsNaN(d) {
			sum += d
			n++
		}
	}
	return sum / max(n, 1), n > 0
}

// Forecast is as Model says.
func (m *LevelNaive) Forecast(values []float64, h int) (Quantiles, error) {
	return forecast(m, m.spread, values, h)
}

func (m *LevelNaive) walk(values []float64, origins []int, h int, visit func(int, []float64)) {
	if len(m.share) == 0 {
		return
	}
	m.naive.walk(values, origins, h, func(o int, path []float64) {
		move, _ := m.move(values, o)
		for i := range path {
			path[i] += m.share[min(i, len(m.share)-1)] * move
		}
		visit(o, path)
	})
}
