package app_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/cmd/internal/app"
	"loadstar/models"
)

// foretell is every forecast made along a series of half-hours.
func foretell(values []float64) []*models.DemandForecast {
	f := app.NewReplayForecaster(30*time.Minute, 6)
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	var all []*models.DemandForecast
	for _, v := range values {
		at = at.Add(30 * time.Minute)
		f.Observe(at, v)
		all = append(all, f.Demand())
	}
	return all
}

func days(n int) []float64 {
	rng := rand.New(rand.NewPCG(1, 1))
	out := make([]float64, 48*n)
	for i := range out {
		out[i] = 5 + 4*math.Sin(2*math.Pi*float64(i)/48) + 0.5*rng.NormFloat64()
	}
	return out
}

func TestAReplaysForecastDoesNotKnowWhatComes(t *testing.T) {
	values := days(12)
	honest := foretell(values)
	const cut = 400
	for i := cut; i < len(values); i++ {
		values[i] *= 10
	}
	corrupted := foretell(values)
	if d := cmp.Diff(honest[:cut], corrupted[:cut]); d != "" {
		t.Error(d)
	}
	if cmp.Equal(honest[cut+1], corrupted[cut+1]) {
		t.Error("a tenfold load changes nothing in the forecast after it")
	}
}

func TestAReplaysForecastIsTrustedOnADailyLoadAndDriftsWhenItJumps(t *testing.T) {
	values := days(14)
	last := foretell(values)[len(values)-1]
	if last == nil || last.Scored < 30 || last.Skill < 0.1 || last.Coverage < 0.65 || last.Coverage > 0.95 || last.Drift {
		t.Fatalf("%+v", last)
	}
	next := 5 + 4*math.Sin(2*math.Pi*float64(len(values)+2)/48)
	if row := last.Values[2]; math.Abs(row[1]-next) > 1 || row[0] > row[1] || row[1] > row[2] {
		t.Errorf("%v, and %.1f is right", row, next)
	}
	for i := len(values) - 40; i < len(values); i++ {
		values[i] += 40
	}
	drifted := false
	for _, f := range foretell(values)[len(values)-40:] {
		drifted = drifted || f.Drift
	}
	if !drifted {
		t.Error("a level ten times as high is no drift")
	}
}
