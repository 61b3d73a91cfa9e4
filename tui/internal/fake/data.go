package fake

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"loadstar/models"
)

func makePools() []models.PoolSpec {
	pools := []models.PoolSpec{
		{Name: "default", Max: 8},
		{Name: "render", Kind: models.KindStdio, Command: []string{"render-worker"}, Min: 1, Max: 24, ColdStart: models.Duration(9 * time.Second), MemoryPerWorker: 1 << 30},
		{Name: "transcribe-gpu", Kind: models.KindStdio, Command: []string{"whisper"}, Max: 4, ColdStart: models.Duration(40 * time.Second)},
		{Name: "mail", Kind: models.KindStdio, Command: []string{"mailer"}, Max: 4, Paused: true, Policy: models.PolicyReactive},
	}
	for i := range pools {
		pools[i] = pools[i].WithDefaults()
	}
	return pools
}

func makeTasks(now time.Time, n int) []models.Task {
	tasks := make([]models.Task, 0, n)
	names := []string{
		"render scene 12, frames 0-99", "transcribe interview-%d.wav", "Ünïcödé export – 日本語 レポート %d", "nightly report for team %d",
		"resize 👩‍🚀 images %d", "compile kernel 6.%d", "backup volume /srv/%d", "index shard %d",
	}
	pools := []string{"render", "transcribe-gpu", "default", "default", "render", "default", "default", "mail"}
	prios := []models.Priority{50, 70, 50, 30, 90, 50, 42, 50}
	for i := range n {
		t := models.Task{TaskSpec: models.NewTaskSpec(), Attempt: 1, SubmittedAt: now.Add(-time.Duration(i*i/3+i*7+2) * time.Second)}
		t.TaskID = fmt.Sprintf("task-%05d", 20_000-i)
		k := i % len(names)
		t.Description, t.Pool, t.Priority = names[k], pools[k], prios[k]
		if k > 0 {
			t.Description = fmt.Sprintf(names[k], i)
		}
		if k == 2 || k == 5 {
			t.Description, t.Run = "", []string{"sh", "-c", "make -j4 && ./export --to " + strconv.Itoa(i)}
		}
		switch {
		case i == 3:
			t.TaskID, t.Description = "evil-\x1b[31mred\x07", "name with \x1b]0;title\x07 escapes\r\nand lines"
			t.State, t.Reason, t.Detail = models.Pending, models.ReasonBlocked, "waits for task-19994"
		case i < 9:
			t.State, t.Reason = models.Pending, models.ReasonQueued
		case i < 11:
			t.State = models.Assigned
		case i < 18:
			running(&t, now, i)
		case i%41 == 0:
			t.State, t.Error = models.Cancelled, "cancelled by a person"
			at := t.SubmittedAt.Add(5 * time.Second)
			t.FinishedAt = &at
		case i%23 == 0:
			ended(&t, models.Failed, 2, i)
			t.Attempt, t.Error = 3, "exit status 2"
			first := t.Attempts[0]
			first.Attempt = 1
			second := first
			second.Attempt, second.Outcome = 2, models.OutcomeTimeout
			t.Attempts = append([]models.Attempt{first, second}, t.Attempts...)
			t.Attempts[2].Attempt = 3
		default:
			ended(&t, models.Success, 0, i)
		}
		tasks = append(tasks, t)
	}
	return tasks
}

func running(t *models.Task, now time.Time, i int) {
	at := now.Add(-time.Duration(1+i%9*4) * time.Second)
	t.State, t.Agent, t.Worker, t.StartedAt = models.Running, "local", fmt.Sprintf("%s-%d", t.Pool, i%4), &at
	t.Attempts = []models.Attempt{{Attempt: 1, Agent: "local", Worker: t.Worker, StartedAt: &at}}
}

func ended(t *models.Task, s models.State, code, i int) {
	start := t.SubmittedAt.Add(time.Duration(40+i%7*900) * time.Millisecond)
	end := start.Add(time.Duration(300+i%13*1700) * time.Millisecond)
	t.State, t.Agent, t.ExitCode, t.StartedAt, t.FinishedAt = s, "local", &code, &start, &end
	t.Attempts = []models.Attempt{{Attempt: 1, Agent: "local", Worker: t.Pool + "-1", Outcome: string(s), ExitCode: &code, StartedAt: &start, FinishedAt: &end}}
}

