package collector

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/collector/host"
	"loadstar/models"
)

type fakeHost struct {
	reads  int
	silent int       // the reading that has no rates, beside the first
	read   func(int) // called at each reading, with its number
	err    error
}

func (f *fakeHost) Read(_ context.Context, now time.Time) (host.Reading, error) {
	f.reads++
	if f.read != nil {
		f.read(f.reads)
	}
	cpu := float64(f.reads)
	r := host.Reading{Status: models.HostStatus{At: now, MemoryTotal: 4, MemoryUsed: 1}}
	if f.reads > 1 && f.reads != f.silent {
		r.Status.CPU, r.Status.Cores, r.Rates = cpu, []float64{cpu}, host.Rates{CPU: &cpu, Cores: []float64{cpu}}
	}
	return r, f.err
}

type kept map[string][]models.Point

func (k kept) BaseStep() time.Duration { return time.Second }

func (k kept) Rewind(to time.Time) {
	for name := range k {
		k[name] = slices.DeleteFunc(k[name], func(p models.Point) bool { return p.At.Add(time.Second).After(to) })
	}
}

// seconds is when a series has values, in seconds after the test's beginning.
func (k kept) seconds(series string, begin time.Time) (out []float64) {
	for _, p := range k[series] {
		out = append(out, p.At.Sub(begin).Seconds())
	}
	return out
}

func (k kept) Append(_ time.Time, samples []models.Sample) {
	for _, s := range samples {
		k[s.Series] = append(k[s.Series], models.Point{At: s.At, Value: s.Value})
	}
}

// run makes a collector sample for some time of a test's own clock.
func run(t *testing.T, cfg Config, d time.Duration) *Collector {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSamplesFallOnWholeSecondsAndTheFirstIsNoRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		history := kept{}
		c := run(t, Config{Host: &fakeHost{}, History: history}, 4500*time.Millisecond)
		if d := cmp.Diff([]float64{0, 1, 2, 3}, history.seconds(models.SeriesCPU, begin)); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]float64{-1, 0, 1, 2, 3}, history.seconds(models.SeriesMemory, begin)); d != "" {
			t.Error(d)
		}
		if h, ok := c.Host(); !ok || h.CPU != 5 {
			t.Errorf("%+v", h)
		}
	})
}

func TestThereIsNoSnapshotBeforeThereAreRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probe := &fakeHost{}
		c, err := New(Config{Host: probe})
		if err != nil {
			t.Fatal(err)
		}
		probe.read = func(n int) {
			if _, ok := c.Host(); ok != (n > 2) {
				t.Errorf("before reading %d: a snapshot %v", n, ok)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestASnapshotWithoutARateKeepsTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		history := kept{}
		c := run(t, Config{Host: &fakeHost{silent: 3}, History: history}, 2500*time.Millisecond)
		if h, _ := c.Host(); h.CPU != 2 || len(h.Cores) != 1 || h.At != begin.Add(2*time.Second) {
			t.Errorf("%+v", h)
		}
		if d := cmp.Diff([]float64{0}, history.seconds(models.SeriesCPU, begin)); d != "" {
			t.Errorf("the history keeps nothing of the kind: %s", d)
		}
	})
}

func TestALateTickLeavesAGapAndTheGridStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		history := kept{}
		probe := &fakeHost{read: func(n int) {
			if n == 3 { // the reading at 2 s takes until 4.3 s: those of 3 and 4 s are missed
				time.Sleep(2300 * time.Millisecond)
			}
		}}
		pools := func(context.Context) ([]models.PoolStatus, error) {
			return []models.PoolStatus{{PoolSpec: models.PoolSpec{Name: "p"}}}, nil
		}
		run(t, Config{Host: probe, History: history, Pools: pools}, 7500*time.Millisecond)
		if d := cmp.Diff([]float64{0, 1, 5, 6}, history.seconds(models.SeriesCPU, begin)); d != "" {
			t.Errorf("cpu: %s", d)
		}
		// The pools were read at 4.3 s: neither that reading nor the next, at 5 s, is a
		// second after the one before; the latter is near enough.
		if d := cmp.Diff([]float64{0, 5, 6}, history.seconds("pool.p.arrivals", begin)); d != "" {
			t.Errorf("arrivals: %s", d)
		}
		if d := cmp.Diff([]float64{-1, 0, 1, 4, 5, 6}, history.seconds("pool.p.queue", begin)); d != "" {
			t.Errorf("queue: %s", d)
		}
	})
}

