package simulate

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

var midnight = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// hours of a load that swings and jumps, about mean busy workers.
func swinging(t testing.TB, minutes int, mean float64, seed uint64) *Workload {
	t.Helper()
	counts := make([]float64, minutes)
	for i := range counts {
		counts[i] = 60 * (1 + 0.8*math.Sin(2*math.Pi*float64(i)/240))
		if i%120 > 100 {
			counts[i] *= 3
		}
	}
	w, err := FromCounts(midnight, time.Minute, counts, Service{}, mean, seed)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func problemOf(t testing.TB, cfg Config, w *Workload) *problem {
	t.Helper()
	p, err := newProblem(context.Background(), cfg.withDefaults(), w)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// trail is a policy's decisions and what came of them.
func trail(t testing.TB, p *problem, policy string, setting float64, sketched bool) ([]models.Decision, Result, []time.Duration) {
	t.Helper()
	v, err := p.world(policy, setting, sketched)
	if err != nil {
		t.Fatal(err)
	}
	var all []models.Decision
	v.decided = func(d models.Decision) { all = append(all, d) }
	if err := v.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := v.meter.check(); err != nil {
		t.Fatal(err)
	}
	return all, v.meter.result(), v.meter.begins
}

func TestTheSketchDecidesAsTheCoreDoes(t *testing.T) {
	p := problemOf(t, Config{Warmup: 0.2, NewForecaster: newLastWeek}, swinging(t, 300, 4, 1))
	for _, policy := range Policies() {
		setting := p.cfg.knobOf(policy, p).standard
		core, coreResult, coreBegins := trail(t, p, policy, setting, false)
		sketch, sketchResult, sketchBegins := trail(t, p, policy, setting, true)
		for i := range min(len(core), len(sketch)) {
			if d := cmp.Diff(core[i], sketch[i]); d != "" {
				t.Fatalf("%s: decision %d (core -, sketch +):\n%s", policy, i, d)
			}
		}
		if d := cmp.Diff(coreResult, sketchResult); d != "" {
			t.Errorf("%s: (core -, sketch +):\n%s", policy, d)
		}
		if d := cmp.Diff(coreBegins, sketchBegins); d != "" {
			t.Errorf("%s: tasks begin at other times", policy)
		}
	}
}

// lastWeek is a forecaster that says what it saw last.
type lastWeek struct {
	bin     time.Duration
	horizon int
	at      time.Time
	load    float64
}

func newLastWeek(bin time.Duration, horizon int) Forecaster {
	return &lastWeek{bin: bin, horizon: horizon}
}

func (f *lastWeek) Observe(end time.Time, load float64) { f.at, f.load = end, load }

func (f *lastWeek) Demand() *models.DemandForecast {
	d := &models.DemandForecast{
		Model: models.ModelLast, IssuedAt: f.at, StepS: f.bin.Seconds(), Levels: []float64{0.1, 0.5, 0.9},
		Skill: 0.3, Coverage: 0.8, Scored: 100,
	}
	for range f.horizon {
		d.Values = append(d.Values, []float64{0.8 * f.load, f.load, 1.2 * f.load})
	}
	return d
}
