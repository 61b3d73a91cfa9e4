package autoscale

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
)

// drive steps an advisor through days of load in busy workers at a decision every
// 15 s, with Poisson arrivals of tasks of 8 s and a lead of three minutes, and tells
// what it thinks of each.
func drive(t testing.TB, from time.Time, days float64, load func(at time.Time) float64, told func(*models.DecisionInput)) *Advisor {
	t.Helper()
	const tick, service = 15 * time.Second, 8.0
	rng := rand.New(rand.NewPCG(1, 2))
	a := NewAdvisor()
	p := slowPool()
	in := models.DecisionInput{ServiceS: service, ServiceCV2: 0.25, IntervalS: tick.Seconds(), LeadS: 180}
	for k := range int(days * 86400 / tick.Seconds()) {
		in.Now = from.Add(time.Duration(k) * tick)
		mean := load(in.Now.Add(-tick)) / service * tick.Seconds()
		in.Arrived += uint64(math.Max(0, math.Round(mean+math.Sqrt(mean)*rng.NormFloat64())))
		in.Advice = a.Step(p, &in)
		if told != nil {
			told(&in)
		}
	}
	return a
}

func slowPool() models.PoolSpec {
	return models.PoolSpec{
		Name: "p", Kind: models.KindStdio, Command: []string{"w"}, Max: 200, Policy: models.PolicyPredictive, SLO: models.Duration(10 * time.Second),
	}.WithDefaults()
}

var monday = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// bursty is calm but for five minutes in each hour.
func bursty(at time.Time) float64 {
	if at.Minute() < 5 {
		return 40
	}
	return 5
}

func TestAPatternThatRepeatsIsStaffedBeforeItComes(t *testing.T) {
	checked := 0
	drive(t, monday, 2, bursty, func(in *models.DecisionInput) {
		if in.Now.Sub(monday) < 36*time.Hour || in.Now.Minute() != 59 || in.Now.Second() != 0 {
			return
		}
		checked++
		with := *in
		with.Ready, with.IdleS = 8, 100
		d := Decide(slowPool(), with)
		if !d.Gate || d.Want < 40 || d.Reactive > 20 {
			t.Fatalf("a minute before a burst: gate %v, want %d, reactive %d: %s", d.Gate, d.Want, d.Reactive, d.Reason)
		}
		if !strings.Contains(d.Reason, "on the last") || !strings.Contains(d.GateWhy, "would lately have left") {
			t.Fatalf("%s\n%s", d.Reason, d.GateWhy)
		}
	})
	if checked < 10 {
		t.Errorf("%d bursts looked at", checked)
	}
}

func TestALevelShiftIsFollowedWhateverThePatternSays(t *testing.T) {
	shift := monday.Add(30 * time.Hour)
	level := func(at time.Time) float64 {
		if at.Before(shift) {
			return bursty(at)
		}
		return 60
	}
	checked := 0
	drive(t, monday, 1.35, level, func(in *models.DecisionInput) {
		if in.Now.Before(shift.Add(5 * time.Minute)) {
			return
		}
		checked++
		if d := Decide(slowPool(), *in); d.Reactive < 50 || d.Want < d.Reactive {
			t.Fatalf("%s after the shift: want %d, reactive %d: %s", in.Now.Sub(shift), d.Want, d.Reactive, d.Reason)
		}
	})
	if checked == 0 {
		t.Error("nothing looked at")
	}
}

func TestASteadyLoadNeedsNoForecast(t *testing.T) {
	a := drive(t, monday, 2, func(time.Time) float64 { return 8 }, nil)
	best := a.advice.Best
	if best == nil || best.Late > 0.01 {
		t.Fatalf("%+v", best)
	}
	// 8 busy workers on average, and no more than half as many again for chance.
	if best.Workers < 8 || best.Workers > 12.5 {
		t.Errorf("%.1f workers on average under %q", best.Workers, best.Rule)
	}
	if rate := a.advice.Rate; rate == nil || rate.Workers > 1.05*best.Workers {
		t.Errorf("the present rate alone does as well: %+v against %+v", rate, best)
	}
}

func TestUnderTheReactivePolicyTheRateAloneCounts(t *testing.T) {
	p := slowPool()
	p.Policy = models.PolicyReactive
	a := drive(t, monday, 1.5, bursty, nil)
	in := models.DecisionInput{Now: monday.AddDate(0, 0, 2), LeadS: 180, IntervalS: 15, ServiceS: 8, Advice: a.advice}
	d := Decide(p, in)
	if d.Gate || d.Want != max(d.Reactive, 0) || d.Reactive < a.advice.Rate.Need || d.GateWhy != "the policy is reactive" {
		t.Errorf("gate %v (%s), want %d, reactive %d, the rate's rule %d", d.Gate, d.GateWhy, d.Want, d.Reactive, a.advice.Rate.Need)
	}
}

