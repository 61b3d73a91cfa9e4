package simulate

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

func TestEqualSeedsGiveEqualReports(t *testing.T) {
	cfg := Config{Warmup: 0.2, NewForecaster: newLastWeek, Parallel: 2}
	run := func(seed uint64) Report {
		cfg.Seed = seed
		r, err := Run(context.Background(), cfg, swinging(t, 180, 3, seed))
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.Policies {
			r.Policies[i].TookS = 0
		}
		return r
	}
	first := run(7)
	if d := cmp.Diff(first, run(7)); d != "" {
		t.Errorf("the same seed again:\n%s", d)
	}
	if cmp.Equal(first, run(8)) {
		t.Error("another seed changes nothing")
	}
}

func TestEveryArrivalEndsOnceUnderEveryPolicy(t *testing.T) {
	p := problemOf(t, Config{Warmup: -1, ColdStart: 5 * time.Minute, NewForecaster: newLastWeek}, swinging(t, 180, 3, 1))
	for _, policy := range Policies() {
		_, r, begins := trail(t, p, policy, p.cfg.knobOf(policy, p).standard, false) // checks that each ended once
		if r.Tasks != len(p.w.Jobs) {
			t.Errorf("%s: %d of %d tasks", policy, r.Tasks, len(p.w.Jobs))
		}
		for i, at := range begins {
			if at < p.w.Jobs[i].At {
				t.Fatalf("%s: task %d begins %s before it arrives", policy, i, p.w.Jobs[i].At-at)
			}
		}
		if r.WorkerHours < r.BusyHours*0.99 { // those still running at the end are cut off
			t.Errorf("%s: %g worker-hours for %g hours of work", policy, r.WorkerHours, r.BusyHours)
		}
	}
}

