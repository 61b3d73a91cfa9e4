package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

// stand is a stdio worker under test.
type stand struct {
	*Stdio
	logs    *LogStore
	ready   chan time.Duration
	results chan Result
	started chan time.Time
	gone    chan error
	cancel  context.CancelFunc
}

func newStand(t *testing.T, role string, change func(*StdioConfig)) *stand {
	t.Helper()
	s := &stand{
		logs: newLogs(t, LogConfig{}), ready: make(chan time.Duration, 1),
		results: make(chan Result, 4), started: make(chan time.Time, 4), gone: make(chan error, 1),
	}
	cfg := StdioConfig{
		ID: "gpu-1", Spawner: newSpawner(t), Logs: s.logs, Logger: quiet(), Env: os.Environ(), MaxGarbage: 10,
		PingInterval: -1, KillGrace: patience, StopGrace: patience, OnReady: func(d time.Duration) { s.ready <- d },
		Pool: models.PoolSpec{Name: "gpu", Kind: models.KindStdio, Command: []string{self(t)}, Env: map[string]string{roleVariable: role}},
	}
	if change != nil {
		change(&cfg)
	}
	w, err := NewStdio(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Stdio = w
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.gone <- w.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		within(t, ended, "the worker's end")
	})
	return s
}

func (s *stand) assign(description string) { s.assignTask(models.TaskSpec{Description: description}) }

func (s *stand) assignTask(task models.TaskSpec) {
	task.TaskID = "t"
	s.Assign(Job{Task: task, Attempt: 1, Started: func(at time.Time) { s.started <- at }, Done: func(r Result) { s.results <- r }})
}

// do runs one task on a ready worker.
func (s *stand) do(t *testing.T, description string) Result {
	t.Helper()
	s.assign(description)
	return within(t, s.results, "the result")
}

func (s *stand) stopWell(t *testing.T) {
	t.Helper()
	s.Stop()
	if err := within(t, s.gone, "the end"); err != nil {
		t.Errorf("a worker that was asked to end: %v", err)
	}
	s.gone <- nil // for the cleanup's reader, should there be one
	<-s.gone
}

func exitCode(r Result) int {
	if r.ExitCode == nil {
		return -1
	}
	return *r.ExitCode
}

func TestAWorkerServesTasks(t *testing.T) {
	s := newStand(t, "serve", nil)
	if cold := within(t, s.ready, "readiness"); cold <= 0 {
		t.Errorf("cold start %s", cold)
	}
	for _, c := range []struct {
		input   string
		outcome string
		code    int
		err     string
		log     string
	}{
		{"work", "SUCCESS", 0, "", "progress 50% half way\na line\ndone: work\n"},
		{"fail", "FAILED", -1, "it does not work", "error: it does not work\n"},
		{"fail 7", "FAILED", 7, "it does not work", "error: it does not work\n"},
		{"panic", "FAILED", -1, "panic: oh", "error: panic: oh\n"},
		{"long", "FAILED", -1, "the result cannot be sent: it is 1048578 bytes long", ""},
		{"again", "SUCCESS", 0, "", "done: again\n"},
	} {
		r := s.do(t, c.input)
		if diff := cmp.Diff([]any{c.outcome, c.code, c.err}, []any{r.Outcome, exitCode(r), r.Err}); diff != "" {
			t.Errorf("%s: %s", c.input, diff)
		}
		within(t, s.started, "the start")
		// What goes to stderr comes by another pipe, so it may stand anywhere.
		if log := strings.Replace(output(t, s.logs, "t", 1), "to stderr\n", "", 1); !strings.HasSuffix(log, c.log) {
			t.Errorf("%s: log %q, want %q", c.input, log, c.log)
		}
	}
	s.stopWell(t)
	if pool := poolLog(t, s.logs); !strings.Contains(pool, " gpu-1 to stderr\n") {
		t.Errorf("the pool's log: %q", pool)
	}
}

