package lstm

import (
	"fmt"
	"math"
	"time"

	"loadstar/predictor/features"
)

// What a step of the context, and what goes around the LSTM, consists of.
const (
	numInputs  = 11
	numLags    = 6
	numSkips   = numLags + 13
	numFutures = 4
	shortMean  = 12 // steps of the short mean
)

func newDims(c Config) dims {
	return dims{context: c.Context, inputs: numInputs, hidden: c.Hidden, skips: numSkips, futures: numFutures, horizon: c.Horizon}
}

// frame is a series in transformed space from which windows are cut.
type frame struct {
	s     scaler
	d     dims
	view  features.View
	clock features.Clock
}

// newFrame transforms data and fills what was not observed from before.
func newFrame(s scaler, d dims, data Data, mask []bool) *frame {
	f := &frame{s: s, d: d, clock: features.Clock{Start: data.Start, Step: s.Step, Season: s.Season}}
	z := make([]float64, len(data.Values))
	for i, v := range data.Values {
		if mask[i] {
			z[i] = s.forward(v)
		}
	}
	features.CarryForward(z, mask)
	f.view = features.View{Values: z, Mask: mask, Season: s.Season}
	return f
}

// origin is what a forecast made after step at starts from, in transformed space.
type origin struct {
	at       int
	last     float64 // the last value
	long     float64 // the mean over the context
	width    float64 // the window's amplitude
	residual float64 // the unit of the network's output
	move     float64 // of the level since a season
	seasonal bool    // a season back is known
	weight   float32 // in the loss
}

func (f *frame) origin(at int) origin {
	o := origin{at: at, last: f.view.Values[at]}
	o.width = f.view.Width(at, scaleSteps(f.d.context, f.s.Season), max(leastWidth, f.s.Width/50))
	o.residual = o.width * f.s.Residual
	o.long = f.view.Mean(at, f.d.context)
	o.weight = 1
	if f.s.Width > 0 {
		// Errors are judged in the series' unit, where busy stretches count for more; the
		// root is between that and every window alike.
		o.weight = float32(math.Sqrt(min(max(o.width/f.s.Width, 0.1), 10)))
	}
	if _, ok := f.view.Seasonal(at, at); ok {
		o.seasonal = true
		o.move = f.view.Move(at, moveSteps(f.s.Season))
	}
	return o
}

// baseline is the forecast of step o.at+h that zero output stands for: the seasonal
// value moved with the level, the last value where there is none.
func (f *frame) baseline(o origin, h int) float64 {
	if o.seasonal {
		if s, ok := f.view.Seasonal(o.at+h, o.at); ok {
			return s + o.move
		}
	}
	return o.last
}

