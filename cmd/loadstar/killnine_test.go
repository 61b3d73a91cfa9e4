package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"loadstar/models"
	"loadstar/scheduler/client"
	"loadstar/scheduler/worker"
)

var (
	killRounds = flag.Int("rounds", 4, "how often the daemon is killed")
	killSeed   = flag.Uint64("killseed", 1, "when it is killed and what it is given to do")
)

// asWorker makes the test binary a worker of a stdio pool; its value is the file
// in which it notes the tasks that it ran.
const asWorker = "LOADSTAR_E2E_AS_WORKER"

// roundMark marks a daemon and all that it starts: a task has its daemon's environment.
const roundMark = "LOADSTAR_E2E_ROUND"

// noter is the worker's work: it notes the task and takes as long as it is told.
type noter struct{ file string }

func (n noter) Initialize(context.Context, worker.InitializeParams) error { return nil }

func (n noter) Run(_ context.Context, p worker.RunParams, _ worker.Say) (any, error) {
	var in struct {
		ID string  `json:"id"`
		S  float64 `json:"s"`
	}
	if err := json.Unmarshal(p.Input, &in); err != nil {
		return nil, err
	}
	time.Sleep(time.Duration(in.S * float64(time.Second))) // the task's own work
	f, err := os.OpenFile(n.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = f.WriteString(in.ID + "\n")
	return nil, err
}

// TestKillNineInEachRoundLosesNothing kills the daemon at random moments, again
// and again, while tasks of two kinds are submitted and run, and starts it at
// once. go test ./cmd/loadstar -run KillNineInEach -rounds 100 -v -timeout 30m
func TestKillNineInEachRoundLosesNothing(t *testing.T) {
	k := newKilling(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var submitter sync.WaitGroup
	submitter.Go(func() { k.submitUntil(ctx) })
	rng := rand.New(rand.NewPCG(*killSeed, 1))
	daemon := k.start(0)
	for n := range *killRounds {
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond) // any moment will do
		if err := daemon.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = daemon.Wait()
		daemon = k.start(n + 1)
		k.noneLeft(n)
	}
	stop()
	submitter.Wait()
	k.settle()
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	k.noneLeft(*killRounds)
}

// killing is a house whose daemon is killed.
type killing struct {
	*house
	client *client.Client
	ran    string // the file in which tasks note that they ran

	mu    sync.Mutex
	acked []string // acknowledged tasks
}

func newKilling(t *testing.T) *killing {
	h := newHouse(t)
	k := &killing{house: h, ran: filepath.Join(h.dir, "ran")}
	file := filepath.Join(h.dir, "loadstar", "config.yaml")
	text := fmt.Sprintf("pools:\n  default: {max: 4}\n  warm:\n    kind: stdio\n    command: [%q]\n    env: {%s: %q}\n    min: 1\n    max: 2\n", os.Args[0], asWorker, k.ran)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if k.client, err = client.New(client.Config{Socket: filepath.Join(h.dir, "s", "api.sock")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.client.Close)
	return k
}

func (k *killing) mark(round int) string { return fmt.Sprintf("%s=%s/%d", roundMark, k.dir, round) }

// start starts a daemon and returns once it serves.
func (k *killing) start(round int) *exec.Cmd {
	k.t.Helper()
	cmd := k.command("daemon")
	cmd.Env = append(cmd.Env, k.mark(round))
	log, err := os.OpenFile(filepath.Join(k.dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		k.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr, cmd.Stdout = log, log
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	k.until("the daemon serves", func() bool {
		_, err := k.client.Info(k.t.Context())
		return err == nil
	})
	return cmd
}

// until waits for what other processes do: there is no signal to wait on.
func (k *killing) until(what string, ok func() bool) {
	k.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(k.dir, "daemon.log"))
			k.t.Fatalf("it never came to this: %s; the daemon said:\n%s", what, text[max(0, len(text)-4000):])
		}
	}
}

// noneLeft waits until no process of a round is there any more.
func (k *killing) noneLeft(round int) {
	k.t.Helper()
	mark := append([]byte(k.mark(round)), 0)
	k.until(fmt.Sprintf("nothing of round %d is left", round), func() bool {
		files, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			k.t.Fatal(err)
		}
		for _, f := range files {
			if env, err := os.ReadFile(f); err == nil && bytes.Contains(env, mark) {
				return false
			}
		}
		return true
	})
}

