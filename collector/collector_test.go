package collector

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/collector/host"
	"loadstar/models"
)

type fakeHost struct {
	reads int
	err   error
}

func (f *fakeHost) Read(_ context.Context, now time.Time) (host.Reading, error) {
	f.reads++
	cpu := float64(f.reads)
	return host.Reading{Status: models.HostStatus{At: now, CPU: cpu}, Rates: host.Rates{CPU: &cpu}}, f.err
}

type kept map[string][]models.Point

func (k kept) Append(_ time.Time, samples []models.Sample) {
	for _, s := range samples {
		k[s.Series] = append(k[s.Series], models.Point{At: s.At, Value: s.Value})
	}
}

func TestSamplesFallOnWholeSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		history := kept{}
		c, err := New(Config{Host: &fakeHost{}, History: history})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Host(); ok {
			t.Error("a snapshot before the first sample")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
		defer cancel()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		points := history[models.SeriesCPU]
		if len(points) != 11 {
			t.Fatalf("%d samples in 10.5 s", len(points))
		}
		for i, p := range points {
			if p.At.Nanosecond() != 0 || i > 0 && p.At.Sub(points[i-1].At) != time.Second {
				t.Errorf("sample %d at %s", i, p.At)
			}
		}
		if h, ok := c.Host(); !ok || h.CPU != 11 {
			t.Errorf("%+v", h)
		}
	})
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

func TestAPoolsTotalsBecomeRates(t *testing.T) {
	c, err := New(Config{Host: &fakeHost{}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	step := func(p models.PoolStatus) map[string]float64 {
		p.Name = "p"
		values := map[string]float64{}
		for _, s := range c.poolSamples(now, []models.PoolStatus{p}) {
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
	check("totals that began anew", step(models.PoolStatus{}), map[string]float64{"queue": 0, "busy": 0})
	now = now.Add(time.Hour)
	check("a late reading leaves a gap", step(models.PoolStatus{Counters: totals}), map[string]float64{"queue": 0, "busy": 0})
}
