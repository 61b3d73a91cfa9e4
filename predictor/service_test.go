package predictor

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func checkQuantiles(t *testing.T, f models.Forecast) {
	t.Helper()
	for i := range f.P50 {
		if !(f.P10[i] <= f.P50[i] && f.P50[i] <= f.P90[i]) || f.P10[i] < 0 || f.P90[i] > 100 {
			t.Fatalf("%s step %d: %v %v %v", f.Model, i+1, f.P10[i], f.P50[i], f.P90[i])
		}
	}
}

func TestForecastsBeginWithinTheFirstMinute(t *testing.T) {
	b := newBed(t, diurnal(96, 1), nil)
	b.run(0, 2)
	if c := b.current(); len(c.Forecasts) != 0 || c.Status != "1 of 3 points before the first forecast" {
		t.Errorf("after one step: %d forecasts, %q", len(c.Forecasts), c.Status)
	}
	b.run(2, 13) // two minutes
	c := b.current()
	if len(c.Forecasts) != 4 { // last, snaive, holtwinters and their ensemble
		t.Fatalf("%d forecasts after two minutes", len(c.Forecasts))
	}
	for _, f := range c.Forecasts {
		if len(f.P50) != 12 || !f.IssuedAt.Equal(start.Add(2*time.Minute)) {
			t.Errorf("%s: %d steps issued %s", f.Model, len(f.P50), f.IssuedAt)
		}
		checkQuantiles(t, f)
	}
	if c.Champion == "" || c.Why == "" {
		t.Errorf("champion %q because %q", c.Champion, c.Why)
	}
	var scored int
	for _, r := range b.history(models.ForecastQuery{Series: models.SeriesCPU}) {
		if r.TargetAt.Before(start.Add(2*time.Minute)) != (r.Actual != nil) {
			t.Fatalf("row %+v has actual %v", r, r.Actual)
		}
		if r.Actual != nil {
			scored++
			if math.Abs(*r.AbsError-math.Abs(*r.Actual-r.P50)) > 1e-9 {
				t.Errorf("abs_error %v of %v and %v", *r.AbsError, *r.Actual, r.P50)
			}
		}
	}
	if scored == 0 {
		t.Error("nothing scored")
	}
}

func TestSeasonalModelBecomesChampionOverDays(t *testing.T) {
	b := newBed(t, diurnal(96, 2), nil)
	b.run(0, 96*6)
	c := b.current()
	if c.SeasonSteps != 96 {
		t.Errorf("season %d, want 96", c.SeasonSteps)
	}
	if c.Champion == models.ModelLast || len(c.Forecasts) != 6 {
		t.Errorf("champion %s: %s", c.Champion, c.Why)
	}
	if c.Drift {
		t.Error("drift without cause")
	}
	for _, m := range c.Models {
		if m.N < 1000 || m.MASE == nil || m.WAPE == nil || m.WQL == nil || m.Coverage == nil || m.Skill == nil {
			t.Fatalf("%s: %+v", m.Model, m)
		}
		if *m.Coverage < 0.6 || *m.Coverage > 0.97 {
			t.Errorf("%s: coverage %.2f", m.Model, *m.Coverage)
		}
		if m.Model == models.ModelSNaive && math.Abs(*m.Skill) > 1e-9 {
			t.Errorf("seasonal naive against itself: skill %v", *m.Skill)
		}
		if m.Model == c.Champion && *m.MASE > 1.2 {
			t.Errorf("champion's MASE %.2f", *m.MASE)
		}
	}
	if len(c.Errors) == 0 {
		t.Error("no errors over time")
	}
}

