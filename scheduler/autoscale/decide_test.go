package autoscale

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
)

// Erlang-C by its definition, term by term, for small n.
func erlangC(n int, a float64) float64 {
	term, sum := 1.0, 0.0
	for k := range n {
		if k > 0 {
			term *= a / float64(k)
		}
		sum += term
	}
	last := term * a / float64(n) * float64(n) / (float64(n) - a)
	return last / (sum + last)
}

func TestWaitFollowsErlangC(t *testing.T) {
	for _, c := range []struct {
		n int
		a float64
	}{{1, 0.5}, {3, 2}, {4, 2}, {10, 8}, {50, 45}} {
		q := newQueueModel(c.a, 2, 1)
		for range c.n {
			q.next()
		}
		for _, wait := range []float64{0, 1, 5} {
			want := erlangC(c.n, c.a) * math.Exp(-(float64(c.n)-c.a)/2*wait)
			if got := q.waitExceeds(wait); math.Abs(got-want) > 1e-12 {
				t.Errorf("n=%d a=%g t=%g: %g, want %g", c.n, c.a, wait, got, want)
			}
		}
	}
}

func TestWorkersIsTheSmallestThatKeepsTheTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads := rapid.SliceOfN(rapid.Float64Range(0, 60), 1, 9).Draw(t, "loads")
		service := rapid.Float64Range(0.01, 100).Draw(t, "service")
		scv := rapid.Float64Range(0, 4).Draw(t, "scv")
		wait := rapid.Float64Range(0.01, 60).Draw(t, "wait")
		violations := rapid.Float64Range(0.001, 0.5).Draw(t, "violations")
		const limit = 200
		late := func(n int) float64 {
			sum := 0.0
			for _, a := range loads {
				q := newQueueModel(a, service, scv)
				for range n {
					q.next()
				}
				if a > 0 {
					if n == 0 {
						sum++
					} else {
						sum += q.waitExceeds(wait)
					}
				}
			}
			return sum / float64(len(loads))
		}
		n := Workers(loads, service, scv, wait, violations, limit)
		const slack = 1e-9
		if n < limit && late(n) > violations+slack {
			t.Fatalf("%d workers leave %g late", n, late(n))
		}
		if n > 1 && late(n-1) <= violations-slack {
			t.Fatalf("%d workers would do, %d were asked for", n-1, n)
		}
	})
}

func stdioPool() models.PoolSpec {
	return models.PoolSpec{
		Name: "p", Kind: models.KindStdio, Command: []string{"w"}, Min: 1, Max: 20,
		Policy: models.PolicyPredictive, SLO: models.Duration(2 * time.Second),
	}.WithDefaults()
}

func burstAhead(now time.Time) *models.DemandForecast {
	f := &models.DemandForecast{
		Series: "pool.p.load", Model: models.ModelLSTM, IssuedAt: now, StepS: 1,
		Levels: []float64{0.1, 0.5, 0.9}, Skill: 0.4, Coverage: 0.8, Scored: 500,
	}
	for h := range 30 {
		load := 1.0
		if h >= 8 && h < 14 {
			load = 8
		}
		f.Values = append(f.Values, []float64{load * 0.8, load, load * 1.2})
	}
	return f
}

func calmInput() models.DecisionInput {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return models.DecisionInput{
		Now: now, Ready: 3, Busy: 1, ArrivalsPerS: 2, ServiceS: 0.5, ServiceCV2: 0.3, LeadS: 6, IntervalS: 1, IdleS: 100,
		FreeMemory: -1, HostCPU: -1, HostCPUForecast: -1, Forecast: burstAhead(now),
	}
}

func TestWorkersAreStartedBeforeAForecastBurst(t *testing.T) {
	d := Decide(stdioPool(), calmInput())
	if !d.Gate || d.Want <= d.Reactive || d.Want != d.Predicted || d.Want < 9 {
		t.Errorf("want %d, reactive %d, predicted %d, gate %v: %s", d.Want, d.Reactive, d.Predicted, d.Gate, d.Reason)
	}
	if !strings.HasPrefix(d.Reason, "10 workers: lstm expects up to") && !strings.Contains(d.Reason, "lstm expects up to") {
		t.Error(d.Reason)
	}
}

