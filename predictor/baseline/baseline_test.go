package baseline

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// diurnal is a daily pattern with noise, bursts and a trend.
func diurnal(n, season int, noise float64, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float64, n)
	for i := range out {
		v := 20 + 15*math.Sin(2*math.Pi*float64(i)/float64(season)) + noise*r.NormFloat64() + float64(i)*0.001
		if r.IntN(60) == 0 {
			v += 40
		}
		out[i] = max(v, 0)
	}
	return out
}

func all() []Model {
	return []Model{NewLast(), NewSeasonalNaive(), NewLevelNaive(), NewHoltWinters(), NewAR()}
}

func TestSeasonIsFoundAndNotInvented(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	noise := make([]float64, 2000)
	walk := make([]float64, 2000)
	weekly := make([]float64, 96*7*4)
	shot := make([]float64, 3000)
	for i := range noise {
		noise[i] = r.NormFloat64()
		if i > 0 {
			walk[i] = walk[i-1] + r.NormFloat64()
		}
	}
	for i := range weekly {
		day := i / 96 % 7
		weekly[i] = 5 + r.NormFloat64()*0.5
		if day < 2 {
			weekly[i] += 8 * math.Max(0, math.Sin(2*math.Pi*float64(i)/96))
		} else if day == 4 {
			weekly[i] += 15
		}
	}
	for i := range shot {
		shot[i] = math.Floor(max(0, 2+1.5*math.Sin(2*math.Pi*float64(i)/288)+1.2*r.NormFloat64()))
	}
	constant := make([]float64, 500)
	gappy := diurnal(96*6, 96, 2, 3)
	for i := 200; i < 230; i++ {
		gappy[i] = math.NaN()
	}
	trended := diurnal(96*5, 96, 2, 4)
	for i := range trended {
		trended[i] += float64(i) * 0.05
	}
	for _, tc := range []struct {
		name   string
		values []float64
		step   float64
		want   int
	}{
		{"compressed day", diurnal(96*5, 96, 3, 1), 1, 96},
		{"compressed day, three of them", diurnal(96*3, 96, 3, 2), 1, 96},
		{"quarter hours", diurnal(96*10, 96, 3, 1), 900, 96},
		{"with a gap", gappy, 900, 96},
		{"on a trend", trended, 900, 96},
		{"sub-hour", diurnal(400, 8, 1, 1), 300, 8},
		{"odd length", diurnal(900, 37, 3, 1), 10, 37},
		{"day of five minutes, noisy counts", shot, 300, 288},
		{"week", weekly, 900, 672},
		{"white noise", noise, 60, 0},
		{"random walk", walk, 60, 0},
		{"constant", constant, 60, 0},
		{"too short", diurnal(96*2, 96, 3, 1), 900, 0},
		{"nothing", nil, 60, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Season(tc.values, tc.step)
			if d := got - tc.want; d < -tc.want/50 || d > tc.want/50 {
				t.Errorf("season %d, want %d", got, tc.want)
			}
		})
	}
}

func TestHoltWintersAndSeasonalNaiveBeatLastValueOnASeason(t *testing.T) {
	values := diurnal(96*8, 96, 1, 5)
	cut := 96 * 7
	loss := map[string]float64{}
	inside := map[string]int{}
	for _, m := range all() {
		if err := m.Fit(values[:cut], Params{Season: 96, Horizon: 24}); err != nil {
			t.Fatal(err)
		}
		n := 0
		for o := cut; o+24 <= len(values); o += 3 {
			q, err := m.Forecast(values[:o], 24)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 24 {
				y := values[o+i]
				loss[m.Name()] += Pinball(y, q.P10[i], .1) + Pinball(y, q.P50[i], .5) + Pinball(y, q.P90[i], .9)
				if q.P10[i] <= y && y <= q.P90[i] {
					inside[m.Name()]++
				}
				n++
			}
		}
		if c := float64(inside[m.Name()]) / float64(n); c < 0.65 || c > 0.95 {
			t.Errorf("%s: coverage %.2f", m.Name(), c)
		}
	}
	if loss["snaive"] > 0.7*loss["last"] || loss["holtwinters"] > 0.7*loss["last"] {
		t.Errorf("losses %v", loss)
	}
}

func TestHoltWintersFollowsAGrowingLine(t *testing.T) {
	values := make([]float64, 60)
	for i := range values {
		values[i] = 3 + 2*float64(i)
	}
	m := NewHoltWinters()
	if err := m.Fit(values, Params{Horizon: 5}); err != nil {
		t.Fatal(err)
	}
	q, err := m.Forecast(values, 5)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if want := 3 + 2*float64(60+i); math.Abs(q.P50[i]-want) > 1.5 {
			t.Errorf("step %d: %.2f, want about %.0f", i+1, q.P50[i], want)
		}
	}
}

