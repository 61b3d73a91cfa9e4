// Package app wires the house together: which part is handed to which, what is
// started first and what is stopped last.
//
// A daemon starts as lock, journal, history, models, agent, scheduler, API, and
// stops the other way round: no new work, then the running tasks' drain, then the
// API, the workers, the samples' and forecasts' last frames, the journal, the lock.
package app
