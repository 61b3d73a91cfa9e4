package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/worker"
)

const roleVariable = "LOADSTAR_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

// play is a stdio worker: a good one, or one that breaks on its first task.
func play(role string) int {
	if err := worker.ServeStdio(context.Background(), os.Stdin, os.Stdout, handler(role)); err != nil {
		return 1
	}
	return 0
}

type handler string

func (h handler) Initialize(context.Context, worker.InitializeParams) error {
	if h == "refuses" {
		return errors.New("not today")
	}
	return nil
}

func (h handler) Run(ctx context.Context, p worker.RunParams, _ worker.Say) (any, error) {
	switch string(p.Input) {
	case `"die"`:
		os.Exit(5)
	case `"wait"`:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return string(p.Input), nil
}

const patience = 20 * time.Second

type stand struct {
	*Local
	t      *testing.T
	logs   *worker.LogStore
	cancel context.CancelFunc
	ended  chan error
	beats  int
}

func newStand(t *testing.T, change func(*Config)) *stand {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	logs, err := worker.NewLogStore(worker.LogConfig{Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{ID: "alpha", Slots: 4, Capabilities: []string{"gpu"}, Logs: logs, Logger: logger}
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &stand{Local: a, t: t, logs: logs, cancel: cancel, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ended <- a.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s
}

// next is the next report that is no heartbeat.
func (s *stand) next() scheduler.Report {
	s.t.Helper()
	for {
		select {
		case r, ok := <-s.Reports():
			if !ok {
				s.t.Fatal("the reports have ended")
			}
			if r.Agent != "alpha" {
				s.t.Errorf("a report of %q", r.Agent)
			}
			if r.Heartbeat == nil {
				return r
			}
			s.beats++
		case <-time.After(patience):
			s.t.Fatal("no report came")
		}
	}
}

func (s *stand) nextFinished() *scheduler.Finished {
	s.t.Helper()
	for {
		if r := s.next(); r.Finished != nil {
			return r.Finished
		}
	}
}

func run(id string, lease scheduler.Lease, onWorker string, task models.TaskSpec) scheduler.Command {
	task.TaskID = id
	return scheduler.Command{Run: &scheduler.Run{Worker: onWorker, Task: task, Attempt: 1, Lease: lease}}
}

func sh(script string) models.TaskSpec { return models.TaskSpec{Run: []string{"sh", "-c", script}} }

func (s *stand) startWorker(id, role string) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.Send([]scheduler.Command{{StartWorker: &scheduler.StartWorker{Worker: id, Pool: models.PoolSpec{
		Name: "pool", Kind: models.KindStdio, Command: []string{self}, Env: map[string]string{roleVariable: role},
	}}}})
}

// short is a report in a line.
func short(r scheduler.Report) string {
	switch {
	case r.Started != nil:
		return fmt.Sprintf("started %s/%d", r.Started.TaskID, r.Started.Lease)
	case r.Finished != nil:
		code := "-"
		if r.Finished.ExitCode != nil {
			code = strconv.Itoa(*r.Finished.ExitCode)
		}
		return strings.TrimSpace(fmt.Sprintf("finished %s/%d %s %s %s", r.Finished.TaskID, r.Finished.Lease, r.Finished.Outcome, code, r.Finished.Err))
	case r.Returned != nil:
		return fmt.Sprintf("returned %s/%d", r.Returned.TaskID, r.Returned.Lease)
	case r.WorkerReady != nil:
		return "ready " + r.WorkerReady.Worker
	case r.WorkerGone != nil:
		return strings.TrimSpace("gone " + r.WorkerGone.Worker + " " + r.WorkerGone.Err)
	}
	return "heartbeat"
}

func (s *stand) expect(want ...string) {
	s.t.Helper()
	var got []string
	for range want {
		got = append(got, short(s.next()))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Error(diff)
	}
}

func TestAttemptsAreReportedFromStartToEnd(t *testing.T) {
	s := newStand(t, nil)
	for _, c := range []struct {
		task models.TaskSpec
		want []string
	}{
		{sh("exit 0"), []string{"started t/7", "finished t/7 SUCCESS 0"}},
		{sh("exit 3"), []string{"started t/7", "finished t/7 FAILED 3 exited with code 3"}},
		{models.TaskSpec{Run: []string{"no-such-command"}}, []string{"finished t/7 FAILED 127 no-such-command: command not found in PATH"}},
	} {
		s.Send([]scheduler.Command{run("t", 7, "", c.task)})
		s.expect(c.want...)
	}
}

func TestOnlyTheLeaseThatIsNamedIsKilled(t *testing.T) {
	s := newStand(t, nil)
	s.Send([]scheduler.Command{run("t", 7, "", sh("sleep 1000"))})
	s.expect("started t/7")
	s.Send([]scheduler.Command{
		{Kill: &scheduler.Kill{TaskID: "t", Lease: 6}},
		{Kill: &scheduler.Kill{TaskID: "nobody", Lease: 7}},
		run("u", 8, "", sh("exit 0")),
	})
	s.expect("started u/8", "finished u/8 SUCCESS 0")
	s.Send([]scheduler.Command{{Kill: &scheduler.Kill{TaskID: "t", Lease: 7, Grace: patience}}})
	s.expect("finished t/7 CANCELLED 143")
}

func TestAKillRightBehindItsRunIsNotLost(t *testing.T) {
	s := newStand(t, nil)
	s.Send([]scheduler.Command{run("t", 7, "", sh("sleep 1000")), {Kill: &scheduler.Kill{TaskID: "t", Lease: 7}}})
	if f := s.nextFinished(); f.Outcome != "CANCELLED" {
		t.Errorf("%+v", f)
	}
}

func TestARequestIsReportedFromStartToEndAndCanBeKilled(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/wait":
			<-r.Context().Done()
		case "/no":
			http.Error(w, "not today", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	s := newStand(t, nil) // ends first
	send := func(lease scheduler.Lease, path string) {
		c := run("t", lease, "", models.TaskSpec{Input: json.RawMessage("1")})
		c.Run.Kind, c.Run.URL = models.KindHTTP, server.URL+path
		s.Send([]scheduler.Command{c})
	}
	send(1, "/")
	s.expect("started t/1", "finished t/1 SUCCESS -")
	send(2, "/no")
	s.expect("started t/2", "finished t/2 FAILED - status 503 Service Unavailable: not today")
	send(3, "/wait")
	s.expect("started t/3")
	s.Send([]scheduler.Command{{Kill: &scheduler.Kill{TaskID: "t", Lease: 3, Grace: patience}}})
	s.expect("finished t/3 CANCELLED -")
	send(4, "/wait") // ended with the agent
	s.expect("started t/4")
}

func TestAWorkersLife(t *testing.T) {
	s := newStand(t, nil)
	s.startWorker("w1", "serve")
	r := s.next()
	if r.WorkerReady == nil || r.WorkerReady.Worker != "w1" || r.WorkerReady.ColdStart <= 0 {
		t.Fatalf("%+v", r)
	}
	s.Send([]scheduler.Command{run("a", 1, "w1", models.TaskSpec{Description: "x"})})
	s.expect("started a/1", "finished a/1 SUCCESS 0")
	s.Send([]scheduler.Command{run("b", 2, "w1", models.TaskSpec{Description: "wait"})})
	s.expect("started b/2")
	s.Send([]scheduler.Command{{Kill: &scheduler.Kill{TaskID: "b", Lease: 2, Grace: patience}}})
	s.expect("finished b/2 CANCELLED -")
	s.Send([]scheduler.Command{{StopWorker: &scheduler.StopWorker{Worker: "w1"}}})
	s.expect("gone w1")
	s.Send([]scheduler.Command{{StopWorker: &scheduler.StopWorker{Worker: "w1"}}, run("c", 3, "w1", models.TaskSpec{})})
	s.expect("finished c/3 LOST - worker w1 is gone")
}

func TestAWorkerThatDiesIsReportedAndItsTaskIsTheCores(t *testing.T) {
	s := newStand(t, nil)
	s.startWorker("w1", "serve")
	s.expect("ready w1")
	s.Send([]scheduler.Command{run("a", 1, "w1", models.TaskSpec{Description: "die"})})
	s.expect("started a/1", "gone w1 worker w1 exited with code 5 while it ran task a")
	s.startWorker("w2", "refuses")
	if got := short(s.next()); !strings.HasPrefix(got, "gone w2 worker w2 refused to initialize: not today") {
		t.Errorf("got %s", got)
	}
	// The lease is off the books, so the same task may come again.
	s.Send([]scheduler.Command{run("a", 1, "", sh("exit 0"))})
	s.expect("started a/1", "finished a/1 SUCCESS 0")
}

func TestTheEndLeavesNoProcess(t *testing.T) {
	s := newStand(t, func(c *Config) { c.KillGrace = time.Millisecond })
	s.startWorker("w1", "serve")
	s.expect("ready w1")
	s.Send([]scheduler.Command{
		run("a", 1, "w1", models.TaskSpec{Description: "wait"}),
		run("b", 2, "", sh(`trap "" TERM; sleep 1000; sleep 1000`)),
	})
	for range 2 {
		if r := s.next(); r.Started == nil {
			t.Fatalf("%+v", r)
		}
	}
	s.cancel()
	var got []string
	for r := range s.Reports() {
		if r.Heartbeat == nil {
			got = append(got, short(r))
		}
	}
	if len(got) != 2 {
		t.Errorf("%q", got)
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lists {
		if children, err := os.ReadFile(path); err == nil && len(children) > 0 {
			t.Errorf("children %s are left", children)
		}
	}
	if err := s.Run(context.Background()); err == nil {
		t.Error("it ran twice")
	}
}

// Nobody reads the reports, and the agent goes on taking commands and ends all the same.
func TestADriverThatDoesNotReadBlocksNothing(t *testing.T) {
	s := newStand(t, nil)
	const n = 400 // more than the channel holds
	for i := range n {
		s.Send([]scheduler.Command{run(fmt.Sprint("t", i), scheduler.Lease(i+1), "no-worker", models.TaskSpec{})})
	}
	s.Send([]scheduler.Command{run("last", 1000, "", sh("exit 0"))})
	for r := s.next(); short(r) != "finished last/1000 SUCCESS 0"; r = s.next() {
	}
	for i := range n {
		s.Send([]scheduler.Command{run(fmt.Sprint("t", i), scheduler.Lease(i+1), "no-worker", models.TaskSpec{})})
	}
	s.cancel()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}

func TestHeartbeatsCarryTheLoad(t *testing.T) {
	s := newStand(t, func(c *Config) {
		c.Heartbeat = time.Millisecond
		c.Load = func() (cpu, mem, io float64) { return 0.8, 2, math.NaN() }
	})
	var beat *models.Agent
	for beat == nil {
		if r := <-s.Reports(); r.Heartbeat != nil {
			beat = r.Heartbeat
		}
	}
	want := models.Agent{ID: "alpha", Host: beat.Host, Capabilities: []string{"gpu"}, Slots: 4, Weight: 100, CPU: 0.8, Memory: 1, LoadScore: 0.5*0.8 + 0.3, LastHeard: beat.LastHeard, State: "ready"}
	if diff := cmp.Diff(want, *beat); diff != "" {
		t.Error(diff)
	}
	info := s.Info()
	info.LastHeard = want.LastHeard
	if diff := cmp.Diff(want, info); diff != "" {
		t.Error(diff)
	}
}

func TestBadConfigNamesTheField(t *testing.T) {
	logs, err := worker.NewLogStore(worker.LogConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for field, cfg := range map[string]Config{
		"agent.slots":                       {Logs: logs},
		"agent.logs":                        {Slots: 1},
		"agent.weights":                     {Logs: logs, Slots: 1, Weights: Weights{CPU: math.NaN()}},
		"agent.heartbeat, agent.kill_grace": {Logs: logs, Slots: 1, Heartbeat: -1},
	} {
		var fe *models.FieldError
		if _, err := New(cfg); !errors.As(err, &fe) || fe.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestOutputOfManyAttemptsAtOnceIsKeptApart(t *testing.T) {
	s := newStand(t, nil)
	const n = 100
	var commands []scheduler.Command
	for i := range n {
		commands = append(commands, run(fmt.Sprint("t", i), scheduler.Lease(i+1), "", sh(fmt.Sprintf("echo out %d; echo err %d >&2", i, i))))
	}
	s.Send(commands)
	for range n {
		if f := s.nextFinished(); f.Outcome != "SUCCESS" {
			t.Errorf("%+v", f)
		}
	}
	for i := range n {
		r, err := s.logs.Open(fmt.Sprint("t", i), 1)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r)
		r.Close()
		if want := fmt.Sprintf("out %d\nerr %d\n", i, i); string(b) != want {
			t.Errorf("%q, want %q", b, want)
		}
	}
}

// BenchmarkTrue is to be held against `xargs -P4 -n1 /bin/true`: four at once.
func BenchmarkTrue(b *testing.B) {
	logs, err := worker.NewLogStore(worker.LogConfig{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	a, err := New(Config{Slots: 4, Logs: logs})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	send := func(i int) {
		a.Send([]scheduler.Command{run(fmt.Sprint("t", i), scheduler.Lease(i+1), "", models.TaskSpec{Run: []string{"/bin/true"}})})
	}
	b.ResetTimer()
	sent := 0
	for ; sent < min(4, b.N); sent++ {
		send(sent)
	}
	for done := 0; done < b.N; {
		if r := <-a.Reports(); r.Finished != nil {
			done++
			if sent < b.N {
				send(sent)
				sent++
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
