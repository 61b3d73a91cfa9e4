package baseline

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

const (
	arMaxRows = 20000 // newest origins that are fitted on
	arRidge   = 1e-4  // of the mean square of the regressors
)

// AR is a direct linear autoregression: for each horizon its own least squares
// (with a small ridge) on the last six values, the means of the last 12 and 60,
// and the values one season before the target and around it. Where there is no
// season those are left out. Regressors and target are taken relative to the
// newest value's level, the mean of the last 60.
type AR struct {
	season, horizon int
	weights         *mat.Dense // regressors x horizon
	spread          spread
}

// NewAR is a model that has to be fitted.
func NewAR() *AR { return &AR{} }

// Name is "ar".
func (m *AR) Name() string { return "ar" }

// Loss is as Model says.
func (m *AR) Loss() float64 { return m.spread.loss }

const (
	arLags    = 6
	arPlain   = arLags + 1      // lags and the mean of 12
	arDims    = arPlain + 3 + 1 // beside them: the season's three and the constant
	arMean    = 60
	arMinRows = 3 * arDims
)

// Fit is as Model says; it needs some sixty values beyond its lags.
func (m *AR) Fit(values []float64, p Params) (err error) {
	filled := carried(values)
	m.season, m.horizon = 0, p.Horizon
	if p.Season > 1 && 3*p.Season <= len(filled) {
		m.season = p.Season
	}
	first := m.first()
	last := len(filled) - p.Horizon // origins up to here know all their targets
	first = max(first, last-arMaxRows)
	if last-first < arMinRows {
		return ErrTooShort
	}
	if err := m.solve(filled, values, first, last); err != nil {
		return err
	}
	m.spread, err = measure(m, values, p)
	return err
}

// first is the first origin with all its regressors.
func (m *AR) first() int { return max(arMean, m.season+1) }

// solve accumulates the normal equations of each horizon and solves them. The
// season's regressors depend on the horizon, so each has its own.
func (m *AR) solve(filled, values []float64, first, last int) error {
	m.weights = mat.NewDense(arDims, m.horizon, nil)
	x := make([]float64, arDims)
	for h := range m.horizon {
		var gram [arDims][arDims]float64
		var right [arDims]float64
		rows := 0.0
		stride := max(1, (last-first)/4000) // ample for eleven weights
		for o := first; o <= last-1; o += stride {
			if math.IsNaN(values[o+h]) {
				continue
			}
			level := m.regressors(filled, o, h, x)
			y := values[o+h] - level
			for i := range x {
				for j := 0; j <= i; j++ {
					gram[i][j] += x[i] * x[j]
				}
				right[i] += x[i] * y
			}
			rows++
		}
		if rows < arMinRows {
			return ErrTooShort
		}
		if !m.solveOne(&gram, &right, h) {
			return ErrTooShort // degenerate: nothing to learn from
		}
	}
	return nil
}

func (m *AR) solveOne(gram *[arDims][arDims]float64, right *[arDims]float64, h int) bool {
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
		return false
	}
	var w mat.VecDense
	if chol.SolveVecTo(&w, mat.NewVecDense(arDims, right[:])) != nil {
		return false
	}
	for i := range arDims {
		v := w.AtVec(i)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
		m.weights.Set(i, h, v)
	}
	return true
}

// regressors fills x for the target h+1 steps after values[:o], and returns the level.
func (m *AR) regressors(v []float64, o, h int, x []float64) float64 {
	level, short := 0.0, 0.0
	for i := range arMean {
		level += v[o-1-i]
		if i < 12 {
			short += v[o-1-i]
		}
	}
	level /= arMean
	for i := range arLags {
		x[i] = v[o-1-i] - level
	}
	x[arLags] = short/12 - level
	for k := range 3 {
		x[arPlain+k] = 0
		if m.season == 0 {
			continue
		}
		at := o + h - m.season + k - 1
		for at >= o {
			at -= m.season
		}
		x[arPlain+k] = v[max(at, 0)] - level
	}
	x[arDims-1] = 0
	if level != 0 {
		x[arDims-1] = level // the pull towards a mean of its own
	}
	return level
}

// Forecast is as Model says, for at most the horizon that was fitted.
func (m *AR) Forecast(values []float64, h int) (Quantiles, error) {
	return forecast(m, m.spread, values, h)
}

func (m *AR) walk(values []float64, origins []int, h int, visit func(int, []float64)) {
	if m.weights == nil || h > m.horizon {
		return
	}
	filled := carried(values)
	x, path := make([]float64, arDims), make([]float64, h)
	for _, o := range origins {
		if o < m.first() {
			continue
		}
		for k := range path {
			sum := m.regressors(filled, o, k, x)
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
