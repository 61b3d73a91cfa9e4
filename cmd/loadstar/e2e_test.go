package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"loadstar/cmd/internal/cli"
	"loadstar/models"
	"loadstar/scheduler/worker"
)

// asLoadstar makes the test binary behave as loadstar itself, so that the tests
// run the real program in real processes without building it a second time.
const asLoadstar = "LOADSTAR_E2E_AS_LOADSTAR"

func TestMain(m *testing.M) {
	if file := os.Getenv(asWorker); file != "" {
		if err := worker.ServeStdio(context.Background(), os.Stdin, os.Stdout, noter{file}); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(asLoadstar) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// house is a clean state folder and the commands that work on it.
type house struct {
	t   *testing.T
	dir string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "loadstar-e2e-") // short: a unix socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &house{t: t, dir: dir}
}

func (h *house) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{"--state-dir", filepath.Join(h.dir, "s")}, args...)...)
	cmd.Env = append(os.Environ(), asLoadstar+"=1", "XDG_CONFIG_HOME="+h.dir, "NO_COLOR=1")
	return cmd
}

// run runs a command to its end and gives its output and exit code.
func (h *house) run(stdin string, args ...string) (stdout, stderr string, code int) {
	h.t.Helper()
	cmd := h.command(args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatalf("%v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is run for a command that has to exit 0.
func (h *house) must(stdin string, args ...string) string {
	h.t.Helper()
	out, errs, code := h.run(stdin, args...)
	if code != 0 {
		h.t.Fatalf("%v: exit %d: %s", args, code, errs)
	}
	return out
}

// startDaemon starts a daemon and returns once it serves.
func (h *house) startDaemon(flags ...string) *exec.Cmd {
	h.t.Helper()
	cmd := h.spawn(append([]string{"daemon"}, flags...)...)
	for deadline := time.Now().Add(30 * time.Second); ; {
		if _, _, code := h.run("", "stats"); code == 0 {
			return cmd
		}
		if time.Now().After(deadline) {
			h.t.Fatal("the daemon does not serve")
		}
		time.Sleep(20 * time.Millisecond) // another process: there is no signal to wait on
	}
}

// spawn starts a command that goes on, with its diagnostics in daemon.log.
func (h *house) spawn(args ...string) *exec.Cmd {
	h.t.Helper()
	cmd := h.command(args...)
	log, err := os.OpenFile(filepath.Join(h.dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr, cmd.Stdout = log, log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if h.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			h.t.Logf("the daemon said:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return cmd
}

func (h *house) stats() models.Stats {
	h.t.Helper()
	var st models.Stats
	if err := json.Unmarshal([]byte(h.must("", "stats", "-o", "json")), &st); err != nil {
		h.t.Fatal(err)
	}
	return st
}

func (h *house) task(id string) models.Task {
	h.t.Helper()
	var task models.Task
	if err := json.Unmarshal([]byte(h.must("", "get", id, "-o", "json")), &task); err != nil {
		h.t.Fatal(err)
	}
	return task
}

func TestATaskRunsAndItsEndIsTheCommandsExitCode(t *testing.T) {
	h := newHouse(t)
	if _, errs, code := h.run("", "ls"); code != 3 || errs == "" {
		t.Errorf("no daemon: exit %d, %q", code, errs)
	}
	h.startDaemon()
	out := h.must("", "submit", "--wait", "--", "sh", "-c", "echo hi")
	id := strings.Fields(out)[0]
	if logs := h.must("", "logs", id); !strings.Contains(logs, "hi\n") {
		t.Errorf("logs: %q", logs)
	}
	if task := h.task(id); task.State != models.Success || task.Attempt != 1 || task.ExitCode == nil || *task.ExitCode != 0 {
		t.Errorf("%+v", task)
	}
	if _, _, code := h.run("", "submit", "--wait", "--", "false"); code != 5 {
		t.Errorf("false: exit %d", code)
	}
	if _, _, code := h.run("", "get", "nobody"); code != 4 {
		t.Errorf("an unknown id: exit %d", code)
	}
	if _, errs, code := h.run("", "daemon"); code == 0 || !strings.Contains(errs, "in use by process") {
		t.Errorf("a second daemon: exit %d, %q", code, errs)
	}
}

func TestAChainInReverseOrderRunsInDependencyOrder(t *testing.T) {
	h := newHouse(t)
	h.startDaemon()
	h.must(`{"task_id":"c","dependencies":["b"],"run":["true"]}
{"task_id":"b","dependencies":["a"],"run":["true"]}
{"task_id":"a","run":["true"]}
`, "submit", "-f", "-")
	h.must("", "wait", "c")
	a, b, c := h.task("a"), h.task("b"), h.task("c")
	if b.StartedAt.Before(*a.FinishedAt) || c.StartedAt.Before(*b.FinishedAt) {
		t.Errorf("a ended %s, b ran %s to %s, c began %s", a.FinishedAt, b.StartedAt, b.FinishedAt, c.StartedAt)
	}
}

func TestBadDocumentsAreRefusedWholeAndNameTheField(t *testing.T) {
	h := newHouse(t)
	h.startDaemon()
	for field, docs := range map[string]string{
		"dependencies": `{"task_id":"x","dependencies":["y"],"run":["true"]}` + "\n" + `{"task_id":"y","dependencies":["x"],"run":["true"]}`,
		"prioritee":    `{"task_id":"ok1","run":["true"]}` + "\n" + `{"task_id":"x","prioritee":1,"run":["true"]}`,
		"priority":     `{"task_id":"ok2","run":["true"]}` + "\n" + `{"task_id":"x","priority":"urgent","run":["true"]}`,
		"run":          `{"task_id":"ok3","run":["true"]}` + "\n" + `{"task_id":"x"}`,
	} {
		_, errs, code := h.run(docs, "submit", "-f", "-")
		if code != 1 && code != 2 || !strings.Contains(errs, field) || strings.Count(strings.TrimSpace(errs), "\n") > 0 {
			t.Errorf("%s: exit %d, %q", field, code, errs)
		}
	}
	for state, n := range h.stats().Tasks {
		if n > 0 {
			t.Errorf("%d tasks %s: something was half-accepted", n, state)
		}
	}
}

func TestKillNineLosesNoTaskAndCountsNoAttemptTwice(t *testing.T) {
	const tasks, kills = 2000, 5
	h := newHouse(t)
	daemon := h.startDaemon()
	done := make(chan error, 1)
	go func() { done <- h.submitAll(tasks) }()
	for range kills {
		time.Sleep(300 * time.Millisecond) // let it get somewhere
		if err := daemon.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = daemon.Wait()
		daemon = h.startDaemon()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		st := h.stats()
		if st.Tasks[models.Success] == tasks {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", st.Tasks)
		}
	}
	h.checkAll(tasks)
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}

func TestSIGHUPReloadsThePoolsAndABadFileChangesNothing(t *testing.T) {
	h := newHouse(t)
	file := filepath.Join(h.dir, "loadstar", "config.yaml")
	write := func(text string) {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pools:\n  default:\n    max: 3\n")
	daemon := h.startDaemon()
	maxIs := func(want int) {
		t.Helper()
		var pools []models.PoolStatus
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if err := json.Unmarshal([]byte(h.must("", "pool", "ls", "-o", "json")), &pools); err != nil {
				t.Fatal(err)
			}
			if pools[0].Max == want {
				return
			}
		}
		t.Errorf("max is %d, want %d", pools[0].Max, want)
	}
	hangup := func() {
		if err := daemon.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	maxIs(3)
	write("pools:\n  default:\n    max: 5\n")
	hangup()
	maxIs(5)
	write("pools:\n  default:\n    maxx: 9\n")
	hangup()
	write("pools:\n  default:\n    max: 7\n")
	hangup()
	maxIs(7)
}

// submitAll submits in small documents, each again under the same ids until it
// was acknowledged, as a client would that meets a dead daemon.
func (h *house) submitAll(tasks int) error {
	const batch = 100
	for from := 0; from < tasks; from += batch {
		var docs bytes.Buffer
		for i := from; i < from+batch; i++ {
			fmt.Fprintf(&docs, `{"task_id":"t%04d","run":["true"]}`+"\n", i)
		}
		for tries := 0; ; tries++ {
			cmd := h.command("submit", "-f", "-")
			cmd.Stdin = bytes.NewReader(docs.Bytes())
			cmd.Stdout = io.Discard
			out := &bytes.Buffer{}
			cmd.Stderr = out
			if err := cmd.Run(); err == nil {
				break
			} else if tries > 500 {
				return fmt.Errorf("submit: %w: %s", err, out)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

func (h *house) checkAll(tasks int) {
	h.t.Helper()
	var all []models.Task
	if err := json.Unmarshal([]byte(h.must("", "ls", "--limit", fmt.Sprint(tasks+10), "-o", "json")), &all); err != nil {
		h.t.Fatal(err)
	}
	if len(all) != tasks {
		h.t.Errorf("%d of %d tasks are there", len(all), tasks)
	}
	for _, task := range all {
		successes := 0
		for i, a := range task.Attempts {
			if a.Attempt != i+1 {
				h.t.Errorf("%s: attempt %d stands at place %d", task.TaskID, a.Attempt, i+1)
			}
			if a.Outcome == string(models.Success) {
				successes++
			}
		}
		if task.State != models.Success || successes != 1 || task.Attempt != len(task.Attempts) {
			h.t.Errorf("%s: %s, %d attempts, %d successes", task.TaskID, task.State, len(task.Attempts), successes)
		}
	}
}