func makeEvents(now time.Time, tasks []models.Task) []models.Event {
	if len(tasks) == 0 {
		return nil
	}
	events := []models.Event{
		{Kind: models.EventForecast, Message: "host.cpu: lstm is the champion, its loss is 18 % below holtwinters'"},
		{Kind: models.EventWorker, Pool: "render", Worker: "render-7", Message: "starts ahead of need"},
		{Kind: models.EventPool, Pool: "render", Message: "9 workers: lstm expects up to 7.4 busy workers at 14:04:10"},
		{Kind: models.EventTask, TaskID: tasks[23].TaskID, State: models.Failed, Attempt: 3, Message: "exit status 2"},
		{Kind: models.EventTrouble, Pool: "transcribe-gpu", Message: "a worker never became ready: CUDA out of memory"},
		{Kind: models.EventTask, TaskID: tasks[12].TaskID, State: models.Running, Attempt: 1},
		{Kind: models.EventTask, TaskID: tasks[40].TaskID, State: models.Success, Attempt: 1, Message: "in 2.3 s"},
		{Kind: models.EventWorker, Pool: "render", Worker: "render-7", Message: "ready after 8.7 s"},
		{Kind: models.EventTask, TaskID: tasks[3].TaskID, State: models.Pending, Message: "waits for \x1b[5mtask-19994"},
	}
	for i := range events {
		events[i].Seq = uint64(i + 1)
		events[i].At = now.Add(-time.Duration(len(events)-i) * 3 * time.Second)
	}
	return events
}

// Pools answers with how the pools stand.
func (s *Source) Pools(ctx context.Context) ([]models.PoolStatus, error) {
	now := s.Clock()
	var out []models.PoolStatus
	for i, spec := range s.pools {
		p := models.PoolStatus{PoolSpec: spec, ServiceS: 2.4 + float64(i), ServiceCV2: 0.4, ArrivalsPerS: 1.4 / float64(i+1), ColdStartS: spec.ColdStart.Std().Seconds() * 0.97, ColdStarts: 31 * i, Prestarted: 118 * i}
		switch i {
		case 0:
			p.Ready, p.Busy, p.Wanted = 8, 5, 8
		case 1:
			p.Ready, p.Busy, p.Starting, p.Wanted, p.Queued, p.OldestWaitS = 7, 7, 2, 9, 3, 1.7
		case 2:
			p.Ready, p.Busy, p.Wanted, p.Queued, p.OldestWaitS = 2, 2, 4, 6, 31
			p.Trouble = "a worker never became ready within 1m0s: CUDA out of memory"
		case 3:
			p.Queued, p.OldestWaitS = 2, 412
		}
		d := decision(spec, now.Truncate(2*time.Second), p)
		p.Decision = &d
		out = append(out, p)
	}
	return out, s.enter(ctx, "")
}

func decision(spec models.PoolSpec, at time.Time, p models.PoolStatus) models.Decision {
	ahead := at.Add(20 * time.Second)
	d := models.Decision{
		Pool: spec.Name, At: at, Policy: spec.Policy, Reactive: p.Busy + 1, Predicted: p.Wanted, PredictedAt: &ahead,
		Gate: true, GateWhy: "its skill over 240 scored targets is 0.31", Want: p.Wanted, Applied: true,
		Inputs: models.DecisionInput{
			Now: at, Ready: p.Ready, Busy: p.Busy, Starting: p.Starting, Queued: p.Queued, OldestWaitS: p.OldestWaitS,
			ArrivalsPerS: p.ArrivalsPerS, ServiceS: p.ServiceS, ServiceCV2: p.ServiceCV2, LeadS: 11.2, IntervalS: 2,
			FreeMemory: 11 << 30, HostCPU: 0.46, HostCPUForecast: 0.58,
			Forecast: &models.DemandForecast{
				Series: models.PoolSeries(spec.Name, models.PoolLoad), Model: models.ModelLSTM, IssuedAt: at.Truncate(10 * time.Second), StepS: 10,
				Levels: []float64{0.1, 0.5, 0.9}, Skill: 0.31, Coverage: 0.79, Scored: 240,
			},
		},
	}
	for i := range 12 {
		v := value(d.Inputs.Forecast.Series, d.Inputs.Forecast.IssuedAt.Add(time.Duration(i)*10*time.Second))
		d.Inputs.Forecast.Values = append(d.Inputs.Forecast.Values, []float64{v * 0.8, v, v * 1.25})
	}
	if spec.Kind == models.KindExec {
		d.Reason = fmt.Sprintf("%d workers: exec slots cost nothing while idle, so all are open; %d busy and %d queued use %d", p.Wanted, p.Busy, p.Queued, p.Busy)
		return d
	}
	d.Caps = []models.Cap{{Name: "scale_in", Before: p.Wanted - 1, After: p.Wanted, Why: "the need was that high within the scale-in window"}}
	d.Reason = fmt.Sprintf("%d workers: lstm expects up to 7.4 busy workers at %s and a worker takes 11.2s to be there, while what is here now asks for %d; scale in: %d instead of %d, the need was that high within the scale-in window",
		p.Wanted, ahead.Format("15:04:05"), d.Reactive, p.Wanted, p.Wanted-1)
	return d
}

