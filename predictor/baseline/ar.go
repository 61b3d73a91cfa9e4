package baseline

import (
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/mat"
)

const (
	arMaxRows = 20000 // newest origins that are fitted on
	arRows    = 2000  // of them, spread evenly: ample for some twenty weights
	arRidge   = 1e-4  // of the mean square of the regressors
	arPasses  = 3     // of the reweighting
	arClip    = 2.0   // ranges of all but the extreme values
)

// AR is a direct linear autoregression with calendar terms: for each horizon its
// own regression on the last six values, the mean of the last 12, the level, the
// values one, two and three seasons before the target and beside the first of
// them, two harmonics of the time of day, and whether it is a weekend. Where
// there is no season, or the values span too short a time for a calendar, those
// are left out. All values are taken relative to the mean of the last 60, and none
// counts as further from it than twice the range of all but the extreme ones.
//
// Weights are of least absolute deviations, by iteratively reweighted least
// squares (Schlossmacher 1973) with a small ridge: a few outliers must not decide.
type AR struct {
	season, horizon int
	start           time.Time // of the first value; zero where there is no calendar
	step            time.Duration
	week            bool
	reach           float64 // how far from the level a value counts at most
	size            float64 // usual distance from the median: the unit of the calendar terms
	weights         *mat.Dense
	spread          spread
}

// NewAR is a model that has to be fitted.
func NewAR() *AR { return &AR{} }

// Name is "ar".
func (m *AR) Name() string { return "ar" }

// Loss is as Model says.
func (m *AR) Loss() float64 { return m.spread.loss }

const (
	arLags     = 6
	arSeasonal = arLags + 1     // beside the lags: the mean of 12
	arCalendar = arSeasonal + 5 // beside them: the season's
	arConstant = arCalendar + 5 // beside them: the calendar's
	arDims     = arConstant + 2 // beside them: the level and the constant
	arMean     = 60
	arMinRows  = 3 * arDims
)

// Fit is as Model says; it needs some sixty values beyond its lags.
func (m *AR) Fit(values []float64, p Params) (err error) {
	filled := carried(values)
	*m = AR{horizon: p.Horizon}
	if p.Season > 1 && 3*p.Season <= len(filled) {
		m.season = p.Season
	}
	span := time.Duration(len(values)) * p.Step
	if p.Step > 0 && p.Step <= 6*time.Hour && span >= 48*time.Hour {
		m.start, m.step, m.week = p.Start.UTC(), p.Step, span >= 14*24*time.Hour
	}
	last := len(filled) - p.Horizon // origins up to here know all their targets
	first := max(m.first(), last-arMaxRows)
	if last-first < arMinRows {
		return ErrTooShort
	}
	m.size, m.reach = deviation(filled[first:])
	if err := m.solve(filled, values, first, last); err != nil {
		return err
	}
	m.spread, err = measure(m, values, p)
	return err
}

// first is the first origin with all its regressors.
func (m *AR) first() int { return max(arMean, m.season+1) }

// deviation is the median distance from the median, or the mean one where that is
// 0; and how far a value may be off.
func deviation(values []float64) (usual, reach float64) {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	mid, sum := quantile(sorted, 0.5), 0.0
	reach = arClip * (quantile(sorted, 0.99) - quantile(sorted, 0.01))
	for i, v := range sorted {
		sorted[i] = math.Abs(v - mid)
		sum += sorted[i]
	}
	slices.Sort(sorted)
	usual = quantile(sorted, 0.5)
	if usual == 0 {
		usual = sum / float64(len(values))
	}
	if reach == 0 { // next to all values are one
		reach = sorted[len(sorted)-1]
	}
	return usual, reach
}

// levels are the means of the last 60 values before each origin, none further
// from their median than the reach.
func (m *AR) levels(filled []float64, origins []int) []float64 {
	out := make([]float64, len(origins))
	window := make([]float64, arMean)
	for i, o := range origins {
		if o < m.first() {
			continue
		}
		copy(window, filled[o-arMean:o])
		slices.Sort(window)
		mid := window[arMean/2]
		for _, v := range window {
			out[i] += min(max(v, mid-m.reach), mid+m.reach) / arMean
		}
	}
	return out
}

// solve fits the weights of each horizon.
func (m *AR) solve(filled, values []float64, first, last int) error {
	m.weights = mat.NewDense(arDims, m.horizon, nil)
	stride := max(1, (last-first)/arRows)
	var origins []int
	for o := first; o < last; o += stride {
		origins = append(origins, o)
	}
	levels := m.levels(filled, origins)
	var rows []float64 // the regressors of each, then its target
	for h := range m.horizon {
		rows = rows[:0]
		for i, o := range origins {
			if math.IsNaN(values[o+h]) {
				continue
			}
			at := len(rows)
			rows = slices.Grow(rows, arDims+1)[:at+arDims+1]
			m.regressors(filled, o, h, levels[i], rows[at:at+arDims])
			rows[at+arDims] = values[o+h] - levels[i]
		}
		if len(rows) < arMinRows*(arDims+1) {
			return ErrTooShort
		}
		w := m.regress(rows)
		if w == nil {
			return ErrTooShort // degenerate: nothing to learn from
		}
		m.weights.SetCol(h, w)
	}
	return nil
}

