package predictor

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"loadstar/models"
	"loadstar/predictor/baseline"
)

// flat is an issue at grid index at of a step of 1 s, whose models forecast one
// value with a band of one either side.
func flat(at int64, h, champion int, values map[string]float64) *issue {
	i := &issue{at: at * 1000, horizon: h, champion: champion}
	for _, name := range []string{models.ModelLast, models.ModelSNaive, models.ModelHoltWinters, models.ModelLSTM} {
		v, ok := values[name]
		if !ok {
			continue
		}
		q := baseline.NewQuantiles(h)
		for k := range h {
			q.P10[k], q.P50[k], q.P90[k] = v-1, v, v+1
		}
		i.models = append(i.models, pack(name, q))
	}
	return i
}

func TestScoresOfOneValueAreThoseByHand(t *testing.T) {
	kept := []*issue{
		flat(10, 3, 0, map[string]float64{models.ModelLast: 5, models.ModelSNaive: 8}),
		flat(11, 3, 1, map[string]float64{models.ModelLast: 6, models.ModelSNaive: 8}),
		flat(14, 3, 0, map[string]float64{models.ModelLast: 100, models.ModelSNaive: 100}), // later than the target
	}
	s, ok := score(kept, 1000, 12, 8)
	if !ok {
		t.Fatal("not scored")
	}
	b := board{most: 10}
	b.push(s)
	got := b.modelScore(models.ModelLast, 2)
	// Errors 3 and 2, both above P90 by 2 and 1.
	pin := (0.1*4 + 0.5*3 + 0.9*2 + 0.1*3 + 0.5*2 + 0.9*1) / 3
	for name, pair := range map[string][2]float64{
		"mase": {*got.MASE, 2.5 / 2}, "wape": {*got.WAPE, 5.0 / 16}, "wql": {*got.WQL, 2 * pin / 16},
		"pinball": {*got.Pinball, pin / 2}, "coverage": {*got.Coverage, 0},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-3 {
			t.Errorf("%s %v, want %v", name, pair[0], pair[1])
		}
	}
	right := b.modelScore(models.ModelSNaive, 2)
	if right.N != 2 || *right.Coverage != 1 || *right.MASE > 1e-3 || *right.Skill != 0 {
		t.Errorf("%+v", right)
	}
	if got := s.champErr / s.champN; math.Abs(got-1.5) > 1e-3 { // 3 by last, 0 by snaive
		t.Errorf("champion's error %v", got)
	}
}

func TestALaterModelIsComparedOnItsOwnTargets(t *testing.T) {
	// The LSTM joins when forecasting has become easy; its loss is lower than
	// the average of the last value, but worse than it on the same targets.
	b := board{most: 200}
	for i := range int64(100) {
		values := map[string]float64{models.ModelLast: 50}
		if i >= 50 {
			values[models.ModelLast] = 4
			values[models.ModelLSTM] = 6
		}
		s, _ := score([]*issue{flat(i, 1, 0, values)}, 1000, i, 0)
		b.push(s)
	}
	r, _, ok := b.relative(models.ModelLSTM)
	if !ok || r <= 1 {
		t.Errorf("relative loss %v, %v", r, ok)
	}
}