// Decisions answers with a ledger.
func (s *Source) Decisions(ctx context.Context, pool string, before time.Time, limit int) ([]models.Decision, error) {
	if err := s.enter(ctx, ""); err != nil {
		return nil, err
	}
	for _, spec := range s.pools {
		if spec.Name != pool {
			continue
		}
		var out []models.Decision
		now := s.Clock()
		if !before.IsZero() && before.Before(now) {
			now = before
		}
		now = now.Truncate(2 * time.Second)
		for i := range min(limit, 150) {
			at := now.Add(-time.Duration(i) * 2 * time.Second)
			v := value(models.PoolSeries(pool, models.PoolLoad), at)
			out = append(out, decision(spec, at, models.PoolStatus{Ready: int(v) + 1, Busy: int(v), Wanted: int(v) + 2, Queued: i % 4, ArrivalsPerS: v / 2.4, ServiceS: 2.4}))
		}
		return out, nil
	}
	return nil, fmt.Errorf("pool %s: %w", pool, models.ErrNotFound)
}

// SetPool notes that it was asked, and does it.
func (s *Source) SetPool(ctx context.Context, name string, patch models.PoolPatch) (models.PoolStatus, error) {
	if err := s.enter(ctx, "set "+name); err != nil {
		return models.PoolStatus{}, err
	}
	for i := range s.pools {
		if s.pools[i].Name == name {
			spec, err := patch.Apply(s.pools[i])
			if err != nil {
				return models.PoolStatus{}, err
			}
			s.pools[i] = spec
			return models.PoolStatus{PoolSpec: spec}, nil
		}
	}
	return models.PoolStatus{}, fmt.Errorf("pool %s: %w", name, models.ErrNotFound)
}

func (s *Source) names() []string {
	names := []string{
		models.SeriesCPU, models.SeriesMemory, models.SeriesSwap, models.SeriesLoad, models.SeriesDiskRead, models.SeriesDiskWrite,
		models.SeriesIO, models.SeriesNetRx, models.SeriesNetTx, models.SeriesNetwork,
	}
	for _, p := range s.pools {
		for _, what := range []string{models.PoolArrivals, models.PoolQueue, models.PoolBusy, models.PoolWait, models.PoolLoad} {
			names = append(names, models.PoolSeries(p.Name, what))
		}
	}
	return names
}

// Series answers with the series and their steps.
func (s *Source) Series(ctx context.Context) ([]models.SeriesInfo, error) {
	now := s.Clock()
	var out []models.SeriesInfo
	if len(s.tasks) > 0 {
		for _, n := range s.names() {
			for _, step := range []float64{1, 10, 60} {
				out = append(out, models.SeriesInfo{Name: n, Unit: models.Unit(n), StepS: step, From: now.Add(-time.Hour), To: now, Points: 3600, Last: value(n, now)})
			}
		}
	}
	return out, s.enter(ctx, "")
}

// Samples answers with values, a gap among them.
func (s *Source) Samples(ctx context.Context, series string, stepS float64, from, to time.Time) ([]models.Point, error) {
	if err := s.enter(ctx, ""); err != nil {
		return nil, err
	}
	step := time.Duration(stepS * float64(time.Second))
	var out []models.Point
	for at := from.Truncate(step); at.Add(step).Before(to); at = at.Add(step) {
		if age := s.Clock().Sub(at); age > 150*time.Second && age < 190*time.Second {
			continue
		}
		out = append(out, models.Point{At: at, Value: value(series, at)})
	}
	return out, nil
}