func TestLearnedModelJoinsAndTakesOver(t *testing.T) {
	truth := diurnal(96, 3)
	o := &oracle{truth: truth}
	b := newBed(t, truth, func(c *Config) { c.Learner, c.NoLearner = o, false })
	b.run(0, 30)
	if c := b.current(); c.Status != "29 of 40 points before the LSTM can train" || len(o.trained) != 0 {
		t.Errorf("status %q after %v", c.Status, o.trained)
	}
	b.run(30, 200)
	c := b.current()
	if c.Champion != models.ModelLSTM || c.Status != "ready" || c.TrainedAt == nil {
		t.Errorf("champion %s (%s), status %q", c.Champion, c.Why, c.Status)
	}
	for _, f := range c.Forecasts {
		checkQuantiles(t, f)
	}
	if diff := cmp.Diff([]int{27, 40, 42, 60, 90, 135}, o.trained); diff != "" {
		t.Errorf("trained on (-want +got):\n%s", diff)
	}
	if o.prevs != 5 {
		t.Errorf("%d of 5 later trainings went on from the former model", o.prevs)
	}
	if got := strings.Join(b.told(models.EventForecast), "\n"); !strings.Contains(got, "lstm took over from") || !strings.Contains(got, "trained lstm") {
		t.Errorf("told:\n%s", got)
	}
}

func TestTrainingThatFailsOrPanicsLeavesTheBaselines(t *testing.T) {
	for name, o := range map[string]*oracle{
		"error": {truth: diurnal(96, 3), err: errors.New("loss is not finite")},
		"panic": {truth: diurnal(96, 3), panics: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, diurnal(96, 3), func(c *Config) { c.Learner, c.NoLearner = o, false })
			b.run(0, 70)
			c := b.current()
			if len(c.Forecasts) != 4 || !strings.HasPrefix(c.Status, "training failed: ") {
				t.Errorf("%d forecasts, status %q", len(c.Forecasts), c.Status)
			}
			tries := map[string][]int{"error": {27, 40, 42, 60}, "panic": {27, 42}}[name] // a trial first
			if diff := cmp.Diff(tries, o.trained); diff != "" {
				t.Errorf("tries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHistoryAndModelSurviveARestart(t *testing.T) {
	truth := diurnal(96, 4)
	log, dir := &fakeLog{}, t.TempDir()
	o := &oracle{truth: truth}
	change := func(c *Config) {
		c.Store, c.CheckpointDir, c.Learner, c.NoLearner = log, dir, o, false
	}
	b := newBed(t, truth, change)
	b.run(0, 120)
	b.s.flush(t.Context())
	before := b.history(models.ForecastQuery{Series: models.SeriesCPU})
	champion := b.current().Champion

	again := newBed(t, truth, change)
	again.run(123, 126) // the daemon was away for three steps
	var after []models.ForecastRow
	for _, r := range again.history(models.ForecastQuery{Series: models.SeriesCPU, To: start.Add(1190 * time.Second)}) {
		if r.TargetAt.After(start.Add(1180 * time.Second)) {
			r.Actual, r.AbsError, r.APE = nil, nil, nil // known since
		}
		after = append(after, r)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("history changed over the restart (-before +after):\n%.2000s", diff)
	}
	c := again.current()
	if o.loads != 1 || c.Champion != champion || len(c.Forecasts) != 5 {
		t.Errorf("%d loads, champion %s (was %s), %d forecasts", o.loads, c.Champion, champion, len(c.Forecasts))
	}
	if c.Models[0].N < 500 {
		t.Errorf("scores did not come back: %+v", c.Models[0])
	}
}

func TestDamagedFrameIsLeftOutAndTold(t *testing.T) {
	log := &fakeLog{}
	b := newBed(t, diurnal(96, 4), func(c *Config) { c.Store = log })
	b.run(0, 10)
	b.s.flush(t.Context())
	b.run(10, 20)
	b.s.flush(t.Context())
	log.frames[0][20] ^= 1
	again := newBed(t, diurnal(96, 4), func(c *Config) {
		c.Store = log
	})
	if told := again.told(models.EventTrouble); len(told) != 1 || !strings.HasPrefix(told[0], "1 frames of kept forecasts were damaged") {
		t.Errorf("told %q", told)
	}
	rows := again.history(models.ForecastQuery{Horizon: 1, Model: models.ModelLast})
	if len(rows) != 10 {
		t.Errorf("%d issues of the whole frame are there, want 10", len(rows))
	}
}

func TestDamagedModelIsRefusedToldAndTrainedAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "host.cpu-10s.safetensors")
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &oracle{truth: diurnal(96, 5)}
	b := newBed(t, o.truth, func(c *Config) { c.CheckpointDir, c.Learner, c.NoLearner = dir, o, false })
	b.run(0, 50)
	if told := b.told(models.EventTrouble); len(told) != 1 || !strings.Contains(told[0], "is refused and will be trained anew: not an oracle") {
		t.Errorf("told %q", told)
	}
	if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), "oracle ") {
		t.Errorf("checkpoint is %q", got)
	}
}