func TestAForecastThatDriftedIsNotTakenWhateverItWasWorth(t *testing.T) {
	in := calmInput()
	in.Advice = &models.Advice{
		RecentPerS: 2, ServiceS: 0.5, Best: &models.AdvisedRule{Rule: "the forecast's P90", Forecast: true, Model: true, Need: 15},
		Rate: &models.AdvisedRule{Rule: "the mean rate of 2m", Need: 5},
	}
	if d := Decide(stdioPool(), in); !d.Gate || d.Want != 15 {
		t.Errorf("in order: gate %v (%s), want %d", d.Gate, d.GateWhy, d.Want)
	}
	in.Forecast.Drift = true
	if d := Decide(stdioPool(), in); d.Gate || d.Want != 5 || !strings.Contains(d.Reason, "drifted") {
		t.Errorf("drifted: gate %v, want %d: %s", d.Gate, d.Want, d.Reason)
	}
}

func TestAnotherColdStartBeginsTheComparisonAnew(t *testing.T) {
	a := drive(t, monday, 1, func(time.Time) float64 { return 8 }, nil)
	if a.advice.Best == nil {
		t.Fatal("there should be advice after a day")
	}
	in := models.DecisionInput{Now: monday.AddDate(0, 0, 1), LeadS: 900, IntervalS: 15, ServiceS: 8}
	if advice := a.Step(slowPool(), &in); advice.Best != nil {
		t.Errorf("advice on a lead of 15 minutes from one of three: %+v", advice.Best)
	}
}

func TestACloneGoesItsOwnWay(t *testing.T) {
	a := drive(t, monday, 1, bursty, nil)
	b := a.Clone()
	in := models.DecisionInput{Now: monday.AddDate(0, 0, 1), LeadS: 180, IntervalS: 15, ServiceS: 8, Arrived: 1e6}
	before := *a.advice
	first := *b.Step(slowPool(), &in)
	if d := cmp.Diff(before, *a.advice); d != "" {
		t.Errorf("stepping the copy changed the original:\n%s", d)
	}
	if d := cmp.Diff(first, *a.Step(slowPool(), &in)); d != "" {
		t.Errorf("the same step has another outcome:\n%s", d)
	}
}

func TestAdviceIsFiniteWhateverIsPutIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSizer()
		p, _ := drawInput(t)
		now := monday
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			_, in := drawInput(t)
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(26*time.Hour)).Draw(t, "later")))
			in.Now, in.Arrived = now, rapid.Uint64().Draw(t, "arrived")
			d := s.Decide(p, in)
			if d.Want < p.Min || d.Want > p.Max || d.Want < min(d.Reactive, p.Max) {
				t.Fatalf("%d of %d..%d, reactive %d", d.Want, p.Min, p.Max, d.Reactive)
			}
			d.Inputs.Forecast = nil // as it came
			if _, err := json.Marshal(d); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestSizingIsTheFewestWorkersThatPay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := sizing{spread: rapid.SampledFrom([]float64{0, 0.2, 0.5}).Draw(t, "spread"), price: rapid.Float64Range(2, 16384).Draw(t, "price")}
		s.fit(rapid.Float64Range(0.5, 60).Draw(t, "service"), rapid.Float64Range(0, 2).Draw(t, "scv"), rapid.Float64Range(1, 60).Draw(t, "wait"))
		load := rapid.Float64Range(0.02, 60).Draw(t, "load")
		n := s.need(load, 500)
		if float64(n) < load {
			t.Fatalf("%d workers cannot keep up with %g", n, load)
		}
		const slack = 1.01
		if s.spread == 0 && float64(n-1) > load && s.saves(load, n-1)*s.price < 1/slack {
			t.Fatalf("the last of %d workers does not pay at a load of %g", n, load)
		}
		if more := s.need(load*1.5, 500); more < n {
			t.Fatalf("%d workers for half as much again, %d before", more, n)
		}
	})
}

func TestTheShadowCountsWhoWaitsTooLong(t *testing.T) {
	for _, c := range []struct {
		name                        string
		backlog, change, limit, out float64
	}{
		{"nothing waits", 0, -5, 10, 0},
		{"a backlog grows past the limit half way", 0, 20, 10, 0.5},
		{"all come too late", 30, 5, 10, 1},
		{"it shrinks below the limit half way", 20, -20, 10, 0.5},
		{"it stays below", 5, 0, 10, 0},
		{"it stays above", 15, 0, 10, 1},
	} {
		if got := lateShare(c.backlog, c.change, c.limit); math.Abs(got-c.out) > 1e-12 {
			t.Errorf("%s: %g, want %g", c.name, got, c.out)
		}
	}
}

func TestAShadowStopsNoWorkerThatStartsOrRuns(t *testing.T) {
	s := shadow{ready: 5, starting: 3}
	var due int16
	s.resize(0, 4, &due)
	if s.ready != 4 || s.starting != 3 || due != 0 {
		t.Errorf("%d ready, %d starting, %d due", s.ready, s.starting, due)
	}
	s.resize(10, 4, &due)
	if s.starting != 6 || due != 3 {
		t.Errorf("%d starting, %d due", s.starting, due)
	}
}

func BenchmarkAdvisorStep(b *testing.B) {
	a := drive(b, monday, 1, bursty, nil)
	in := models.DecisionInput{Now: monday.AddDate(0, 0, 1), LeadS: 180, IntervalS: 15, ServiceS: 8}
	for b.Loop() {
		in.Now = in.Now.Add(15 * time.Second)
		in.Arrived += 20
		a.Step(slowPool(), &in)
	}
}
