package api_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/scheduler/api"
	"loadstar/scheduler/client"
)

// same compares what a client got with what the daemon's part gave.
func same[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}

func TestEveryModelComesThroughTheClientUnchanged(t *testing.T) {
	s := serve(t, newFake())
	s.forecasts, s.history = someForecasts(), someRows()
	ctx, c := t.Context(), s.client

	info, err := c.Info(ctx)
	same(t, "info", info, err, models.DaemonInfo{Version: "v1", PID: 7, StartedAt: at(8), RSS: 1 << 20})
	host, err := c.Host(ctx)
	wantHost, _ := s.Host()
	same(t, "host", host, err, wantHost)
	stats, err := c.Stats(ctx)
	wantStats, _ := s.Stats(ctx)
	same(t, "stats", stats, err, wantStats)
	pools, err := c.Pools(ctx)
	same(t, "pools", pools, err, []models.PoolStatus{s.pool()})
	decisions, err := c.Decisions(ctx, "gpu", at(9), 3)
	same(t, "decisions", decisions, err, []models.Decision{decision()})
	plan, err := c.Plan(ctx, "gpu")
	same(t, "plan", plan, err, []models.PlanStep{{At: at(5), Workers: 3, Load: 1.5, Why: "because"}})
	same(t, "decisions' limit", s.limit, nil, 3)
	same(t, "decisions' time", s.at, nil, at(9))
	agents, err := c.Agents(ctx)
	wantAgents, _ := s.Agents(ctx)
	same(t, "agents", agents, err, wantAgents)
	queues, err := c.Queues(ctx)
	wantQueues, _ := s.Queues(ctx)
	same(t, "queues", queues, err, wantQueues)
	task, err := c.Task(ctx, "a")
	wantTask, _ := s.Task(ctx, "a")
	same(t, "task", task, err, wantTask)
	why, err := c.Explain(ctx, "a")
	wantWhy, _ := s.Explain(ctx, "a")
	same(t, "explain", why, err, wantWhy)
	series, err := c.Series(ctx)
	same(t, "series", series, err, s.Series())
	points, err := c.Samples(ctx, "host.cpu", 10, at(8), at(9))
	same(t, "samples", points, err, []models.Point{{At: at(8), Value: 1.5}, {At: at(8).Add(10 * time.Second), Value: 2}})
	same(t, "samples' span", s.span, nil, [2]time.Time{at(8), at(9)})
	forecasts, err := c.Forecasts(ctx, "", 0)
	same(t, "forecasts", forecasts, err, someForecasts())
	query := models.ForecastQuery{Series: "host.cpu", StepS: 10, From: at(8), To: at(9), Model: "lstm", Horizon: 2, Limit: 9}
	rows, err := c.ForecastHistory(ctx, query)
	same(t, "history", rows, err, someRows())
	same(t, "history's query", s.query, nil, query)
}

