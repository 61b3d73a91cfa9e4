package features_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
	"loadstar/predictor/features"
)

var start = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

func at(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }

func TestResampleTakesMeansAndMasksWhatIsMissing(t *testing.T) {
	points := []models.Point{
		{At: at(31), Value: 7}, // order does not matter
		{At: at(0), Value: 1},
		{At: at(9), Value: 3},
		{At: at(10), Value: math.NaN()},
		{At: at(-1), Value: 100},
		{At: at(50), Value: 100},
	}
	got, err := features.Resample(points, 10*time.Second, at(4), at(50))
	if err != nil {
		t.Fatal(err)
	}
	want := features.Grid{
		Start: start, Step: 10 * time.Second,
		Values: []float64{2, 2, 2, 7, 7},
		Mask:   []bool{true, false, false, true, false},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got.Observed() != 2 || !got.End().Equal(at(50)) {
		t.Errorf("%d observed, ends %s", got.Observed(), got.End())
	}
	tail := got.Tail(2)
	if !tail.Start.Equal(at(30)) || tail.Len() != 2 || tail.Values[0] != 7 {
		t.Errorf("the tail is %+v", tail)
	}
}

func TestResampleRefusesWhatHasNoGrid(t *testing.T) {
	for name, c := range map[string]struct {
		step     time.Duration
		from, to time.Time
	}{
		"no step":    {0, at(0), at(10)},
		"empty span": {time.Second, at(10), at(10)},
		"backwards":  {time.Second, at(10), at(0)},
		"too long":   {time.Nanosecond, at(0), at(10)},
		"centuries":  {time.Hour, time.Time{}, time.Date(2900, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if _, err := features.Resample(nil, c.step, c.from, c.to); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAValueDependsOnNothingAfterIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(rt, "n")
		season := rapid.IntRange(0, 12).Draw(rt, "season")
		origin := rapid.IntRange(0, n-1).Draw(rt, "origin")
		values := rapid.SliceOfN(rapid.Float64Range(-100, 100), n, n).Draw(rt, "values")
		mask := rapid.SliceOfN(rapid.Bool(), n, n).Draw(rt, "mask")
		whole := features.View{Values: values, Mask: mask, Season: season}
		past := features.View{Values: values[:origin+1], Mask: mask[:origin+1], Season: season}
		for i := origin - 3; i < origin+20; i++ {
			if i < 0 {
				continue
			}
			a, okA := whole.Seasonal(i, origin)
			b, okB := past.Seasonal(i, origin) // would be out of range if it looked ahead
			c, okC := whole.SeasonalMean(i, origin)
			d, okD := past.SeasonalMean(i, origin)
			if a != b || okA != okB || c != d || okC != okD {
				rt.Fatalf("step %d from origin %d depends on the future", i, origin)
			}
		}
		if whole.Move(origin, 5) != past.Move(origin, 5) || whole.Mean(origin, 5) != past.Mean(origin, 5) || whole.Width(origin, 9, 0) != past.Width(origin, 9, 0) {
			rt.Fatal("level or width depends on the future")
		}
	})
}

func TestSeasonalSkipsWhatWasNotObserved(t *testing.T) {
	v := features.View{Values: []float64{1, 2, 3, 4, 5, 6, 7}, Mask: []bool{true, true, true, false, true, true, true}, Season: 3}
	if got, ok := v.Seasonal(9, 6); !ok || got != 7 {
		t.Errorf("one season back: %v %v", got, ok)
	}
	v.Mask[6] = false
	if got, ok := v.Seasonal(9, 6); !ok || got != 1 {
		t.Errorf("6 and 3 are masked, 0 is the answer: %v %v", got, ok)
	}
	if got, ok := v.SeasonalMean(7, 6); !ok || got != 3.5 {
		t.Errorf("mean of 5 and 2: %v %v", got, ok)
	}
	if _, ok := (features.View{Values: v.Values, Mask: v.Mask}).Seasonal(7, 6); ok {
		t.Error("a series without a season has a seasonal value")
	}
}

func TestMoveIsTheChangeOfLevel(t *testing.T) {
	v := features.View{Season: 10}
	for i := range 40 {
		x := math.Sin(2 * math.Pi * float64(i%10) / 10)
		if i >= 30 {
			x += 5
		}
		v.Values, v.Mask = append(v.Values, x), append(v.Mask, true)
	}
	v.Values[38] = 1000 // an outlier does not count
	if got := v.Move(39, 7); math.Abs(got-5) > 1e-9 {
		t.Errorf("the level moved by 5, not %v", got)
	}
}

func TestSpreadIsTheDeviationOfNormalValuesAndShrugsAtOutliers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := make([]float64, 10000)
	for i := range s {
		s[i] = 50 + 4*rng.NormFloat64()
	}
	for i := range 100 {
		s[i*100] = 1e7
	}
	median, width, ok := features.Spread(s[:9000], nil)
	if !ok || math.Abs(median-50) > 1 || width < 3 || width > 40000 {
		t.Errorf("median %v, width %v", median, width)
	}
	if _, width, _ := features.Spread([]float64{3, 3, 3}, nil); width != 0 {
		t.Errorf("a constant has the width %v", width)
	}
	if _, width, _ := features.Spread([]float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, nil); width <= 0 {
		t.Error("a burst over zeros has no width")
	}
	if _, _, ok := features.Spread([]float64{1}, []bool{false}); ok {
		t.Error("nothing observed has a spread")
	}
}

func TestClockKnowsDayWeekAndSeason(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	c := features.Clock{Start: time.Date(2026, 11, 23, 0, 0, 0, 0, berlin), Step: time.Hour, Season: 24} // a Monday
	near := func(what string, got features.Circle, part float64) {
		t.Helper()
		s, k := math.Sincos(2 * math.Pi * part)
		if math.Abs(got.Sin-s) > 1e-9 || math.Abs(got.Cos-k) > 1e-9 {
			t.Errorf("%s is %v, not at %v of the circle", what, got, part)
		}
	}
	m := c.At(30)
	near("Monday 00:00 in the day", m(0).Day, 0)
	near("Monday 00:00 in the week", m(0).Week, 0)
	near("Tuesday 06:00 in the day", m(30).Day, 0.25)
	near("Tuesday 06:00 in the week", m(30).Week, 30.0/168)
	near("Sunday 23:00 before", m(-1).Week, 167.0/168)
	if d := cmp.Diff(c.At(30)(40).Season, c.At(300)(40+240).Season); d != "" {
		t.Errorf("the phase ten seasons later differs: %s", d)
	}
	later := features.Clock{Start: c.Start.Add(7 * time.Hour), Step: c.Step, Season: c.Season}
	if d := cmp.Diff(c.At(9)(9), later.At(2)(2)); d != "" {
		t.Errorf("the same moment in a shorter stretch differs: %s", d)
	}
}

func FuzzResample(f *testing.F) {
	f.Add(int64(1), int64(10), int64(0), int64(100), 3.5)
	f.Fuzz(func(t *testing.T, offset, step, from, length int64, v float64) {
		length %= 1 << 40
		g, err := features.Resample([]models.Point{{At: time.Unix(from, offset), Value: v}}, time.Duration(step), time.Unix(from, 0), time.Unix(from, length))
		if err != nil {
			return
		}
		if len(g.Values) != len(g.Mask) || len(g.Values) > features.MaxSteps {
			t.Fatalf("%d values, %d in the mask", len(g.Values), len(g.Mask))
		}
		for _, x := range g.Values {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("a value is %v", x)
			}
		}
	})
}
