package page

import (
	"time"

	"loadstar/models"
)

// taskAt is a task as it stood at a moment, as far as its times tell; ok is false
// where it was not there yet.
func taskAt(k *models.Task, at time.Time) (then models.Task, ok bool) {
	if k.SubmittedAt.After(at) {
		return models.Task{}, false
	}
	then = *k
	before := func(t *time.Time) bool { return t != nil && !t.After(at) }
	if k.State.Final() && before(k.FinishedAt) {
		return then, true
	}
	then.State, then.Reason, then.Detail, then.Error = models.Pending, models.ReasonNone, "", ""
	then.StartedAt, then.FinishedAt, then.ExitCode, then.Agent, then.Worker, then.Attempt = nil, nil, nil, "", "", 1
	if !k.State.Final() && (len(k.Attempts) == 0 || !began(&k.Attempts[len(k.Attempts)-1], at)) && k.StartedAt == nil {
		then.Reason, then.Detail = k.Reason, k.Detail // it waits still
	}
	attempts := k.Attempts
	if len(attempts) == 0 && k.StartedAt != nil {
		attempts = []models.Attempt{{Attempt: k.Attempt, Agent: k.Agent, Worker: k.Worker, StartedAt: k.StartedAt, FinishedAt: k.FinishedAt}}
	}
	then.Attempts = nil
	for i := range attempts {
		a := attempts[i]
		if !began(&a, at) {
			continue
		}
		if !before(a.FinishedAt) {
			a.FinishedAt, a.Outcome, a.ExitCode, a.Error = nil, "", nil, ""
		}
		then.Attempts = append(then.Attempts, a)
		then.Attempt = a.Attempt
		switch {
		case before(a.FinishedAt):
			then.Attempt = a.Attempt + 1 // it waits for another one
			then.State, then.StartedAt, then.Agent, then.Worker = models.Pending, nil, "", ""
		case before(a.StartedAt):
			then.State, then.StartedAt, then.Agent, then.Worker = models.Running, a.StartedAt, a.Agent, a.Worker
		default:
			then.State, then.Agent, then.Worker = models.Assigned, a.Agent, a.Worker
		}
	}
	return then, true
}

// began reports whether an attempt was given to an agent by then.
func began(a *models.Attempt, at time.Time) bool {
	return a.AssignedAt != nil && !a.AssignedAt.After(at) || a.StartedAt != nil && !a.StartedAt.After(at)
}
