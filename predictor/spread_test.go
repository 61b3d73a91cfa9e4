package predictor

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"loadstar/models"
)

// restless is a day's cycle whose noise trebles in the middle of every other day.
func restless(i int64, _ time.Time) float64 {
	r := rand.New(rand.NewPCG(11, uint64(i)))
	size := 2.0
	if day := i / 96; day%2 == 1 && i%96 > 30 && i%96 < 70 {
		size = 6
	}
	return max(0, 60+20*math.Sin(2*math.Pi*float64(i)/96)+size*r.NormFloat64())
}

func TestCoverageIsKeptLiveByEveryModel(t *testing.T) {
	truth := func(i int64, at time.Time) float64 { return restless(i, at) }
	o := &oracle{truth: func(i int64, _ time.Time) float64 { return 60 + 20*math.Sin(2*math.Pi*float64(i)/96) }} // and far too sure: P10 to P90 of two
	b := newBed(t, truth, func(c *Config) { c.Learner, c.NoLearner = o, false })
	b.run(0, 96*9)
	c := b.current()
	if len(c.Models) != 7 {
		t.Fatalf("%d models", len(c.Models))
	}
	for _, m := range c.Models {
		if m.Coverage == nil || *m.Coverage < 0.75 || *m.Coverage > 0.85 {
			t.Errorf("%s covers %.3f", m.Model, *m.Coverage)
		}
	}
	// All its quantiles are corrected as the three are: pools are sized by them.
	g := b.s.order[0]
	is, _ := g.newest()
	for k, m := range is.models {
		if m.name != models.ModelLSTM {
			continue
		}
		for i := range is.horizon {
			p10, p50, p90 := m.at(i)
			q := g.quantile[i]
			if math.Abs(q[2]-p50) > 0.05 || math.Abs(q[0]-p10) > 0.05 || math.Abs(q[4]-p90) > 0.05 {
				t.Fatalf("step %d of model %d: %v beside %v %v %v", i+1, k, q, p10, p50, p90)
			}
		}
	}
	held := 0
	for _, is := range g.kept {
		if is.used != nil {
			held++
		}
	}
	if held > g.res.Horizon+lateSteps+2 {
		t.Errorf("the corrections of %d issues are held", held)
	}
}

func TestCorrectionsAreLearntAnewAfterARestart(t *testing.T) {
	log := &fakeLog{}
	change := func(c *Config) { c.Store = log }
	b := newBed(t, restless, change)
	b.run(0, 300)
	b.s.flush(t.Context())
	again := newBed(t, restless, change)
	again.run(300, 420)
	for _, m := range again.current().Models {
		if m.Coverage == nil || *m.Coverage < 0.7 || *m.Coverage > 0.9 {
			t.Errorf("%s covers %.3f", m.Model, *m.Coverage)
		}
	}
}
