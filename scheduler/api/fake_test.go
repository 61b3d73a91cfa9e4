package api_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"loadstar/models"
	"loadstar/scheduler/api"
	"loadstar/scheduler/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a daemon's parts, kept in memory: enough of each to see what the API
// asked for, and to answer.
type fake struct {
	mu        sync.Mutex
	tasks     map[string]models.Task
	key       string
	filter    models.TaskFilter
	selection models.Selection
	deps      bool
	priority  models.Priority
	patch     models.PoolPatch
	query     models.ForecastQuery
	imported  []models.Point
	span      [2]time.Time
	step      time.Duration
	at        time.Time
	limit     int
	events    []chan models.Event

	fail       error // what every call answers, where set
	starting   bool
	noHost     bool
	refuse     string // why a bulk call refuses
	logs       map[string]*fakeLog
	trainSteps int
	trainErr   error
	trainHold  chan struct{} // training goes on until it is closed
	history    []models.ForecastRow
	forecasts  []models.SeriesForecast
	panics     bool
	closed     int // logs
}

func at(hour int) time.Time { return time.Date(2026, 11, 24, hour, 0, 0, 0, time.UTC) }

func newFake() *fake {
	f := &fake{tasks: map[string]models.Task{}, logs: map[string]*fakeLog{}}
	f.put("a", models.Success, 1)
	return f
}

// put stores a task in a state, with as many attempts behind it.
func (f *fake) put(id string, s models.State, attempts int) models.Task {
	spec := models.NewTaskSpec()
	spec.TaskID, spec.Run = id, []string{"true"}
	t := models.Task{TaskSpec: spec, State: s, Attempt: max(1, attempts), SubmittedAt: at(8), Attempts: []models.Attempt{}}
	for n := range attempts {
		t.Attempts = append(t.Attempts, models.Attempt{Attempt: n + 1, Agent: "local"})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tasks[id] = t
	return t
}

func (f *fake) emit(e models.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.events {
		select {
		case c <- e:
		default:
		}
	}
}

func (f *fake) subscribers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.events)
}

func (f *fake) Submit(_ context.Context, specs []models.TaskSpec, key string) ([]models.Task, error) {
	if f.fail != nil {
		return nil, f.fail
	}
	f.key = key
	var out []models.Task
	for i, s := range specs {
		if s.TaskID == "" {
			s.TaskID = fmt.Sprintf("made-%d", i)
		}
		t := models.Task{TaskSpec: s, State: models.Pending, Reason: models.ReasonQueued, Attempt: 1, SubmittedAt: at(9), Attempts: []models.Attempt{}}
		f.mu.Lock()
		f.tasks[s.TaskID] = t
		f.mu.Unlock()
		out = append(out, t)
	}
	return out, nil
}

