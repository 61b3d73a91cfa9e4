package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// reasonCode is a models.Reason on disk; the numbers never change. That nobody
// can run a task is not among them: it depends on who has joined, so it is found
// when somebody looks.
type reasonCode uint8

const (
	reasonNone reasonCode = iota
	reasonQueued
	reasonBlocked
	reasonScheduled
	reasonBackoff
	reasonCount = 5
)

func (r reasonCode) model() models.Reason {
	return [reasonCount]models.Reason{models.ReasonNone, models.ReasonQueued, models.ReasonBlocked, models.ReasonScheduled, models.ReasonBackoff}[r]
}

// dependencyRule is what a failed dependency does to a task.
type dependencyRule uint8

const (
	ruleCancel dependencyRule = iota
	ruleRun
	ruleWait
)

// attempt is one try; times are Unix ns, 0 where it did not come to that.
type attempt struct {
	agent, worker string
	text          string // its error
	assigned      int64
	started       int64
	finished      int64
	number        int32
	exit          int32
	hasExit       bool
	outcome       outcome
}

// task is a task in memory. Everything down to past is durable: it changes in
// apply only. The rest is found again from it.
type task struct {
	id        string
	body      string // the document as it was accepted, see appendSpec; id is a part of it
	seq       uint64
	submitted int64
	ready     int64 // since when it could have run: what ageing and waits count from
	wake      int64 // scheduled, backoff: until when it waits
	*tries          // notTried until it is given out for the first time, or is final
	attempt   int32
	state     stateCode
	reason    reasonCode
	priority  uint8
	arrived   bool // it has been ready once
	toCancel  bool // a cancellation was asked for while an agent had it
	shelving  bool // it is on its way into the archive; not durable

	rule     dependencyRule
	retries  int32
	deadline int64 // Unix ns, 0 is none
	pool     *pool
	class    *class
	links    *links    // nil where it has no dependencies and nobody depends on it
	shards   *sharding // of a parent
	part     *part     // of a shard

	queueAt  int32  // its place in its class's queue
	timerAt  int32  // its place among the timers
	activeAt int32  // its place among its agent's tasks
	touched  uint64 // the last batch that changed it
}

// tries is what a task has only once something came of it: those that wait for
// their first turn, of which there may be a million, share an empty one.
type tries struct {
	finished int64 // when it became final
	text     string
	lease    Lease
	retried  int32 // retries spent
	deaths   int32 // own workers that died under it
	last     attempt
	past     []attempt // grows at its end only
}

// own makes the tries the task's own, before they are changed.
func (t *task) own(shared *tries) {
	if t.tries == shared {
		t.tries = new(tries)
	}
}

// links are a task's neighbours.
type links struct {
	dependencies []*task
	dependents   []*task
}

func (t *task) dependencies() []*task {
	if t.links == nil {
		return nil
	}
	return t.links.dependencies
}

func (t *task) dependents() []*task {
	if t.links == nil {
		return nil
	}
	return t.links.dependents
}

// newTask makes a task of an accepted document. The pool is set by the caller.
func newTask(none *tries, seq uint64, body string, spec *models.TaskSpec, at int64) *task {
	t := &task{
		id: spec.TaskID, body: body, seq: seq, submitted: at, attempt: 1, tries: none,
		priority: uint8(spec.Priority), retries: int32(spec.Retries), //nolint:gosec // both were validated
		queueAt: queue.Absent, timerAt: queue.Absent, activeAt: queue.Absent,
	}
	if id := specID(body); id == t.id {
		t.id = id // one string in memory instead of two
	}
	switch spec.OnDependencyFailure {
	case models.DependencyRun:
		t.rule = ruleRun
	case models.DependencyWait:
		t.rule = ruleWait
	}
	if spec.NotBefore != nil {
		t.wake = spec.NotBefore.UnixNano()
	}
	if spec.Deadline != nil {
		t.deadline = spec.Deadline.UnixNano()
	}
	return t
}

// document is the task as it was submitted, with its present priority. The
// result is the caller's, but what it points to is shared and must not be changed.
func (t *task) document() models.TaskSpec {
	var s models.TaskSpec
	_ = readSpec(t.body, &s) // it was read once when it was accepted
	s.Priority = models.Priority(t.priority)
	return s
}

// satisfied reports whether a dependency no longer holds its dependent t back.
func (t *task) satisfied(dependency *task) bool {
	return dependency.state == stateSuccess || dependency.state.final() && t.rule == ruleRun
}

// blocker is the first dependency that holds the task back, nil where there is none.
func (t *task) blocker() *task {
	for _, d := range t.dependencies() {
		if !t.satisfied(d) {
			return d
		}
	}
	return nil
}

// queued reports whether it stands in its pool's queue.
func (t *task) queued() bool {
	return t.state == statePending && t.reason == reasonQueued && t.shards == nil
}

