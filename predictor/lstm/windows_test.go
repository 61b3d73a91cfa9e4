package lstm

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/predictor/features"
)

func testFrame(values []float64, season int) *frame {
	d := newDims(Config{Horizon: 6, Context: 12}.Defaults())
	s := scaler{Unit: 1, Width: 2, Residual: 0.5, Top: 30, Season: season, Step: time.Hour, Day: true, Week: true}
	mask := make([]bool, len(values))
	for i := range mask {
		mask[i] = i%11 != 3
	}
	return newFrame(s, d, Data{Values: values, Start: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Step: time.Hour}, mask)
}

func randomWalk(n int) []float64 {
	rng := rand.New(rand.NewPCG(9, 9))
	out := make([]float64, n)
	for i := 1; i < n; i++ {
		out[i] = out[i-1] + rng.NormFloat64()
	}
	return out
}

func TestAWindowDependsOnNothingAfterItsOrigin(t *testing.T) {
	for _, season := range []int{0, 5, 24} {
		clean := randomWalk(120)
		for _, at := range []int{3, 40, 100} {
			corrupt := append([]float64(nil), clean...)
			for i := at + 1; i < len(corrupt); i++ {
				corrupt[i] = 1e6 * float64(i)
			}
			a, b := testFrame(clean, season), testFrame(corrupt, season)
			x, y := newBatch(a.d, 2), newBatch(b.d, 2)
			a.fill(x, 2, 1, a.origin(at), 0)
			b.fill(y, 2, 1, b.origin(at), 0)
			if d := cmp.Diff(a.origin(at), b.origin(at), cmp.AllowUnexported(origin{})); d != "" {
				t.Errorf("season %d, origin %d: %s", season, at, d)
			}
			if d := cmp.Diff(x, y, cmp.AllowUnexported(batch{})); d != "" {
				t.Errorf("season %d, origin %d: %s", season, at, d)
			}
		}
	}
}

func TestTargetsEndBeforeTheLimitAndAreWhatTheBaselineMissed(t *testing.T) {
	f := testFrame(randomWalk(120), 24)
	b := newBatch(f.d, 1)
	o := f.origin(90)
	f.fill(b, 1, 0, o, 94)
	for h := range f.d.horizon {
		i := 91 + h
		counts := i < 94 && f.view.Mask[i]
		if (b.weights[h] > 0) != counts {
			t.Errorf("step %d has weight %v", i, b.weights[h])
		}
		if !counts {
			continue
		}
		if got := f.baseline(o, h+1) + float64(b.targets[h])*o.residual; math.Abs(got-f.view.Values[i]) > 1e-4 {
			t.Errorf("step %d: baseline and target give %v, not %v", i, got, f.view.Values[i])
		}
	}
}

func TestAWindowBeforeTheSeriesIsMaskedOut(t *testing.T) {
	f := testFrame(randomWalk(120), 24)
	b := newBatch(f.d, 1)
	f.fill(b, 1, 0, f.origin(4), 0)
	for j := range f.d.context - 5 {
		for i, v := range b.x[j*f.d.inputs : (j+1)*f.d.inputs] {
			if v != 0 {
				t.Errorf("step %d before the series, input %d is %v", j, i, v)
			}
		}
	}
	if b.x[(f.d.context-1)*f.d.inputs+1] != 1 {
		t.Error("the origin is masked out")
	}
}

func TestZeroOutputIsTheBaseline(t *testing.T) {
	_, data := smallModel(t, nil)
	m, _ := smallModel(t, nil)
	for _, w := range m.w.tensors() {
		clear(w)
	}
	q := mustForecast(t, m, data)
	v := features.View{Values: data.Values, Mask: make([]bool, len(data.Values)), Season: data.Season}
	for i := range v.Mask {
		v.Mask[i] = true
	}
	at := len(data.Values) - 1
	for h := range q.P50 {
		s, _ := v.Seasonal(at+1+h, at)
		if want := s + v.Move(at, moveSteps(data.Season)); math.Abs(q.P50[h]-want) > 1e-9 {
			t.Errorf("step %d: %v, the level-corrected seasonal naive is %v", h+1, q.P50[h], want)
		}
	}
}

func TestTransformsComeBack(t *testing.T) {
	for _, s := range []scaler{{Unit: 1}, {Unit: 4, Log: true}} {
		for _, v := range []float64{0, 0.5, 3, 1e4} {
			if got := s.back(s.forward(v), 0, s.forward(1e4)); math.Abs(got-v) > 1e-9*max(1, v) {
				t.Errorf("log %v: %v came back as %v", s.Log, v, got)
			}
		}
	}
}

func TestCalibrationWidensWhatIsTooNarrowAndNarrowsWhatIsTooWide(t *testing.T) {
	d := dims{horizon: 4}
	const n = 400
	rng := rand.New(rand.NewPCG(3, 3))
	b := newBatch(dims{horizon: 4}, n)
	raw := make([]float32, n*d.outputs())
	for i := range b.targets {
		b.targets[i], b.weights[i] = float32(rng.NormFloat64()), 1
	}
	for scale, wider := range map[float64]bool{0.2: true, 3: false} {
		sorted := make([]float64, 999)
		for i := range sorted { // about a normal distribution, too narrow or too wide
			sorted[i] = scale * math.Sqrt2 * math.Erfinv(2*float64(i+1)/1000-1)
		}
		for i := range n * d.horizon {
			biasOf(sorted, raw[i*NumQuantiles:(i+1)*NumQuantiles])
		}
		stretch := make([][2]float32, d.horizon)
		calibrate(raw, b.targets, b.weights, d, stretch)
		for h, s := range stretch {
			for _, f := range s {
				if (f > 1.2) != wider || (f < 0.8) == wider {
					t.Errorf("quantiles of %v deviations, step %d: stretched by %v", scale, h+1, f)
				}
			}
		}
	}
}
