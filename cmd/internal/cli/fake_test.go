package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstar/cmd/internal/cli"
	"loadstar/models"
	"loadstar/scheduler/client"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // the fake's clock

// fake is a daemon that holds what a test puts into it and notes what it is asked.
type fake struct {
	down      bool // nobody answers
	tasks     []models.Task
	pools     []models.PoolStatus
	decisions []models.Decision
	series    []models.SeriesInfo
	forecasts []models.SeriesForecast
	history   []models.ForecastRow
	events    []models.Event
	refuse    error // of Submit
	lost      int   // calls of WaitFinal in which the daemon goes away
	onAsk     func(asked int)

	asked     []string
	submitted [][]models.TaskSpec
	query     models.ForecastQuery
	selection models.Selection
	patch     models.PoolPatch
	imported  []models.Point
}

var _ cli.Backend = (*fake)(nil)

func (f *fake) say(format string, args ...any) error {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	if f.onAsk != nil {
		f.onAsk(len(f.asked))
	}
	if f.down {
		return fmt.Errorf("%w answers on /run/api.sock; start one with `loadstar daemon`", client.ErrNoDaemon)
	}
	return nil
}

func (f *fake) Info(context.Context) (models.DaemonInfo, error) {
	return models.DaemonInfo{Version: "1.2.3", PID: 42, StartedAt: noon.Add(-90 * time.Minute)}, f.say("info")
}
func (f *fake) Ready(context.Context) error { return f.say("ready") }
func (f *fake) Where() string               { return "/run/api.sock" }
func (f *fake) Close()                      {}

func (f *fake) Submit(_ context.Context, specs []models.TaskSpec, key string) ([]models.Task, error) {
	if err := f.say("submit %d %q", len(specs), key); err != nil {
		return nil, err
	}
	if f.refuse != nil && len(f.submitted) > 0 || f.refuse != nil && len(specs) < 10_000 {
		return nil, f.refuse
	}
	f.submitted = append(f.submitted, specs)
	out := make([]models.Task, len(specs))
	for i, s := range specs {
		if s.TaskID == "" {
			s.TaskID = fmt.Sprintf("made-up-%d", i+1)
		}
		out[i] = models.Task{TaskSpec: s, State: models.Pending, Attempt: 1, SubmittedAt: noon, Attempts: []models.Attempt{}}
	}
	return out, nil
}

func (f *fake) Task(_ context.Context, id string) (models.Task, error) {
	if err := f.say("task %s", id); err != nil {
		return models.Task{}, err
	}
	for _, t := range f.tasks {
		if t.TaskID == id {
			return t, nil
		}
	}
	return models.Task{}, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
}

func (f *fake) Tasks(_ context.Context, q models.TaskFilter) (models.TaskPage, error) {
	if err := f.say("tasks limit=%d cursor=%q", q.Limit, q.Cursor); err != nil {
		return models.TaskPage{}, err
	}
	var all []models.Task
	for i := range f.tasks {
		if q.Matches(&f.tasks[i]) {
			all = append(all, f.tasks[i])
		}
	}
	var start int
	fmt.Sscan(q.Cursor, &start)
	page := models.TaskPage{Total: len(all), Tasks: all[start:]}
	if len(page.Tasks) > q.Limit {
		page.Tasks, page.Next = page.Tasks[:q.Limit], strconv.Itoa(start+q.Limit)
	}
	return page, nil
}

func (f *fake) Logs(_ context.Context, id string, attempt int, follow bool) (io.ReadCloser, error) {
	if err := f.say("logs %s %d %v", id, attempt, follow); err != nil {
		return nil, err
	}
	if id != "build-1" {
		return nil, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
	}
	return io.NopCloser(strings.NewReader("hi\nthere\n")), nil
}

func (f *fake) WaitFinal(_ context.Context, ids []string) ([]models.Task, error) {
	if err := f.say("wait %d", len(ids)); err != nil {
		return nil, err
	}
	if f.lost > 0 {
		f.lost--
		return nil, client.ErrNoDaemon
	}
	var out []models.Task
	for _, id := range ids {
		i := slices.IndexFunc(f.tasks, func(t models.Task) bool { return t.TaskID == id })
		if i < 0 {
			one := 0
			out = append(out, models.Task{TaskSpec: models.TaskSpec{TaskID: id, Pool: "default", Priority: 50}, State: models.Success, ExitCode: &one, SubmittedAt: noon})
			continue
		}
		out = append(out, f.tasks[i])
	}
	return out, nil
}