// Forecasts answers for the series that the service would choose.
func (s *Source) Forecasts(ctx context.Context, series string, stepS float64) ([]models.SeriesForecast, error) {
	if err := s.enter(ctx, ""); err != nil {
		return nil, err
	}
	var out []models.SeriesForecast
	if len(s.tasks) == 0 {
		return out, nil
	}
	names := []string{models.SeriesCPU, models.SeriesMemory, models.SeriesIO, models.SeriesNetwork}
	for _, p := range s.pools {
		names = append(names, models.PoolSeries(p.Name, models.PoolArrivals), models.PoolSeries(p.Name, models.PoolLoad))
	}
	for i, n := range names {
		for _, step := range []float64{10, 60} {
			if (series == "" || series == n) && (stepS == 0 || stepS == step) {
				out = append(out, s.forecast(n, step, i))
			}
		}
	}
	return out, nil
}

func (s *Source) forecast(name string, stepS float64, i int) models.SeriesForecast {
	now := s.Clock()
	step := time.Duration(stepS * float64(time.Second))
	trained := now.Add(-190 * time.Second)
	f := models.SeriesForecast{
		Series: name, Unit: models.Unit(name), StepS: stepS, SeasonSteps: 61, Champion: models.ModelLSTM, Drift: i == 3,
		Why:       "lstm: its pinball loss over the last 240 scored targets is 18 % below holtwinters', the next best",
		TrainedAt: &trained, TrainedOn: 2880, TrainS: 4.2, Status: "ready",
	}
	if i == 5 {
		f.Champion, f.Status, f.TrainedAt = models.ModelHoltWinters, "12 of 40 points before the LSTM can train", nil
		f.Why = "holtwinters: the LSTM has not been trained yet"
	}
	for k, model := range []string{models.ModelLSTM, models.ModelHoltWinters, models.ModelSNaive, models.ModelLast} {
		mase, wape, cov, skill := 0.71+0.2*float64(k), 0.084+0.03*float64(k), 0.79-0.06*float64(k), 0.31-0.16*float64(k)
		pin := value(name, now) * 0.03 * float64(k+1)
		f.Models = append(f.Models, models.ModelScore{Model: model, N: 240, MASE: &mase, WAPE: &wape, WQL: &wape, Pinball: &pin, Coverage: &cov, Skill: &skill})
		one := models.Forecast{Series: name, IssuedAt: now.Truncate(step), StepS: stepS, Model: model, Champion: model == f.Champion}
		for h := range 30 {
			v := value(name, one.IssuedAt.Add(time.Duration(h)*step).Add(-step*2))
			spread := (0.05 + 0.02*math.Sqrt(float64(h))) * math.Max(v, 1)
			one.P10, one.P50, one.P90 = append(one.P10, math.Max(0, v-spread)), append(one.P50, v), append(one.P90, v+spread)
		}
		f.Forecasts = append(f.Forecasts, one)
	}
	for k := range 90 {
		at := now.Truncate(step).Add(-time.Duration(90-k) * step)
		f.Errors = append(f.Errors, models.ErrorPoint{At: at, AbsError: value(name, at) * 0.05 * (0.5 + noise(at.Unix(), 77))})
	}
	return f
}

// ForecastHistory answers with what had been forecast.
func (s *Source) ForecastHistory(ctx context.Context, q models.ForecastQuery) ([]models.ForecastRow, error) {
	if err := s.enter(ctx, ""); err != nil {
		return nil, err
	}
	step := time.Duration(q.StepS * float64(time.Second))
	var out []models.ForecastRow
	for at := q.From.Truncate(step); at.Before(q.To); at = at.Add(step) {
		for h := 1; h <= 30; h++ {
			if q.Horizon != 0 && q.Horizon != h {
				continue
			}
			target := at.Add(step * time.Duration(h-1))
			actual := value(q.Series, target)
			p50 := value(q.Series, target.Add(-step)) * (0.95 + 0.1*noise(target.Unix(), 5))
			miss := math.Abs(actual - p50)
			out = append(out, models.ForecastRow{
				Series: q.Series, IssuedAt: at, TargetAt: target, StepS: q.StepS, Horizon: h, Model: models.ModelLSTM, Champion: true,
				P10: p50 * 0.9, P50: p50, P90: p50 * 1.1, Actual: &actual, AbsError: &miss,
			})
		}
	}
	return out, nil
}
