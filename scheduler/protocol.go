package scheduler

import (
	"context"
	"time"

	"loadstar/models"
)

// Lease names one assignment of a task: a report that carries another lease than
// the task's current one is stale and is refused. It only ever grows.
type Lease uint64

// Command is what the driver tells an agent, after the decision is on disk.
// Exactly one field is set. Commands and reports travel to agents of other hosts
// as JSON; see package remote.
type Command struct {
	StartWorker *StartWorker `json:"start_worker,omitempty"`
	StopWorker  *StopWorker  `json:"stop_worker,omitempty"`
	Run         *Run         `json:"run,omitempty"`
	Kill        *Kill        `json:"kill,omitempty"`
	Recall      *Recall      `json:"recall,omitempty"`
	Limit       *Limit       `json:"limit,omitempty"`
}

// StartWorker asks for one more worker of a pool.
type StartWorker struct {
	Worker string          `json:"worker,omitempty"` // its id, unique while the daemon runs
	Pool   models.PoolSpec `json:"pool"`
}

// StopWorker lets a worker end: at once where it is idle, after its task otherwise.
type StopWorker struct {
	Worker string `json:"worker,omitempty"`
}

// Run assigns an attempt. Worker is empty for exec and http pools, whose slots the core counts itself.
type Run struct {
	Kind    models.PoolKind `json:"kind,omitempty"` // of the pool; empty is exec, or stdio where there is a Worker
	URL     string          `json:"url,omitempty"`  // http: the pool's own, for a task that names none
	Worker  string          `json:"worker,omitempty"`
	Task    models.TaskSpec `json:"task"`
	Attempt int             `json:"attempt"`
	Lease   Lease           `json:"lease"`
	// Slots is how many attempts of the task's pool may run on the agent at once,
	// from now on: one beyond it waits there until another of the pool ends, the more
	// urgent first. 0 sets no limit. It counts where there is no Worker.
	Slots int `json:"slots,omitempty"`
}

// Kill ends an attempt: SIGTERM to its process group, SIGKILL after Grace.
type Kill struct {
	TaskID string        `json:"task_id"`
	Lease  Lease         `json:"lease"`
	Grace  time.Duration `json:"grace,omitempty"`
}

// Recall asks for an attempt that has not begun: the agent gives it back with
// Returned. One that has begun goes on, and nothing is said.
type Recall struct {
	TaskID string `json:"task_id"`
	Lease  Lease  `json:"lease"`
}

// Limit sets anew how many attempts of a pool may run on the agent at once; see
// Run.Slots. What runs already goes on.
type Limit struct {
	Pool  string `json:"pool,omitempty"`
	Slots int    `json:"slots,omitempty"`
}

// Report is what an agent tells the driver. Exactly one field is set.
type Report struct {
	Agent       string        `json:"-"`
	WorkerReady *WorkerReady  `json:"worker_ready,omitempty"`
	WorkerGone  *WorkerGone   `json:"worker_gone,omitempty"`
	Started     *Started      `json:"started,omitempty"`
	Finished    *Finished     `json:"finished,omitempty"`
	Returned    *Returned     `json:"returned,omitempty"`
	Heartbeat   *models.Agent `json:"heartbeat,omitempty"`
}

// WorkerReady ends a worker's cold start.
type WorkerReady struct {
	Worker    string        `json:"worker,omitempty"`
	ColdStart time.Duration `json:"cold_start,omitempty"`
}

// WorkerGone says that a worker's process has ended: asked to (Err empty), or by
// itself. A task that it was running is reported LOST by the core, not here.
type WorkerGone struct {
	Worker string `json:"worker,omitempty"`
	Err    string `json:"err,omitempty"`
}

// Started says that an attempt's work has begun.
type Started struct {
	TaskID string    `json:"task_id"`
	Lease  Lease     `json:"lease"`
	At     time.Time `json:"at"`
}

// Finished says how an attempt ended. An attempt that never began (its command
// was not found, say) is Finished without Started, with Err set.
type Finished struct {
	TaskID   string    `json:"task_id"`
	Lease    Lease     `json:"lease"`
	At       time.Time `json:"at"`
	Outcome  string    `json:"outcome"` // models.Success, Failed, Cancelled (as string), or models.OutcomeTimeout, OutcomeLost
	ExitCode *int      `json:"exit_code,omitempty"`
	Err      string    `json:"err,omitempty"`
}

// Returned says that an attempt is given back: it never began here and never will.
// The same attempt waits again.
type Returned struct {
	TaskID string `json:"task_id"`
	Lease  Lease  `json:"lease"`
}

// Agent is a host's executor as the driver sees it.
type Agent interface {
	// Info says who it is and what it can do.
	Info() models.Agent
	// Send hands over commands in order. It does not wait for them to be done
	// and never blocks for long.
	Send(commands []Command)
	// Reports delivers what happened; the channel is closed when the agent is done.
	Reports() <-chan Report
}

// Journal is the durable log that the driver writes, as it needs it.
// *journal.Journal implements it.
type Journal interface {
	// Load hands over the newest whole snapshot's chunks, if there is one, then
	// every frame after it, in order. A gap or a broken chain is an error.
	Load(ctx context.Context, snapshot, frame func(data []byte) error) error
	// Append makes one frame durable (fsynced) before it returns. A frame is at
	// most MaxFrame bytes.
	Append(ctx context.Context, frame []byte) error
	// Snapshot stores a whole snapshot that covers all frames appended so far,
	// atomically, and then forgets those frames. Each chunk is at most MaxFrame bytes.
	Snapshot(ctx context.Context, chunks [][]byte) error
}

// MaxFrame is the largest frame or snapshot chunk that a Journal takes, in bytes;
// the driver aims at about 100 KB a frame.
const MaxFrame = 768 << 10

// Forecasts gives the newest demand forecast of a pool; ok is false where there is none.
type Forecasts interface {
	Demand(pool string) (f models.DemandForecast, ok bool)
	// HostCPU is the P50 forecast of the host's CPU share (0 to 1), its largest
	// value within the lead; ok is false where there is none.
	HostCPU(lead time.Duration) (share float64, ok bool)
}

// Metrics gives the host as it was sampled last; ok is false before the first sample.
type Metrics interface {
	Host() (h models.HostStatus, ok bool)
}