func (f *fake) Task(_ context.Context, id string) (models.Task, error) {
	if f.panics {
		panic("a bug in the scheduler")
	}
	if f.fail != nil {
		return models.Task{}, f.fail
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.tasks[id]
	if !ok {
		return t, fmt.Errorf("task %q: %w", id, models.ErrNotFound)
	}
	return t, nil
}

func (f *fake) Tasks(_ context.Context, filter models.TaskFilter) (models.TaskPage, error) {
	f.filter = filter
	if f.fail != nil {
		return models.TaskPage{}, f.fail
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	page := models.TaskPage{Total: len(f.tasks), Next: "more"}
	for _, t := range f.tasks {
		if filter.Matches(&t) {
			page.Tasks = append(page.Tasks, t)
		}
	}
	return page, nil
}

func (f *fake) bulk(sel models.Selection) (models.BulkResult, error) {
	f.selection = sel
	if f.fail != nil {
		return models.BulkResult{}, f.fail
	}
	if f.refuse != "" {
		r := models.BulkResult{}
		for _, id := range sel.IDs {
			r.Refused = append(r.Refused, models.Refusal{TaskID: id, Why: f.refuse})
		}
		return r, nil
	}
	return models.BulkResult{Changed: sel.IDs}, nil
}

func (f *fake) Cancel(_ context.Context, sel models.Selection) (models.BulkResult, error) {
	return f.bulk(sel)
}

func (f *fake) Retry(_ context.Context, sel models.Selection, deps bool) (models.BulkResult, error) {
	f.deps = deps
	return f.bulk(sel)
}

func (f *fake) Prioritize(_ context.Context, sel models.Selection, p models.Priority) (models.BulkResult, error) {
	f.priority = p
	return f.bulk(sel)
}

func (f *fake) WaitFinal(ctx context.Context, ids []string) ([]models.Task, error) {
	events := f.Subscribe(ctx, 8)
	for {
		var out []models.Task
		final := true
		for _, id := range ids {
			t, err := f.Task(ctx, id)
			if err != nil {
				return nil, err
			}
			out = append(out, t)
			final = final && t.State.Final()
		}
		if final {
			return out, nil
		}
		select {
		case <-events:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *fake) Explain(ctx context.Context, id string) (models.Explanation, error) {
	t, err := f.Task(ctx, id)
	return models.Explanation{TaskID: id, State: t.State, Reason: t.Reason, Text: "it is done", Facts: []string{"exit code 0"}}, err
}

func (f *fake) pool() models.PoolStatus {
	want := at(10)
	spec := models.PoolSpec{Name: "gpu", Kind: models.KindStdio, Command: []string{"worker"}, Max: 4, MemoryPerWorker: 1 << 30}
	d := decision()
	d.PredictedAt = &want
	return models.PoolStatus{
		PoolSpec: spec.WithDefaults(), Ready: 2, Busy: 1, Starting: 1, Wanted: 3, Queued: 5, ColdStartS: 2.5, Prestarted: 7,
		Decision: &d, Counters: models.PoolTotals{Arrived: 10, Started: 9, Finished: 8, WaitS: 1.5, RunS: 20},
	}
}

func decision() models.Decision {
	return models.Decision{
		Pool: "gpu", At: at(9), Policy: models.PolicyPredictive, Reactive: 1, Predicted: 3, Gate: true, GateWhy: "it has skill",
		Inputs: models.DecisionInput{
			Now: at(9), Queued: 5, FreeMemory: -1, HostCPU: -1,
			Forecast: &models.DemandForecast{Series: "pool.gpu.load", Model: "lstm", IssuedAt: at(9), StepS: 10, Levels: []float64{0.5}, Values: [][]float64{{2}}},
		},
		Caps: []models.Cap{{Name: "max", Before: 5, After: 4, Why: "the pool's max"}}, Want: 3, Applied: true, Reason: "the forecast says so",
	}
}

func (f *fake) Pools(context.Context) ([]models.PoolStatus, error) {
	return []models.PoolStatus{f.pool()}, f.fail
}

func (f *fake) SetPool(_ context.Context, name string, patch models.PoolPatch) (models.PoolStatus, error) {
	p := f.pool()
	if name != p.Name {
		return p, fmt.Errorf("pool %q: %w", name, models.ErrNotFound)
	}
	f.patch = patch
	spec, err := patch.Apply(p.PoolSpec)
	p.PoolSpec = spec
	return p, err
}

func (f *fake) Plan(context.Context, string) ([]models.PlanStep, error) {
	return []models.PlanStep{{At: at(5), Workers: 3, Load: 1.5, Why: "because"}}, f.fail
}

func (f *fake) Decisions(_ context.Context, _ string, when time.Time, limit int) ([]models.Decision, error) {
	f.at, f.limit = when, limit
	return []models.Decision{decision()}, f.fail
}

func (f *fake) Agents(context.Context) ([]models.Agent, error) {
	return []models.Agent{{ID: "local", Capabilities: []string{"gpu"}, Slots: 2, Busy: 1, LoadScore: 0.25, LastHeard: at(9), State: "ready"}}, f.fail
}

func (f *fake) Queues(context.Context) ([]models.QueueStatus, error) {
	bands := models.PriorityBands()
	bands[0].Queued = 2
	return []models.QueueStatus{{Pool: "gpu", Queued: 2, OldestWaitS: 3.5, Bands: bands[:]}}, f.fail
}

func (f *fake) Stats(context.Context) (models.Stats, error) {
	counts := map[models.State]int{}
	for _, s := range models.States() {
		counts[s] = 0
	}
	counts[models.Success] = 3
	return models.Stats{Tasks: counts, Pools: []models.PoolCount{{Name: "gpu", Tasks: counts}}, SubmitToStart: models.Quantiles{P50: 4, P95: 8, P99: 12}, TasksPerS: 2}, f.fail
}

func (f *fake) Subscribe(ctx context.Context, buffer int) <-chan models.Event {
	c := make(chan models.Event, buffer)
	f.mu.Lock()
	f.events = append(f.events, c)
	f.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = slices.DeleteFunc(f.events, func(x chan models.Event) bool { return x == c })
		close(c)
	})
	return c
}

// fakeLog is an attempt's output: what is there, and, where live, what comes.
type fakeLog struct {
	text string
	live *io.PipeReader
}

func logName(id string, attempt int) string { return fmt.Sprintf("%s/%d", id, attempt) }

func (f *fake) Open(id string, attempt int) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l, ok := f.logs[logName(id, attempt)]; ok {
		return openedLog{strings.NewReader(l.text), f}, nil
	}
	return nil, fmt.Errorf("log of %s: %w", logName(id, attempt), models.ErrNotFound)
}

func (f *fake) OpenPool(pool string) (io.ReadCloser, error) { return f.Open("pool "+pool, 0) }

// openedLog counts its closing.
type openedLog struct {
	io.Reader
	fake *fake
}

func (l openedLog) Close() error {
	l.fake.mu.Lock()
	defer l.fake.mu.Unlock()
	l.fake.closed++
	return nil
}

func (f *fake) closedLogs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

type followed struct {
	io.Reader
	stop func() bool
}

func (f followed) Close() error { f.stop(); return nil }

func (f *fake) Follow(ctx context.Context, id string, attempt int) (io.ReadCloser, error) {
	rc, err := f.Open(id, attempt)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	live := f.logs[logName(id, attempt)].live
	f.mu.Unlock()
	if live == nil {
		return rc, nil
	}
	stop := context.AfterFunc(ctx, func() { _ = live.CloseWithError(ctx.Err()) })
	return followed{io.MultiReader(rc, live), stop}, nil
}

// log puts output in place; the writer adds to it, and ends it when closed.
func (f *fake) log(id string, attempt int, text string, live bool) *io.PipeWriter {
	l := &fakeLog{text: text}
	var w *io.PipeWriter
	if live {
		l.live, w = io.Pipe()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs[logName(id, attempt)] = l
	return w
}

func (f *fake) Host() (models.HostStatus, bool) {
	return models.HostStatus{At: at(9), Hostname: "box", CPU: 12.5, Cores: []float64{10, 15}, MemoryUsed: 1 << 30, MemoryTotal: 4 << 30, PressureCPU: -1}, !f.noHost
}

func (f *fake) Series() []models.SeriesInfo {
	info := models.SeriesInfo{Name: "host.cpu", Unit: "%", StepS: 10, From: at(8), To: at(9), Points: 360, Last: 12.5, Gaps: []models.Gap{{From: at(8), To: at(8).Add(time.Minute)}}}
	fine := info
	fine.StepS = 1
	return []models.SeriesInfo{info, fine}
}

func (f *fake) Range(_ string, step time.Duration, from, to time.Time) ([]models.Point, error) {
	f.step, f.span = step, [2]time.Time{from, to}
	return []models.Point{{At: at(8), Value: 1.5}, {At: at(8).Add(step), Value: 2}}, f.fail
}

func (f *fake) Import(_ string, step time.Duration, points []models.Point) error {
	f.step = step
	f.imported = append(f.imported, points...)
	return f.fail
}

func (f *fake) Current(series string, _ float64) ([]models.SeriesForecast, error) {
	if series != "" && series != "host.cpu" {
		return nil, fmt.Errorf("series %q: %w", series, models.ErrNotFound)
	}
	return f.forecasts, f.fail
}

func (f *fake) History(q models.ForecastQuery) ([]models.ForecastRow, error) {
	f.query = q
	return f.history, f.fail
}

func (f *fake) Train(ctx context.Context, series string, progress func(models.TrainProgress)) error {
	for i := range f.trainSteps {
		progress(models.TrainProgress{Series: series, StepS: 10, Done: float64(i+1) / float64(f.trainSteps), Loss: 0.5})
	}
	if f.trainHold != nil {
		select {
		case <-f.trainHold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.trainErr
}

func someForecasts() []models.SeriesForecast {
	v := 0.9
	return []models.SeriesForecast{{
		Series: "host.cpu", Unit: "%", StepS: 10, SeasonSteps: 360, Champion: "lstm", Why: "it was better lately",
		Models:    []models.ModelScore{{Model: "lstm", N: 30, MASE: &v, WAPE: &v, Coverage: &v}, {Model: "last"}},
		Forecasts: []models.Forecast{{Series: "host.cpu", IssuedAt: at(9), StepS: 10, Model: "lstm", Champion: true, P10: []float64{1, 2}, P50: []float64{2, 3}, P90: []float64{3, 4}}},
		Errors:    []models.ErrorPoint{{At: at(8), AbsError: 0.5}}, Status: "ready",
	}}
}

func someRows() []models.ForecastRow {
	v := 1.25
	row := models.ForecastRow{Series: "host.cpu", IssuedAt: at(8), TargetAt: at(8).Add(10 * time.Second), StepS: 10, Horizon: 2, Model: "lstm", Champion: true, P10: 1, P50: 2, P90: 3}
	known := row
	known.Actual, known.AbsError = &v, &v
	return []models.ForecastRow{row, known}
}

// csvLines stands in for the exporter.
func csvLines(w io.Writer, rows []models.ForecastRow) error {
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "%s,%s,%d\n", r.Series, r.Model, r.Horizon); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) config() api.Config {
	return api.Config{
		Tasks: f, Logs: f, Metrics: f, Forecasts: f, ForecastCSV: csvLines,
		Info: func() models.DaemonInfo {
			return models.DaemonInfo{Version: "v1", PID: 7, StartedAt: at(8), RSS: 1 << 20}
		},
		Ready:    func() bool { return !f.starting },
		Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Token: "secret",
	}
}

func (f *fake) handler(t testing.TB, change ...func(*api.Config)) http.Handler {
	t.Helper()
	cfg := f.config()
	for _, c := range change {
		c(&cfg)
	}
	a, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a.Handler()
}

// served is a fake daemon that answers on a real unix socket.
type served struct {
	*fake
	socket string
	client *client.Client
	stop   func() error // ends Serve and gives its error
}

func serve(t *testing.T, f *fake, change ...func(*api.Config)) *served {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := api.ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	h := f.handler(t, change...)
	go func() { ended <- api.Serve(ctx, l, h) }()
	c, err := client.New(client.Config{Socket: path, StartWait: -1})
	if err != nil {
		t.Fatal(err)
	}
	s := &served{fake: f, socket: path, client: c, stop: sync.OnceValue(func() error { cancel(); return <-ended })}
	t.Cleanup(func() {
		c.Close()
		if err := s.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}
