package lstm

import (
	"fmt"
	"math"
	"sync"
)

// Model is a trained network. It does not change: any number of goroutines may use it.
type Model struct {
	info    Info
	d       dims
	s       scaler
	w       *weights
	resume  *weights     // where training goes on from: before the newest slice was learnt, so that it can still be judged by that
	adam    *adam        // the optimiser's state at resume
	stretch [][2]float32 // by step ahead: what calibration multiplies the distances below and above the median by
	k       *kernels
	scratch sync.Pool // of *scratch
}

// scratch is the memory of one forecast.
type scratch struct {
	batch *batch
	tape  *tape
	out   []float32
}

func newModel(info Info, s scaler, w, resume *weights, a *adam) *Model {
	m := &Model{info: info, d: newDims(info.Config), s: s, w: w, resume: resume, adam: a, k: detectKernels()}
	m.stretch = make([][2]float32, m.d.horizon)
	for i := range m.stretch {
		m.stretch[i] = [2]float32{1, 1}
	}
	m.scratch.New = func() any {
		return &scratch{batch: newBatch(m.d, 1), tape: newTape(m.d, 1, false), out: make([]float32, m.d.outputs())}
	}
	return m
}

// Info says what the model is and what it was trained on.
func (m *Model) Info() Info { return m.info }

// Lookback is how many of a series' last steps Forecast reads; with fewer it still
// works, with more the forecast is the same.
func (m *Model) Lookback() int { return lookback(m.d, m.s.Season) }

// Forecast returns the quantiles of the Horizon steps after data's last. data must
// have the step that the model was trained on; the error wraps ErrTooShort where
// nothing was observed within the context.
func (m *Model) Forecast(data Data) (Quantiles, error) {
	if keep := m.Lookback(); len(data.Values) > keep && (data.Mask == nil || len(data.Mask) == len(data.Values)) {
		cut := len(data.Values) - keep
		data.Start = after(data.Start, cut, data.Step)
		data.Values = data.Values[cut:]
		if data.Mask != nil {
			data.Mask = data.Mask[cut:]
		}
	}
	mask, err := checkData(data)
	if err != nil {
		return Quantiles{}, err
	}
	if data.Step != m.s.Step {
		return Quantiles{}, fmt.Errorf("lstm: Step is %s, the model was trained on %s", data.Step, m.s.Step)
	}
	seen := false
	for _, ok := range mask[max(0, len(mask)-m.d.context):] {
		seen = seen || ok
	}
	if !seen {
		return Quantiles{}, fmt.Errorf("lstm: %w: nothing was observed in the last %d steps", ErrTooShort, m.d.context)
	}
	f := newFrame(m.s, m.d, data, mask)
	return m.forecastAt(f, f.origin(len(mask)-1))
}

// forecastAt runs one window.
func (m *Model) forecastAt(f *frame, o origin) (Quantiles, error) {
	sc := m.scratch.Get().(*scratch)
	defer m.scratch.Put(sc)
	f.fill(sc.batch, 1, 0, o, 0)
	last := runLSTM(m.k, m.d, 1, sc.batch.x, m.w.cell, sc.tape)
	runHead(m.k, m.d, 1, last, sc.batch.skips, sc.batch.futures, m.w, sc.out)
	if !allFinite(sc.out) {
		return Quantiles{}, fmt.Errorf("lstm: the forecast is %w", ErrNotFinite)
	}

	q := Quantiles{
		P10: make([]float64, m.d.horizon), P50: make([]float64, m.d.horizon), P90: make([]float64, m.d.horizon),
		All: make([][NumQuantiles]float64, m.d.horizon),
	}
	lo, hi := f.bounds(o)
	var scaled, slopes [NumQuantiles]float32
	for h := range m.d.horizon {
		spread(sc.out[h*NumQuantiles:(h+1)*NumQuantiles], scaled[:], slopes[:])
		base := f.baseline(o, h+1)
		for i, v := range scaled {
			v = stretched(scaled[middle], v, m.stretch[h])
			y := m.s.back(base+float64(v)*o.residual, lo, hi)
			if m.info.Config.NonNegative {
				y = max(y, 0)
			}
			if m.info.Config.Max > 0 {
				y = min(y, m.info.Config.Max)
			}
			if math.IsNaN(y) || math.IsInf(y, 0) {
				return Quantiles{}, fmt.Errorf("lstm: the forecast is %w", ErrNotFinite)
			}
			q.All[h][i] = y
		}
		q.P10[h], q.P50[h], q.P90[h] = q.All[h][0], q.All[h][middle], q.All[h][NumQuantiles-1]
	}
	return q, nil
}

// stretched moves a quantile away from the median or towards it.
func stretched(median, v float32, by [2]float32) float32 {
	if v < median {
		return median + (v-median)*by[0]
	}
	return median + (v-median)*by[1]
}