func TestLevelShiftIsDriftAndPasses(t *testing.T) {
	calm := diurnal(96, 6)
	truth := func(i int64, at time.Time) float64 {
		if i >= 500 {
			return calm(i, at) + 35
		}
		return calm(i, at)
	}
	// The learned model knows the past only: it is wrong after the shift.
	o := &oracle{truth: calm}
	b := newBed(t, truth, func(c *Config) {
		c.Learner, c.NoLearner, c.RetrainEvery = o, false, time.Hour
	})
	b.run(0, 500)
	led := b.current().Champion
	if c := b.current(); led != models.ModelLSTM && led != models.ModelEnsemble || c.Drift {
		t.Fatalf("before: champion %s, drift %v", c.Champion, c.Drift)
	}
	b.run(500, 511)
	c := b.current()
	if !c.Drift || !slices.Contains(robust(), c.Champion) || !strings.HasPrefix(c.Why, "drift: the errors of "+led+" rose to") {
		t.Fatalf("ten steps after: champion %s, drift %v, %s", c.Champion, c.Drift, c.Why)
	}
	b.run(511, 640)
	if c := b.current(); c.Drift || c.Champion == models.ModelLSTM {
		t.Errorf("later: champion %s, drift %v, %s", c.Champion, c.Drift, c.Why)
	}
	if told := strings.Join(b.told(models.EventForecast), "\n"); !strings.Contains(told, "drift began") || !strings.Contains(told, "drift is over") {
		t.Errorf("told:\n%s", told)
	}
}

func TestOddSeriesAreForecast(t *testing.T) {
	gap := func(i int64, at time.Time) float64 {
		if i > 100 && i < 140 || i%17 == 3 {
			return math.NaN()
		}
		return diurnal(48, 9)(i, at)
	}
	for name, value := range map[string]func(int64, time.Time) float64{
		"constant": func(int64, time.Time) float64 { return 42 },
		"zero":     func(int64, time.Time) float64 { return 0 },
		"mostly zero": func(i int64, _ time.Time) float64 {
			if i%23 == 0 {
				return 50
			}
			return 0
		},
		"gaps": gap,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, value, nil)
			b.run(0, 220)
			c := b.current()
			if len(c.Forecasts) < 4 || c.Champion == "" || c.Drift {
				t.Fatalf("%d forecasts, champion %q, drift %v (%s)", len(c.Forecasts), c.Champion, c.Drift, c.Why)
			}
			for _, f := range c.Forecasts {
				checkQuantiles(t, f)
				if name == "constant" && (f.P10[0] != 42 || f.P90[11] != 42) {
					t.Errorf("%s is not sure of a constant: %v %v", f.Model, f.P10[0], f.P90[11])
				}
			}
		})
	}
}

func TestSeriesWithoutNewValuesIsNotForecastForEver(t *testing.T) {
	b := newBed(t, func(i int64, at time.Time) float64 {
		if i >= 50 {
			return math.NaN()
		}
		return 10
	}, nil)
	b.run(0, 80)
	c := b.current()
	if got, want := c.Forecasts[0].IssuedAt, start.Add(540*time.Second); !got.Equal(want) {
		t.Errorf("newest issue %s, want %s", got, want)
	}
	if !strings.HasPrefix(c.Status, "no values since 2026-03-02T00:08:20Z") {
		t.Errorf("status %q", c.Status)
	}
	if _, ok := b.s.HostCPU(time.Minute); ok {
		t.Error("a stale forecast was given")
	}
}

