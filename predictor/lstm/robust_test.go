package lstm_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loadstar/predictor/lstm"
)

// quick is a configuration that trains in a moment.
func quick(horizon int) lstm.Config {
	return lstm.Config{Context: 24, Horizon: horizon, Hidden: 8, Epochs: 6, EpochBatches: 6, Seed: 1}
}

func train(t *testing.T, cfg lstm.Config, d lstm.Data) *lstm.Model {
	t.Helper()
	m, err := lstm.Train(context.Background(), cfg, d, nil, lstm.TrainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func forecast(t *testing.T, m *lstm.Model, d lstm.Data) lstm.Quantiles {
	t.Helper()
	q, err := m.Forecast(d)
	if err != nil {
		t.Fatal(err)
	}
	sane(t, q, m.Info().Config)
	return q
}

// sane checks what must hold of every forecast.
func sane(t interface{ Errorf(string, ...any) }, q lstm.Quantiles, cfg lstm.Config) {
	if len(q.P10) != cfg.Horizon || len(q.P50) != cfg.Horizon || len(q.P90) != cfg.Horizon || len(q.All) != cfg.Horizon {
		t.Errorf("not %d steps: %d, %d, %d, %d", cfg.Horizon, len(q.P10), len(q.P50), len(q.P90), len(q.All))
		return
	}
	for h, all := range q.All {
		if q.P10[h] != all[0] || q.P50[h] != all[4] || q.P90[h] != all[8] || !slices.IsSorted(all[:]) {
			t.Errorf("step %d: quantiles cross or differ: %v", h+1, all)
		}
		for _, v := range all {
			if math.IsNaN(v) || math.IsInf(v, 0) || cfg.NonNegative && v < 0 || cfg.Max > 0 && v > cfg.Max {
				t.Errorf("step %d: %v is outside of what is allowed", h+1, v)
			}
		}
	}
}

func constant(n int, v float64) []float64 {
	return slices.Repeat([]float64{v}, n)
}

func TestAConstantSeriesIsForecastAsItself(t *testing.T) {
	for _, v := range []float64{0, 3, -250, 1e9, 1e-9} {
		d := lstm.Data{Values: constant(200, v), Start: monday, Step: time.Second, Season: 20}
		q := forecast(t, train(t, quick(10), d), d)
		room := 0.01*math.Abs(v) + 1e-6
		for h := range q.P50 {
			if math.Abs(q.P10[h]-v) > room || math.Abs(q.P90[h]-v) > room {
				t.Errorf("constant %v, step %d: P10 %v, P90 %v", v, h+1, q.P10[h], q.P90[h])
			}
		}
	}
}

func TestAfterAConstantTheFirstValuesThatDifferDoNotExplode(t *testing.T) {
	d := lstm.Data{Values: constant(200, 5), Start: monday, Step: time.Second}
	m := train(t, quick(10), d)
	for _, last := range []float64{6, 50, 5000, 0} {
		d.Values = append(constant(100, 5), last, last, last)
		q := forecast(t, m, d)
		for h := range q.P50 {
			if lo, hi := min(5, last), max(5, last); q.P10[h] < lo-2*(hi-lo)-1 || q.P90[h] > hi+2*(hi-lo)+1 {
				t.Errorf("after %v: step %d is %v to %v", last, h+1, q.P10[h], q.P90[h])
			}
		}
	}
}

func TestMostlyZeroSeriesStaysNearZero(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	d := lstm.Data{Start: monday, Step: time.Second}
	for range 600 {
		v := 0.0
		if rng.Float64() < 0.04 {
			v = 20 + 10*rng.Float64()
		}
		d.Values = append(d.Values, v)
	}
	cfg := quick(10)
	cfg.NonNegative = true
	q := forecast(t, train(t, cfg, d), d)
	for h := range q.P50 {
		if q.P50[h] > 3 || q.P10[h] != 0 && q.P10[h] > 1 {
			t.Errorf("step %d: P10 %v, P50 %v of a series that is 0 nearly always", h+1, q.P10[h], q.P50[h])
		}
	}
}

func TestAfterALevelShiftTheForecastFollows(t *testing.T) {
	all := noisyDays(700, 48, 3)
	d := lstm.Data{Values: all, Start: monday, Step: time.Second, Season: 48}
	m := train(t, quick(12), d)
	shifted := slices.Clone(noisyDays(800, 48, 3))
	for i := 740; i < len(shifted); i++ {
		shifted[i] += 60
	}
	var with, naive float64
	for at := 760; at+12 <= 800; at += 4 {
		d.Values = shifted[:at]
		q := forecast(t, m, d)
		for h := range 12 {
			with += math.Abs(q.P50[h] - shifted[at+h])
			naive += math.Abs(shifted[at+h-48] - shifted[at+h])
		}
	}
	if with > 0.4*naive {
		t.Errorf("20 to 48 steps after a shift of 60 the mean error is %.3g of the seasonal naive's", with/naive)
	}
}

func TestTrainsOnFortyPointsAndFewer(t *testing.T) {
	for _, n := range []int{lstm.MinPoints, 40, 60} {
		for _, season := range []int{0, 10, 96} {
			d := lstm.Data{Values: noisyDays(n, 10, 4), Start: monday, Step: time.Minute, Season: season}
			cfg := lstm.Config{Horizon: 30, Epochs: 3, Seed: 1, NonNegative: true, Max: 60}
			forecast(t, train(t, cfg, d), d)
		}
	}
	d := lstm.Data{Values: noisyDays(lstm.MinPoints-1, 10, 4), Start: monday, Step: time.Minute}
	if _, err := lstm.Train(context.Background(), quick(5), d, nil, lstm.TrainOptions{}); !errors.Is(err, lstm.ErrTooShort) {
		t.Errorf("one point too few: %v", err)
	}
}

func TestGapsAreNotRead(t *testing.T) {
	values := noisyDays(400, 24, 5)
	mask := make([]bool, len(values))
	for i := range mask {
		mask[i] = i%7 != 0 && (i < 150 || i > 190) && i < 398
	}
	holes := slices.Clone(values)
	for i := range holes {
		if !mask[i] {
			holes[i] = math.NaN()
		}
	}
	d := lstm.Data{Values: values, Mask: mask, Start: monday, Step: time.Hour, Season: 24}
	a := forecast(t, train(t, quick(6), d), d)
	d.Values = holes
	b := forecast(t, train(t, quick(6), d), d)
	if !slices.Equal(a.P50, b.P50) || !slices.Equal(a.P90, b.P90) {
		t.Errorf("a value that was not observed changed the forecast: %v, %v", a.P50, b.P50)
	}
}

func TestAForecastFromTheTailIsThatFromTheWhole(t *testing.T) {
	values := noisyDays(1500, 24, 6)
	d := lstm.Data{Values: values, Start: monday, Step: time.Hour, Season: 24}
	m := train(t, quick(6), d)
	whole := forecast(t, m, d)
	from := len(values) - m.Lookback()
	tail := lstm.Data{Values: values[from:], Start: monday.Add(time.Duration(from) * time.Hour), Step: time.Hour}
	if q := forecast(t, m, tail); !slices.Equal(q.P50, whole.P50) || !slices.Equal(q.P10, whole.P10) {
		t.Errorf("whole %v, tail %v", whole.P50, q.P50)
	}
	short := lstm.Data{Values: values[1495:], Start: monday.Add(1495 * time.Hour), Step: time.Hour}
	forecast(t, m, short)
}

func TestBadDataIsRefused(t *testing.T) {
	good := lstm.Data{Values: noisyDays(100, 10, 1), Start: monday, Step: time.Minute}
	m := train(t, quick(5), good)
	change := func(f func(d *lstm.Data)) lstm.Data {
		d := good
		d.Values = slices.Clone(good.Values)
		f(&d)
		return d
	}
	for name, c := range map[string]struct {
		data lstm.Data
		want error
	}{
		"NaN":               {change(func(d *lstm.Data) { d.Values[99] = math.NaN() }), lstm.ErrNotFinite},
		"infinity":          {change(func(d *lstm.Data) { d.Values[98] = math.Inf(-1) }), lstm.ErrNotFinite},
		"beyond all sense":  {change(func(d *lstm.Data) { d.Values[97] = 1e200 }), lstm.ErrNotFinite},
		"empty":             {change(func(d *lstm.Data) { d.Values = nil }), lstm.ErrTooShort},
		"nothing observed":  {change(func(d *lstm.Data) { d.Mask = make([]bool, 100) }), lstm.ErrTooShort},
		"a mask too short":  {change(func(d *lstm.Data) { d.Mask = make([]bool, 7) }), nil},
		"no step":           {change(func(d *lstm.Data) { d.Step = 0 }), nil},
		"a negative season": {change(func(d *lstm.Data) { d.Season = -1 }), nil},
	} {
		if _, err := lstm.Train(context.Background(), quick(5), c.data, nil, lstm.TrainOptions{}); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: Train: %v", name, err)
		}
		if _, err := m.Forecast(c.data); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: Forecast: %v", name, err)
		}
	}
	good.Step = time.Hour
	if _, err := m.Forecast(good); err == nil {
		t.Error("a model of minutes forecasts hours")
	}
}

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	for field, c := range map[string]lstm.Config{
		"Horizon":      {},
		"Context":      {Horizon: 1, Context: 2},
		"Hidden":       {Horizon: 1, Hidden: 20},
		"LearningRate": {Horizon: 1, LearningRate: math.NaN()},
		"Validation":   {Horizon: 1, Validation: 0.9},
		"Max":          {Horizon: 1, Max: math.Inf(1)},
		"Transform":    {Horizon: 1, Transform: "sqrt"},
	} {
		if err := c.Validate(); err == nil || !contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := (lstm.Config{Horizon: 1}).Validate(); err != nil {
		t.Error(err)
	}
}

