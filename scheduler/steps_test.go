package scheduler_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/scheduler"
)

// diary keeps the steps that it is told.
type diary struct {
	mu    sync.Mutex
	steps []models.TaskStep
}

func (d *diary) Offer(steps []models.TaskStep) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps = append(d.steps, steps...)
}

func (d *diary) of(id string) (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.steps {
		if s.TaskID == id {
			out = append(out, s.Step+" "+s.Status)
		}
	}
	return out
}

func TestTelemetryTellsEveryStepOnce(t *testing.T) {
	var d diary
	a := newHand("a", false)
	b := setup(t, &memory{}, a, func(c *scheduler.Config) { c.Telemetry = &d })
	ctx := t.Context()
	again := changed(exec("again"), func(s *models.TaskSpec) { s.Retries, s.Backoff = 1, 1 })
	if _, err := b.Submit(ctx, []models.TaskSpec{again}, ""); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []string{string(models.Failed), string(models.Success)} {
		r := next(t, a, run)
		a.start(r)
		a.finish(r, outcome, 0)
	}
	if _, err := b.WaitFinal(ctx, []string{"again"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Submit(ctx, []models.TaskSpec{changed(exec("waits"), func(s *models.TaskSpec) { s.Capabilities = []string{"none"} })}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Cancel(ctx, models.Selection{IDs: []string{"waits"}}); err != nil {
		t.Fatal(err)
	}
	b.stop() // what is committed is told by now
	for id, want := range map[string][]string{
		"again": {
			"submitted success", "queued success", "assigned success", "running failed", "queued success", "assigned success", "running success", "finished success",
		},
		"waits": {"submitted success", "queued cancelled", "finished cancelled"},
	} {
		if diff := cmp.Diff(want, d.of(id)); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
	for _, s := range d.steps {
		if s.At == 0 || s.Took < 0 || s.Step == models.StepSubmitted && s.Took != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestTelemetryTellsNothingThatIsNotOnDisk(t *testing.T) {
	var d diary
	j := &memory{}
	b := setup(t, j, newHand("a", true), func(c *scheduler.Config) { c.Telemetry = &d })
	j.set(errors.New("the disk is full"), false)
	if _, err := b.Submit(t.Context(), []models.TaskSpec{exec("refused")}, ""); !errors.Is(err, models.ErrUnavailable) {
		t.Fatal(err)
	}
	j.set(nil, false)
	b.stop()
	if got := d.of("refused"); len(got) > 0 {
		t.Errorf("told: %s", strings.Join(got, ", "))
	}
	if slices.ContainsFunc(d.steps, func(s models.TaskStep) bool { return s.TaskID == "" }) {
		t.Error("a step of no task")
	}
}

func changed(s models.TaskSpec, change func(*models.TaskSpec)) models.TaskSpec {
	change(&s)
	return s
}
