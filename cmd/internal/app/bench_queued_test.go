package app_test

import (
	"errors"
	"os"
	"testing"

	"loadstar/cmd/internal/app"
	"loadstar/models"
)

func TestBenchOfALongQueueMeasuresAllOfItAndLeavesNothingBehind(t *testing.T) {
	parent := t.TempDir()
	r, err := app.RunQueuedBench(t.Context(), app.QueuedOptions{Queued: 3000, Few: 200, Moved: 600, Parent: parent})
	if err != nil {
		t.Fatal(err)
	}
	if r.RSSMB <= 0 || r.PeakRSSMB <= 0 || r.LsPageMS <= 0 || r.RestartS <= 0 || r.SubmitPerS <= 0 || r.FewPerS <= 0 || r.ManyPerS <= 0 || r.DispatchRatio != r.FewPerS/r.ManyPerS {
		t.Errorf("the result does not add up: %+v", r)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	var bad *models.FieldError
	if _, err := app.RunQueuedBench(t.Context(), app.QueuedOptions{Queued: -1}); !errors.As(err, &bad) || bad.Field != "--queued" {
		t.Errorf("a queue of -1: %v", err)
	}
}
