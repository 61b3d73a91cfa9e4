package worker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

// run runs one attempt; ok says whether it was started.
func (b *bench) run(ctx context.Context, task models.TaskSpec, kill <-chan time.Duration) (res Result, ok bool) {
	res = b.exec.Run(ctx, &task, 1, kill, func(time.Time) { ok = true })
	return res, ok
}

func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHowACommandEndsIsReported(t *testing.T) {
	b := newBench(t, ExecConfig{Env: []string{"FROM=daemon"}})
	dir := t.TempDir()
	script := write(t, "hello", "#!/bin/sh\necho hello from $PWD\n", 0o755)
	cases := []struct {
		name    string
		task    models.TaskSpec
		outcome string
		code    int
		err     string // a part of it
		out     string // a part of it
		never   bool   // it is never started
	}{
		{name: "success", task: shTask("true"), outcome: "SUCCESS"},
		{name: "exit code", task: shTask("exit 3"), outcome: "FAILED", code: 3, err: "exited with code 3"},
		{name: "signal", task: shTask("kill -9 $$"), outcome: "FAILED", code: 137, err: "killed by signal 9 (SIGKILL)"},
		{name: "both outputs in order", task: shTask("echo a; echo b >&2; echo c; echo d >&2"), outcome: "SUCCESS", out: "a\nb\nc\nd\n"},
		{name: "stdin", task: models.TaskSpec{TaskID: "t", Run: []string{"wc", "-c"}, Stdin: strings.Repeat("x", 200_000)}, outcome: "SUCCESS", out: "200000\n"},
		{name: "no stdin", task: shTask("cat; echo end"), outcome: "SUCCESS", out: "end\n"},
		{
			name: "environment", outcome: "SUCCESS", out: "daemon task t 1\n",
			task: models.TaskSpec{TaskID: "t", Run: []string{"sh", "-c", `echo $FROM $MINE $LOADSTAR_TASK_ID $LOADSTAR_ATTEMPT`}, Env: map[string]string{"MINE": "task"}},
		},
		{
			name: "a task's variable beats the daemon's", outcome: "SUCCESS", out: "[task]\n",
			task: models.TaskSpec{TaskID: "t", Run: []string{"sh", "-c", `echo [$FROM]`}, Env: map[string]string{"FROM": "task"}},
		},
		{
			name: "a task's PATH is searched", outcome: "SUCCESS", out: "hello from " + dir,
			task: models.TaskSpec{TaskID: "t", Run: []string{"hello"}, Dir: dir, Env: map[string]string{"PATH": filepath.Dir(script)}},
		},
		{
			name: "a relative command is the folder's", outcome: "SUCCESS", out: "hello",
			task: models.TaskSpec{TaskID: "t", Run: []string{"./hello"}, Dir: filepath.Dir(script)},
		},
		{name: "not in PATH", task: models.TaskSpec{TaskID: "t", Run: []string{"no-such-command"}}, outcome: "FAILED", code: 127, err: "no-such-command: command not found", out: "command not found", never: true},
		{name: "no such file", task: models.TaskSpec{TaskID: "t", Run: []string{"/no/such/command"}}, outcome: "FAILED", code: 127, err: "/no/such/command: no such file", never: true},
		{name: "no interpreter", task: models.TaskSpec{TaskID: "t", Run: []string{write(t, "x", "#!/no/such/shell\n", 0o755)}}, outcome: "FAILED", code: 127, err: "interpreter", never: true},
		{name: "not executable", task: models.TaskSpec{TaskID: "t", Run: []string{write(t, "x", "#!/bin/sh\n", 0o644)}}, outcome: "FAILED", code: 126, err: "permission denied", never: true},
		{name: "no program", task: models.TaskSpec{TaskID: "t", Run: []string{write(t, "x", "neither\n", 0o755)}}, outcome: "FAILED", code: 126, err: "not a program", never: true},
		{name: "no such folder", task: models.TaskSpec{TaskID: "t", Run: []string{"true"}, Dir: "/no/such/folder"}, outcome: "FAILED", code: 126, err: "dir: /no/such/folder does not exist", never: true},
		{name: "folder is a file", task: models.TaskSpec{TaskID: "t", Run: []string{"true"}, Dir: script}, outcome: "FAILED", code: 126, err: "is not a folder", never: true},
		{name: "arguments too long", task: models.TaskSpec{TaskID: "t", Run: []string{"true", strings.Repeat("x", 3<<20)}}, outcome: "FAILED", code: 126, err: "too long", never: true},
		{name: "no command", task: models.TaskSpec{TaskID: "t"}, outcome: "FAILED", code: 126, err: "no command", never: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			res, started := b.run(t.Context(), c.task, nil)
			if started == c.never {
				t.Errorf("started: %t", started)
			}
			if res.ExitCode == nil {
				t.Fatalf("no exit code: %+v", res)
			}
			if diff := cmp.Diff([]any{c.outcome, c.code}, []any{res.Outcome, *res.ExitCode}); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(res.Err, c.err) || c.err == "" && res.Err != "" {
				t.Errorf("error %q, want %q", res.Err, c.err)
			}
			if out := output(t, b.logs, "t", 1); !strings.Contains(out, c.out) {
				t.Errorf("output %.200q, want %q", out, c.out)
			}
		})
	}
}