// submitUntil hands in small batches, each until it is acknowledged, and keeps a
// bounded number of tasks waiting.
func (k *killing) submitUntil(ctx context.Context) {
	const batch, most = 20, 300
	rng := rand.New(rand.NewPCG(*killSeed, 2))
	for n := 0; ctx.Err() == nil; n += batch {
		specs := make([]models.TaskSpec, batch)
		for i := range specs {
			specs[i] = k.spec(fmt.Sprintf("t%06d", n+i), float64(rng.IntN(30))/1000, rng.IntN(3) == 0)
		}
		for {
			if _, err := k.client.Submit(context.WithoutCancel(ctx), specs, ""); err == nil {
				break
			} else if !errors.Is(err, client.ErrNoDaemon) && !errors.Is(err, models.ErrUnavailable) && ctx.Err() != nil {
				k.t.Errorf("submit: %v", err)
				return
			}
			time.Sleep(5 * time.Millisecond) // the daemon is being started
		}
		k.mu.Lock()
		for i := range specs {
			k.acked = append(k.acked, specs[i].TaskID)
		}
		k.mu.Unlock()
		for ctx.Err() == nil {
			st, err := k.client.Stats(ctx)
			if err == nil && st.Tasks[models.Pending] < most {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (k *killing) spec(id string, takes float64, warm bool) models.TaskSpec {
	spec := models.NewTaskSpec()
	spec.TaskID = id
	if warm {
		spec.Pool = "warm"
		spec.Input, _ = json.Marshal(map[string]any{"id": id, "s": takes})
		return spec
	}
	// The sleep is a child of the shell, so that a tree of processes has to go.
	spec.Run = []string{"sh", "-c", fmt.Sprintf("sleep %.3f; echo %s >> %s", takes, id, k.ran)}
	return spec
}

// settle waits for all that was acknowledged and holds it against what was seen.
func (k *killing) settle() {
	k.t.Helper()
	want := len(k.acked)
	k.until("all is done", func() bool {
		st, err := k.client.Stats(k.t.Context())
		return err == nil && st.Tasks[models.Success] >= want && st.Tasks[models.Pending]+st.Tasks[models.Assigned]+st.Tasks[models.Running] == 0
	})
	st, err := k.client.Stats(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	text, err := os.ReadFile(k.ran)
	if err != nil {
		k.t.Fatal(err)
	}
	ran := map[string]int{}
	for _, id := range strings.Fields(string(text)) {
		ran[id]++
	}
	lost, twice, unrun, again := 0, 0, 0, 0
	for _, id := range k.acked {
		task, err := k.client.Task(k.t.Context(), id)
		if err != nil {
			k.t.Errorf("%s: %v", id, err)
			lost++
			continue
		}
		successes := 0
		for i, a := range task.Attempts {
			if a.Attempt != i+1 {
				k.t.Errorf("%s: attempt %d stands at place %d", task.TaskID, a.Attempt, i+1)
			}
			if a.Outcome == string(models.Success) {
				successes++
			}
		}
		if task.State != models.Success || successes != 1 || task.Attempt != len(task.Attempts) {
			k.t.Errorf("%s: %s, %d attempts, %d successes: %+v", task.TaskID, task.State, len(task.Attempts), successes, task.Attempts)
			twice++
		}
		if ran[task.TaskID] == 0 {
			k.t.Errorf("%s is SUCCESS and never ran", task.TaskID)
			unrun++
		}
		again += len(task.Attempts) - 1
	}
	if st.Tasks[models.Success] != want || st.Tasks[models.Failed]+st.Tasks[models.Cancelled] != 0 {
		k.t.Errorf("%d were acknowledged, the daemon counts %+v", want, st.Tasks)
	}
	k.t.Logf("%d kills, %d tasks acknowledged, %d lost, %d counted twice, %d never ran; %d attempts were lost and made again",
		*killRounds, want, lost, twice, unrun, again)
}
