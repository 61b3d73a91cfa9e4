package history_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/collector/history"
	"loadstar/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// second is a moment so many seconds after the epoch.
func second(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

func open(t testing.TB, cfg history.Config) *history.Store {
	t.Helper()
	s, err := history.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// feed appends a series' values second by second; NaN is a second without a sample.
func feed(s *history.Store, series string, from int, values ...float64) {
	for i, v := range values {
		at := second(from + i)
		if !math.IsNaN(v) {
			s.Append(at, []models.Sample{{Series: series, At: at, Value: v}})
		}
	}
}

func all(t testing.TB, s *history.Store, series string, step time.Duration) []models.Point {
	t.Helper()
	points, err := s.Range(series, step, time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return points
}

var nan = math.NaN()

func repeat(v float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestACoarserValueNeedsHalfOfItsStepAndComesWhenItIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		series string
		values []float64
		want   []models.Point // at 10 s
	}{
		"whole":                       {"a", []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, []models.Point{{At: epoch, Value: 4.5}}},
		"not over":                    {"a", []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}, nil},
		"half":                        {"a", append([]float64{1, 2, 3, 4, 5}, append(repeat(nan, 5), 7)...), []models.Point{{At: epoch, Value: 3}}},
		"less than half":              {"a", append([]float64{1, 2, 3, 4}, append(repeat(nan, 6), 7)...), nil},
		"the last alone ends it":      {"a", []float64{nan, nan, nan, nan, nan, 1, 1, 1, 1, 6}, []models.Point{{At: epoch, Value: 2}}},
		"a sparse one needs one":      {"pool.x.wait", append([]float64{3}, append(repeat(nan, 9), 7)...), []models.Point{{At: epoch, Value: 3}}},
		"a pool's arrivals need half": {"pool.x.arrivals", append([]float64{3}, append(repeat(nan, 9), 7)...), nil},
	} {
		s := open(t, history.Config{})
		feed(s, c.series, 0, c.values...)
		if d := cmp.Diff(c.want, all(t, s, c.series, 10*time.Second)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestASingleCoreIsKeptInTheFinestTierAlone(t *testing.T) {
	s := open(t, history.Config{})
	feed(s, "host.cpu.3", 0, repeat(1, 30)...)
	if _, err := s.Range("host.cpu.3", 10*time.Second, epoch, second(60)); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
	if n := len(all(t, s, "host.cpu.3", time.Second)); n != 30 {
		t.Errorf("%d points", n)
	}
}

func TestALateValueChangesWhatWasMadeFromIt(t *testing.T) {
	s := open(t, history.Config{})
	feed(s, "a", 0, 1, 1, 1, 1, nan, nan, nan, nan, nan, nan, 1)
	if got := all(t, s, "a", 10*time.Second); len(got) != 0 {
		t.Fatalf("four of ten made %v", got)
	}
	feed(s, "a", 6, 6) // late: now it is half
	feed(s, "a", 0, 6) // again: takes the place of the first
	if d := cmp.Diff([]models.Point{{At: epoch, Value: 3}}, all(t, s, "a", 10*time.Second)); d != "" {
		t.Error(d)
	}
	feed(s, "a", 8000, 1)
	feed(s, "a", 0, 9) // behind the hour
	want := history.Counts{Duplicates: 1, Late: 1, TooOld: 1}
	if d := cmp.Diff(want, s.Counts()); d != "" {
		t.Error(d)
	}
}

func TestWhatCannotBeKeptIsRefusedAndCounted(t *testing.T) {
	s := open(t, history.Config{MaxSeries: 1})
	feed(s, "a", 0, math.Inf(1), math.MaxFloat64)
	s.Append(epoch, []models.Sample{
		{Series: "a", Value: math.NaN()},
		{Series: "a", At: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), Value: 1},
		{Series: "a", At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Value: 1},
		{Series: "with space", Value: 1},
		{Series: strings.Repeat("x", 201), Value: 1},
		{Series: "a", Value: 1}, // the tick's own time
		{Series: "b", Value: 1}, // one series too many
	})
	if d := cmp.Diff(8, s.Counts().Refused); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]models.Point{{At: epoch, Value: 1}}, all(t, s, "a", time.Second)); d != "" {
		t.Error(d)
	}
}

func TestGapsAreStretchesWithoutValues(t *testing.T) {
	s := open(t, history.Config{})
	feed(s, "a", 5, 1, nan, nan, 2, nan, 3)
	got, err := s.Info("a", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := models.SeriesInfo{
		Name: "a", StepS: 1, From: second(5), To: second(11), Points: 3, Last: 3,
		Gaps: []models.Gap{{From: second(6), To: second(8)}, {From: second(9), To: second(10)}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	feed(s, "a", 6, 9, 9)
	if d := cmp.Diff([]models.Gap{{From: second(9), To: second(10)}}, s.Series()[0].Gaps); d != "" {
		t.Error(d)
	}
}

func TestSeriesListsEveryTierWithValues(t *testing.T) {
	s := open(t, history.Config{})
	feed(s, "b", 0, repeat(2, 130)...)
	feed(s, models.SeriesCPU, 0, 1)
	var got []string
	for _, i := range s.Series() {
		got = append(got, fmt.Sprint(i.Name, " ", i.StepS, " ", i.Points, " ", i.Unit))
	}
	want := []string{"b 1 130 ", "b 10 13 ", "b 60 2 ", "host.cpu 1 1 %"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRangeIsHalfOpenAndKnowsItsSeries(t *testing.T) {
	s := open(t, history.Config{})
	feed(s, "a", 0, 0, 1, 2, 3, 4)
	for _, c := range []struct {
		from, to time.Time
		want     []float64
	}{
		{second(1), second(3), []float64{1, 2}},
		{second(1).Add(1), second(3).Add(1), []float64{2, 3}},
		{time.Time{}, second(1), []float64{0}},
		{second(3), time.Time{}, []float64{3, 4}},
		{second(3), second(3), nil},
		{second(4), second(1), nil},
		{time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC), []float64{0, 1, 2, 3, 4}},
	} {
		points, err := s.Range("a", time.Second, c.from, c.to)
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for _, p := range points {
			got = append(got, p.Value)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s to %s: %s", c.from, c.to, d)
		}
	}
	if _, err := s.Range("z", time.Second, epoch, epoch); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("unknown series: %v", err)
	}
	if _, err := s.Range("a", 7*time.Second, epoch, epoch); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("unknown step: %v", err)
	}
	if points, err := s.Range("a", time.Minute, epoch, second(99)); err != nil || len(points) != 0 {
		t.Errorf("a tier without values yet: %v, %v", points, err)
	}
}

func TestRewindForgetsWhatIsAheadAndWhatRestsOnIt(t *testing.T) {
	s := open(t, history.Config{})
	feed(s, "a", 0, repeat(1, 40)...)
	feed(s, "b", 30, repeat(1, 5)...)
	s.Rewind(second(25))
	if d := cmp.Diff([]models.Point{{At: epoch, Value: 1}, {At: second(10), Value: 1}}, all(t, s, "a", 10*time.Second)); d != "" {
		t.Error(d)
	}
	if n := len(all(t, s, "a", time.Second)); n != 25 {
		t.Errorf("%d points stayed", n)
	}
	if n := len(all(t, s, "b", time.Second)); n != 0 {
		t.Errorf("%d points of a series that lay ahead stayed", n)
	}
	feed(s, "a", 25, repeat(3, 5)...)
	if got := all(t, s, "a", 10*time.Second); got[2].Value != 2 {
		t.Errorf("the step across the rewind is %v", got[2])
	}
}

func TestImportGoesIntoTheTiersThatItsStepCanFill(t *testing.T) {
	minute := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }
	ramp := func(n int, step time.Duration, off time.Duration) (out []models.Point) {
		for i := range n {
			out = append(out, models.Point{At: epoch.Add(off + time.Duration(i)*step), Value: float64(i)})
		}
		return out
	}
	for name, c := range map[string]struct {
		step   time.Duration
		points []models.Point
		want   map[time.Duration][]models.Point // of each tier; absent: nothing
	}{
		"a tier's own step": {time.Minute, ramp(15, time.Minute, 0), map[time.Duration][]models.Point{
			time.Minute: ramp(15, time.Minute, 0), 15 * time.Minute: {{At: epoch, Value: 7}},
		}},
		"between two": {5 * time.Minute, ramp(4, 5*time.Minute, 0), map[time.Duration][]models.Point{
			15 * time.Minute: {{At: epoch, Value: 1}},
		}},
		"off the grid is moved to the nearest": {time.Minute, ramp(2, time.Minute, 59*time.Second), map[time.Duration][]models.Point{
			time.Minute: {{At: minute(1), Value: 0}, {At: minute(2), Value: 1}},
		}},
		"by overlap where steps do not meet": {30 * time.Second, ramp(4, 30*time.Second, 15*time.Second), map[time.Duration][]models.Point{
			// 0 over 15-45 s, 1 to 75 s, 2 to 105 s, 3 to 135 s; the third minute has 15 s
			time.Minute: {{At: epoch, Value: 15. / 45}, {At: minute(1), Value: (15.*1 + 30*2 + 15*3) / 60}},
		}},
		"unordered and twice": {time.Minute, []models.Point{{At: minute(1), Value: 4}, {At: epoch, Value: 1}, {At: minute(1), Value: 5}}, map[time.Duration][]models.Point{
			time.Minute: {{At: epoch, Value: 1}, {At: minute(1), Value: 5}},
		}},
	} {
		s := open(t, history.Config{})
		if err := s.Import("a", c.step, c.points); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, step := range s.Steps() {
			got := all(t, s, "a", step)
			for i := range c.want[step] { // as the ring keeps it
				c.want[step][i].Value = float64(float32(c.want[step][i].Value))
			}
			if d := cmp.Diff(c.want[step], got); d != "" {
				t.Errorf("%s, at %s: %s", name, step, d)
			}
		}
	}
}

func TestImportBehindTheLiveValuesFillsTheCoarserTiers(t *testing.T) {
	s := open(t, history.Config{})
	day := 24 * 3600
	feed(s, "a", day, repeat(1, 100)...)
	var past []models.Point
	for i := range day + 5 { // its last five seconds are live ones too
		past = append(past, models.Point{At: second(i), Value: 3})
	}
	if err := s.Import("a", time.Second, past); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, "a", 10*time.Second); len(got) != 8640 || got[0].Value != 3 || got[len(got)-10].Value != 2 || got[len(got)-9].Value != 1 {
		t.Errorf("10 s: %d points, %v … %v", len(got), got[0], got[len(got)-11:len(got)-8])
	}
	if got := all(t, s, "a", 15*time.Minute); len(got) != 96 || got[0].At != epoch || got[0].Value != 3 {
		t.Errorf("15 min: %d points from %v", len(got), got[0])
	}
	if got := all(t, s, "a", time.Second); len(got) != 3600 || got[len(got)-1].At != second(day+99) {
		t.Errorf("1 s: %d points", len(got))
	}
}

func TestImportRefusesWhatItCannotPlace(t *testing.T) {
	s := open(t, history.Config{MaxSeries: 1})
	feed(s, "a", 500*24*3600, 1)
	one := []models.Point{{At: epoch, Value: 1}}
	for _, c := range []struct {
		series string
		step   time.Duration
		points []models.Point
		want   string
	}{
		{"", time.Minute, one, "series: "},
		{"b", time.Minute, one, "series: there are 1 series already"},
		{"a", time.Hour, one, "step: 1h0m0s is coarser than the coarsest tier, 15m0s"},
		{"a", 0, one, "step: 0s is less"},
		{"a", time.Minute, nil, "points: there are none"},
		{"a", time.Minute, []models.Point{{At: epoch, Value: math.NaN()}}, "points: the value of point 1, NaN"},
		{"a", time.Minute, []models.Point{{Value: 1}}, "points: the time of point 1"},
		{"a", time.Second, one, "points: none of the 1 is within"},
	} {
		err := s.Import(c.series, c.step, c.points)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.Is(err, models.ErrInvalid) {
			t.Errorf("%s %s: got %v, want %s…", c.series, c.step, err, c.want)
		}
	}
}

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	tier := func(step time.Duration, n int) history.Tier { return history.Tier{Step: step, Len: n} }
	for want, cfg := range map[string]history.Config{
		"history: Tiers[0].Step 1µs":       {Tiers: []history.Tier{tier(time.Microsecond, 10)}},
		"history: Tiers[0].Len 1":          {Tiers: []history.Tier{tier(time.Second, 1)}},
		"history: Tiers[1].Step 1.5s":      {Tiers: []history.Tier{tier(time.Second, 10), tier(1500*time.Millisecond, 10)}},
		"history: Tiers[0].Len 10 is too":  {Tiers: []history.Tier{tier(time.Second, 10), tier(time.Minute, 10)}},
		"history: FlushEvery -1s":          {FlushEvery: -time.Second},
		"history: MaxSeries -1":            {MaxSeries: -1},
		"history: Store and Logs are both": {Store: &memLog{}, Logs: func(context.Context, string, time.Duration) (history.Log, error) { return nil, nil }},
	} {
		if _, err := history.Open(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
	}
	for _, base := range []time.Duration{100 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second} {
		if err := (history.Config{Tiers: history.DefaultTiers(base)}).Validate(); err != nil {
			t.Errorf("over %s: %v", base, err)
		}
	}
}