func TestClockSetForwardAndBack(t *testing.T) {
	b := newBed(t, diurnal(96, 7), nil)
	b.run(0, 100)
	b.run(400, 405) // forward: the steps between are there in the history
	if c := b.current(); !c.Forecasts[0].IssuedAt.Equal(start.Add(4040 * time.Second)) {
		t.Errorf("after the jump forward: %s", c.Forecasts[0].IssuedAt)
	}
	b.run(150, 155)
	c := b.current()
	if !c.Forecasts[0].IssuedAt.Equal(start.Add(1540 * time.Second)) {
		t.Errorf("after the jump back: %s", c.Forecasts[0].IssuedAt)
	}
	for _, r := range b.history(models.ForecastQuery{}) {
		if r.IssuedAt.After(start.Add(1540 * time.Second)) {
			t.Fatalf("a forecast from the future is kept: %s", r.IssuedAt)
		}
	}
	if told := b.told(models.EventTrouble); len(told) != 1 || !strings.Contains(told[0], "the clock was set back by 42m20s") {
		t.Errorf("told %q", told)
	}
}

func TestLateValueIsWaitedFor(t *testing.T) {
	b := newBed(t, diurnal(96, 8), nil)
	b.run(0, 20)
	// The clock says that the step is over, the history does not have it yet.
	now := start.Add(202 * time.Second)
	b.s.tick(t.Context(), now)
	if c := b.current(); !c.Forecasts[0].IssuedAt.Equal(start.Add(190 * time.Second)) {
		t.Errorf("issued %s without its last value", c.Forecasts[0].IssuedAt)
	}
	b.at(now.Add(500 * time.Millisecond))
	if c := b.current(); !c.Forecasts[0].IssuedAt.Equal(start.Add(200 * time.Second)) {
		t.Errorf("issued %s", c.Forecasts[0].IssuedAt)
	}
}

func TestAValueThatComesLateIsScoredAll(t *testing.T) {
	late := false
	truth := diurnal(96, 8)
	b := newBed(t, func(i int64, at time.Time) float64 {
		if i == 29 && !late {
			return math.NaN()
		}
		return truth(i, at)
	}, nil)
	b.run(0, 30)
	b.at(start.Add(307 * time.Second)) // patience is over
	if c := b.current(); !c.Forecasts[0].IssuedAt.Equal(start.Add(300 * time.Second)) {
		t.Fatalf("issued %s", c.Forecasts[0].IssuedAt)
	}
	late = true
	b.run(31, 40)
	c := b.current()
	seen := map[time.Time]int{}
	for _, e := range c.Errors {
		seen[e.At]++
	}
	for i := 10; i < 39; i++ {
		if n := seen[start.Add(time.Duration(i)*10*time.Second)]; n != 1 {
			t.Errorf("step %d was scored %d times", i, n)
		}
	}
}

func TestImportedPastIsTakenIn(t *testing.T) {
	imported := false
	truth := diurnal(96, 13)
	b := newBed(t, func(i int64, at time.Time) float64 {
		if i < 1000 && !imported {
			return math.NaN()
		}
		return truth(i, at)
	}, nil)
	b.h.since = func() time.Time {
		if imported {
			return start
		}
		return start.Add(1000 * 10 * time.Second)
	}
	b.run(1000, 1050)
	if c := b.current(); c.SeasonSteps != 0 {
		t.Fatalf("season %d out of nothing", c.SeasonSteps)
	}
	imported = true
	b.run(1050, 1060)
	if c := b.current(); c.SeasonSteps != 96 {
		t.Errorf("season %d after the import", c.SeasonSteps)
	}
}