func (f *fake) bulk(what string, sel models.Selection, ok func(models.State) bool) (models.BulkResult, error) {
	f.selection = sel
	if err := f.say("%s", what); err != nil {
		return models.BulkResult{}, err
	}
	var r models.BulkResult
	for _, id := range sel.IDs {
		if !slices.ContainsFunc(f.tasks, func(t models.Task) bool { return t.TaskID == id }) {
			r.Refused = append(r.Refused, models.Refusal{TaskID: id, Why: "not found"})
		}
	}
	for i := range f.tasks {
		t := &f.tasks[i]
		if sel.Filter == nil && !slices.Contains(sel.IDs, t.TaskID) || sel.Filter != nil && !sel.Filter.Matches(t) {
			continue
		}
		if ok(t.State) {
			r.Changed = append(r.Changed, t.TaskID)
		} else {
			r.Refused = append(r.Refused, models.Refusal{TaskID: t.TaskID, Why: "it is " + string(t.State)})
		}
	}
	return r, nil
}

func (f *fake) Cancel(_ context.Context, sel models.Selection) (models.BulkResult, error) {
	return f.bulk("cancel", sel, func(s models.State) bool { return !s.Final() })
}

func (f *fake) Retry(_ context.Context, sel models.Selection, dependents bool) (models.BulkResult, error) {
	return f.bulk(fmt.Sprintf("retry %v", dependents), sel, func(s models.State) bool { return s == models.Failed || s == models.Cancelled })
}

func (f *fake) Prioritize(_ context.Context, sel models.Selection, p models.Priority) (models.BulkResult, error) {
	return f.bulk(fmt.Sprintf("prioritize %d", int(p)), sel, func(s models.State) bool { return s == models.Pending })
}

func (f *fake) Explain(_ context.Context, id string) (models.Explanation, error) {
	if id != "test-1" {
		return models.Explanation{}, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
	}
	return models.Explanation{
		TaskID: id, State: models.Pending, Reason: models.ReasonBlocked, Text: "it waits for build-2, which is RUNNING",
		Facts: []string{"build-2 is RUNNING since 11:59:00"},
	}, f.say("explain")
}

func (f *fake) Events(context.Context) (<-chan models.Event, error) {
	if err := f.say("events"); err != nil {
		return nil, err
	}
	ch := make(chan models.Event, len(f.events))
	for _, e := range f.events {
		ch <- e
	}
	close(ch)
	return ch, nil
}

func (f *fake) Pools(context.Context) ([]models.PoolStatus, error) { return f.pools, f.say("pools") }

func (f *fake) SetPool(_ context.Context, name string, patch models.PoolPatch) (models.PoolStatus, error) {
	f.patch = patch
	for _, p := range f.pools {
		if p.Name == name {
			spec, err := patch.Apply(p.PoolSpec)
			p.PoolSpec = spec
			return p, err
		}
	}
	return models.PoolStatus{}, fmt.Errorf("pool %s: %w", name, models.ErrNotFound)
}

func (f *fake) PoolLogs(_ context.Context, name string) (io.ReadCloser, error) {
	if err := f.say("pool logs %s", name); err != nil {
		return nil, err
	}
	if name != "gpu" {
		return nil, fmt.Errorf("pool %q: %w", name, models.ErrNotFound)
	}
	return io.NopCloser(strings.NewReader("2026-11-24T12:00:00.000Z gpu-1 out of memory\n")), nil
}

func (f *fake) Plan(_ context.Context, pool string) ([]models.PlanStep, error) {
	if err := f.say("plan %s", pool); err != nil {
		return nil, err
	}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	return []models.PlanStep{
		{At: at, Workers: 3, Load: 1.5, Why: "the present rate"},
		{At: at.Add(time.Minute), Workers: 3, Load: 1.25, Why: "the present rate"},
		{At: at.Add(2 * time.Minute), Workers: 9, Load: 6, Why: "the same time a week ago"},
	}, nil
}

func (f *fake) Decisions(_ context.Context, pool string, at time.Time, limit int) ([]models.Decision, error) {
	if err := f.say("decisions %s at=%v %d", pool, at, limit); err != nil {
		return nil, err
	}
	return f.decisions[:min(limit, len(f.decisions))], nil
}

func (f *fake) Agents(context.Context) ([]models.Agent, error) {
	return []models.Agent{{ID: "here", Host: "vm", Slots: 4, Busy: 1, LoadScore: 0.25, CPU: 0.3, Memory: 0.2, IO: 0.1, State: "ready", LastHeard: noon.Add(-2 * time.Second), Capabilities: []string{"gpu", "ssd"}}}, f.say("agents")
}

