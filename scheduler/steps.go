package scheduler

import (
	"time"

	"loadstar/models"
)

// Telemetry takes the steps that tasks have gone through, once they are on disk.
type Telemetry interface {
	// Offer must not wait, and must not keep the slice.
	Offer(steps []models.TaskStep)
}

// Alerts takes the tasks that have failed for good: every retry was spent, the
// deadline passed, or the task took its workers down with it.
type Alerts interface {
	// Offer must not wait.
	Offer(id string)
}

// statusOf is an outcome as telemetry has it.
func statusOf(o outcome) string {
	return [outcomeCount]string{"", models.StatusSuccess, "failed", "cancelled", "timeout", "lost"}[o]
}

// finalStatus is a final state as telemetry has it.
func finalStatus(s stateCode) string {
	switch s {
	case stateSuccess:
		return models.StatusSuccess
	case stateFailed:
		return "failed"
	default:
		return "cancelled"
	}
}

// stepped notes that a task has gone through a step that began at from (Unix ns).
// Steps are kept until the records that they come from are on disk.
func (c *Core) stepped(t *task, step, status string, from, to int64) {
	c.steps = append(c.steps, models.TaskStep{TaskID: t.id, Step: step, Status: status, At: to, Took: time.Duration(max(0, to-from))})
}

// tellSteps notes what a record, about to be applied to a task, ends.
func (c *Core) tellSteps(t *task, r *Record) {
	a := &t.last
	switch r.Kind {
	case recAssigned:
		c.stepped(t, models.StepQueued, models.StatusSuccess, t.ready, r.At)
	case recStarted:
		c.stepped(t, models.StepAssigned, models.StatusSuccess, a.assigned, r.At)
	case recReturned:
		c.stepped(t, models.StepAssigned, models.StatusReturned, a.assigned, r.At)
	case recEnded:
		if a.started != 0 {
			c.stepped(t, models.StepRunning, statusOf(r.Outcome), a.started, r.At)
		} else {
			c.stepped(t, models.StepAssigned, statusOf(r.Outcome), a.assigned, r.At)
		}
	case recClosed:
		if t.queued() {
			c.stepped(t, models.StepQueued, finalStatus(r.State), t.ready, r.At)
		}
	}
	if (r.Kind == recEnded || r.Kind == recClosed) && r.State.final() {
		c.stepped(t, models.StepFinished, finalStatus(r.State), t.submitted, r.At)
	}
}