func TestChampionHasHysteresis(t *testing.T) {
	b := board{most: 40}
	c := bench{}
	names := []string{models.ModelLast, models.ModelSNaive}
	guess := map[string]float64{models.ModelLast: 1, models.ModelSNaive: 2}
	at := int64(0)
	feed := func(n int, last, snaive float64) (changes int) {
		for range n {
			s, _ := score([]*issue{
				flat(at-3, 4, 0, map[string]float64{models.ModelLast: last, models.ModelSNaive: snaive}),
				flat(at, 4, 0, map[string]float64{models.ModelLast: last, models.ModelSNaive: snaive}),
			}, 1000, at, 0)
			b.push(s)
			at++
			if c.choose(&b, names, guess) {
				changes++
			}
		}
		return changes
	}
	if feed(1, 10, 10); c.champion != models.ModelLast || !strings.Contains(c.why, "no forecast has been scored yet") {
		t.Fatalf("first %s: %s", c.champion, c.why)
	}
	if n := feed(40, 10, 9.8); n != 0 || !strings.Contains(c.why, "5 % is needed") {
		t.Errorf("%d changes for two percent: %s", n, c.why)
	}
	if n := feed(60, 10, 5); n != 1 || c.champion != models.ModelSNaive {
		t.Errorf("%d changes to %s: %s", n, c.champion, c.why)
	}
	// Taking turns at being a little better changes nothing.
	if n := feed(30, 10, 10) + feed(10, 9.9, 10) + feed(10, 10, 9.9) + feed(10, 9.9, 10); n != 0 {
		t.Errorf("%d changes by noise", n)
	}
	c.champion = "gone"
	if feed(1, 10, 10); c.champion == "gone" {
		t.Error("a champion without a forecast stays")
	}
}

func TestDriftNeedsMoreThanOneSpike(t *testing.T) {
	run := func(losses []float64) (trips []int, over int) {
		b := board{most: 100}
		var d drift
		for i, l := range losses {
			s, _ := score([]*issue{flat(int64(i), 1, 0, map[string]float64{models.ModelLast: l})}, 1000, int64(i), 0)
			if d.watch(&b, s, models.ModelLast, 1e-9) {
				if d.on {
					trips = append(trips, i)
				} else {
					over = i
				}
			}
			b.push(s)
		}
		return trips, over
	}
	usual := make([]float64, 120)
	for i := range usual {
		usual[i] = 10 + float64(i%3)
	}
	spike := append([]float64(nil), usual...)
	spike[60] = 1e6
	shift := append([]float64(nil), usual...)
	for i := 60; i < 75; i++ {
		shift[i] = 40
	}
	for _, tc := range []struct {
		name   string
		losses []float64
		most   int // steps until flagged; 0 is never
	}{{"usual", usual, 0}, {"one spike", spike, 0}, {"a lasting rise", shift, 10}} {
		t.Run(tc.name, func(t *testing.T) {
			trips, over := run(tc.losses)
			if tc.most == 0 {
				if len(trips) != 0 {
					t.Errorf("tripped at %v", trips)
				}
				return
			}
			if len(trips) != 1 || trips[0] >= 60+tc.most || over <= trips[0] || over > 100 {
				t.Errorf("tripped at %v, over at %d", trips, over)
			}
		})
	}
}

func TestWindowTakesAValueOnceAndStaysBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWindow(1000_000_000, rapid.IntRange(64, 100).Draw(t, "most"))
		seen := map[int64]float64{}
		end := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "puts") {
			end += rapid.Int64Range(-5, 150).Draw(t, "more")
			var points []models.Point
			for i := end - rapid.Int64Range(0, 20).Draw(t, "back"); i < end+2; i++ {
				if rapid.Bool().Draw(t, "there") {
					points = append(points, models.Point{At: w.start(i), Value: float64(rapid.IntRange(0, 9).Draw(t, "v"))})
				}
			}
			if rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
				points = append(points, models.Point{At: w.start(end - 1), Value: math.Inf(1)})
			}
			w.put(points, end)
			n := 0
			for i := w.first; i < w.end(); i++ {
				v, ok := w.at(i)
				if old, was := seen[i]; was && (!ok || v != old) {
					t.Fatalf("step %d was %v, is %v %v", i, old, v, ok)
				}
				if ok {
					seen[i] = v
					n++
				}
			}
			for i := range seen {
				if i < w.first || i >= w.end() {
					delete(seen, i) // let go of
				}
			}
			if n != w.count || len(w.values) > w.most+w.most/4 {
				t.Fatalf("%d values, counted %d, %d steps of %d", n, w.count, len(w.values), w.most)
			}
		}
	})
}