func TestALeapOfTheClockLeavesAGapAndForgetsWhatIsAhead(t *testing.T) {
	begin := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		leap time.Duration // of the clock between the samples at 3 s and 4 s
		want []float64
	}{
		"ahead":  {time.Minute, []float64{0, 1, 2, 64, 65}},
		"back":   {-2 * time.Second, []float64{0, 2, 3}}, // the reading at 2 s tells nothing
		"slewed": {100 * time.Millisecond, []float64{0, 1, 2, 3, 4, 5}},
	} {
		history := kept{}
		collector, err := New(Config{Host: &fakeHost{}, History: history})
		if err != nil {
			t.Fatal(err)
		}
		now := begin
		for i := range 7 {
			if i > 0 {
				now = now.Add(time.Second)
			}
			if i == 4 {
				now = now.Add(c.leap)
			}
			collector.sample(t.Context(), now)
		}
		if d := cmp.Diff(c.want, history.seconds(models.SeriesCPU, begin)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestAClockSetWhileASecondPassesIsNoticed(t *testing.T) {
	for _, c := range []struct {
		passed, wall time.Duration
		steady, back bool
	}{
		{time.Second, time.Second, true, false},
		{time.Second, 1400 * time.Millisecond, true, false},
		{time.Second, 3 * time.Second, false, false},
		{time.Second, 400 * time.Millisecond, false, true},
		{time.Second, -time.Hour, false, true},
		{3 * time.Second, 3 * time.Second, false, false},
		{3 * time.Second, time.Second, false, true},
		{100 * time.Millisecond, 100 * time.Millisecond, false, false},
	} {
		steady, back := judgeClock(c.passed, c.wall, time.Second)
		if steady != c.steady || back != c.back {
			t.Errorf("%s by the one, %s by the other: steady %v, back %v", c.passed, c.wall, steady, back)
		}
	}
}

func TestPoolsThatDoNotAnswerDoNotHoldUpTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		history := kept{}
		run(t, Config{
			Host: &fakeHost{}, History: history, Logger: slog.New(slog.NewTextHandler(&said, nil)),
			Pools: func(ctx context.Context) ([]models.PoolStatus, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}, 5700*time.Millisecond)
		if n := len(history[models.SeriesCPU]); n != 5 {
			t.Errorf("%d samples of the host", n)
		}
		if n := strings.Count(said.String(), "cannot read all of the pools"); n != 1 {
			t.Errorf("said %d times: %s", n, &said)
		}
	})
}

func TestTheIntervalIsTheStepOfTheHistory(t *testing.T) {
	_, err := New(Config{Host: &fakeHost{}, History: kept{}, Interval: 2 * time.Second})
	if err == nil || err.Error() != "interval: 2s is not the step of the history, 1s" {
		t.Error(err)
	}
}

func TestAHostThatCannotBeReadDoesNotEndTheSampling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probe := &fakeHost{err: errors.New("no /proc")}
		c, err := New(Config{Host: probe})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := c.Run(ctx); err != nil || probe.reads < 3 {
			t.Errorf("%d reads, %v", probe.reads, err)
		}
	})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAPoolsTotalsBecomeRates(t *testing.T) {
	c, err := New(Config{Host: &fakeHost{}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	step := func(p models.PoolStatus) map[string]float64 {
		p.Name = "p"
		values := map[string]float64{}
		for _, s := range c.poolSamples(now, []models.PoolStatus{p}, true) {
			_, what, _ := models.ParsePoolSeries(s.Series)
			values[what] = s.Value
		}
		now = now.Add(time.Second)
		return values
	}
	check := func(name string, got, want map[string]float64) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	check("the first reading is no rate", step(models.PoolStatus{Queued: 3}), map[string]float64{"queue": 3, "busy": 0})
	check("nothing came", step(models.PoolStatus{Busy: 1}), map[string]float64{"queue": 0, "busy": 1, "arrivals": 0, "load": 0})
	totals := models.PoolTotals{Arrived: 6, Started: 4, Finished: 2, WaitS: 8, RunS: 5}
	check("work", step(models.PoolStatus{ServiceS: 0.5, Counters: totals}),
		map[string]float64{"queue": 0, "busy": 0, "arrivals": 6, "load": 3, "wait": 2, "run": 2.5})
	totals.Arrived = 7
	check("an arrival of unknown service time", step(models.PoolStatus{Counters: totals}), map[string]float64{"queue": 0, "busy": 0, "arrivals": 1})
	check("totals that began anew", step(models.PoolStatus{}), map[string]float64{"queue": 0, "busy": 0})
	now = now.Add(time.Hour)
	check("a late reading leaves a gap", step(models.PoolStatus{Counters: totals}), map[string]float64{"queue": 0, "busy": 0})
}