func TestActionsReachTheScheduler(t *testing.T) {
	s := serve(t, newFake())
	ctx, c := t.Context(), s.client

	spec := models.NewTaskSpec()
	spec.TaskID, spec.Run, spec.Timeout = "b", []string{"echo", "ü <&>"}, models.Duration(time.Minute)
	spec.Resources = &models.Resources{CPU: 0.5, Memory: 512 << 20}
	tasks, err := c.Submit(ctx, []models.TaskSpec{spec}, "key")
	want, _ := s.Task(ctx, "b")
	same(t, "submit", tasks, err, []models.Task{want})
	same(t, "submitted", want.TaskSpec, nil, spec)
	same(t, "key", s.key, nil, "key")
	ids, err := c.SubmitIDs(ctx, []models.TaskSpec{spec}, "key")
	if err != nil || !slices.Equal(ids, []string{spec.TaskID}) {
		t.Errorf("the ids alone: %q, %v", ids, err)
	}
	tasks, err = c.SubmitRaw(ctx, []byte(`{"task_id":"c","run":["x"]}`), "", "")
	want, _ = s.Task(ctx, "c")
	same(t, "one by itself", tasks, err, []models.Task{want})
	tasks, err = c.SubmitRaw(ctx, []byte(`{"task_id":"c","run":["x"]}`), "application/x-ndjson", "")
	same(t, "one line", tasks, err, []models.Task{want})
	tasks, err = c.Submit(ctx, nil, "")
	same(t, "none", tasks, err, []models.Task{})

	sel := models.Selection{IDs: []string{"a"}}
	done, err := c.Cancel(ctx, sel)
	same(t, "cancel", done, err, models.BulkResult{Changed: []string{"a"}})
	_, err = c.Retry(ctx, sel, true)
	same(t, "retry", s.deps, err, true)
	_, err = c.Prioritize(ctx, models.Selection{Filter: &models.TaskFilter{Pool: "gpu"}}, 0)
	same(t, "prioritize", s.priority, err, 0)
	same(t, "selection", s.selection, nil, models.Selection{Filter: &models.TaskFilter{Pool: "gpu"}})

	filter := models.TaskFilter{States: []models.State{models.Success}, Labels: map[string]string{"k": "v=&"}, Text: "tr&e=", Limit: 5, Cursor: "x", Oldest: true}
	page, err := c.Tasks(ctx, filter)
	same(t, "tasks", page, err, models.TaskPage{Tasks: []models.Task{}, Next: "more", Total: 3})
	same(t, "filter", s.filter, nil, filter)

	two, policy := 2, models.PolicyStatic
	pool, err := c.SetPool(ctx, "gpu", models.PoolPatch{Min: &two, Policy: &policy})
	same(t, "pool", pool.Min, err, 2)
	same(t, "patch", s.patch, nil, models.PoolPatch{Min: &two, Policy: &policy})

	given := []models.Point{{At: at(8), Value: 1}, {At: at(9), Value: -2.5}}
	err = c.Import(ctx, "mine", time.Hour, given)
	same(t, "import", s.imported, err, given)
	same(t, "import's step", s.step, nil, time.Hour)
}

func TestAnIdOfOddCharactersNamesItself(t *testing.T) {
	s := serve(t, newFake())
	for _, id := range []string{"..", ".", "a?b", "a#b", "a%2Fb", "ünï", "wait", "cancel", "a&b=c", "a;b", "-"} {
		s.put(id, models.Success, 1)
		got, err := s.client.Task(t.Context(), id)
		if err != nil || got.TaskID != id {
			t.Errorf("%q: %q, %v", id, got.TaskID, err)
		}
	}
}