func TestSeasonalNaiveLooksPastGaps(t *testing.T) {
	v := []float64{1, 2, 3, 4, 1, math.NaN(), 3, 4}
	m := NewSeasonalNaive()
	if err := m.Fit(v, Params{Season: 4, Horizon: 6}); err != nil {
		t.Fatal(err)
	}
	got := make([]float64, 0, 6)
	m.walk(v, []int{len(v)}, 6, func(_ int, p []float64) { got = append(got, p...) })
	for i, want := range []float64{1, 2, 3, 4, 1, 2} {
		if got[i] != want {
			t.Errorf("path %v", got)
			break
		}
	}
}

func TestConstantSeriesHasNoSpread(t *testing.T) {
	v := make([]float64, 200)
	for i := range v {
		v[i] = 7
	}
	for _, m := range all() {
		if err := m.Fit(v, Params{Season: 20, Horizon: 4}); err != nil {
			t.Fatal(err)
		}
		q, err := m.Forecast(v, 4)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if math.Abs(q.P10[i]-7) > 1e-9 || math.Abs(q.P90[i]-7) > 1e-9 {
				t.Errorf("%s: %v", m.Name(), q)
			}
		}
	}
}

func TestNothingToFitIsTooShort(t *testing.T) {
	nan := math.NaN()
	for _, m := range all() {
		for _, v := range [][]float64{nil, {nan, nan, nan}} {
			if err := m.Fit(v, Params{Horizon: 3}); !errors.Is(err, ErrTooShort) {
				t.Errorf("%s: fit %v", m.Name(), err)
			}
			if _, err := m.Forecast(v, 3); !errors.Is(err, ErrTooShort) {
				t.Errorf("%s: forecast %v", m.Name(), err)
			}
		}
	}
}

func TestForecastsAreFiniteOrderedAndRepeatable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(4, 60).Draw(t, "n")
		v := make([]float64, n)
		for i := range v {
			v[i] = rapid.OneOf(
				rapid.Just(math.NaN()), rapid.Just(0.0), rapid.Float64Range(-1e12, 1e12), rapid.Float64Range(0, 5),
			).Draw(t, "v")
		}
		p := Params{Season: rapid.IntRange(0, 30).Draw(t, "season"), Horizon: rapid.IntRange(1, 20).Draw(t, "h")}
		for _, m := range all() {
			if err := m.Fit(v, p); err != nil {
				if !errors.Is(err, ErrTooShort) {
					t.Fatal(err)
				}
				continue
			}
			h := rapid.IntRange(1, 40).Draw(t, "ask")
			q, err := m.Forecast(v, h)
			if err != nil {
				t.Fatalf("%s: %v", m.Name(), err)
			}
			again, _ := m.Forecast(v, h)
			for i := range h {
				if !(q.P10[i] <= q.P50[i] && q.P50[i] <= q.P90[i]) || again.P50[i] != q.P50[i] {
					t.Fatalf("%s: step %d: %v %v %v", m.Name(), i, q.P10[i], q.P50[i], q.P90[i])
				}
			}
		}
	})
}

func TestSettleRefusesWhatIsNotFinite(t *testing.T) {
	q := Quantiles{P10: []float64{3}, P50: []float64{2}, P90: []float64{-1}}
	if err := q.Settle(0, 2.5); err != nil || q.P10[0] != 0 || q.P50[0] != 2 || q.P90[0] != 2.5 {
		t.Errorf("settled %v, %v", q, err)
	}
	q.P50[0] = math.Inf(1)
	if q.Settle(0, 1) == nil {
		t.Error("infinity passed")
	}
	if (Quantiles{P50: []float64{1}}).Settle(0, 1) == nil {
		t.Error("missing quantiles passed")
	}
}

func BenchmarkHoltWintersFit(b *testing.B) {
	v := diurnal(6000, 1440, 3, 1)
	for b.Loop() {
		_ = NewHoltWinters().Fit(v, Params{Season: 1440, Horizon: 60})
	}
}

func BenchmarkHoltWintersForecast(b *testing.B) {
	v := diurnal(6000, 1440, 3, 1)
	m := NewHoltWinters()
	_ = m.Fit(v, Params{Season: 1440, Horizon: 60})
	for b.Loop() {
		_, _ = m.Forecast(v, 60)
	}
}

func BenchmarkSeason(b *testing.B) {
	v := diurnal(20160, 1440, 3, 1)
	for b.Loop() {
		Season(v, 60)
	}
}
