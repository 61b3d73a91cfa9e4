package alert

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func failed(_ context.Context, id string) (models.Task, error) {
	if id == "gone" {
		return models.Task{}, models.ErrNotFound
	}
	return models.Task{TaskSpec: models.TaskSpec{TaskID: id, Pool: "p"}, State: models.Failed, Attempt: 3, Error: "exit 1"}, nil
}

// told is an alert in short.
type told struct {
	ID     string
	Others uint64
	After  time.Duration
}

// watch runs an Alerter in a bubble with a sender that keeps what it is given.
func watch(t *testing.T, cfg Config, play func(a *Alerter)) (out []told) {
	synctest.Test(t, func(t *testing.T) {
		cfg.Task, cfg.URL = failed, "http://localhost/"
		a, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		a.send = []func(context.Context, *Alert) error{func(_ context.Context, alert *Alert) error {
			out = append(out, told{alert.Task.TaskID, alert.Others, time.Since(began)})
			return nil
		}}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		play(a)
		synctest.Wait()
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
	return out
}

func TestAlertsAreRareAndCountWhatTheyLeaveOut(t *testing.T) {
	got := watch(t, Config{Every: 10 * time.Second}, func(a *Alerter) {
		a.Offer("a")
		synctest.Wait()
		for i := range 5 {
			a.Offer("b" + strconv.Itoa(i))
		}
		time.Sleep(30 * time.Second)
		a.Offer("c")
		time.Sleep(time.Second)
		a.Offer("d")
		time.Sleep(time.Minute)
	})
	want := []told{{"a", 0, 0}, {"b4", 4, 10 * time.Second}, {"c", 0, 30 * time.Second}, {"d", 0, 40 * time.Second}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFloodOfFailuresIsCountedToTheLastOne(t *testing.T) {
	var a *Alerter
	got := watch(t, Config{Every: 10 * time.Second, Buffer: 8}, func(made *Alerter) {
		a = made
		for i := range 10_000 {
			a.Offer(strconv.Itoa(i))
		}
		time.Sleep(time.Minute)
	})
	named, others := uint64(len(got)), uint64(0)
	for _, g := range got {
		others += g.Others
	}
	if named+others != 10_000 || named > 3 || a.Counts() != (Counts{Failures: 10_000, Sent: named}) {
		t.Errorf("%d named, %d others, %+v", named, others, a.Counts())
	}
}

func TestATaskThatCannotBeFoundIsNoEndOfAlerts(t *testing.T) {
	got := watch(t, Config{Every: time.Second}, func(a *Alerter) {
		a.Offer("gone")
		time.Sleep(5 * time.Second)
		a.Offer("a")
	})
	if diff := cmp.Diff([]told{{"a", 0, 5 * time.Second}}, got); diff != "" {
		t.Error(diff)
	}
}

// once gives one alert by real means and returns how that ended.
func once(t *testing.T, cfg Config) error {
	t.Helper()
	cfg.Task, cfg.Logger = failed, slog.New(slog.NewTextHandler(io.Discard, nil))
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	task, _ := failed(t.Context(), "t-1")
	ctx, cancel := context.WithTimeout(t.Context(), a.cfg.Timeout)
	defer cancel()
	return a.send[0](ctx, &Alert{Task: task, Others: 7})
}

func TestCommandGetsTheTask(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	script := `{ cat; echo "$LOADSTAR_TASK_ID $LOADSTAR_POOL $LOADSTAR_ATTEMPT $LOADSTAR_ERROR $LOADSTAR_OTHERS"; } > ` + file
	if err := once(t, Config{Command: []string{"sh", "-c", script}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	body, env, _ := strings.Cut(string(b), "\n")
	var got Alert
	if err := json.Unmarshal([]byte(body), &got); err != nil || got.Task.TaskID != "t-1" || got.Others != 7 {
		t.Errorf("%v: %s", err, body)
	}
	if env != "t-1 p 3 exit 1 7\n" {
		t.Errorf("environment %q", env)
	}
}

func TestCommandThatFailsOrHangsIsTold(t *testing.T) {
	err := once(t, Config{Command: []string{"sh", "-c", "echo no mail server >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), `exit status 3: "no mail server"`) {
		t.Errorf("%v", err)
	}
	pid := filepath.Join(t.TempDir(), "pid")
	err = once(t, Config{Command: []string{"sh", "-c", "sleep 1000 & echo $! > " + pid + "; wait"}, Timeout: 300 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "did not end within 300ms") {
		t.Errorf("%v", err)
	}
	b, err := os.ReadFile(pid)
	if err != nil {
		t.Skipf("the command had no time to begin: %v", err)
	}
	child, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	for syscall.Kill(child, 0) == nil { // dead, but perhaps not yet reaped by init
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat"); err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
	}
}

func TestWebhookTakesTheTaskOrSaysWhyNot(t *testing.T) {
	var got Alert
	status := http.StatusNoContent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&got)
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			_, _ = io.WriteString(w, "channel not found")
		}
	}))
	defer s.Close()
	if err := once(t, Config{URL: s.URL}); err != nil || got.Task.TaskID != "t-1" || got.Others != 7 {
		t.Errorf("%v: %+v", err, got)
	}
	status = http.StatusNotFound
	if err := once(t, Config{URL: s.URL}); err == nil || !strings.Contains(err.Error(), `404 Not Found: "channel not found"`) {
		t.Errorf("%v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for field, cfg := range map[string]Config{
		"alerts.command, alerts.url": {},
		"alerts.command":             {Command: []string{""}},
		"alerts.url":                 {URL: "mailto:me"},
		"alerts.every":               {URL: "http://h/", Every: -1},
		"alerts.timeout":             {URL: "http://h/", Timeout: -1},
		"alerts.buffer":              {URL: "http://h/", Buffer: -1},
	} {
		cfg.Task = failed
		var bad *models.FieldError
		if _, err := New(cfg); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