// bounds are the least and greatest value that a window and the training know of.
func (f *frame) bounds(o origin) (lo, hi float64) {
	lo, hi = f.s.Bottom, f.s.Top
	for _, v := range f.view.Values[max(0, o.at-lookback(f.d, f.s.Season)) : o.at+1] {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// fill writes the window at o into row of a batch of size windows. Targets at or
// after limit count as absent. The data of a window reaches back lookback steps
// and never past its origin.
func (f *frame) fill(b *batch, size, row int, o origin, limit int) {
	mean := f.view.Mean(o.at, shortMean)
	residuals := f.fillContext(b, size, row, o, mean)
	f.fillSkips(b.skips[row*f.d.skips:(row+1)*f.d.skips], o, mean, residuals)
	for h := 1; h <= f.d.horizon; h++ {
		at := row*f.d.horizon + h - 1
		base := f.baseline(o, h)
		f.fillFuture(b.futures[at*f.d.futures:(at+1)*f.d.futures], o, h, base, mean)
		i := o.at + h
		b.targets[at], b.weights[at] = 0, 0
		if i < limit && i < len(f.view.Values) && f.view.Mask[i] {
			b.targets[at] = clip((f.view.Values[i]-base)/o.residual, targetClip)
			b.weights[at] = o.weight
		}
	}
}

// fillContext writes the LSTM's inputs and returns the scaled residuals, the newest last.
func (f *frame) fillContext(b *batch, size, row int, o origin, mean float64) []float32 {
	moment := f.clock.At(o.at)
	residuals := make([]float32, f.d.context)
	for j := range f.d.context {
		at := (j*size + row) * f.d.inputs
		x := b.x[at : at+f.d.inputs]
		clear(x)
		i := o.at - f.d.context + 1 + j
		if i < 0 { // before the series: all zero, the mask as well
			continue
		}
		value := f.view.Values[i]
		past, ok := f.view.Seasonal(i, i)
		switch {
		case !o.seasonal:
			residuals[j] = clip((value-o.last)/o.residual, inputClip)
		case ok:
			residuals[j] = clip((value-past-o.move)/o.residual, inputClip)
			x[2] = clip((past-mean)/o.width, inputClip)
		}
		if f.view.Mask[i] {
			x[0], x[1] = residuals[j], 1
		} else {
			residuals[j] = 0
		}
		if ahead, ok := f.view.Seasonal(i+f.d.horizon, o.at); ok {
			x[3] = clip((ahead+o.move-mean)/o.width, inputClip)
		}
		x[4] = clip((value-mean)/o.width, inputClip)
		f.circles(x[5:], moment(i))
	}
	return residuals
}

// circles writes six numbers: the phase in the season, the day and the week,
// zero for those that the model does not know.
func (f *frame) circles(x []float32, m features.Moment) {
	put := func(i int, on bool, c features.Circle) {
		if on {
			x[i], x[i+1] = float32(c.Sin), float32(c.Cos)
		} else {
			x[i], x[i+1] = 0, 0
		}
	}
	put(0, f.s.Season > 0, m.Season)
	put(2, f.s.Day, m.Day)
	put(4, f.s.Week, m.Week)
}

func (f *frame) fillSkips(x []float32, o origin, mean float64, residuals []float32) {
	n := len(residuals)
	for i := range numLags {
		x[i] = 0
		if i < n {
			x[i] = residuals[n-1-i]
		}
	}
	short, long, square := 0.0, 0.0, 0.0
	for i, r := range residuals {
		if i >= n-shortMean {
			short += float64(r) / float64(min(n, shortMean))
		}
		long += float64(r) / float64(n)
		square += float64(r) * float64(r) / float64(n)
	}
	x = x[numLags:]
	x[0], x[1] = float32(short), float32(long)
	x[2] = float32(math.Sqrt(square))
	x[3] = clip(o.move/o.residual, inputClip)
	x[4] = clip((o.last-mean)/o.width, inputClip)
	x[5] = clip((mean-o.long)/o.width, inputClip)
	x[6] = clip(math.Log(o.width/max(f.s.Width, leastWidth)), inputClip)
	f.circles(x[7:], f.clock.At(o.at)(o.at))
}

// fillFuture writes what is known of one step ahead: how far the baseline is from
// the recent mean, and how far a calmer estimate is from the baseline (the mean of
// several seasons, or of the recent steps), both also in proportion to the horizon.
func (f *frame) fillFuture(x []float32, o origin, h int, base, mean float64) {
	away, calm := o.long-base, mean-base
	if o.seasonal {
		away, calm = base-mean, 0
		several, ok := f.view.SeasonalMean(o.at+h, o.at)
		if one, known := f.view.Seasonal(o.at+h, o.at); ok && known {
			calm = several - one
		}
	}
	part := float32(h) / float32(f.d.horizon)
	x[0], x[1] = clip(away/o.width, inputClip), clip(calm/o.residual, inputClip)
	x[2], x[3] = x[0]*part, x[1]*part
}

// after is the start of the step that comes n steps after start.
func after(start time.Time, n int, step time.Duration) time.Time {
	return start.Add(time.Duration(int64(n) * int64(step)))
}

func clip(v, limit float64) float32 { return float32(min(max(v, -limit), limit)) }

// checkData refuses data that cannot be read, and returns its mask with the
// values that were not observed out.
func checkData(data Data) ([]bool, error) {
	if len(data.Values) == 0 {
		return nil, fmt.Errorf("lstm: %w: the series is empty", ErrTooShort)
	}
	if len(data.Values) > features.MaxSteps {
		return nil, fmt.Errorf("lstm: Values has %d steps, more than %d", len(data.Values), features.MaxSteps)
	}
	if data.Mask != nil && len(data.Mask) != len(data.Values) {
		return nil, fmt.Errorf("lstm: Mask has %d steps, Values %d", len(data.Mask), len(data.Values))
	}
	if data.Step <= 0 || data.Step > 366*24*time.Hour {
		return nil, fmt.Errorf("lstm: Step is %s, not a time of up to a year", data.Step)
	}
	if data.Season < 0 {
		return nil, fmt.Errorf("lstm: Season is %d steps", data.Season)
	}
	mask := make([]bool, len(data.Values))
	for i, v := range data.Values {
		mask[i] = data.Mask == nil || data.Mask[i]
		if mask[i] && (math.IsNaN(v) || math.Abs(v) > 1e100) {
			return nil, fmt.Errorf("lstm: value %d is %v: %w, or beyond 1e100", i, v, ErrNotFinite)
		}
	}
	return mask, nil
}
