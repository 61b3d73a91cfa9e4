package baseline

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// ErrTooShort says that there are too few values to fit or to forecast from.
var ErrTooShort = errors.New("too few values")

// Quantiles is a forecast: index 0 is one step ahead. The three have one length.
type Quantiles struct {
	P10, P50, P90 []float64
}

// NewQuantiles is h steps of zeros.
func NewQuantiles(h int) Quantiles {
	all := make([]float64, 3*h)
	return Quantiles{P10: all[:h:h], P50: all[h : 2*h : 2*h], P90: all[2*h:]}
}

// Clone is a copy that shares nothing.
func (q Quantiles) Clone() Quantiles {
	return Quantiles{P10: slices.Clone(q.P10), P50: slices.Clone(q.P50), P90: slices.Clone(q.P90)}
}

// At is the three quantiles of an index, ascending.
func (q Quantiles) At(i int) [3]float64 { return [3]float64{q.P10[i], q.P50[i], q.P90[i]} }

// Settle puts every step's quantiles in order and clamps them into [lo, hi].
// An error says that a value is not finite, or that the lengths differ.
func (q Quantiles) Settle(lo, hi float64) error {
	if len(q.P10) != len(q.P50) || len(q.P90) != len(q.P50) {
		return fmt.Errorf("quantiles of %d, %d and %d steps", len(q.P10), len(q.P50), len(q.P90))
	}
	for i := range q.P50 {
		three := [3]float64{q.P10[i], q.P50[i], q.P90[i]}
		for _, v := range three {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("step %d of the forecast is not finite", i+1)
			}
		}
		slices.Sort(three[:])
		for k := range three {
			three[k] = min(max(three[k], lo), hi)
		}
		q.P10[i], q.P50[i], q.P90[i] = three[0], three[1], three[2]
	}
	return nil
}

// Params is what a fit needs to know beside the values.
type Params struct {
	Season  int // steps; 0 where there is none
	Horizon int // steps ahead that will be asked for, at least 1

	// Start of the first value and Step of the series, for models with a
	// calendar; without a step they do without.
	Start time.Time
	Step  time.Duration
}

// Model is one forecaster. It is not safe to Fit while forecasting.
type Model interface {
	// Name is the model's name in models.Forecast.
	Name() string
	// Fit sets the parameters and the spread from a regular series, oldest
	// first, NaN where a step is missing. ErrTooShort where it cannot be fitted.
	Fit(values []float64, p Params) error
	// Forecast looks h steps past the end of values, a tail of the series.
	Forecast(values []float64, h int) (Quantiles, error)
	// Loss is the mean pinball loss over the origins that Fit looked at, a
	// first guess before anything was scored. 0 before Fit.
	Loss() float64
}

// Dated is a model with a calendar.
type Dated interface {
	// ForecastFrom is Forecast of values that begin at a time.
	ForecastFrom(start time.Time, values []float64, h int) (Quantiles, error)
}

// Forecast asks a model to look h steps past the end of values that begin at start.
func Forecast(m Model, start time.Time, values []float64, h int) (Quantiles, error) {
	if d, ok := m.(Dated); ok {
		return d.ForecastFrom(start, values, h)
	}
	return m.Forecast(values, h)
}

// walker gives a model's point forecasts at many origins in one pass.
type walker interface {
	// walk calls visit for each origin in ascending origins with the path
	// forecast from values[:origin]. The path is reused between calls.
	walk(values []float64, origins []int, h int, visit func(origin int, path []float64))
}

// Count is the number of values that are there.
func Count(values []float64) int {
	n := 0
	for _, v := range values {
		if !math.IsNaN(v) {
			n++
		}
	}
	return n
}
