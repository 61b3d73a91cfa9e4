package models

import "time"

// Quantiles summarises a distribution, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// PoolCount is the number of tasks of a pool by state.
type PoolCount struct {
	Name  string        `json:"name"`
	Tasks map[State]int `json:"tasks"`
}

// Stats counts everything since the state folder began; rates and latencies are recent.
type Stats struct {
	Tasks         map[State]int `json:"tasks"` // every state is present
	Pools         []PoolCount   `json:"pools"`
	SubmitToStart Quantiles     `json:"submit_to_start_ms"`
	SubmitToDone  Quantiles     `json:"submit_to_done_ms"`
	TasksPerS     float64       `json:"tasks_per_s"` // finished, over the last 10 s
	UptimeS       float64       `json:"uptime_s"`
	LateResults   uint64        `json:"late_results"` // refused since the start: of an attempt before the present one
}

// EventKind is what an Event tells.
type EventKind string

// The kinds of event.
const (
	EventTask     EventKind = "task"     // a task changed its state
	EventPool     EventKind = "pool"     // a pool was changed, or its size decided anew
	EventWorker   EventKind = "worker"   // a worker started, became ready, or went away
	EventAgent    EventKind = "agent"    // an agent joined or went, or what it said was refused
	EventForecast EventKind = "forecast" // a model was trained, or a champion changed
	EventTrouble  EventKind = "trouble"  // something a person should look at
)

// Event is something that happened, for streams and screens.
type Event struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Kind    EventKind `json:"kind"`
	TaskID  string    `json:"task_id,omitempty"`
	State   State     `json:"state,omitempty"`
	Attempt int       `json:"attempt,omitempty"`
	Pool    string    `json:"pool,omitempty"`
	Worker  string    `json:"worker,omitempty"`
	Message string    `json:"message,omitempty"`
}

// DaemonInfo identifies a running daemon.
type DaemonInfo struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	Hostname  string    `json:"hostname"`
	StateDir  string    `json:"state_dir"`
	StartedAt time.Time `json:"started_at"`
	CPU       float64   `json:"cpu"` // the daemon's own, percent of one core, over the last seconds
	RSS       Bytes     `json:"rss"` // the daemon's own
}
