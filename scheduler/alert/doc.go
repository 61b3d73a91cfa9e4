// Package alert tells somebody that a task has failed for good: a command is run or a
// webhook is called, at most so often, and what failed in between is counted in the
// next one.
//
//	scheduler ── Offer(id) ─► bounded queue ─► Run: one alert an interval ─► command, webhook
//	             never waits                    the newest failure, and how many others
//
// It imports models and the standard library; the task is looked up through a
// function of its user.
package alert
