package wire

import "loadstar/models"

// TaskList is several tasks, in the order in which they were asked for.
type TaskList struct {
	Tasks []models.Task `json:"tasks"`
}

// RetryRequest is the body of POST /v1/tasks/retry.
type RetryRequest struct {
	models.Selection
	WithDependents bool `json:"with_dependents,omitempty" doc:"Also revive the tasks that were cancelled because this one failed"`
}

// RetryOneRequest is the body of POST /v1/tasks/{id}/retry, which may be empty.
type RetryOneRequest struct {
	WithDependents bool `json:"with_dependents,omitempty" doc:"Also revive the tasks that were cancelled because this one failed"`
}

// PriorityRequest is the body of POST /v1/tasks/priority.
type PriorityRequest struct {
	models.Selection
	Priority *models.Priority `json:"priority" doc:"The new priority"`
}

// PriorityOneRequest is the body of POST /v1/tasks/{id}/priority.
type PriorityOneRequest struct {
	Priority *models.Priority `json:"priority" doc:"The new priority"`
}

// WaitRequest is the body of POST /v1/tasks/wait.
type WaitRequest struct {
	IDs []string `json:"ids" doc:"The tasks to wait for"`
}

// Samples is a stretch of a series' history at one step.
type Samples struct {
	Series string         `json:"series"`
	Unit   string         `json:"unit"`
	StepS  float64        `json:"step_s"`
	Points []models.Point `json:"points"`
}

// ImportRequest is the body of POST /v1/series/{name}/samples.
type ImportRequest struct {
	StepS  float64        `json:"step_s" doc:"Seconds from one point to the next"`
	Points []models.Point `json:"points" doc:"In time order; a step without a value has no point"`
}

// ImportResult says how many points were taken over.
type ImportResult struct {
	Imported int `json:"imported"`
}

// TrainRequest is the body of POST /v1/train, which may be empty.
type TrainRequest struct {
	Series string `json:"series,omitempty" doc:"The series to train on; empty is every one that is forecast"`
}

// TrainLine is one line of the answer to POST /v1/train (NDJSON). Exactly one of
// the three is set; the last line has End or Error.
type TrainLine struct {
	Progress *models.TrainProgress `json:"progress,omitempty"`
	End      bool                  `json:"end,omitempty"`
	Error    *Problem              `json:"error,omitempty"`
}

// Minimal is the value of the header Prefer (RFC 7240) by which a submission is
// answered with Accepted.
const Minimal = "return=minimal"

// Accepted is what was submitted, in its order.
type Accepted struct {
	TaskIDs []string `json:"task_ids"`
}