func (f *fake) Stats(context.Context) (models.Stats, error) {
	counts := func(n int) map[models.State]int {
		m := map[models.State]int{}
		for i, s := range models.States() {
			m[s] = n * i
		}
		return m
	}
	return models.Stats{
		Tasks: counts(11), Pools: []models.PoolCount{{Name: "default", Tasks: counts(10)}, {Name: "gpu", Tasks: counts(1)}},
		SubmitToStart: models.Quantiles{P50: 0.6, P95: 12, P99: 1500}, SubmitToDone: models.Quantiles{P50: 100, P95: 2000, P99: 70_000}, TasksPerS: 12.5, UptimeS: 5400,
	}, f.say("stats")
}

func (f *fake) Series(context.Context) ([]models.SeriesInfo, error) { return f.series, f.say("series") }

func (f *fake) Forecasts(_ context.Context, series string, stepS float64) ([]models.SeriesForecast, error) {
	var out []models.SeriesForecast
	for _, s := range f.forecasts {
		if series == "" || s.Series == series {
			out = append(out, s)
		}
	}
	if series != "" && len(out) == 0 {
		return nil, fmt.Errorf("series %s: %w", series, models.ErrNotFound)
	}
	return out, f.say("forecasts %s %v", series, stepS)
}

func (f *fake) ForecastHistory(_ context.Context, q models.ForecastQuery) ([]models.ForecastRow, error) {
	f.query = q
	return f.history, f.say("history")
}

func (f *fake) Train(_ context.Context, series string, progress func(models.TrainProgress)) error {
	for _, done := range []float64{0, 0.1, 0.3, 0.6, 1} {
		progress(models.TrainProgress{Series: "host.cpu", StepS: 10, Done: done, Loss: 1 - done})
	}
	if series == "bad" {
		return errors.New("the loss is not a number")
	}
	return f.say("train %s", series)
}

func (f *fake) Import(_ context.Context, series string, step time.Duration, points []models.Point) error {
	f.imported = points
	return f.say("import %s %s %d", series, step, len(points))
}

