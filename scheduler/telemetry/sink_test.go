package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/models"
	"loadstar/scheduler/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type line struct {
	TaskID     string  `json:"task_id"`
	Step       string  `json:"step"`
	Status     string  `json:"status"`
	Timestamp  int64   `json:"timestamp"`
	DurationMS float64 `json:"duration_ms"`
}

func lines(t *testing.T, file string) []line {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []line
	for row := range strings.Lines(string(text)) {
		dec := json.NewDecoder(strings.NewReader(row))
		dec.DisallowUnknownFields()
		var l line
		if err := dec.Decode(&l); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		out = append(out, l)
	}
	return out
}

// through writes all steps that offer hands over, and ends.
func through(t *testing.T, cfg telemetry.Config, offer func(s *telemetry.Sink)) *telemetry.Sink {
	t.Helper()
	s, err := telemetry.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	offer(s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func step(id string) models.TaskStep {
	return models.TaskStep{TaskID: id, Step: models.StepRunning, Status: models.StatusSuccess, At: 1712054400000e6, Took: 45 * time.Millisecond}
}

func TestALineIsWhatTheContractSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.jsonl")
	odd := step("quote\" back\\ é <b>")
	odd.Took = 1234567
	through(t, telemetry.Config{File: file}, func(s *telemetry.Sink) { s.Offer([]models.TaskStep{step("a"), odd}) })
	text, err := os.ReadFile(file)
	want := `{"task_id":"a","step":"running","status":"success","timestamp":1712054400000,"duration_ms":45}` + "\n"
	if err != nil || !strings.HasPrefix(string(text), want) {
		t.Errorf("%s %v", text, err)
	}
	if d := cmp.Diff(line{odd.TaskID, "running", "success", 1712054400000, 1.234}, lines(t, file)[1]); d != "" {
		t.Error(d)
	}
}

func TestAFullFileMakesRoomAndNoLineIsTorn(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "t.jsonl")
	const n = 5000
	s := through(t, telemetry.Config{File: file, MaxBytes: telemetry.MinBytes}, func(s *telemetry.Sink) {
		for i := range n {
			s.Offer([]models.TaskStep{step(fmt.Sprintf("task-%06d", i))})
		}
	})
	// More was handed over at once than the channel takes: the rest is counted.
	if s.Written()+s.Dropped() != n || s.Written() == 0 {
		t.Errorf("%d written and %d dropped of %d", s.Written(), s.Dropped(), n)
	}
	s = through(t, telemetry.Config{File: file, MaxBytes: telemetry.MinBytes}, func(s *telemetry.Sink) {
		all := make([]models.TaskStep, n)
		for i := range all {
			all[i] = step(fmt.Sprintf("task-%06d", i))
		}
		s.Offer(all)
	})
	if s.Written() != n || s.Dropped() != 0 {
		t.Errorf("%d written and %d dropped", s.Written(), s.Dropped())
	}
	got := append(lines(t, file+".1"), lines(t, file)...)
	for i, l := range got { // the newest ones, in order, up to the last
		if want := fmt.Sprintf("task-%06d", n-len(got)+i); l.TaskID != want {
			t.Fatalf("line %d is of %s, want %s", i, l.TaskID, want)
		}
	}
	for _, f := range []string{file, file + ".1"} {
		if info, err := os.Stat(f); err != nil || info.Size() > telemetry.MinBytes || info.Size() == 0 {
			t.Errorf("%s: %v, %v", f, info.Size(), err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%d files", len(files))
	}
}

func TestATornLineIsEndedBeforeTheNext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.jsonl")
	if err := os.WriteFile(file, []byte(`{"task_id":"torn","st`), 0o600); err != nil {
		t.Fatal(err)
	}
	through(t, telemetry.Config{File: file}, func(s *telemetry.Sink) { s.Offer([]models.TaskStep{step("a")}) })
	text, _ := os.ReadFile(file)
	if rows := strings.Split(string(text), "\n"); len(rows) != 3 || !strings.HasPrefix(rows[1], `{"task_id":"a"`) {
		t.Errorf("%s", text)
	}
}

func TestOfferDropsAndCountsInsteadOfWaiting(t *testing.T) {
	var log bytes.Buffer
	s := through(t, telemetry.Config{
		File: filepath.Join(t.TempDir(), "t.jsonl"), Buffer: 2000, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}, func(s *telemetry.Sink) { // nobody writes yet
		s.Offer(make([]models.TaskStep, 3500))
	})
	if s.Written() != 2000 || s.Dropped() != 1500 {
		t.Errorf("%d written and %d dropped", s.Written(), s.Dropped())
	}
	if !strings.Contains(log.String(), "steps=1500") {
		t.Errorf("the log says %q", log.String())
	}
}

func TestAFileThatCannotBeWrittenIsCountedAndSaidOnce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sub", "t.jsonl")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := through(t, telemetry.Config{File: file, MaxBytes: telemetry.MinBytes, Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(s *telemetry.Sink) {
		s.Offer(make([]models.TaskStep, 6000))
		if err := os.RemoveAll(filepath.Dir(file)); err != nil { // so that it cannot be rotated
			t.Fatal(err)
		}
	})
	if s.Dropped() == 0 || s.Written()+s.Dropped() != 6000 {
		t.Errorf("%d written and %d dropped", s.Written(), s.Dropped())
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "cannot be written") {
		t.Errorf("the log says %q", log.String())
	}
}

func TestBadConfigsNameTheirField(t *testing.T) {
	for field, cfg := range map[string]telemetry.Config{
		"telemetry_file":      {},
		"telemetry_max_bytes": {File: "x", MaxBytes: 1},
		"telemetry_buffer":    {File: "x", Buffer: -1},
	} {
		var bad *models.FieldError
		if _, err := telemetry.New(cfg); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := telemetry.New(telemetry.Config{File: filepath.Join(t.TempDir(), "no", "such", "folder")}); err == nil {
		t.Error("a file that cannot be made was accepted")
	}
}