func TestDemandAndHostCPU(t *testing.T) {
	truth := diurnal(96, 11)
	o := &oracle{truth: truth}
	lead := time.Minute
	b := newBed(t, truth, func(c *Config) {
		c.Learner, c.NoLearner = o, false
		c.Resolutions = append(c.Resolutions, Resolution{Step: time.Minute, Horizon: 30, Context: 32})
		c.Lead = func(string) time.Duration { return lead }
	})
	b.h.steps = append(b.h.steps, time.Minute)
	b.h.value[models.PoolSeries("a", models.PoolLoad)] = truth
	if _, ok := b.s.Demand("a"); ok {
		t.Error("demand before any value")
	}
	b.run(0, 300)
	d, ok := b.s.Demand("a")
	if !ok || d.StepS != 10 || d.Model != models.ModelLSTM || len(d.Values) != 12 || d.Skill <= 0.3 || d.Scored < 100 || d.Coverage < 0.5 {
		t.Errorf("demand %+v, %v", d, ok)
	}
	if diff := cmp.Diff([]float64{.1, .3, .5, .7, .9}, d.Levels); diff != "" {
		t.Errorf("levels:\n%s", diff)
	}
	if !d.IssuedAt.Equal(start.Add(2990 * time.Second)) {
		t.Errorf("issued %s", d.IssuedAt)
	}
	lead = 10 * time.Minute // beyond the ten-second steps
	if d, ok := b.s.Demand("a"); !ok || d.StepS != 60 {
		t.Errorf("for a long lead: step %v, %v", d.StepS, ok)
	}
	if _, ok := b.s.Demand("b"); ok {
		t.Error("demand of an unknown pool")
	}
	share, ok := b.s.HostCPU(time.Minute)
	most := 0.0
	for i := range int64(7) {
		most = max(most, truth(299+i, start)/100)
	}
	if !ok || math.Abs(share-most) > 0.001 {
		t.Errorf("host cpu %v, %v, want %v", share, ok, most)
	}
}

func TestQueriesOfWhatIsNotForecastAreNotFound(t *testing.T) {
	b := newBed(t, diurnal(96, 1), nil)
	b.run(0, 5)
	_, err1 := b.s.Current("host.gpu", 0)
	_, err2 := b.s.Current(models.SeriesCPU, 7)
	_, err3 := b.s.History(models.ForecastQuery{Series: "host.gpu"})
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, models.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
	if err := b.s.Train(t.Context(), "", nil); !errors.Is(err, models.ErrUnavailable) {
		t.Errorf("train: %v", err)
	}
}

func TestRefusedLogIsToldOnceAndForecastingGoesOn(t *testing.T) {
	log := &fakeLog{err: errors.New("no space left")}
	b := newBed(t, diurnal(96, 1), func(c *Config) { c.Store = log })
	b.run(0, 10)
	b.s.flush(t.Context())
	b.s.flush(t.Context())
	if told := b.told(models.EventTrouble); len(told) != 1 {
		t.Errorf("told %q", told)
	}
	log.err = nil
	b.run(10, 20)
	b.s.flush(t.Context())
	n := 0
	for _, f := range log.frames {
		if err := readFrame(f, func(string, time.Duration, *issue) { n++ }); err != nil {
			t.Fatal(err)
		}
	}
	if n != 17 {
		t.Errorf("%d issues saved, want all 17", n)
	}
}

func TestRunServesTrainsOnRequestAndSavesAtTheEnd(t *testing.T) {
	truth := diurnal(96, 12)
	o := &oracle{truth: truth}
	log := &fakeLog{}
	b := newBed(t, truth, func(c *Config) {
		c.Store, c.Learner, c.NoLearner, c.Poll = log, o, false, time.Millisecond
		c.OnEvent = nil
	})
	b.h.set(start.Add(1002 * time.Second))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.s.Run(ctx) }()
	var told []models.TrainProgress
	var err error
	for range 1000 { // until Run has begun
		if err = b.s.Train(ctx, models.SeriesCPU, func(p models.TrainProgress) { told = append(told, p) }); !errors.Is(err, models.ErrUnavailable) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := len(told); n < 2 || told[n-1].Done != 1 || told[n-1].Status != "done" || told[n-1].StepS != 10 {
		t.Errorf("progress %+v", told)
	}
	if err := b.s.Train(ctx, "host.gpu", nil); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("unknown series: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if len(log.frames) != 1 {
		t.Errorf("%d frames saved at the end", len(log.frames))
	}
}