func at(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func atOrNil(ns int64) *time.Time {
	if ns == 0 {
		return nil
	}
	v := at(ns)
	return &v
}

func (a *attempt) view() models.Attempt {
	m := models.Attempt{
		Attempt: int(a.number), Agent: a.agent, Worker: a.worker, Outcome: a.outcome.String(), Error: a.text,
		AssignedAt: atOrNil(a.assigned), StartedAt: atOrNil(a.started), FinishedAt: atOrNil(a.finished),
	}
	if a.hasExit {
		exit := int(a.exit)
		m.ExitCode = &exit
	}
	return m
}

// glance is a task as it stood at a moment, cheap to take. Its view, which may
// have to parse the document, can be made by any goroutine.
type glance struct {
	task   task
	reason models.Reason
	detail string

	parent   string
	progress *models.Progress
	whole    bool    // long items are shown, too
	shelved  shelved // where it is to be read, in the archive
}

func (c *Core) glance(t *task) glance {
	g := glance{task: *t}
	if t.tries != c.notTried {
		own := *t.tries
		own.past = slices.Clone(own.past)
		g.task.tries = &own
	}
	if t.part != nil {
		g.parent = t.part.parent.id
	}
	if t.shards != nil {
		g.progress = c.progress(t, false)
	}
	if t.state == statePending {
		g.reason, g.detail = c.reason(t)
	} else if t.toCancel && t.state.active() {
		g.detail = "is being cancelled"
	}
	return g
}

func (c *Core) view(t *task) models.Task {
	g := c.glance(t)
	g.whole = true
	if t.shards != nil {
		g.progress = c.progress(t, true)
	}
	return g.view()
}

// mostListed is how many bytes of items a listing shows, of one task.
const mostListed = 4 << 10

// view is the task for a reader. Nothing in it changes later.
func (g *glance) view() models.Task {
	t := &g.task
	m := models.Task{
		TaskSpec: t.document(), State: t.state.model(), Reason: g.reason, Detail: g.detail, Attempt: int(t.attempt), Error: t.text,
		SubmittedAt: at(t.submitted), Attempts: make([]models.Attempt, 0, len(t.past)+1),
	}
	for i := range t.past {
		m.Attempts = append(m.Attempts, t.past[i].view())
	}
	if t.last.number > 0 {
		m.Attempts = append(m.Attempts, t.last.view())
	}
	if n := len(m.Attempts); n > 0 {
		a := &m.Attempts[n-1]
		m.ExitCode, m.StartedAt = a.ExitCode, a.StartedAt
		if t.state != statePending {
			m.Agent, m.Worker = a.Agent, a.Worker
		}
	}
	if t.state.final() {
		m.FinishedAt = atOrNil(t.finished)
	}
	m.Parent, m.Progress = g.parent, g.progress
	if m.Items != nil && !g.whole && len(m.Items.Packed()) > mostListed {
		m.Items = nil
	}
	return m
}

func views(glances []glance) []models.Task {
	tasks := make([]models.Task, len(glances))
	for i := range glances {
		tasks[i] = glances[i].view()
	}
	return tasks
}

// reason says why a PENDING task waits, as a word and in words.
func (c *Core) reason(t *task) (models.Reason, string) {
	switch t.reason {
	case reasonBlocked:
		return models.ReasonBlocked, "waits for " + c.blockers(t)
	case reasonScheduled:
		return models.ReasonScheduled, "not before " + at(t.wake).Format(time.RFC3339)
	case reasonBackoff:
		return models.ReasonBackoff, fmt.Sprintf("attempt %d at %s", t.attempt, at(t.wake).Format(time.RFC3339))
	}
	if why := c.unroutable(t); why != "" {
		return models.ReasonNoAgent, why
	}
	switch {
	case !t.pool.configured:
		return models.ReasonQueued, fmt.Sprintf("its pool %s is no longer configured", t.pool.spec.Name)
	case t.pool.spec.Paused:
		return models.ReasonQueued, fmt.Sprintf("its pool %s is paused", t.pool.spec.Name)
	}
	if l := t.class.holding(); l != nil {
		return models.ReasonQueued, l.why()
	}
	if route.WaitsForRoom(c.cands, t.class.need) {
		return models.ReasonQueued, route.WhyNoRoom(t.class.need)
	}
	return models.ReasonQueued, "waits for a free worker of " + t.pool.spec.Name
}

// blockers names up to three tasks that t waits for.
func (c *Core) blockers(t *task) string {
	var names []string
	more := 0
	for _, d := range t.dependencies() {
		switch {
		case t.satisfied(d):
		case len(names) < 3:
			names = append(names, d.id+" ("+string(d.state.model())+")")
		default:
			more++
		}
	}
	if more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
