package predictor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

// request makes a request as Train does, without waiting for its answer.
func request(ctx context.Context, series string) *trainRequest {
	return &trainRequest{series: series, ctx: ctx, progress: make(chan models.TrainProgress, 64), reply: make(chan error, 1)}
}

func TestARequestPreemptsBackgroundTrainingWhichComesBack(t *testing.T) {
	truth := diurnal(96, 1)
	o := &oracle{truth: truth}
	b := newBed(t, truth, func(c *Config) { c.Learner, c.NoLearner = o, false })
	b.h.set(start.Add(1006 * time.Second))
	b.s.tick(t.Context(), b.h.clock())
	b.s.nextTraining(t.Context())
	background := <-b.s.train.jobs
	if c := b.current(); c.Status != "training 0 %" {
		t.Errorf("status %q", c.Status)
	}
	r := request(t.Context(), models.SeriesCPU)
	b.s.accept(r)
	b.s.train.do(background)
	b.s.trained(background)
	if told := b.told(models.EventTrouble); len(told) != 0 {
		t.Errorf("told %q of a training that gave way", told)
	}
	b.s.nextTraining(t.Context())
	asked := <-b.s.train.jobs
	if asked.request != r {
		t.Fatal("the request is not next")
	}
	b.s.train.do(asked)
	b.s.trained(asked)
	select {
	case err := <-r.reply:
		if err != nil {
			t.Error(err)
		}
	default:
		t.Error("no answer")
	}
	if c := b.current(); c.Status != "ready" {
		t.Errorf("status %q", c.Status)
	}
}

func TestRequestsAreAnsweredWhateverHappens(t *testing.T) {
	truth := diurnal(96, 1)
	for name, tc := range map[string]struct {
		points int
		series string
		err    error
		gone   bool // the asker has left
		want   string
	}{
		"unknown series":  {points: 60, series: "host.gpu", want: "not found"},
		"too few points":  {points: 12, series: models.SeriesCPU, want: "11 of 40 points before the LSTM can train"},
		"training fails":  {points: 60, err: errors.New("the loss is not finite"), want: "host.cpu at 10s: the loss is not finite"},
		"asker has left":  {points: 60, gone: true, want: "context canceled"},
		"daemon shutting": {points: 60, want: "shutting down"},
	} {
		t.Run(name, func(t *testing.T) {
			o := &oracle{truth: truth}
			b := newBed(t, truth, func(c *Config) { c.Learner, c.NoLearner = o, false })
			b.run(0, tc.points)
			o.err = tc.err
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			r := request(ctx, tc.series)
			b.s.accept(r)
			if tc.gone {
				leave()
			}
			if name == "daemon shutting" {
				b.s.abandonRequests()
			} else {
				b.train()
			}
			select {
			case err := <-r.reply:
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%v, want %q", err, tc.want)
				}
			default:
				t.Error("no answer")
			}
		})
	}
}

func TestTrainingWaitsWhileWorkComesFirst(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	asked := 0
	pace(ctx, 1, func() bool {
		asked++
		stop() // the wait ends with the context, not with the work
		return true
	})()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	calls := 0
	pace(t.Context(), 1, func() bool { calls++; return false })()
	if calls != 1 {
		t.Errorf("asked %d times when there was no work", calls)
	}
}

func TestWhatSizesPoolsIsTrainedFirstFinestStepsFirst(t *testing.T) {
	truth := diurnal(96, 1)
	o := &oracle{truth: truth}
	b := newBed(t, truth, func(c *Config) {
		c.Learner, c.NoLearner = o, false
		c.Resolutions = append(c.Resolutions, Resolution{Step: time.Minute, Horizon: 6, Context: 16})
	})
	b.h.steps = append(b.h.steps, time.Minute)
	for _, series := range []string{models.SeriesMemory, models.PoolSeries("a", models.PoolLoad), models.PoolSeries("a", models.PoolArrivals)} {
		b.h.value[series] = truth
	}
	b.h.set(start.Add(7206 * time.Second))
	b.s.tick(t.Context(), b.h.clock())
	var order []string
	for range 9 {
		b.s.nextTraining(t.Context())
		select {
		case j := <-b.s.train.jobs:
			order = append(order, j.group.series+" "+j.group.step.String())
			b.s.train.do(j)
			b.s.trained(j)
		default:
		}
	}
	want := []string{
		"pool.a.load 10s", "host.cpu 10s", "pool.a.arrivals 10s", "host.memory 10s",
		"pool.a.load 1m0s", "host.cpu 1m0s", "pool.a.arrivals 1m0s", "host.memory 1m0s",
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestConfigNamesTheFieldThatIsWrong(t *testing.T) {
	h := &fakeHistory{}
	good := Resolution{Step: time.Second, Horizon: 3, Context: 8}
	for want, cfg := range map[string]Config{
		"History":                {},
		"Resolutions[0].Step":    {History: h, Resolutions: []Resolution{{Step: time.Microsecond, Horizon: 1}}},
		"Resolutions[0].Horizon": {History: h, Resolutions: []Resolution{{Step: time.Second, Horizon: 513}}},
		"Resolutions[0].Context": {History: h, Resolutions: []Resolution{{Step: time.Second, Horizon: 1, Context: 2}}},
		"Resolutions[0].Every":   {History: h, Resolutions: []Resolution{{Step: time.Second, Horizon: 1, Every: 1500 * time.Millisecond}}},
		"Resolutions[1].Step":    {History: h, Resolutions: []Resolution{good, good}},
		"TrainShare":             {History: h, TrainShare: 1.5},
		"MinTrain":               {History: h, MinTrain: 1},
		"Settle":                 {History: h, Settle: -1},
		"MaxBytes":               {History: h, MaxBytes: 100},
		"MaxPoints":              {History: h, MaxPoints: 3},
		"ScoreWindow":            {History: h, ScoreWindow: 1},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := (Config{History: h}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