func poolLog(t *testing.T, logs *LogStore) string {
	t.Helper()
	r, err := logs.OpenPool("gpu")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAWorkerGetsTheTaskAsItIs(t *testing.T) {
	s := newStand(t, "worker asks", nil)
	within(t, s.ready, "readiness")
	if r := s.do(t, "x"); r.Outcome != "SUCCESS" || output(t, s.logs, "t", 1) != "-32601\"q\"\n" {
		t.Errorf("a worker's own request: %+v, %q", r, output(t, s.logs, "t", 1))
	}
	for _, c := range []struct {
		task models.TaskSpec
		want RunParams
	}{
		{
			models.TaskSpec{TaskID: "a", Description: "say \"hi\"", Env: map[string]string{"A": "b"}, Labels: map[string]string{"team": "x"}},
			RunParams{TaskID: "a", Attempt: 2, Input: []byte(`"say \"hi\""`), Env: map[string]string{"A": "b"}, Labels: map[string]string{"team": "x"}},
		},
		{
			models.TaskSpec{TaskID: "a", Description: "not this", Input: []byte(`{"n":[1]}`)},
			RunParams{TaskID: "a", Attempt: 2, Input: []byte(`{"n":[1]}`), Env: map[string]string{}, Labels: map[string]string{}},
		},
	} {
		got, err := runParams(&c.task, 2)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
}

func TestAWorkerIsToldItsPoolsConfig(t *testing.T) {
	for want, config := range map[string]json.RawMessage{`{}`: nil, `{"model":"m.bin","layers":[1,2]}`: json.RawMessage(`{"model":"m.bin", "layers":[1, 2]}`)} {
		s := newStand(t, "serve", func(c *StdioConfig) {
			c.Pool.Config, c.Pool.Env["CONFIG"] = config, want
		})
		within(t, s.ready, "readiness")
		s.stopWell(t)
	}
}

func TestAWorkerThatGoesWrongIsToldAndGone(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, c := range []struct {
		role   string
		change func(*StdioConfig)
		assign bool // once it is ready
		want   string
	}{
		{role: "never-ready", change: func(c *StdioConfig) { c.StartTimeout = ms(50) }, want: "worker gpu-1 was not ready within 50ms"},
		{role: "never-ready", change: func(c *StdioConfig) { c.StartTimeout, c.Pool.StartTimeout = patience, models.Duration(ms(60)) }, want: "worker gpu-1 was not ready within 60ms"},
		{role: "dies-young", want: "worker gpu-1 exited with code 3 before it was ready: cannot load the model"},
		{role: "refuses", want: "worker gpu-1 refused to initialize: wrong driver"},
		{role: "ends", want: "worker gpu-1 ended by itself"},
		{role: "hangs", change: func(c *StdioConfig) { c.PingInterval, c.PingTimeout = ms(1), ms(50) }, want: "worker gpu-1 hangs: it did not answer a ping within 50ms"},
		{role: "closes-stdout", change: func(c *StdioConfig) { c.KillGrace = ms(10) }, want: "worker gpu-1 closed its standard output"},
		{role: "garbage", want: "worker gpu-1 wrote 10 lines in a row to its standard output that are no JSON-RPC messages"},
		{role: "crashes", assign: true, want: "worker gpu-1 exited with code 3 while it ran task t: boom: out of cheese"},
		{role: "aborts", assign: true, want: "worker gpu-1 killed by signal 9 (SIGKILL) while it ran task t"},
	} {
		t.Run(c.role, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, "worker "+c.role, c.change)
			if c.assign {
				within(t, s.ready, "readiness")
				s.assign("work")
			}
			err := within(t, s.gone, "the end")
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if !strings.Contains(poolLog(t, s.logs), "loadstar: "+c.want) {
				t.Errorf("the pool's log does not say so: %q", poolLog(t, s.logs))
			}
			if c.assign && !strings.Contains(output(t, s.logs, "t", 1), c.want) {
				t.Errorf("the task's log does not say so: %q", output(t, s.logs, "t", 1))
			}
			if len(s.results) > 0 {
				t.Error("the task's end was told, which is for the core to do")
			}
		})
	}
}

