// Package scheduler decides which task runs where and when, and loses none.
//
// Its heart is Core, a pure state machine: it takes the time and what happened,
// and says which records to write and what to do. Service drives it with one
// goroutine. That goroutine takes in everything that has arrived, steps the core,
// writes all records as one frame, and only then answers, sends and tells:
//
//	calls ──┐                     ┌─ records ─► Journal (fsync) ─┐
//	reports ┼─► inbox ─► Core.Step┤                              ├─► answers, commands, events
//	ticks ──┘                     └─ effects, kept until then ───┘
//	                                  (write failed: Core.Rollback; changes are refused with
//	                                   ErrUnavailable, reports are kept and taken in again)
//
// Nobody is ever told what is not on disk. A record is the only way by which the
// durable state changes, live and at replay alike.
//
// A task's states, and the records that lead from one to the next:
//
//	           submitted
//	               v           ready: not_before or backoff is over
//	+--------> PENDING ------------------------------+
//	|            | |  closed: cancelled, deadline    |
//	|   assigned | +-------------------------+ <-----+
//	|            v                           v
//	+------- ASSIGNED                 CANCELLED, FAILED --+
//	| returned   | started                   ^            |
//	|            v          ended            |            | retried: attempt + 1
//	+-------- RUNNING -----------------------+            |
//	| ended: retry,  |                                    |
//	| lost           +-----> SUCCESS                      |
//	+-----------------------------------------------------+
//
// A reason stands beside PENDING: queued, blocked, scheduled, backoff, and
// no_agent, which is worked out when somebody looks.
//
// Every assignment carries a lease, a number that only grows; a report under
// another lease than the task's present one is refused. So an attempt's end is
// recorded once, however often it is told, while execution is at least once.
//
// The package imports models and its own subpackages queue and route. The
// journal, the agents, the forecasts and the metrics come in through interfaces.
package scheduler
