package app_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"loadstar/cmd/internal/app"
	"loadstar/models"
)

func TestBenchRunsEveryTaskAndLeavesNothingBehind(t *testing.T) {
	for name, o := range map[string]app.BenchOptions{
		"noop": {Tasks: 1203, Telemetry: true, PacedRate: 500, PacedFor: 40 * time.Millisecond},
		"exec": {Exec: true, Tasks: 12, PacedRate: 100, PacedFor: 40 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			o.Parent = t.TempDir()
			r, err := app.RunBench(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Kind != name || r.Tasks != o.Tasks || r.TasksPerS <= 0 || r.Fsyncs < 2 || r.PeakRSSMB <= 0 || r.CPUSPerMillion <= 0 {
				t.Errorf("the result does not add up: %+v", r)
			}
			if least := int64(o.Tasks * 40); r.JournalBytes < least {
				t.Errorf("%d bytes in the journal for %d tasks: their documents alone are %d", r.JournalBytes, o.Tasks, least)
			}
			if (r.XargsPerS > 0) != (r.Ratio > 0) || r.XargsPerS > 0 && (!o.Exec || r.XargsSlots < 1 || r.Rounds < 1) {
				t.Errorf("xargs: %+v", r)
			}
			if r.Sampled < min(o.Tasks, 10) {
				t.Errorf("%d tasks were measured", r.Sampled)
			}
			if want := int(float64(o.PacedRate) * o.PacedFor.Seconds()); r.Paced == nil || r.Paced.Tasks != want {
				t.Errorf("paced: %+v, want %d tasks", r.Paced, want)
			}
			for what, q := range map[string][2]models.Quantiles{
				"full speed": {r.SubmitToStart, r.SubmitToDone}, "paced": {r.Paced.SubmitToStart, r.Paced.SubmitToDone},
			} {
				if start, done := q[0], q[1]; start.P50 <= 0 || start.P50 > done.P50 || start.P99 > done.P99 || start.P50 > start.P99 {
					t.Errorf("%s: started after %+v ms, done after %+v ms", what, start, done)
				}
			}
			if tasks := uint64(500 + o.Tasks + r.Paced.Tasks); o.Telemetry && (r.Telemetry == nil || r.Telemetry.Written != 5*tasks || r.Telemetry.Dropped != 0) {
				t.Errorf("telemetry: %+v, want 5 steps of %d tasks", r.Telemetry, tasks)
			}
			left, err := os.ReadDir(o.Parent)
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestBenchThatIsBrokenOffCleansUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := app.BenchOptions{Tasks: 1_000_000, Parent: t.TempDir(), Progress: func(done float64, _ string) {
		if done > 0 { // the full speed begins
			cancel()
		}
	}}
	if _, err := app.RunBench(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if left, err := os.ReadDir(o.Parent); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBenchRefusesWhatCannotBeMeasured(t *testing.T) {
	for field, o := range map[string]app.BenchOptions{
		"--tasks": {Tasks: -1}, "--rounds": {Exec: true, Rounds: -1}, "--slots": {Slots: -1}, "--rate": {PacedRate: -1}, "--paced": {PacedFor: -1},
	} {
		var bad *models.FieldError
		if _, err := app.RunBench(t.Context(), o); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
