package scheduler_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/scheduler"
)

// offered keeps the ids that it is offered; it is read when the service has ended.
type offered []string

func (o *offered) Offer(id string) { *o = append(*o, id) }

func TestOnlyWhatFailedForGoodIsAlertedAndOnce(t *testing.T) {
	var ids offered
	a := newHand("a", false)
	b := setup(t, &memory{}, a, func(c *scheduler.Config) { c.Alerts = &ids })
	ctx := t.Context()
	again := changed(exec("again"), func(s *models.TaskSpec) { s.Retries, s.Backoff = 1, 1 })
	if _, err := b.Submit(ctx, []models.TaskSpec{again, exec("good"), exec("after", "again")}, ""); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r := next(t, a, run)
		a.start(r)
		outcome := string(models.Failed)
		if r.Task.TaskID == "good" {
			outcome = string(models.Success)
		}
		a.finish(r, outcome, 0)
	}
	// after is cancelled with again: the failure is told once, by its cause.
	if _, err := b.WaitFinal(ctx, []string{"again", "good", "after"}); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if diff := cmp.Diff(offered{"again"}, ids); diff != "" {
		t.Error(diff)
	}
}