// regress is least squares, reweighted by the inverse of the errors.
func (m *AR) regress(rows []float64) []float64 {
	const width = arDims + 1
	var w []float64
	errs := make([]float64, len(rows)/width)
	small := 0.0
	for pass := range arPasses {
		var gram [arDims][arDims]float64
		var right [arDims]float64
		for r := range errs {
			x, y := rows[r*width:r*width+arDims], rows[r*width+arDims]
			weight := 1.0
			if pass > 0 {
				weight = small / max(errs[r], small)
			}
			for i := range arDims {
				wx := weight * x[i]
				if wx == 0 {
					continue
				}
				for j := 0; j <= i; j++ {
					gram[i][j] += wx * x[j]
				}
				right[i] += wx * y
			}
		}
		next := solveRidge(&gram, &right)
		if next == nil {
			return w
		}
		w = next
		sum := 0.0
		for r := range errs {
			e := rows[r*width+arDims]
			for i, v := range rows[r*width : r*width+arDims] {
				e -= w[i] * v
			}
			errs[r] = math.Abs(e)
			sum += errs[r]
		}
		if small = 0.2 * sum / float64(len(errs)); small <= 0 {
			break
		}
	}
	return w
}

// solveRidge is nil where the equations have no usable solution.
func solveRidge(gram *[arDims][arDims]float64, right *[arDims]float64) []float64 {
	trace := 0.0
	for i := range arDims {
		trace += gram[i][i]
	}
	a := mat.NewSymDense(arDims, nil)
	for i := range arDims {
		for j := 0; j <= i; j++ {
			a.SetSym(i, j, gram[i][j])
		}
		a.SetSym(i, i, gram[i][i]+arRidge*trace/arDims+1e-12)
	}
	var chol mat.Cholesky
	if !chol.Factorize(a) {
		return nil
	}
	var w mat.VecDense
	if chol.SolveVecTo(&w, mat.NewVecDense(arDims, right[:])) != nil {
		return nil
	}
	out := make([]float64, arDims)
	for i := range out {
		if out[i] = w.AtVec(i); math.IsNaN(out[i]) || math.IsInf(out[i], 0) {
			return nil
		}
	}
	return out
}

// regressors fills x for the target h+1 steps after v[:o].
func (m *AR) regressors(v []float64, o, h int, level float64, x []float64) {
	clear(x)
	off := func(i int) float64 { return min(max(v[i]-level, -m.reach), m.reach) }
	for i := range 12 {
		d := off(o - 1 - i)
		if i < arLags {
			x[i] = d
		}
		x[arLags] += d / 12
	}
	if m.season > 0 {
		at := o + h - m.season
		for at >= o {
			at -= m.season
		}
		x[arSeasonal], x[arSeasonal+1], x[arSeasonal+2] = off(max(at-1, 0)), off(max(at, 0)), off(min(max(at+1, 0), o-1))
		for k := 1; k <= 2; k++ { // further seasons back, the oldest there is where they are not
			for back := at - k*m.season; ; back += m.season {
				if back >= 0 {
					x[arSeasonal+2+k] = off(back)
					break
				}
				if back >= at {
					x[arSeasonal+2+k] = x[arSeasonal+1]
					break
				}
			}
		}
	}
	m.calendar(o+h, x[arCalendar:arConstant])
	x[arConstant], x[arConstant+1] = level, m.size // the pull towards a mean of its own
}

// calendar fills x for the step at an index.
func (m *AR) calendar(index int, x []float64) {
	if m.step == 0 {
		return
	}
	const day = 24 * time.Hour
	at := m.start.Add(time.Duration(index) * m.step)
	unix := time.Duration(at.UnixNano())
	angle := 2 * math.Pi * float64(unix%day) / float64(day)
	s, c := math.Sincos(angle)
	x[0], x[1] = m.size*s, m.size*c
	x[2], x[3] = m.size*2*s*c, m.size*(c*c-s*s)
	if d := at.Weekday(); m.week && (d == time.Saturday || d == time.Sunday) {
		x[4] = m.size
	}
}

// Forecast is as Model says, for at most the horizon that was fitted. Values are
// taken to begin where those of Fit did.
func (m *AR) Forecast(values []float64, h int) (Quantiles, error) {
	return forecast(m, m.spread, values, h)
}

// ForecastFrom is Forecast of values that begin at a time.
func (m *AR) ForecastFrom(start time.Time, values []float64, h int) (Quantiles, error) {
	moved := *m
	moved.start = start.UTC()
	return moved.Forecast(values, h)
}

func (m *AR) walk(values []float64, origins []int, h int, visit func(int, []float64)) {
	if m.weights == nil || h > m.horizon || len(origins) == 0 {
		return
	}
	filled := carried(values)
	x, path := make([]float64, arDims), make([]float64, h)
	levels := m.levels(filled, origins)
	for j, o := range origins {
		if o < m.first() {
			continue
		}
		for k := range path {
			m.regressors(filled, o, k, levels[j], x)
			sum := levels[j]
			for i, v := range x {
				sum += v * m.weights.At(i, k)
			}
			path[k] = sum
		}
		visit(o, path)
	}
}

// carried is the values with the last one carried over gaps, the first one back
// to the start.
func carried(values []float64) []float64 {
	out := make([]float64, len(values))
	last, has := 0.0, false
	for i, v := range values {
		if !math.IsNaN(v) {
			if !has {
				for k := range i {
					out[k] = v
				}
			}
			last, has = v, true
		}
		out[i] = last
	}
	return out
}
