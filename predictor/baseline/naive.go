package baseline

import "math"

// Last forecasts the last value for every step ahead.
type Last struct{ spread spread }

// NewLast is a model that has to be fitted.
func NewLast() *Last { return &Last{} }

// Name is "last".
func (m *Last) Name() string { return "last" }

// Loss is as Model says.
func (m *Last) Loss() float64 { return m.spread.loss }

// Fit measures how far the last value is off at each horizon. One value is enough.
func (m *Last) Fit(values []float64, p Params) (err error) {
	m.spread, err = measure(m, values, p)
	return err
}

// Forecast is as Model says.
func (m *Last) Forecast(values []float64, h int) (Quantiles, error) {
	return forecast(m, m.spread, values, h)
}

func (m *Last) walk(values []float64, origins []int, h int, visit func(int, []float64)) {
	path := make([]float64, h)
	last, seen := math.NaN(), 0
	for _, o := range origins {
		for ; seen < o; seen++ {
			if !math.IsNaN(values[seen]) {
				last = values[seen]
			}
		}
		if math.IsNaN(last) {
			continue
		}
		for i := range path {
			path[i] = last
		}
		visit(o, path)
	}
}

// SeasonalNaive forecasts the value one season earlier; where that is missing,
// one more season back, and the last value where nothing is. Without a season
// it is the last value.
type SeasonalNaive struct {
	season int
	spread spread
}

// NewSeasonalNaive is a model that has to be fitted.
func NewSeasonalNaive() *SeasonalNaive { return &SeasonalNaive{} }

// Name is "snaive".
func (m *SeasonalNaive) Name() string { return "snaive" }

// Loss is as Model says.
func (m *SeasonalNaive) Loss() float64 { return m.spread.loss }

// Fit is as Model says. One value is enough.
func (m *SeasonalNaive) Fit(values []float64, p Params) (err error) {
	m.season = p.Season
	m.spread, err = measure(m, values, p)
	return err
}

// Forecast is as Model says.
func (m *SeasonalNaive) Forecast(values []float64, h int) (Quantiles, error) {
	return forecast(m, m.spread, values, h)
}

func (m *SeasonalNaive) walk(values []float64, origins []int, h int, visit func(int, []float64)) {
	path := make([]float64, h)
	last, seen := math.NaN(), 0
	for _, o := range origins {
		for ; seen < o; seen++ {
			if !math.IsNaN(values[seen]) {
				last = values[seen]
			}
		}
		if math.IsNaN(last) {
			continue
		}
		for i := range path {
			path[i] = m.at(values[:o], o+i, last)
		}
		visit(o, path)
	}
}

// at is the value a whole number of seasons before index target that lies
// within known and is there, at most four seasons deeper than the first.
func (m *SeasonalNaive) at(known []float64, target int, last float64) float64 {
	if m.season <= 0 {
		return last
	}
	i := target - m.season
	for ; i >= len(known); i -= m.season {
	}
	for range 5 {
		if i < 0 {
			break
		}
		if !math.IsNaN(known[i]) {
			return known[i]
		}
		i -= m.season
	}
	return last
}