func TestTheGateClosesOnADoubtfulForecast(t *testing.T) {
	for why, spoil := range map[string]func(*models.PoolSpec, *models.DecisionInput){
		"the policy is reactive":   func(p *models.PoolSpec, _ *models.DecisionInput) { p.Policy = models.PolicyReactive },
		"there is no forecast yet": func(_ *models.PoolSpec, in *models.DecisionInput) { in.Forecast = nil },
		"the forecast is 10s old": func(_ *models.PoolSpec, in *models.DecisionInput) {
			in.Forecast.IssuedAt = in.Now.Add(-10 * time.Second)
		},
		"reacting is early enough":               func(p *models.PoolSpec, _ *models.DecisionInput) { p.SLO = models.Duration(time.Minute) },
		"drifted":                                func(_ *models.PoolSpec, in *models.DecisionInput) { in.Forecast.Drift = true },
		"29 of 30 forecasts scored":              func(_ *models.PoolSpec, in *models.DecisionInput) { in.Forecast.Scored = 29 },
		"no better than seasonal naive":          func(_ *models.PoolSpec, in *models.DecisionInput) { in.Forecast.Skill = 0 },
		"only 60 % of what came fell within P10": func(_ *models.PoolSpec, in *models.DecisionInput) { in.Forecast.Coverage = 0.6 },
	} {
		p, in := stdioPool(), calmInput()
		spoil(&p, &in)
		d := Decide(p, in)
		if d.Gate || !strings.Contains(d.GateWhy, why) {
			t.Errorf("%s: gate %v, %q", why, d.Gate, d.GateWhy)
		}
		if !strings.Contains(d.Reason, d.GateWhy) {
			t.Errorf("%s: the reason does not say it: %s", why, d.Reason)
		}
	}
}

func TestSeasonalNaiveMayBeTrustedThoughItsSkillIsZero(t *testing.T) {
	in := calmInput()
	in.Forecast.Model, in.Forecast.Skill = models.ModelSNaive, 0
	if d := Decide(stdioPool(), in); !d.Gate || d.Want != d.Predicted {
		t.Errorf("gate %v (%s), want %d of %d", d.Gate, d.GateWhy, d.Want, d.Predicted)
	}
}

func TestAPoolShrinksSlowlyAndOnlyWhenIdle(t *testing.T) {
	p, in := stdioPool(), calmInput()
	in.Forecast, in.Ready = nil, 15
	if d := Decide(p, in); d.Want != 14 {
		t.Errorf("a tenth at a time: %d, %s", d.Want, d.Reason)
	}
	in.IdleS = 1
	if d := Decide(p, in); d.Want != 15 {
		t.Errorf("nobody idle for long: %d, %s", d.Want, d.Reason)
	}
	in.IdleS, in.RecentNeedMax = 100, 15
	if d := Decide(p, in); d.Want != 15 {
		t.Errorf("needed lately: %d, %s", d.Want, d.Reason)
	}
}

func TestAForecastOfNextToNothingLetsThePoolRest(t *testing.T) {
	p, in := stdioPool(), calmInput()
	p.Min, in.Busy, in.ArrivalsPerS, in.Ready = 0, 0, 0, 1
	for _, q := range in.Forecast.Values {
		q[0], q[1], q[2] = 0, 0, 0.001
	}
	if d := Decide(p, in); d.Want != 0 {
		t.Errorf("%d: %s", d.Want, d.Reason)
	}
}

func TestMemoryAndCPUHoldWorkersBack(t *testing.T) {
	p, in := stdioPool(), calmInput()
	p.MemoryPerWorker, in.FreeMemory = 1<<30, 3<<30
	if d := Decide(p, in); d.Want != in.Ready+2 {
		t.Errorf("memory: %d, %s", d.Want, d.Reason)
	}
	p, in = stdioPool(), calmInput()
	in.HostCPUForecast = 0.99
	if d := Decide(p, in); d.Want != d.Reactive && d.Want != in.Ready {
		t.Errorf("cpu: %d, %s", d.Want, d.Reason)
	}
}