func TestErrorsComeBackAsTheyWere(t *testing.T) {
	s := serve(t, newFake())
	_, err := s.client.Task(t.Context(), "nope")
	if !errors.Is(err, models.ErrNotFound) || err.Error() != `task "nope": not found` {
		t.Errorf("%v", err)
	}
	_, err = s.client.SubmitRaw(t.Context(), []byte("{\"run\":[\"x\"]}\n{\"task_id\":\"b\",\"priority\":\"urgent\"}"), "", "")
	var fe *models.FieldError
	if !errors.Is(err, models.ErrInvalid) || !errors.As(err, &fe) {
		t.Fatalf("%v", err)
	}
	if fe.Field != "priority" || fe.Line != 2 || fe.TaskID != "b" || fe.Error() != err.Error() {
		t.Errorf("%+v, %v", fe, err)
	}
	_, err = s.client.SetPool(t.Context(), "gpu", models.PoolPatch{})
	if !errors.Is(err, models.ErrInvalid) {
		t.Errorf("%v", err)
	}
	s.fail = models.CheckTransition(models.Success, models.Pending)
	if _, err = s.client.Cancel(t.Context(), models.Selection{IDs: []string{"a"}}); !errors.Is(err, models.ErrInvalidTransition) {
		t.Errorf("%v", err)
	}
	s.fail = models.ErrUnavailable
	if _, err = s.client.Stats(t.Context()); !errors.Is(err, models.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	for what, call := range map[string]func() error{
		"task":      func() error { _, err := s.client.Task(t.Context(), ""); return err },
		"logs":      func() error { _, err := s.client.Logs(t.Context(), "", 0, false); return err },
		"samples":   func() error { _, err := s.client.Samples(t.Context(), "", 0, time.Time{}, time.Time{}); return err },
		"decisions": func() error { _, err := s.client.Decisions(t.Context(), "", time.Time{}, 0); return err },
	} {
		if err := call(); !errors.Is(err, models.ErrInvalid) {
			t.Errorf("%s without a name: %v", what, err)
		}
	}
}

func TestWaitReturnsWhenTheLastTaskIsFinal(t *testing.T) {
	s := serve(t, newFake())
	s.put("b", models.Running, 1)
	type result struct {
		tasks []models.Task
		err   error
	}
	got := make(chan result, 1)
	go func() {
		tasks, err := s.client.WaitFinal(t.Context(), []string{"b", "a"})
		got <- result{tasks, err}
	}()
	eventually(t, "the wait to begin", func() bool { return s.subscribers() == 1 })
	want := s.put("b", models.Failed, 1)
	s.emit(models.Event{TaskID: "b"})
	r := <-got
	if r.err != nil || len(r.tasks) != 2 || r.tasks[0].State != want.State || r.tasks[1].TaskID != "a" {
		t.Errorf("%+v", r)
	}
}

// eventually waits for another goroutine to get somewhere.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}

func TestAWaitEndsWithItsContextAndWithTheDaemon(t *testing.T) {
	s := serve(t, newFake())
	s.put("b", models.Running, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := s.client.WaitFinal(ctx, []string{"b"}); ended <- err }()
	eventually(t, "the wait to begin", func() bool { return s.subscribers() == 1 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	eventually(t, "the daemon to notice", func() bool { return s.subscribers() == 0 })

	go func() { _, err := s.client.WaitFinal(t.Context(), []string{"b"}); ended <- err }()
	eventually(t, "the wait to begin", func() bool { return s.subscribers() == 1 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, models.ErrUnavailable) || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("%v", err)
	}
}

func TestAClientWaitsForADaemonThatIsStarting(t *testing.T) {
	f := newFake()
	asked := make(chan struct{}, 1000)
	ready := make(chan struct{})
	s := serve(t, f, func(c *api.Config) {
		c.Ready = func() bool {
			asked <- struct{}{}
			select {
			case <-ready:
				return true
			default:
				return false
			}
		}
	})
	if _, err := s.client.Stats(t.Context()); !errors.Is(err, models.ErrUnavailable) {
		t.Errorf("a client that does not wait: %v", err)
	}
	if err := s.client.Ready(t.Context()); !errors.Is(err, models.ErrUnavailable) {
		t.Errorf("ready: %v", err)
	}
	patient, err := client.New(client.Config{Socket: s.socket})
	if err != nil {
		t.Fatal(err)
	}
	defer patient.Close()
	for len(asked) > 0 {
		<-asked
	}
	ended := make(chan error, 1)
	go func() { _, err := patient.Stats(t.Context()); ended <- err }()
	<-asked
	close(ready)
	if err := <-ended; err != nil {
		t.Errorf("%v", err)
	}
	if err := s.client.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
}

func TestNoDaemonIsSaidSo(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left.sock")
	leaveStale(t, left)
	for what, cfg := range map[string]client.Config{
		"nothing there": {Socket: filepath.Join(dir, "none.sock")},
		"no folder":     {Socket: filepath.Join(dir, "none", "none.sock")},
		"a stale one":   {Socket: left},
		"a long path":   {Socket: filepath.Join(dir, strings.Repeat("x", 100), "none.sock")},
		"no listener":   {URL: "http://127.0.0.1:1"},
	} {
		c, err := client.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Stats(t.Context())
		if !errors.Is(err, client.ErrNoDaemon) || !strings.Contains(err.Error(), "loadstar daemon") || !strings.Contains(err.Error(), c.Where()) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestADaemonThatGoesAwayDuringACallIsSaidSo(t *testing.T) {
	s := serve(t, newFake())
	s.put("b", models.Running, 1)
	w := s.log("b", 1, "begun\n", true)
	defer func() { _ = w.Close() }()
	log, err := s.client.Logs(t.Context(), "b", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if got, err := io.ReadAll(io.LimitReader(log, 6)); string(got) != "begun\n" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(log); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
	if _, err := s.client.Stats(t.Context()); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(s.socket); !os.IsNotExist(err) {
		t.Errorf("the socket was left behind: %v", err)
	}
}
