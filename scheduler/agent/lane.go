package agent

import (
	"slices"

	"loadstar/scheduler"
)

// lane is a pool's attempts on this host: how many run, and those that came before
// there is a slot for them. What waits has been assigned, durably, so that a slot
// that becomes free is taken at once.
type lane struct {
	slots   int // at once, as the core said last; 0 is no limit
	running int
	waiting []*scheduler.Run // the one to begin next first
}

// add puts a run in its place: behind those that are as urgent or more so.
func (l *lane) add(r *scheduler.Run) {
	i := len(l.waiting)
	for i > 0 && l.waiting[i-1].Task.Priority < r.Task.Priority {
		i--
	}
	l.waiting = slices.Insert(l.waiting, i, r)
}

// next takes the run to begin now; nil where there is none, or no slot.
func (l *lane) next() *scheduler.Run {
	if len(l.waiting) == 0 || l.slots > 0 && l.running >= l.slots {
		return nil
	}
	r := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	l.running++
	return r
}

// take removes the run of a lease where it waits; false says that it does not.
func (l *lane) take(key attemptKey) bool {
	i := slices.IndexFunc(l.waiting, func(r *scheduler.Run) bool { return r.Lease == key.lease && r.Task.TaskID == key.taskID })
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// empty reports whether the lane can be forgotten.
func (l *lane) empty() bool { return l.running == 0 && len(l.waiting) == 0 }