func TestTimeoutTerminatesThenKills(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		grace  time.Duration
		codes  []int
	}{
		// Where the machine is slow the timeout may come before the trap is set.
		"heeds SIGTERM":   {`trap "exit 7" TERM; while :; do sleep 0.01; done`, patience, []int{7, 143}},
		"is stopped":      {`kill -STOP $$`, patience, []int{143}},
		"ignores SIGTERM": {`trap "" TERM; while :; do sleep 1; done`, 50 * time.Millisecond, []int{137, 143}},
	} {
		b := newBench(t, ExecConfig{KillGrace: c.grace})
		task := shTask(c.script)
		task.Timeout = models.Duration(200 * time.Millisecond)
		res, _ := b.run(t.Context(), task, nil)
		if res.Outcome != models.OutcomeTimeout || !slices.Contains(c.codes, *res.ExitCode) || !strings.Contains(res.Err, "timed out after 200ms") {
			t.Errorf("%s: %+v, code %d", name, res, *res.ExitCode)
		}
	}
}

func TestCancelledAttemptIsKilledWithGrace(t *testing.T) {
	b := newBench(t, ExecConfig{})
	for name, c := range map[string]struct {
		graces []time.Duration
		code   int
	}{
		"heeds SIGTERM": {[]time.Duration{time.Hour}, 9},
		"no grace":      {[]time.Duration{0}, 137},
	} {
		task := shTask(`trap "exit 9" TERM; echo up; while :; do sleep 0.01; done`)
		kill := make(chan time.Duration, 1)
		done := make(chan Result, 1)
		started := make(chan struct{})
		go func() {
			done <- b.exec.Run(context.Background(), &task, 1, kill, func(time.Time) { close(started) })
		}()
		within(t, started, "the start")
		awaitOutput(t, b.logs, "up\n")
		for _, g := range c.graces {
			kill <- g
		}
		res := within(t, done, name)
		if res.Outcome != "CANCELLED" || *res.ExitCode != c.code || res.Err != "" {
			t.Errorf("%s: %+v, code %d", name, res, *res.ExitCode)
		}
	}
}