// filled is a daemon with a little of everything.
func filled() *fake {
	at := func(d time.Duration) *time.Time { t := noon.Add(d); return &t }
	code := func(n int) *int { return &n }
	num := func(v float64) *float64 { return &v }
	spec := func(id, pool string, p models.Priority, run ...string) models.TaskSpec {
		s := models.NewTaskSpec()
		s.TaskID, s.Pool, s.Priority, s.Run = id, pool, p, run
		return s
	}
	f := &fake{}
	done := models.Task{
		TaskSpec: spec("build-1", "default", 70, "make", "-j4", "all"), State: models.Success, Attempt: 2, Agent: "here", ExitCode: code(0),
		SubmittedAt: *at(-time.Hour), StartedAt: at(-time.Hour + 250*time.Millisecond), FinishedAt: at(-58 * time.Minute),
		Attempts: []models.Attempt{
			{Attempt: 1, Agent: "here", Worker: "default-1", Outcome: models.OutcomeLost, StartedAt: at(-time.Hour), FinishedAt: at(-time.Hour + time.Second), Error: "the daemon went away"},
			{Attempt: 2, Agent: "here", Worker: "default-2", Outcome: "SUCCESS", ExitCode: code(0), StartedAt: at(-time.Hour + 250*time.Millisecond), FinishedAt: at(-58 * time.Minute)},
		},
	}
	done.Labels, done.Env, done.Timeout, done.Retries = map[string]string{"team": "a"}, map[string]string{"CC": "clang"}, models.Duration(10*time.Minute), 3
	failed := models.Task{
		TaskSpec: spec("check-1", "gpu", 50, "sh", "-c", "exit 3"), State: models.Failed, Attempt: 1, Agent: "here", ExitCode: code(3), Error: "exit code 3",
		SubmittedAt: *at(-26 * time.Hour), StartedAt: at(-26 * time.Hour), FinishedAt: at(-26*time.Hour + 1500*time.Millisecond), Attempts: []models.Attempt{},
	}
	running := models.Task{TaskSpec: spec("build-2", "default", 50, "make"), State: models.Running, Attempt: 1, Agent: "here", SubmittedAt: *at(-2 * time.Minute), StartedAt: at(-time.Minute), Attempts: []models.Attempt{}}
	waiting := models.Task{TaskSpec: spec("test-1", "default", 12, "make", "test"), State: models.Pending, Reason: models.ReasonBlocked, Detail: "waits for build-2", Attempt: 1, SubmittedAt: *at(-90 * time.Second), Attempts: []models.Attempt{}}
	waiting.Description = "the tests,\nall of them \x1b[31mred"
	f.tasks = []models.Task{waiting, running, done, failed}

	pool := models.PoolSpec{Name: "gpu", Kind: models.KindStdio, Command: []string{"worker"}, Min: 1, Max: 8}.WithDefaults()
	f.decisions = []models.Decision{{
		Pool: "gpu", At: *at(-time.Second), Policy: models.PolicyPredictive, Reactive: 2, Predicted: 5, PredictedAt: at(30 * time.Second), Gate: true, GateWhy: "skill 0.31 over 40 scored",
		Caps: []models.Cap{{Name: "headroom_memory", Before: 5, After: 4, Why: "free memory holds 4"}}, Want: 4, Applied: true,
		Reason: "4 workers: the forecast asks for 5 in 30s, free memory holds 4.",
		Inputs: models.DecisionInput{
			Ready: 3, Busy: 2, Starting: 1, Queued: 1, OldestWaitS: 0.4, ArrivalsPerS: 1.25, ServiceS: 2.5, ServiceCV2: 1.1, LeadS: 12, HostCPU: 0.4, HostCPUForecast: 0.55, FreeMemory: 3 << 30,
			Forecast: &models.DemandForecast{Series: "pool.gpu.load", Model: "lstm", Skill: 0.31, Coverage: 0.82, Scored: 40},
		},
	}, {Pool: "gpu", At: *at(-3 * time.Second), Policy: models.PolicyPredictive, Reactive: 2, Predicted: 2, Want: 3, Applied: true, Reason: "3 workers: what is here asks for them."}}
	f.pools = []models.PoolStatus{
		{PoolSpec: models.PoolSpec{Name: "default", Max: 4}.WithDefaults(), Ready: 4, Busy: 1, Wanted: 4, Waiting: 1, ServiceS: 0.02, ArrivalsPerS: 3},
		{PoolSpec: pool, Ready: 3, Busy: 2, Starting: 1, Wanted: 4, Queued: 1, OldestWaitS: 0.4, ColdStartS: 9.5, ServiceS: 2.5, ArrivalsPerS: 1.25, Prestarted: 3, Trouble: "worker gpu-4: exit code 1, again in 8s"},
	}
	f.pools[0].Paused = true
	f.series = []models.SeriesInfo{
		{Name: "host.cpu", Unit: "%", StepS: 1, From: *at(-time.Hour), To: noon, Points: 3590, Last: 12.5, Gaps: []models.Gap{{From: *at(-30 * time.Minute), To: *at(-30*time.Minute + 10*time.Second)}}},
		{Name: "host.network", Unit: "B/s", StepS: 60, From: *at(-48 * time.Hour), To: noon, Points: 2880, Last: 1234567},
	}
	lstm := models.Forecast{Series: "host.cpu", IssuedAt: noon, StepS: 10, Model: "lstm", Champion: true, P10: []float64{10, 11}, P50: []float64{20.5, 21}, P90: []float64{30, 33}}
	last := models.Forecast{Series: "host.cpu", IssuedAt: noon, StepS: 10, Model: "last", P10: []float64{5, 5}, P50: []float64{19, 19}, P90: []float64{40, 44}}
	f.forecasts = []models.SeriesForecast{{
		Series: "host.cpu", Unit: "%", StepS: 10, Champion: "lstm", Why: "lowest pinball loss over the last 40", Status: "ready",
		Models: []models.ModelScore{{Model: "lstm", N: 40, MASE: num(0.7), WAPE: num(0.12), Coverage: num(0.81)}, {Model: "last", N: 40, MASE: num(1)}}, Forecasts: []models.Forecast{lstm, last},
	}}
	f.history = []models.ForecastRow{
		{Series: "host.cpu", IssuedAt: noon, TargetAt: noon, StepS: 10, Horizon: 1, Model: "lstm", Champion: true, P10: 10, P50: 20.5, P90: 30},
		{Series: "host.cpu", IssuedAt: *at(-10 * time.Second), TargetAt: *at(-10 * time.Second), StepS: 10, Horizon: 1, Model: "lstm", Champion: true, P10: 10, P50: 20, P90: 30, Actual: num(25), AbsError: num(5), APE: num(20)},
	}
	f.events = []models.Event{
		{Seq: 1, At: noon, Kind: models.EventTask, TaskID: "build-2", State: models.Running, Attempt: 2, Pool: "default"},
		{Seq: 2, At: noon, Kind: models.EventTrouble, Pool: "gpu", Message: "worker gpu-4: exit code 1"},
	}
	return f
}
