package models

import "time"

// The steps that a task goes through, as telemetry tells them.
const (
	StepSubmitted = "submitted"
	StepQueued    = "queued"
	StepAssigned  = "assigned"
	StepRunning   = "running"
	StepFinished  = "finished"
)

// How a step ended. A step of an attempt may also end as the attempt did: failed,
// cancelled, timeout, lost.
const (
	StatusSuccess  = "success"
	StatusReturned = "returned" // taken back before its work began
)

// TaskStep is a step that a task has gone through.
type TaskStep struct {
	TaskID string
	Step   string        // one of the above
	Status string        // how it ended
	At     int64         // when it ended, Unix ns
	Took   time.Duration // how long it took
}
