package baseline

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// swing is a cycle with noise, and from shift on a higher level.
func swing(n, season, shift int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 7))
	out := make([]float64, n)
	for i := range out {
		out[i] = 50 + 20*math.Sin(2*math.Pi*float64(i)/float64(season)) + r.NormFloat64()
		if i >= shift {
			out[i] += 30
		}
	}
	return out
}

// miss is the mean absolute error of the median at every origin from first on.
func miss(t *testing.T, m Model, values []float64, first, h int) float64 {
	t.Helper()
	sum, n := 0.0, 0.0
	for o := first; o+h <= len(values); o += 5 {
		q, err := m.Forecast(values[:o], h)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range q.P50 {
			sum += math.Abs(v - values[o+i])
			n++
		}
	}
	return sum / n
}

func TestLevelNaiveFollowsAMoveThatSeasonalNaiveDoesNot(t *testing.T) {
	values := swing(480, 48, 440, 1) // the level rose less than a season ago
	for i := range 200 {             // and wandered before, so that it can be learnt that moves stay
		values[i+150] += 15 * math.Sin(float64(i)/40)
	}
	p := Params{Season: 48, Horizon: 12}
	naive, level := NewSeasonalNaive(), NewLevelNaive()
	if err := naive.Fit(values[:430], p); err != nil {
		t.Fatal(err)
	}
	if err := level.Fit(values[:430], p); err != nil {
		t.Fatal(err)
	}
	a, b := miss(t, naive, values, 445, 12), miss(t, level, values, 445, 12)
	if b > 0.6*a || a < 20 {
		t.Errorf("seasonal naive misses by %.1f, moved by the level by %.1f", a, b)
	}
	steady := swing(480, 48, 480, 2)
	if err := level.Fit(steady[:400], p); err != nil {
		t.Fatal(err)
	}
	if err := naive.Fit(steady[:400], p); err != nil {
		t.Fatal(err)
	}
	if a, b := miss(t, naive, steady, 400, 12), miss(t, level, steady, 400, 12); b > 1.1*a {
		t.Errorf("without a move it misses by %.2f, seasonal naive by %.2f", b, a)
	}
	for _, season := range []int{0, 1, 400} {
		if err := NewLevelNaive().Fit(values, Params{Season: season, Horizon: 3}); err == nil {
			t.Errorf("a season of %d was fitted in 480 values", season)
		}
	}
}

func TestAutoregressionKnowsTheCalendarThatNoSeasonTells(t *testing.T) {
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	r := rand.New(rand.NewPCG(3, 3))
	values := make([]float64, 24*28)
	for i := range values {
		at := start.Add(time.Duration(i) * time.Hour)
		values[i] = 40 + 15*math.Sin(2*math.Pi*float64(at.Hour())/24) + 2*r.NormFloat64()
		if d := at.Weekday(); d == time.Saturday || d == time.Sunday {
			values[i] -= 20
		}
	}
	fitted := 24 * 21
	blind, dated := NewAR(), NewAR()
	if err := blind.Fit(values[:fitted], Params{Horizon: 24}); err != nil {
		t.Fatal(err)
	}
	if err := dated.Fit(values[:fitted], Params{Horizon: 24, Start: start, Step: time.Hour}); err != nil {
		t.Fatal(err)
	}
	a, b := miss(t, blind, values, fitted, 24), miss(t, dated, values, fitted, 24)
	if b > 0.7*a {
		t.Errorf("without a calendar it misses by %.2f, with one by %.2f", a, b)
	}
	// The same moment, told by other values before it.
	whole, err := Forecast(dated, start, values[:fitted+50], 24)
	if err != nil {
		t.Fatal(err)
	}
	tail, err := Forecast(dated, start.Add(100*time.Hour), values[100:fitted+50], 24)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole.P50 {
		if math.Abs(whole.P50[i]-tail.P50[i]) > 1e-9 {
			t.Fatalf("step %d: %v of the whole, %v of the tail", i+1, whole.P50[i], tail.P50[i])
		}
	}
}

func TestAutoregressionIsNotLedAstrayByAFewOutliers(t *testing.T) {
	values := swing(900, 48, 900, 4)
	wild := append([]float64(nil), values...)
	for _, i := range []int{100, 333, 500, 640} {
		wild[i] = 1e6
	}
	p := Params{Season: 48, Horizon: 6}
	clean, dirty := NewAR(), NewAR()
	if err := clean.Fit(values[:750], p); err != nil {
		t.Fatal(err)
	}
	if err := dirty.Fit(wild[:750], p); err != nil {
		t.Fatal(err)
	}
	if a, b := miss(t, clean, values, 750, 6), miss(t, dirty, values, 750, 6); b > 4*a {
		t.Errorf("it misses by %.2f after four outliers, by %.2f without", b, a)
	}
}