func TestRecommendActsOnNothing(t *testing.T) {
	p := stdioPool()
	p.Policy = models.PolicyRecommend
	if d := Decide(p, calmInput()); d.Applied || d.Want <= d.Reactive || !strings.HasSuffix(d.Reason, "nothing was changed") {
		t.Errorf("applied %v, want %d: %s", d.Applied, d.Want, d.Reason)
	}
}

func TestTheSlotsOfAnHTTPPoolAreAllOpenWhateverIsForecast(t *testing.T) {
	p, in := stdioPool(), calmInput()
	p.Kind, in.HostCPUForecast = models.KindHTTP, 0.99
	d := Decide(p, in)
	if d.Want != p.Max || d.Gate || !strings.Contains(d.Reason, "http slots cost nothing while idle") {
		t.Errorf("want %d of %d, gate %v: %s", d.Want, p.Max, d.Gate, d.Reason)
	}
}

func drawInput(t *rapid.T) (models.PoolSpec, models.DecisionInput) {
	p, in := stdioPool(), calmInput()
	p.Kind = rapid.SampledFrom([]models.PoolKind{models.KindExec, models.KindStdio, models.KindHTTP}).Draw(t, "kind")
	p.Policy = rapid.SampledFrom(models.PoolPolicies()).Draw(t, "policy")
	p.Max = rapid.IntRange(1, 60).Draw(t, "max")
	p.Min = rapid.IntRange(0, p.Max).Draw(t, "min")
	number := rapid.OneOf(rapid.Float64Range(0, 1000), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), -1}))
	for name, v := range map[string]*float64{
		"oldest": &in.OldestWaitS, "arrivals": &in.ArrivalsPerS, "service": &in.ServiceS, "cv2": &in.ServiceCV2,
		"lead": &in.LeadS, "idle": &in.IdleS, "cpu": &in.HostCPUForecast,
	} {
		*v = number.Draw(t, name)
	}
	in.Ready = rapid.IntRange(0, p.Max).Draw(t, "ready")
	in.Busy = rapid.IntRange(0, in.Ready).Draw(t, "busy")
	in.Starting = rapid.IntRange(0, p.Max-in.Ready).Draw(t, "starting")
	in.Queued = rapid.IntRange(0, 100000).Draw(t, "queued")
	in.RecentNeedMax = rapid.IntRange(0, 2*p.Max).Draw(t, "recent")
	for _, q := range in.Forecast.Values {
		for i := range q {
			q[i] = number.Draw(t, "load")
		}
	}
	return p, in
}

func TestDecisionsStayInBoundsAndAreFiniteWhateverIsPutIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, in := drawInput(t)
		d := Decide(p, in)
		if d.Want < p.Min || d.Want > p.Max {
			t.Fatalf("%d is not in %d..%d: %s", d.Want, p.Min, p.Max, d.Reason)
		}
		if need := min(d.Reactive, p.Max); d.Want < need {
			t.Fatalf("%d is below the reactive need %d: %s", d.Want, need, d.Reason)
		}
		if d.Want < min(in.Busy, p.Max) {
			t.Fatalf("%d is below the %d busy workers: %s", d.Want, in.Busy, d.Reason)
		}
		if d.Reason == "" || strings.Contains(d.Reason, "NaN") || strings.Contains(d.Reason, "Inf") {
			t.Fatal(d.Reason)
		}
		d.Inputs.Forecast = nil // as it came
		if _, err := json.Marshal(d); err != nil {
			t.Fatal(err)
		}
		p2, in2 := p, in
		if again := Decide(p2, in2); cmp.Diff(d.Reason, again.Reason) != "" || d.Want != again.Want {
			t.Fatalf("two answers to one question:\n%s\n%s", d.Reason, again.Reason)
		}
	})
}

func TestMoreQueueNeverAsksForFewerWorkers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, in := drawInput(t)
		in.Queued = rapid.IntRange(0, 1000).Draw(t, "fewer")
		more := in
		more.Queued += rapid.IntRange(0, 1000).Draw(t, "more")
		if a, b := Decide(p, in), Decide(p, more); a.Reactive > b.Reactive {
			t.Fatalf("%d queued ask for %d, %d for %d", in.Queued, a.Reactive, more.Queued, b.Reactive)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	p, in := stdioPool(), calmInput()
	for b.Loop() {
		Decide(p, in)
	}
}
