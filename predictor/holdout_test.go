package predictor

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loadstar/models"
)

// imported is a bed with a past of so many steps, before anything was forecast.
func imported(t *testing.T, o *oracle, truth func(int64, time.Time) float64, steps int) *bed {
	b := newBed(t, truth, func(c *Config) { c.Learner, c.NoLearner = o, false })
	b.h.set(start.Add(time.Duration(steps)*10*time.Second + 6*time.Second))
	return b
}

func TestATrainingBringsItsEvidenceAlong(t *testing.T) {
	truth := diurnal(96, 3)
	o := &oracle{truth: truth}
	b := imported(t, o, truth, 600)
	b.at(b.h.clock())
	now := b.h.clock().Add(10 * time.Second)
	b.at(now) // the first forecast of the new model
	c := b.current()
	if c.Champion != models.ModelLSTM || !strings.Contains(c.Why, "without having seen them") {
		t.Fatalf("champion %s: %s", c.Champion, c.Why)
	}
	for _, m := range c.Models {
		if m.N < 500 || m.HeldOut < 500 || m.HeldOut > m.N || m.Coverage == nil || m.WQL == nil {
			t.Errorf("%s: %d scored, %d held out", m.Model, m.N, m.HeldOut)
		}
		if m.Model == models.ModelLSTM && (m.Skill == nil || *m.Skill < 0.1) {
			t.Errorf("skill %v", m.Skill)
		}
	}
	if len(c.Errors) != 1 { // of the one step that a forecast was issued for
		t.Errorf("%d errors of a champion are shown, of forecasts that nobody was told", len(c.Errors))
	}
	first := now.Truncate(10 * time.Second).Add(-10 * time.Second)
	for _, r := range b.history(models.ForecastQuery{}) {
		if r.IssuedAt.Before(first) {
			t.Fatalf("a forecast that was never issued is kept: %+v", r)
		}
	}
}

func TestATrialSeesNothingOfWhatIsHeldOut(t *testing.T) {
	truth := diurnal(96, 3)
	for _, corrupt := range []bool{false, true} {
		o := &oracle{truth: truth}
		b := imported(t, o, func(i int64, at time.Time) float64 {
			if corrupt && i >= 510 {
				return 1e6 * float64(1+i%7)
			}
			return truth(i, at)
		}, 600)
		b.s.tick(t.Context(), b.h.clock())
		b.s.nextTraining(t.Context())
		j := <-b.s.train.jobs
		if j.trial == nil || j.trial.cut != b.s.order[0].w.index(start)+510 {
			t.Fatalf("trial %+v", j.trial)
		}
		seen := j.trial.known(j.data).Values
		if len(seen) != 510 || cap(seen) != 510 {
			t.Fatalf("the learner is given %d values of 510", len(seen))
		}
		for i, v := range seen {
			if math.Abs(v-truth(int64(i), start)) > 1e-9 {
				t.Fatalf("value %d is %v", i, v)
			}
		}
		b.s.train.do(j)
		b.s.trained(j)
		if o.prevs != 1 || len(o.trained) != 2 || o.trained[0] != 510 {
			t.Errorf("trained on %v, %d of them onwards", o.trained, o.prevs)
		}
	}
}

func TestNoTrialWithEnoughEvidenceOrTooFewValues(t *testing.T) {
	truth := diurnal(96, 3)
	o := &oracle{truth: truth}
	b := newBed(t, truth, func(c *Config) { c.Learner, c.NoLearner = o, false })
	b.run(0, 200)
	g := b.s.order[0]
	if g.newTrial(&b.s.cfg, g.w.values, g.w.end()) != nil {
		t.Error("a trial in spite of 150 scored steps")
	}
	g.board = board{most: 288}
	if g.newTrial(&b.s.cfg, g.w.values, g.w.end()) == nil {
		t.Error("no trial without evidence")
	}
	if g.newTrial(&b.s.cfg, g.w.values[:20], g.w.end()) != nil {
		t.Error("a trial of 20 values")
	}
}

func TestAdoptedStepsNeverReplaceLiveOnesOfTheLearner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := board{most: rapid.IntRange(8, 40).Draw(t, "most")}
		learner := map[int64]bool{}
		for i := range int64(30) {
			s := scoredStep{index: i, champErr: 1, champN: 1}
			s.add(models.ModelLast, tally{cells: 1})
			if rapid.Bool().Draw(t, "learner") {
				s.add(models.ModelLSTM, tally{cells: 2})
				learner[i] = true
			}
			b.push(s)
		}
		before := map[int64]bool{}
		for _, s := range b.steps {
			before[s.index] = true
		}
		var held []scoredStep
		from := rapid.Int64Range(-20, 29).Draw(t, "from")
		for i := from; i < from+rapid.Int64Range(1, 30).Draw(t, "n"); i++ {
			s := scoredStep{index: i, champErr: 5, champN: 5}
			s.add(models.ModelLast, tally{cells: 3})
			s.add(models.ModelLSTM, tally{cells: 3})
			held = append(held, s)
		}
		b.adopt(held, models.ModelLSTM)
		if len(b.steps) > b.most {
			t.Fatalf("%d steps", len(b.steps))
		}
		for k, s := range b.steps {
			if k > 0 && s.index <= b.steps[k-1].index {
				t.Fatal("not ascending")
			}
			l, _ := s.of(models.ModelLSTM)
			switch {
			case before[s.index] && learner[s.index] && (l.held != 0 || l.cells != 2):
				t.Fatalf("step %d was replaced", s.index)
			case before[s.index] && s.champN != 1, !before[s.index] && s.champN != 0:
				t.Fatalf("step %d: the champion's error is of %v forecasts", s.index, s.champN)
			}
		}
	})
}