func contains(s, part string) bool {
	for i := range len(s) - len(part) + 1 {
		if s[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

func TestCancellingEndsTrainingAtTheNextBatch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	batches := 0
	opts := lstm.TrainOptions{Pace: func() {
		if batches++; batches == 5 {
			cancel()
		}
	}}
	m, err := lstm.Train(ctx, quick(5), lstm.Data{Values: noisyDays(400, 24, 1), Start: monday, Step: time.Minute}, nil, opts)
	if !errors.Is(err, context.Canceled) || m != nil || batches != 5 {
		t.Errorf("model %v, error %v after %d batches", m, err, batches)
	}
}

func TestProgressGrowsAndPaceIsCalledForEveryBatch(t *testing.T) {
	var done []float64
	batches := 0
	opts := lstm.TrainOptions{
		Progress: func(d, loss float64) {
			if math.IsNaN(loss) {
				t.Error("the loss is NaN")
			}
			done = append(done, d)
		},
		Pace: func() { batches++ },
	}
	m, err := lstm.Train(context.Background(), quick(5), lstm.Data{Values: noisyDays(400, 24, 1), Start: monday, Step: time.Minute}, nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(done) == 0 || !slices.IsSorted(done) || done[len(done)-1] != 1 {
		t.Errorf("progress %v", done)
	}
	if batches < m.Info().Batches {
		t.Errorf("Pace was called %d times for %d batches", batches, m.Info().Batches)
	}
}

func TestModelsTrainAndForecastSideBySide(t *testing.T) {
	d := lstm.Data{Values: noisyDays(300, 24, 1), Start: monday, Step: time.Minute, Season: 24}
	cfg := quick(5)
	cfg.Epochs = 2
	var wg sync.WaitGroup
	forecasts := make([]lstm.Quantiles, 3)
	for i := range forecasts {
		wg.Go(func() {
			m, err := lstm.Train(context.Background(), cfg, d, nil, lstm.TrainOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			if forecasts[i], err = m.Forecast(d); err != nil {
				t.Error(err)
			}
			var inner sync.WaitGroup
			for range 2 {
				inner.Go(func() {
					q, err := m.Forecast(d)
					if err != nil || !slices.Equal(q.P50, forecasts[i].P50) {
						t.Errorf("forecast %v, %v, not %v", q.P50, err, forecasts[i].P50)
					}
				})
			}
			inner.Wait()
		})
	}
	wg.Wait()
	for _, q := range forecasts[1:] {
		if !slices.Equal(q.P50, forecasts[0].P50) {
			t.Errorf("side by side the same training gave %v and %v", q.P50, forecasts[0].P50)
		}
	}
}

// A model learns its newest slice at the end. Training that goes on must not judge
// itself by steps that it has learnt already: it would find nothing to improve, and
// its quantiles far too good.
func TestTrainingOnNeverJudgesByWhatWasLearnt(t *testing.T) {
	values := noisyDays(900, 24, 2)
	d := lstm.Data{Values: values[:600], Start: monday, Step: time.Minute, Season: 24}
	cfg := quick(5)
	first, err := lstm.Train(context.Background(), cfg, d, nil, lstm.TrainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	on := func(n int) lstm.Info {
		d := d
		d.Values = values[:n]
		m, err := lstm.Train(context.Background(), cfg, d, first, lstm.TrainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return m.Info()
	}
	if a, b := first.Info(), on(700); b.Epochs <= a.Epochs || b.Split.Before(a.Split) {
		t.Errorf("with newer data it did not go on: epochs %d then %d", a.Epochs, b.Epochs)
	}
	if b := on(500); b.Epochs > cfg.Epochs {
		t.Errorf("its validation slice was in the earlier training part, and it went on all the same: %d epochs", b.Epochs)
	}
}

func TestForecastsOfAnythingAreSane(t *testing.T) {
	train := lstm.Data{Values: noisyDays(300, 24, 8), Start: monday, Step: time.Minute, Season: 24}
	for _, transform := range []lstm.Transform{lstm.TransformNone, lstm.TransformLog1p} {
		cfg := quick(7)
		cfg.Epochs, cfg.Transform, cfg.NonNegative, cfg.Max = 2, transform, true, 1e7
		m, err := lstm.Train(context.Background(), cfg, train, nil, lstm.TrainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(rt *rapid.T) {
			value := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(-1e6, 1e6), rapid.Float64Range(-1e99, 1e99), rapid.Float64Range(0, 50))
			values := rapid.SliceOfN(value, 1, 120).Draw(rt, "values")
			mask := rapid.SliceOfN(rapid.Bool(), len(values), len(values)).Draw(rt, "mask")
			q, err := m.Forecast(lstm.Data{Values: values, Mask: mask, Start: monday, Step: time.Minute})
			if errors.Is(err, lstm.ErrTooShort) {
				return
			}
			if err != nil {
				rt.Fatal(err)
			}
			sane(rt, q, cfg)
		})
	}
}

// BenchmarkTrain is the demo's case: 700 points, a season of 96 and a horizon of 30.
func BenchmarkTrain(b *testing.B) {
	d := lstm.Data{Values: noisyDays(700, 96, 1), Start: monday, Step: time.Second, Season: 96}
	for b.Loop() {
		if _, err := lstm.Train(context.Background(), lstm.Config{Horizon: 30}, d, nil, lstm.TrainOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkForecast(b *testing.B) {
	d := lstm.Data{Values: noisyDays(700, 96, 1), Start: monday, Step: time.Second, Season: 96}
	for name, hidden := range map[string]int{"hidden=32": 32, "hidden=64": 64} {
		m, err := lstm.Train(context.Background(), lstm.Config{Context: 60, Horizon: 30, Hidden: hidden, Epochs: 1}, d, nil, lstm.TrainOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := m.Forecast(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestTrainingOnAnythingGivesASaneModelOrAClearError(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.OneOf(
			rapid.Just(0.0), rapid.Just(-7.5), rapid.Float64Range(0, 1e-12), rapid.Float64Range(-1e6, 1e6),
			rapid.Float64Range(-1e99, 1e99), rapid.Float64Range(0, 50))
		one := rapid.SampledFrom([]*rapid.Generator[float64]{value, rapid.Just(3.0), rapid.Float64Range(0, 1e-300), rapid.Float64Range(0, 9)}).Draw(rt, "kind")
		values := rapid.SliceOfN(one, lstm.MinPoints, 90).Draw(rt, "values")
		mask := rapid.SliceOfN(rapid.SampledFrom([]bool{true, true, true, false}), len(values), len(values)).Draw(rt, "mask")
		cfg := lstm.Config{
			Context: 8, Hidden: 8, Epochs: 2, EpochBatches: 2, BatchSize: 8, Horizon: rapid.IntRange(1, 12).Draw(rt, "horizon"),
			NonNegative: rapid.Bool().Draw(rt, "non-negative"), Max: rapid.SampledFrom([]float64{0, 100}).Draw(rt, "max"),
			Transform: rapid.SampledFrom([]lstm.Transform{lstm.TransformAuto, lstm.TransformNone}).Draw(rt, "transform"),
		}
		d := lstm.Data{Values: values, Mask: mask, Start: monday, Step: time.Minute, Season: rapid.SampledFrom([]int{0, 1, 7, 40}).Draw(rt, "season")}
		m, err := lstm.Train(context.Background(), cfg, d, nil, lstm.TrainOptions{})
		if errors.Is(err, lstm.ErrTooShort) {
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		q, err := m.Forecast(d)
		if errors.Is(err, lstm.ErrTooShort) {
			return
		}
		if err != nil {
			rt.Fatal(err)
		}
		sane(rt, q, m.Info().Config)
	})
}