func TestTooSmallAPoolIsGivenUpAndItsTasksAreLate(t *testing.T) {
	p := problemOf(t, Config{Warmup: -1}, swinging(t, 1440, 6, 1))
	v, err := p.world(Static, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r := v.meter.result(); v.meter.check() != nil || r.Unfinished == 0 || r.ViolationsPct < 90 || r.Tasks != len(p.w.Jobs) {
		t.Errorf("%+v", r)
	}
}

// M/M/n: exponential gaps and run times. The share that waits longer than t is
// C(n, a) e^{-(n-a) t / S} (Erlang 1917).
func TestWaitsFollowErlangC(t *testing.T) {
	const (
		n, load, service = 6, 4.5, 8.0
		hours            = 60
	)
	rng := stream(3, 99, 0)
	w := &Workload{Start: midnight, Bin: time.Minute, Load: make([]float64, 60*hours), Rate: make([]float64, 60*hours)}
	for i := range w.Rate {
		w.Rate[i] = load
	}
	for at := 0.0; ; {
		at += rng.ExpFloat64() * service / load
		if at >= hours*3600 {
			break
		}
		w.Jobs = append(w.Jobs, Job{At: time.Duration(at * 1e9), Run: time.Duration(rng.ExpFloat64() * service * 1e9)})
	}
	for _, target := range []time.Duration{time.Nanosecond, 4 * time.Second, 10 * time.Second} {
		p := problemOf(t, Config{Warmup: 0.02, SLO: target, ColdStart: time.Second}, w)
		_, r, _ := trail(t, p, Static, n, true)
		term, sum := 1.0, 0.0
		for k := range n {
			if k > 0 {
				term *= load / float64(k)
			}
			sum += term
		}
		last := term * load / n * n / (n - load)
		want := 100 * last / (sum + last) * math.Exp(-(n-load)/service*target.Seconds())
		// Some 120,000 tasks, with waits that go together within a busy period.
		if math.Abs(r.ViolationsPct-want) > 0.1*want {
			t.Errorf("wait > %s: %.2f %%, Erlang-C says %.2f %%", target, r.ViolationsPct, want)
		}
	}
}

func TestTheOracleIsNoDearerThanThePeakAndNobodyWaits(t *testing.T) {
	p := problemOf(t, Config{Warmup: 0.1}, swinging(t, 600, 6, 1))
	_, oracle, _ := trail(t, p, Oracle, 0, false)
	if oracle.ViolationsPct != 0 {
		t.Errorf("%.3f %% wait under the oracle", oracle.ViolationsPct)
	}
	for n := 1; ; n++ { // the smallest static pool in which nobody waits too long
		if _, static, _ := trail(t, p, Static, float64(n), true); static.ViolationsPct == 0 {
			if oracle.WorkerHours > static.WorkerHours {
				t.Errorf("the oracle takes %.1f worker-hours, %d static workers %.1f", oracle.WorkerHours, n, static.WorkerHours)
			}
			return
		}
	}
}

// What comes later must not change what was decided before, under any policy but
// the one that may know.
func TestNobodyPeeks(t *testing.T) {
	const cut = 150 // bins
	counts := make([]float64, 240)
	for i := range counts {
		counts[i] = 60 + 40*math.Sin(float64(i)/20)
	}
	build := func() *Workload {
		w, err := FromCounts(midnight, time.Minute, counts, Service{}, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	honest := build()
	for i := cut; i < len(counts); i++ {
		counts[i] *= 4
	}
	corrupted := build()
	end := midnight.Add(cut * time.Minute)
	cfg := Config{Warmup: 0.1, NewForecaster: newLastWeek, Max: 100}
	for _, policy := range Policies() {
		if policy == Oracle {
			continue
		}
		a, b := problemOf(t, cfg, honest), problemOf(t, cfg, corrupted)
		knob := a.cfg.knobOf(policy, a).standard
		before, _, _ := trail(t, a, policy, knob, false)
		after, _, _ := trail(t, b, policy, knob, false)
		compared := 0
		for i := range before {
			if before[i].At.After(end) {
				break
			}
			compared++
			if d := cmp.Diff(before[i], after[i]); d != "" {
				t.Fatalf("%s: the decision at %s knows what comes after %s:\n%s", policy, before[i].At, end, d)
			}
		}
		if compared < 400 {
			t.Errorf("%s: only %d decisions compared", policy, compared)
		}
	}
}

func TestASweepMeetsTheShareAndTakesTheCheapest(t *testing.T) {
	w := swinging(t, 300, 4, 1)
	r, err := Run(context.Background(), Config{Warmup: 0.2, Sweep: true, SweepRuns: 6, AtViolations: 2, Policies: []string{KEDA, Static, Oracle}}, w)
	if err != nil {
		t.Fatal(err)
	}
	for _, best := range r.Policies {
		if !best.Met || best.ViolationsPct > 2 {
			t.Errorf("%s: %.2f %% late", best.Policy, best.ViolationsPct)
		}
		for _, other := range r.Frontier {
			if other.Policy == best.Policy && other.Met && other.WorkerHours < best.WorkerHours-1e-9 {
				t.Errorf("%s: %g takes %.2f worker-hours, %g would take %.2f", best.Policy, best.Knob, best.WorkerHours, other.Knob, other.WorkerHours)
			}
		}
	}
}

func TestASteadyLoadNeedsNoPrediction(t *testing.T) {
	counts := make([]float64, 600)
	for i := range counts {
		counts[i] = 60
	}
	w, err := FromCounts(midnight, time.Minute, counts, Service{}, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	if v := problemOf(t, Config{NewForecaster: newLastWeek}, w).verdict(); v.Needed || v.GrowthP99 != 0 {
		t.Errorf("%+v", v)
	}
	for i := range counts {
		if i%60 >= 50 {
			counts[i] = 600
		}
	}
	if w, err = FromCounts(midnight, time.Minute, counts, Service{}, 8, 1); err != nil {
		t.Fatal(err)
	}
	if v := problemOf(t, Config{NewForecaster: newLastWeek}, w).verdict(); v.Needed || v.GrowthP99 < 1 {
		t.Errorf("jumps that the last value does not foresee: %+v", v)
	}
}

func TestWorkloadsKeepTheTracesMass(t *testing.T) {
	counts := make([]float64, 2000)
	for i := range counts {
		counts[i] = float64(i % 90)
	}
	for _, busy := range []float64{0, 0.3, 8} {
		w, err := FromCounts(midnight, time.Minute, counts, Service{Mean: 4 * time.Second, CV: 1}, busy, 1)
		if err != nil {
			t.Fatal(err)
		}
		want := busy
		if busy == 0 {
			want = 44 * 4.0 / 60
		}
		work := 0.0
		for i, j := range w.Jobs {
			work += j.Run.Seconds()
			if i > 0 && j.At < w.Jobs[i-1].At {
				t.Fatal("out of order")
			}
		}
		if got := work / w.End().Seconds(); math.Abs(got-want) > 0.1*want {
			t.Errorf("mean busy %.2f, want %.2f", got, want)
		}
	}
}

func TestAJobLogKeepsItsJobs(t *testing.T) {
	log := []Job{{At: 90 * time.Second, Run: 10 * time.Second}, {At: 5 * time.Second, Run: 20 * time.Second}}
	w, err := FromJobs(midnight, time.Minute, log, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Job{log[1], log[0]}, w.Jobs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]float64{20.0 / 60, 15.0 / 60}, w.Load); d != "" { // both have ended by their bins' ends: a mean of 15 s
		t.Error(d)
	}
	repeated, err := FromJobs(midnight, time.Minute, log, 30, 1)
	if err != nil || len(repeated.Jobs) < 100 {
		t.Errorf("%d jobs, %v", len(repeated.Jobs), err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for field, cfg := range map[string]Config{
		"policies": {Policies: []string{"magic"}}, "cold_start": {ColdStart: -1}, "slo": {SLO: -1}, "violations": {Violations: 2},
		"warmup": {Warmup: 1}, "interval": {Interval: time.Millisecond}, "min, max": {Min: 3, Max: 2}, "at_violations": {AtViolations: 100},
	} {
		var bad *models.FieldError
		if err := cfg.Validate(); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := FromCounts(midnight, time.Minute, []float64{0, math.NaN(), -3}, Service{}, 8, 1); !errors.Is(err, models.ErrInvalid) {
		t.Errorf("an empty trace: %v", err)
	}
}
