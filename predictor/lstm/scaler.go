package lstm

import (
	"fmt"
	"math"
	"slices"
	"time"

	"loadstar/predictor/features"
)

// Clips of what goes into the network and of what it is trained towards, in scaled
// units: a far outlier pulls, but not without bound.
const (
	inputClip  = 8
	targetClip = 100
	leastWidth = 1e-9 // of anything, in transformed units: keeps divisions finite
)

// scaler holds what was learnt from the training part about units and sizes. It is
// part of the checkpoint: exported fields, JSON.
type scaler struct {
	Log      bool    // values are log(1+v/Unit)
	Unit     float64 // > 0
	Width    float64 // robust width of the transformed training values
	Residual float64 // typical size of the baseline's error, in widths of the window
	Top      float64 // greatest transformed training value, to bound what comes back
	Bottom   float64 // least one
	Day      bool    // the time of day is an input: the training span has at least two days
	Week     bool    // the day of the week is an input: at least two weeks
	Season   int     // steps, 0 for none
	Step     time.Duration
}

// fitScaler looks at the observed values before the end of the training part.
func fitScaler(cfg Config, data Data, mask []bool) (scaler, error) {
	s := scaler{Unit: 1, Season: data.Season, Step: data.Step}
	sorted := make([]float64, 0, len(data.Values))
	positive, n := 0.0, 0.0
	for i, v := range data.Values {
		if mask[i] {
			sorted = append(sorted, v)
			if v > 0 {
				n++
				positive += (v - positive) / n
			}
		}
	}
	if len(sorted) == 0 {
		return s, fmt.Errorf("lstm: %w: nothing was observed before the validation slice", ErrTooShort)
	}
	slices.Sort(sorted)
	least, low, median, high := sorted[0], features.Quantile(sorted, 0.05), features.Quantile(sorted, 0.5), features.Quantile(sorted, 0.95)
	switch cfg.Transform {
	case TransformLog1p:
		if least < 0 {
			return s, fmt.Errorf("lstm: Transform is log1p, but there is a negative value, %v", least)
		}
		s.Log = true
	case TransformAuto:
		s.Log = least >= 0 && low > median/20 && high > 2.5*median
	}
	if s.Log && positive > 0 {
		s.Unit = positive / 5
	}
	s.Bottom, s.Top = s.forward(least), s.forward(sorted[len(sorted)-1])
	span := time.Duration(len(data.Values)) * data.Step
	s.Day = span >= 48*time.Hour && data.Step < 24*time.Hour
	s.Week = span >= 14*24*time.Hour && data.Step < 7*24*time.Hour
	return s, nil
}

// forward transforms a value; finite for a finite one.
func (s scaler) forward(v float64) float64 {
	if s.Log {
		return math.Log1p(max(v, 0) / s.Unit)
	}
	return v
}

// back undoes forward. What is far outside of everything seen is bounded first, by
// the values seen and by the window's own, so that an exponential cannot run away.
func (s scaler) back(z, lo, hi float64) float64 {
	if s.Log {
		return math.Expm1(min(max(z, 0), hi+1)) * s.Unit
	}
	room := 2 * (hi - lo)
	return min(max(z, lo-room), hi+room)
}

// near reports whether weights learnt under o mean about the same under s.
func (s scaler) near(o scaler) bool {
	similar := func(a, b float64) bool { return a > b/2 && a < b*2 }
	return s.Season == o.Season && s.Step == o.Step && s.Log == o.Log && similar(s.Residual, o.Residual) && similar(s.Unit, o.Unit)
}

// scaleSteps is the stretch that a window's width is taken from.
func scaleSteps(context, season int) int { return max(context, min(season, 4096)) }

// moveSteps is the stretch that the level's move is taken from.
func moveSteps(season int) int { return min(12, max(3, season/8)) }

// lookback is how many steps up to an origin a window reads at most.
func lookback(d dims, season int) int {
	return max(scaleSteps(d.context, season), max(d.context, 32)+features.Seasons*season)
}
