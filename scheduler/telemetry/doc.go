// Package telemetry writes what became of each task, step by step, as one JSON
// object a line to a file:
//
//	{"task_id":"a","step":"running","status":"success","timestamp":1712054400000,"duration_ms":45}
//
// A line is written when a step is over. timestamp is that moment in Unix ms,
// duration_ms how long the step took:
//
//	step       from, to                             status
//	submitted  accepted, 0 ms                       success
//	queued     ready to run, given to an agent      success; cancelled or failed (its deadline passed) while it waited
//	assigned   given to an agent, its work began    success; returned (taken back); else how it ended without a start
//	running    its work began, ended                success, failed, cancelled, timeout, lost
//	finished   accepted, final                      success, failed, cancelled
//
// A task that is tried again has another queued, assigned and running. Nothing is
// told that is not on disk in the journal.
//
//	driver ── Offer ──► bounded channel ──► Run ──► FILE, FILE.1
//	              └─ full: dropped and counted
//
// Offer never waits. What is lost is counted, logged and shown in /metrics.
//
// The package imports models only.
package telemetry
