package worker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"loadstar/models"
)

// roleVariable makes the test binary play a part instead of running tests.
const roleVariable = "LOADSTAR_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

func play(role string) int {
	name, arg, _ := strings.Cut(role, " ")
	switch name {
	case "daemonise":
		return playDaemonise()
	case "parent":
		return playParent(arg)
	case "serve":
		return playServe()
	case "worker":
		return playWorker(arg)
	}
	fmt.Fprintln(os.Stderr, "no such role:", role)
	return 2
}

// patience is for what must come; it is never waited out where all is well.
const patience = 20 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func newLogs(t *testing.T, cfg LogConfig) *LogStore {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Logger = quiet()
	s, err := NewLogStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newSpawner runs a spawner until the test ends.
func newSpawner(t *testing.T) *Spawner {
	t.Helper()
	s, err := NewSpawner(SpawnerConfig{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

type bench struct {
	logs *LogStore
	exec *Exec
}

func newBench(t *testing.T, cfg ExecConfig) *bench {
	t.Helper()
	cfg.Spawner, cfg.Logs, cfg.Logger = newSpawner(t), newLogs(t, LogConfig{}), quiet()
	cfg.Env = append(cfg.Env, os.Environ()...)
	e, err := NewExec(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{logs: cfg.Logs, exec: e}
}

func output(t *testing.T, logs *LogStore, task string, attempt int) string {
	t.Helper()
	r, err := logs.Open(task, attempt)
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

func shTask(script string) models.TaskSpec {
	task := models.NewTaskSpec()
	task.TaskID, task.Run = "t", []string{"sh", "-c", script}
	return task
}

func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// playDaemonise leaves a process behind that has a session of its own and holds
// the output.
func playDaemonise() int {
	cmd := exec.Command("sleep", "1000")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 1
	}
	fmt.Println(cmd.Process.Pid)
	return 0
}

// playParent is a daemon in small: it runs a task whose processes' numbers it
// prints, and waits to be killed.
func playParent(dir string) int {
	logs, err := NewLogStore(LogConfig{Dir: dir})
	if err != nil {
		return 1
	}
	sp, err := NewSpawner(SpawnerConfig{})
	if err != nil {
		return 1
	}
	ctx := context.Background()
	go sp.Run(ctx)
	ex, err := NewExec(ExecConfig{Spawner: sp, Logs: logs, Env: os.Environ()})
	if err != nil {
		return 1
	}
	task := shTask(`sleep 1000 & a=$!; (trap "" TERM HUP; sleep 1000) & echo $$ $a $!; wait`)
	go ex.Run(ctx, &task, 1, nil, func(time.Time) {
		r, err := logs.Follow(ctx, "t", 1)
		if err != nil {
			os.Exit(1)
		}
		go io.Copy(os.Stdout, r)
	})
	select {}
}