// awaitOutput waits for task t's first attempt to print so much.
func awaitOutput(t *testing.T, logs *LogStore, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := logs.Follow(ctx, "t", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	var got string
	for got != want {
		if !lines.Scan() {
			t.Fatalf("output %q, want %q", got, want)
		}
		got += lines.Text() + "\n"
	}
}

func TestALaterKillWithoutGraceHastensTheFirst(t *testing.T) {
	b := newBench(t, ExecConfig{})
	task := shTask(`trap "" TERM; echo up; while :; do sleep 1; done`)
	kill := make(chan time.Duration)
	done := make(chan Result, 1)
	started := make(chan struct{})
	go func() {
		done <- b.exec.Run(context.Background(), &task, 1, kill, func(time.Time) { close(started) })
	}()
	within(t, started, "the start")
	awaitOutput(t, b.logs, "up\n")
	kill <- time.Hour
	kill <- 0
	if res := within(t, done, "the end"); res.Outcome != "CANCELLED" || *res.ExitCode != 137 {
		t.Errorf("%+v", res)
	}
}

func TestAnAttemptCancelledBeforeItsStartNeverRuns(t *testing.T) {
	b := newBench(t, ExecConfig{})
	kill := make(chan time.Duration, 1)
	kill <- 0
	if res, started := b.run(t.Context(), shTask("echo ran"), kill); started || res.Outcome != "CANCELLED" {
		t.Errorf("started %t: %+v", started, res)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res, started := b.run(ctx, shTask("echo ran"), nil); started || res.Outcome != models.OutcomeLost {
		t.Errorf("started %t: %+v", started, res)
	}
}

func TestTheAgentsEndKillsAtOnce(t *testing.T) {
	b := newBench(t, ExecConfig{})
	ctx, cancel := context.WithCancel(context.Background())
	task := shTask(`trap "" TERM; while :; do sleep 1; done`)
	res := b.exec.Run(ctx, &task, 1, nil, func(time.Time) { cancel() })
	if res.Outcome != models.OutcomeLost || *res.ExitCode != 137 {
		t.Errorf("%+v", res)
	}
}

func TestNothingOfTheGroupIsLeftBehind(t *testing.T) {
	b := newBench(t, ExecConfig{})
	// The first leaves quietly, the second ignores signals; both hold the output.
	task := shTask(`sleep 1000 & a=$!; (trap "" TERM HUP INT; sleep 1000) & echo $a $!`)
	if res, _ := b.run(t.Context(), task, nil); res.Outcome != "SUCCESS" {
		t.Fatalf("%+v", res)
	}
	var a, c int
	if _, err := fmt.Sscan(output(t, b.logs, "t", 1), &a, &c); err != nil {
		t.Fatal(err)
	}
	waitGone(t, a)
	waitGone(t, c)
	if runtime.GOOS == "linux" {
		reapLast()
		for _, pid := range []int{a, c} {
			if err := syscall.Kill(pid, 0); err == nil {
				t.Errorf("process %d is dead but not reaped", pid)
			}
		}
	}
}

func TestADaemonThatHoldsTheOutputDoesNotHangTheAttempt(t *testing.T) {
	b := newBench(t, ExecConfig{DrainDelay: 10 * time.Millisecond})
	task := models.TaskSpec{TaskID: "t", Run: []string{self(t)}, Env: map[string]string{roleVariable: "daemonise"}}
	res, _ := b.run(t.Context(), task, nil)
	var pid int
	if _, err := fmt.Sscan(output(t, b.logs, "t", 1), &pid); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	if res.Outcome != "SUCCESS" {
		t.Errorf("%+v", res)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("what left the group on purpose is let go, but it is gone: %v", err)
	}
}

func TestAFloodOfOutputIsBounded(t *testing.T) {
	b := newBench(t, ExecConfig{})
	b.exec.cfg.Logs = newLogs(t, LogConfig{MaxBytesPerAttempt: 64 << 10})
	res, _ := b.run(t.Context(), shTask(`head -c 20000000 /dev/zero | tr '\0' x; echo; echo the end`), nil)
	out := output(t, b.exec.cfg.Logs, "t", 1)
	if res.Outcome != "SUCCESS" || len(out) > 66<<10 || !gapLine.MatchString(out) || !strings.HasSuffix(out, "x\nthe end\n") {
		t.Errorf("%+v: %d bytes, ending in %q", res, len(out), out[max(0, len(out)-20):])
	}
}

// The daemon dies without a chance to do anything: its tasks die with it, what
// they started included, and so does the guard.
func TestChildrenDieWithAKilledParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("parent-death signals are Linux's")
	}
	cmd := exec.Command(self(t))
	cmd.Env = append(os.Environ(), roleVariable+"=parent "+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	children := childrenOf(t, cmd.Process.Pid)
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	var pids [3]int
	if _, err := fmt.Sscan(line, &pids[0], &pids[1], &pids[2]); err != nil {
		t.Fatal(err)
	}
	if len(children) != 2 {
		t.Errorf("children %v are not the task and the guard", children)
	}
	for _, pid := range append(children, pids[:]...) {
		waitGone(t, pid)
		syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // where it has become ours
	}
}

func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var child, parent int
		var state string
		fmt.Sscan(string(b), &child)
		fmt.Sscan(string(b[strings.LastIndexByte(string(b), ')')+1:]), &state, &parent)
		if parent == pid {
			children = append(children, child)
		}
	}
	return children
}

func TestNoZombieStays(t *testing.T) {
	reapLast() // what other tests left
	before := len(childrenOf(t, os.Getpid()))
	t.Run("", func(t *testing.T) {
		b := newBench(t, ExecConfig{})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				task := shTask("exit 0")
				task.TaskID = fmt.Sprint("t", i)
				if res, _ := b.run(context.Background(), task, nil); res.Outcome != "SUCCESS" {
					t.Errorf("%+v", res)
				}
			})
		}
		wg.Wait()
		if now := childrenOf(t, os.Getpid()); len(now) != before+1 { // the guard
			t.Errorf("children: %v", now)
		}
		if n := len(b.exec.cfg.Spawner.guard.free); n == 0 || n != b.exec.cfg.Spawner.guard.next {
			t.Errorf("%d of the guard's %d slots are free", n, b.exec.cfg.Spawner.guard.next)
		}
	})
	if now := len(childrenOf(t, os.Getpid())); now != before {
		t.Errorf("%d children before, %d after", before, now)
	}
}

func TestASpawnerThatHasEndedSaysSo(t *testing.T) {
	s, err := NewSpawner(SpawnerConfig{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(ctx); err == nil {
		t.Error("it ran twice")
	}
	e, err := NewExec(ExecConfig{Spawner: s, Logs: newLogs(t, LogConfig{}), Logger: quiet(), Env: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	task := shTask("true")
	if res := e.Run(t.Context(), &task, 1, nil, func(time.Time) { t.Error("started") }); res.Outcome != "FAILED" || !strings.Contains(res.Err, "the program is ending") {
		t.Errorf("%+v", res)
	}
}

// BenchmarkTrue is to be held against `xargs -P2 -n1 true`.
func BenchmarkTrue(b *testing.B) {
	s, err := NewSpawner(SpawnerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	defer func() { cancel(); <-done }()
	logs, err := NewLogStore(LogConfig{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	e, err := NewExec(ExecConfig{Spawner: s, Logs: logs, Env: os.Environ()})
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(2)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			task := models.TaskSpec{TaskID: strconv.FormatInt(time.Now().UnixNano(), 10), Run: []string{"/bin/true"}}
			if res := e.Run(ctx, &task, 1, nil, func(time.Time) {}); res.Outcome != "SUCCESS" {
				b.Errorf("%+v", res)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
