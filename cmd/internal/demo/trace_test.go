package demo

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

func TestEqualSeedsGiveEqualTraces(t *testing.T) {
	a, b := Generate(900, 5, time.Minute, 7), Generate(900, 5, time.Minute, 7)
	if d := cmp.Diff(a, b); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(a.Arrivals(7), b.Arrivals(7)); d != "" {
		t.Error(d)
	}
	if c := Generate(900, 5, time.Minute, 8); cmp.Equal(a.Past, c.Past) {
		t.Error("another seed gives the same past")
	}
	if len(a.Past) != 5*96 || len(a.Live) != 60 || a.Day != 96 {
		t.Errorf("%d past, %d live, a day of %d", len(a.Past), len(a.Live), a.Day)
	}
}

func TestAMinuteOfTheShowHoldsABurst(t *testing.T) {
	top, sum := 0.0, 0.0
	trace := Generate(900, 1, time.Minute, 1)
	for _, v := range trace.Live {
		top = max(top, v)
		sum += v
	}
	if mean := sum / 60; top < 2*mean {
		t.Errorf("peak %g tasks/s, mean %g", top, mean)
	}
}

func TestResamplingKeepsTheTotal(t *testing.T) {
	var points []models.Point
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	want := 0.0
	for i := range 2000 {
		v := float64(i % 17)
		points = append(points, models.Point{At: start.Add(time.Duration(i) * time.Minute), Value: v})
		want += v
	}
	for _, speed := range []float64{30, 60, 900, 1000} {
		got := 0.0
		for _, v := range resample(points, 60, speed) {
			got += v
		}
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("speed %g: %g of %g", speed, got, want)
		}
	}
}

func TestARecordedTraceIsScaledToThePool(t *testing.T) {
	var points []models.Point
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 4 * 24 * 60 {
		points = append(points, models.Point{At: start.Add(time.Duration(i) * time.Minute), Value: 1000})
	}
	trace, err := FromSeries("x", points, 60, 900, time.Minute, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(trace.Live) != 60 || math.Abs(trace.Live[30]*trace.ServiceS-3) > 1e-6 {
		t.Errorf("%d s, %g busy", len(trace.Live), trace.Live[30]*trace.ServiceS)
	}
	if _, err := FromSeries("x", points[:100], 60, 900, time.Minute, 3); err == nil {
		t.Error("a trace too short for the show was taken")
	}
}

func TestArrivalsFollowTheRateAndTheServiceTime(t *testing.T) {
	trace := Trace{Day: 96, ServiceS: 0.8, Live: make([]float64, 2000)}
	for i := range trace.Live {
		trace.Live[i] = 3
	}
	all := trace.Arrivals(3)
	sum := 0.0
	for i, a := range all {
		sum += a.Service.Seconds()
		if i > 0 && a.At < all[i-1].At {
			t.Fatal("out of order")
		}
	}
	if n := float64(len(all)); math.Abs(n-6000) > 300 || math.Abs(sum/n-0.8) > 0.03 {
		t.Errorf("%g tasks of %g s", n, sum/n)
	}
}