func TestAWorkerThatCannotStartSaysWhy(t *testing.T) {
	for want, change := range map[string]func(*models.PoolSpec){
		"start worker gpu-1: no-such-worker: command not found in PATH": func(p *models.PoolSpec) { p.Command = []string{"no-such-worker"} },
		"start worker gpu-1: dir: /no/such/folder does not exist":       func(p *models.PoolSpec) { p.Dir = "/no/such/folder" },
		"start worker gpu-1: /no/such/worker: no such file":             func(p *models.PoolSpec) { p.Command = []string{"/no/such/worker"} },
	} {
		s := newStand(t, "serve", func(c *StdioConfig) { change(&c.Pool) })
		if err := within(t, s.gone, "the end"); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestGarbageBetweenMessagesIsCountedAndForgiven(t *testing.T) {
	s := newStand(t, "worker garbage-first", nil)
	within(t, s.ready, "readiness")
	if r := s.do(t, "work"); r.Outcome != "SUCCESS" {
		t.Errorf("%+v", r)
	}
	if log := output(t, s.logs, "t", 1); !strings.HasSuffix(log, "a print of the task\nfine\n") {
		t.Errorf("the task's log: %q", log)
	}
	s.stopWell(t)
	if n := strings.Count(poolLog(t, s.logs), "stdout: this is no message\n"); n != 17 {
		t.Errorf("%d lines of garbage in the pool's log", n)
	}
}

func TestAFloodOfStderrIsBounded(t *testing.T) {
	s := newStand(t, "worker flood", func(c *StdioConfig) {
		c.Logs = newLogs(t, LogConfig{MaxBytesPerAttempt: 64 << 10})
	})
	s.logs = s.cfg.Logs
	within(t, s.ready, "readiness")
	if r := s.do(t, "work"); r.Outcome != "SUCCESS" {
		t.Errorf("%+v", r)
	}
	s.stopWell(t)
	if n := len(poolLog(t, s.logs)); n == 0 || n > 72<<10 {
		t.Errorf("the pool's log has %d bytes", n)
	}
}

func TestOnlyTheRightAnswerEndsATask(t *testing.T) {
	s := newStand(t, "worker other-answers", nil)
	within(t, s.ready, "readiness")
	if r := s.do(t, "work"); r.Outcome != "SUCCESS" || output(t, s.logs, "t", 1) != "mine\n" {
		t.Errorf("%+v: %q", r, output(t, s.logs, "t", 1))
	}
}

func TestAResultCountsEvenWhereTheWorkerEndsRightAfter(t *testing.T) {
	s := newStand(t, "worker result-then-exit", nil)
	within(t, s.ready, "readiness")
	if r := s.do(t, "work"); r.Outcome != "SUCCESS" {
		t.Errorf("%+v", r)
	}
	if err := within(t, s.gone, "the end"); err == nil || !strings.Contains(err.Error(), "exited with code 4") {
		t.Error(err)
	}
}

func TestALineThatIsTooLongFailsTheTaskAndEndsTheWorker(t *testing.T) {
	s := newStand(t, "worker long-line", nil)
	within(t, s.ready, "readiness")
	if r := s.do(t, "work"); r.Outcome != "FAILED" || r.Err != "the worker sent a line of more than 1048576 bytes" {
		t.Errorf("%+v", r)
	}
	if err := within(t, s.gone, "the end"); err == nil {
		t.Error("the worker goes on")
	}
}

func TestACancelledTaskLeavesItsWorkerReady(t *testing.T) {
	s := newStand(t, "serve", nil)
	within(t, s.ready, "readiness")
	s.assign("wait")
	within(t, s.started, "the start")
	s.Kill("another", 0)
	s.Kill("t", patience)
	if r := within(t, s.results, "the result"); r.Outcome != "CANCELLED" || r.Err != "" {
		t.Errorf("%+v", r)
	}
	s.assignTask(models.TaskSpec{Description: "wait", Timeout: models.Duration(20 * time.Millisecond)})
	if r := within(t, s.results, "the result"); r.Outcome != models.OutcomeTimeout || r.Err != "timed out after 20ms" {
		t.Errorf("%+v", r)
	}
	if r := s.do(t, "more"); r.Outcome != "SUCCESS" {
		t.Errorf("%+v", r)
	}
	s.stopWell(t)
}

func TestATaskThatDoesNotStopCostsItsWorker(t *testing.T) {
	for outcome, stop := range map[string]func(*stand){
		"CANCELLED":           func(s *stand) { s.assign("work"); s.Kill("t", time.Millisecond) },
		models.OutcomeTimeout: func(s *stand) { s.assignTask(models.TaskSpec{Timeout: 1}) },
	} {
		s := newStand(t, "worker ignores-cancel", func(c *StdioConfig) { c.KillGrace = time.Millisecond })
		within(t, s.ready, "readiness")
		stop(s)
		if r := within(t, s.results, "the result"); r.Outcome != outcome {
			t.Errorf("%s: %+v", outcome, r)
		}
		if err := within(t, s.gone, "the end"); err == nil || !strings.Contains(err.Error(), "did not stop task t when asked to") {
			t.Errorf("%s: %v", outcome, err)
		}
	}
}

func TestABusyWorkerEndsAfterItsTask(t *testing.T) {
	s := newStand(t, "serve", nil)
	within(t, s.ready, "readiness")
	s.assign("wait")
	within(t, s.started, "the start")
	s.Stop()
	s.Kill("t", patience)
	if r := within(t, s.results, "the result"); r.Outcome != "CANCELLED" {
		t.Errorf("%+v", r)
	}
	if err := within(t, s.gone, "the end"); err != nil {
		t.Error(err)
	}
}

func TestAWorkerThatIsNotFreeRefusesATask(t *testing.T) {
	s := newStand(t, "serve", nil)
	s.assign("too early") // or, where it is quick, just in time
	within(t, s.ready, "readiness")
	within(t, s.results, "the refusal")
	s.assign("wait")
	within(t, s.started, "the start")
	if r := s.do(t, "another"); r.Outcome != models.OutcomeLost || r.Err != "worker gpu-1 is not free" {
		t.Errorf("%+v", r)
	}
}

func TestAStopIsHeededInEveryState(t *testing.T) {
	for _, role := range []string{"worker never-ready", "worker deaf", "worker hangs"} {
		s := newStand(t, role, func(c *StdioConfig) { c.StopGrace, c.KillGrace = time.Millisecond, 20*time.Millisecond })
		if role != "worker never-ready" {
			within(t, s.ready, "readiness")
		}
		s.stopWell(t)
	}
}

func TestTheAgentsEndEndsAWorkerInEveryState(t *testing.T) {
	for _, role := range []string{"worker never-ready", "serve", "worker ignores-cancel", "worker deaf"} {
		s := newStand(t, role, func(c *StdioConfig) { c.KillGrace = 20 * time.Millisecond })
		if role != "worker never-ready" {
			within(t, s.ready, "readiness")
		}
		if role == "worker ignores-cancel" {
			s.assign("work")
			within(t, s.started, "the start")
		}
		s.cancel()
		if err := within(t, s.gone, "the end"); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		if len(s.results) > 0 {
			t.Errorf("%s: %+v", role, <-s.results)
		}
	}
}

func TestAWorkerThatDoesNotReadIsFound(t *testing.T) {
	s := newStand(t, "worker does-not-read", func(c *StdioConfig) {
		c.PingInterval, c.PingTimeout, c.KillGrace = time.Millisecond, 50*time.Millisecond, time.Millisecond
	})
	within(t, s.ready, "readiness")
	// More than a pipe holds, so that the writer is stuck.
	s.assignTask(models.TaskSpec{Input: json.RawMessage(`"` + strings.Repeat("x", 200_000) + `"`), Timeout: models.Duration(20 * time.Millisecond)})
	within(t, s.started, "the start")
	s.Kill("t", time.Millisecond)
	if err := within(t, s.gone, "the end"); err == nil {
		t.Error("it ended well")
	}
}

func TestExampleWorkersWork(t *testing.T) {
	for _, c := range []struct {
		command []string
		bad     string // an input that it refuses
		cancels bool
	}{
		{[]string{"python3", "../../docs/examples/worker.py"}, `[]`, true},
		{[]string{"node", "../../docs/examples/worker.mjs"}, `[]`, true},
		{[]string{"sh", "../../docs/examples/worker.sh"}, `""`, false},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(c.command[0]); err != nil {
				t.Skipf("%s is not installed", c.command[0])
			}
			s := newStand(t, "", func(cfg *StdioConfig) {
				cfg.Pool.Command, cfg.Pool.Env = c.command, nil
				cfg.PingInterval, cfg.PingTimeout = 5*time.Millisecond, patience
			})
			if cold := within(t, s.ready, "readiness"); cold < 50*time.Millisecond {
				t.Errorf("the cold start of at least 50ms was measured as %s", cold)
			}
			for range 2 {
				if r := s.do(t, "hello there"); r.Outcome != "SUCCESS" || !strings.HasSuffix(output(t, s.logs, "t", 1), "HELLO THERE\n") {
					t.Errorf("%+v: %q", r, output(t, s.logs, "t", 1))
				}
				within(t, s.started, "the start")
			}
			s.assignTask(models.TaskSpec{Input: json.RawMessage(c.bad)})
			if r := within(t, s.results, "the result"); r.Outcome != "FAILED" || exitCode(r) != 1 || r.Err == "" {
				t.Errorf("%+v", r)
			}
			within(t, s.started, "the start")
			if c.cancels {
				s.assignTask(models.TaskSpec{Input: json.RawMessage(`{"text":"x","times":1000,"pause":10}`)})
				within(t, s.started, "the start")
				s.Kill("t", patience)
				if r := within(t, s.results, "the result"); r.Outcome != "CANCELLED" {
					t.Errorf("%+v", r)
				}
			}
			s.stopWell(t)
		})
	}
}

