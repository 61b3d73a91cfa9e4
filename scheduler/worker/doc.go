// Package worker is how work runs on this host: a process an attempt (Exec), a
// request an attempt (HTTP), long-lived processes spoken to in JSON-RPC (Stdio),
// the worker's side of that for Go programs (ServeStdio), and what they print
// (LogStore). It decides nothing about which task runs where. It imports models and
// the standard library, and golang.org/x/sys where Linux knows more.
//
// # Processes
//
// A Spawner forks all of them. Each leads a process group; the group is killed as
// one, also when its leader ends by itself, and dies with the program, however
// that ends. What takes a session of its own (setsid) has left on purpose and is
// let go; it cannot keep an attempt from ending by holding its output.
//
// # Requests
//
// An HTTP request has no process: it is aborted by closing its connection, and its
// attempt has no exit code. No proxy is used and no cookie kept.
//
// # A stdio worker
//
//	           answer to initialize                 run
//	starting ────────────────────────▶ idle ◀──────────────────▶ busy
//	   │                                │     result or error      │
//	   │ not ready in time              │ Stop; hang; crash        │ timeout or cancel not
//	   │ Stop                           ▼                          │ heeded; hang; crash
//	   └────────────────────────────▶ stopping ◀───────────────────┘
//	                                    │ group dead, leader reaped
//	                                    ▼
//	                                  (Run returns, and says why)
//
// The protocol is JSON-RPC 2.0 over standard input and output, one message a line
// of at most MaxLine bytes, UTF-8. Standard error is for people: it goes to the
// pool's log, and to that of the task that runs.
//
//	daemon → worker  initialize {protocol, worker, pool, capabilities, max_line, config}
//	worker → daemon  result {busy_ping?}: the cold start is over; or an error
//	daemon → worker  run {task_id, attempt, input, env, labels}; one at a time
//	worker → daemon  result: any value, kept in the task's log; or error {code,
//	                 message, data: {exit_code?}}, which makes the task FAILED
//	worker → daemon  progress {task_id, done?, message?}, log {task_id, message},
//	                 as they come, without an id
//	daemon → worker  cancel {task_id}, without an id; run is answered soon after,
//	                 or the worker is killed
//	daemon → worker  ping, when the worker has been silent; while it runs a task only
//	                 where it said busy_ping
//	daemon → worker  shutdown, and the end of standard input: end now
//
// A line that is none of these is ignored, counted and logged; too many in a row
// end the worker.
package worker