func TestServeStdioSpeaksTheProtocol(t *testing.T) {
	lines := []string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocol":1,"worker":"w","pool":"p","max_line":1048576}}`,
		`not a message`,
		`{"jsonrpc":"2.0","id":2,"method":"ping"}`,
		`{"jsonrpc":"2.0","id":3,"method":"dance"}`,
		`{"jsonrpc":"2.0","id":4,"method":"run","params":{}}`,
		`{"jsonrpc":"2.0","method":"cancel","params":{"task_id":"nobody"}}`,
		`{"jsonrpc":"2.0","id":5,"method":"run","params":{"task_id":"t","attempt":1,"input":"wait"}}`,
		`{"jsonrpc":"2.0","id":6,"method":"run","params":{"task_id":"t","attempt":1,"input":"wait"}}`,
		`{"jsonrpc":"2.0","method":"cancel","params":{"task_id":"t"}}`,
		`{"jsonrpc":"2.0","id":7,"method":"shutdown"}`,
		`{"jsonrpc":"2.0","id":8,"method":"ping"}`,
	}
	for _, end := range []int{len(lines), 7} { // by shutdown, and by the end of input amid a run
		var out bytes.Buffer
		if err := ServeStdio(t.Context(), strings.NewReader(strings.Join(lines[:end], "\n")), &out, echo{}); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for line := range strings.Lines(out.String()) {
			m, err := decodeMessage([]byte(strings.TrimSpace(line)))
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			code := 0
			if m.Error != nil {
				code = m.Error.Code
			}
			got[string(m.ID)+m.Method] = code
		}
		want := map[string]int{"1": 0, "2": 0, "3": CodeMethodNotFound, "4": CodeInvalidParams, "5": CodeCancelled, "6": CodeInvalidParams, "7": 0, "log": 0}
		if end == 7 {
			delete(want, "6")
			delete(want, "7")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestServeStdioEndsWithItsContext(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ServeStdio(ctx, r, io.Discard, echo{}) }()
	cancel()
	if err := within(t, done, "the end"); err != nil {
		t.Error(err)
	}
}

func TestLinesAreReadWithinBounds(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // with a '!' behind those that are too long
	}{
		{"a\nbb\n", []string{"a", "bb"}},
		{"a\r\n\nlast", []string{"a", "", "last"}},
		{"12345678\n123456789\nx\n", []string{"12345678", "12345678!", "x"}},
		{strings.Repeat("y", 100_000) + "\nx", []string{"yyyyyyyy!", "x"}},
		{strings.Repeat("y", 32<<10) + "\nx", []string{"yyyyyyyy!", "x"}},
	} {
		r := newLineReader(strings.NewReader(c.in), 8)
		var got []string
		for {
			line, long, err := r.next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				break
			}
			text := string(line)
			if long {
				text += "!"
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":1,"result":null}`, `{"jsonrpc":"2.0","method":"log","params":{"message":"x"}}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x","data":{"exit_code":3}}}`, `{}`, `[`, `{"jsonrpc":"2.0","id":1}`, "null",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := decodeMessage(line)
		if err != nil {
			if !errors.Is(err, errNotRPC) {
				t.Errorf("%v", err)
			}
			return
		}
		if (m.Method != "") == (m.Result != nil || m.Error != nil) {
			t.Errorf("neither a call nor an answer: %+v", m)
		}
		if m.Error != nil {
			if code := m.Error.exitCode(); code != nil && (*code < 0 || *code > 255) {
				t.Errorf("exit code %d", *code)
			}
		}
	})
}
