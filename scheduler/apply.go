package scheduler

import (
	"fmt"

	"loadstar/models"
	"loadstar/scheduler/queue"
)

// Restore applies a record of the journal or of a snapshot. It is the same change
// as when the record was made.
func (c *Core) Restore(r *Record) error {
	c.replaying = true
	err := c.apply(r)
	c.replaying = false
	c.sweep()
	c.trimKeys()
	c.undo.nextSeq, c.undo.lease = c.nextSeq, c.lease
	return err
}

// apply is the only way by which the durable state changes. It refuses a record
// that does not fit the state, and changes nothing then.
func (c *Core) apply(r *Record) error {
	switch r.Kind {
	case recOpened:
		return nil
	case recSubmitted:
		return c.applySubmitted(r)
	case recPool:
		return c.applyPool(r)
	case recKey:
		return c.applyKey(r)
	case recImage:
		return c.applyImage(r)
	case recMeta:
		return c.applyMeta(r)
	case recCut:
		return c.applyCut(r)
	case recForgotten:
		return c.applyForgotten(r)
	case recRecalled:
		return c.applyRecalled(r)
	case recExpired:
		return c.applyExpired(r)
	case recShelf:
		return c.applyShelf(r)
	}
	t := c.bySeq(r.Seq)
	if t == nil {
		return fmt.Errorf("%w: there is no task %d", errRecord, r.Seq)
	}
	if err := t.accepts(r); err != nil {
		return fmt.Errorf("task %s: %w", t.id, err)
	}
	c.touch(t)
	if r.Kind != recReady && r.Kind != recPrioritized {
		t.own(c.notTried)
	}
	if c.cfg.Steps && !c.replaying {
		c.tellSteps(t, r)
	}
	if r.Kind == recStarted { // the most frequent change that moves nothing
		c.applyStarted(t, r)
		return nil
	}
	if t.state.active() && (r.Kind == recPrioritized || r.Kind == recCancelWanted) && t.pool.exec() && t.shards == nil {
		defer c.keepAhead(t)() // it stays where it is
	}
	c.detach(t)
	switch r.Kind {
	case recReady:
		c.setQueued(t, r.At)
	case recAssigned:
		c.applyAssigned(t, r)
	case recEnded:
		c.applyEnded(t, r)
	case recBegun:
		c.applyBegun(t, r)
	case recReturned:
		ready := t.ready
		t.last = attempt{}
		if n := len(t.past); n > 0 {
			t.last, t.past = t.past[n-1], t.past[:n-1]
		}
		c.setPending(t, r.At, reasonScheduled)
		t.ready = ready
	case recClosed:
		t.state, t.reason, t.text, t.finished = r.State, reasonNone, r.Text, r.At
	case recCancelWanted:
		t.toCancel = true
	case recRetried:
		t.attempt++
		t.shelving = false
		t.retried, t.deaths, t.text, t.finished, t.toCancel, t.wake = 0, 0, "", 0, false, 0
		c.setPending(t, r.At, reasonScheduled)
	case recPrioritized:
		t.priority = r.Priority
	}
	c.tally(t, r)
	c.attach(t)
	if t.state.final() {
		t.toCancel = false
		c.release(t, r.At)
	}
	return nil
}

// accepts checks a record against the table of transitions.
func (t *task) accepts(r *Record) error {
	var next stateCode
	switch r.Kind {
	case recReady:
		if t.state != statePending || t.reason != reasonScheduled && t.reason != reasonBackoff {
			return fmt.Errorf("%w: its time has come, but it is %s", models.ErrInvalidTransition, t.state.model())
		}
		return nil
	case recAssigned, recBegun:
		next = stateAssigned
		if (t.shards != nil) != (r.Kind == recBegun) {
			return fmt.Errorf("%w: only a parent begins by its shards", models.ErrInvalidTransition)
		}
		if t.state == statePending && t.reason != reasonQueued {
			return fmt.Errorf("%w: it is assigned while %s", models.ErrInvalidTransition, t.reason.model())
		}
	case recStarted:
		next = stateRunning
	case recEnded:
		if t.state == stateAssigned { // it may end before its start was told
			return models.CheckTransition(models.Running, r.State.model())
		}
		if t.state != stateRunning {
			return models.CheckTransition(t.state.model(), models.Success)
		}
		next = r.State
	case recReturned:
		if t.state != stateAssigned {
			return fmt.Errorf("%w: %s to %s without an end", models.ErrInvalidTransition, t.state.model(), models.Pending)
		}
		next = statePending
	case recClosed:
		if t.state != statePending {
			return fmt.Errorf("%w: %s to %s without an end", models.ErrInvalidTransition, t.state.model(), r.State.model())
		}
		next = r.State
	case recCancelWanted:
		if !t.state.active() {
			return fmt.Errorf("%w: it is cancelled as if it ran, but it is %s", models.ErrInvalidTransition, t.state.model())
		}
		return nil
	case recRetried:
		if !t.state.final() {
			return fmt.Errorf("%w: it is retried while %s", models.ErrInvalidTransition, t.state.model())
		}
		next = statePending
	case recPrioritized:
		if r.Priority > 100 || t.state.final() {
			return fmt.Errorf("%w: priority %d while %s", models.ErrInvalidTransition, r.Priority, t.state.model())
		}
		return nil
	default:
		return fmt.Errorf("%w: kind %d", errRecord, r.Kind)
	}
	return models.CheckTransition(t.state.model(), next.model())
}

// touch keeps what the task was before the batch, for Rollback.
func (c *Core) touch(t *task) {
	if c.replaying || t.touched == c.undo.batch {
		return
	}
	t.touched = c.undo.batch
	u := undoTask{t: t, before: *t, tries: *t.tries}
	if t.part != nil {
		u.round = t.part.round
	}
	if t.shards != nil {
		cut := t.shards.cut
		u.cut = &cut
	}
	c.undo.tasks = append(c.undo.tasks, u)
}

// attach puts a task where its state says that it belongs; detach takes it away again.
func (c *Core) attach(t *task) {
	p := t.pool
	if t.class.stale {
		c.reclass(t)
	}
	p.counts[t.state]++
	c.states[t.seq] = t.state
	c.attachShards(t, 1)
	switch {
	case t.shards != nil:
	case t.queued():
		p.enqueue(t, c.cfg.AgeEvery)
		p.dirty = true
	case t.state == statePending:
		p.waiting++
	case t.state.active():
		c.occupy(t)
	}
	if t.state.final() && c.keepsFinals {
		c.finals = append(c.finals, t.seq)
	}
	if t.state != statePending {
		return
	}
	due := t.deadline
	if t.reason == reasonScheduled || t.reason == reasonBackoff {
		if due == 0 || t.wake < due {
			due = t.wake
		}
	}
	if due != 0 {
		c.timers.Push(t, queue.Earliest(due, t.seq))
	}
}

func (c *Core) detach(t *task) {
	p := t.pool
	p.counts[t.state]--
	c.attachShards(t, -1)
	switch {
	case t.shards != nil:
	case t.queued():
		if p.dequeue(t) && len(t.class.limits) > 0 {
			c.emptied = append(c.emptied, t.class)
		}
	case t.state == statePending:
		p.waiting--
	case t.state.active():
		c.vacate(t)
		p.dirty = true
	}
	if t.timerAt != queue.Absent {
		c.timers.Remove(t)
	}
}

// setPending decides what a detached task waits for. later is the reason where its wake is ahead.
func (c *Core) setPending(t *task, now int64, later reasonCode) {
	t.state = statePending
	switch {
	case t.blocker() != nil:
		t.reason = reasonBlocked
	case t.wake != 0 && t.wake > now:
		t.reason = later
	default:
		c.setQueued(t, now)
	}
}

func (c *Core) setQueued(t *task, now int64) {
	t.reason, t.ready = reasonQueued, now
	if !t.arrived {
		t.arrived = true
		if t.shards != nil { // its shards are what arrives
			return
		}
		c.note(note{kind: noteArrived, pool: t.pool, at: now})
	}
}

// release moves on those that waited for a task that is final now.
func (c *Core) release(t *task, now int64) {
	for _, d := range t.dependents() {
		if d.state != statePending || d.reason != reasonBlocked || d.blocker() != nil {
			continue
		}
		c.touch(d)
		c.detach(d)
		c.setPending(d, now, reasonScheduled)
		c.attach(d)
		if !c.replaying {
			c.told(d)
		}
	}
}

func (c *Core) applySubmitted(r *Record) error {
	spec, body := c.incoming, string(r.Body)
	if spec == nil {
		spec = &c.scratch
		var err error
		if body, err = storedSpec(body, spec); err != nil {
			return err
		}
	}
	t := newTask(c.notTried, r.Seq, body, spec, r.At)
	if t.id == "" || c.bySeq(r.Seq) != nil || c.shelf.get(r.Seq) != nil || c.neighbour(t.id) != nil || r.Seq > c.nextSeq+maxSubmission {
		return fmt.Errorf("%w: task %s is there already, or out of order", errRecord, t.id)
	}
	if specHas(t.body, hasItems) {
		whole := t.document()
		t.shards = newSharding(&whole)
	}
	if err := c.link(t, spec.Dependencies); err != nil {
		return err
	}
	c.place(t, spec)
	if !c.replaying {
		t.touched = c.undo.batch
		c.undo.tasks = append(c.undo.tasks, undoTask{t: t, isNew: true})
		if c.cfg.Steps {
			c.stepped(t, models.StepSubmitted, models.StatusSuccess, r.At, r.At)
		}
	}
	c.setPending(t, r.At, reasonScheduled)
	c.attach(t)
	return nil
}

// place enters a new task under its id, its place and its pool.
func (c *Core) place(t *task, spec *models.TaskSpec) {
	c.grow(t.seq)
	c.tasks[t.seq] = t
	c.enter(t)
	c.classify(t, spec)
}

// classify finds a task's pool and its class.
func (c *Core) classify(t *task, spec *models.TaskSpec) {
	t.pool = c.pools[spec.Pool]
	if t.pool == nil { // configured when it was accepted, not any more
		t.pool = c.addPool(models.PoolSpec{Name: spec.Pool, Max: 1}.WithDefaults())
	}
	labels := spec.Labels // an image leaves them out
	if labels == nil {
		labels = c.labels(t)
	}
	t.class = c.classOf(t.pool.shapeOf(spec), labels)
}

func (c *Core) grow(seq uint64) {
	for uint64(len(c.tasks)) <= seq {
		c.tasks = append(c.tasks, nil)
		c.states = append(c.states, statePending)
	}
	c.nextSeq = max(c.nextSeq, seq+1)
}

// link ties a task to those it depends on.
func (c *Core) link(t *task, dependencies []string) error {
	if len(dependencies) == 0 {
		return nil
	}
	l := &links{dependencies: make([]*task, len(dependencies))}
	for i, id := range dependencies {
		if l.dependencies[i] = c.neighbour(id); l.dependencies[i] == nil {
			return fmt.Errorf("%w: task %s depends on %s, which is not there", errRecord, t.id, id)
		}
	}
	t.links = l
	for _, d := range l.dependencies {
		if d.links == nil {
			d.links = &links{}
		}
		d.links.dependents = append(d.links.dependents, t)
	}
	return nil
}

// unlink takes back link.
func (c *Core) unlink(t *task) {
	for _, d := range t.dependencies() {
		if d.links == nil {
			continue
		}
		for i := len(d.links.dependents) - 1; i >= 0; i-- {
			if d.links.dependents[i] == t {
				d.links.dependents = append(d.links.dependents[:i], d.links.dependents[i+1:]...)
				break
			}
		}
	}
}

// keepTexts is how many earlier attempts keep their whole error.
const keepTexts = 50

func (c *Core) applyAssigned(t *task, r *Record) {
	if t.last.number > 0 {
		if len(t.past) >= keepTexts && len(t.last.text) > 64 {
			t.last.text = t.last.text[:64] + "…"
		}
		t.past = append(t.past, t.last)
	}
	if c.replaying {
		c.countWorker(r.Worker)
	}
	t.last = attempt{number: t.attempt, agent: c.agentName(r.Agent), worker: c.workerName(r.Worker), assigned: r.At}
	t.state, t.reason, t.lease = stateAssigned, reasonNone, r.Lease
	c.lease = max(c.lease, r.Lease)
}

func (c *Core) applyStarted(t *task, r *Record) {
	t.pool.counts[t.state]--
	t.state = stateRunning
	t.pool.counts[t.state]++
	c.states[t.seq] = t.state
	t.last.started = r.At
	if t.shards != nil {
		t.pool.dirty = true
		return
	}
	c.note(note{kind: noteStarted, pool: t.pool, at: r.At, wait: r.At - t.ready, since: r.At - t.submitted, prio: t.priority})
}

func (c *Core) applyEnded(t *task, r *Record) {
	a := &t.last
	a.finished, a.outcome, a.text = r.At, r.Outcome, r.Text
	a.exit, a.hasExit = r.Exit, r.HasExit
	if r.Death {
		t.deaths++
	}
	n := note{kind: noteEnded, pool: t.pool, at: r.At, since: r.At - t.submitted, outcome: r.Outcome, final: r.State.final()}
	if a.started != 0 {
		n.run = r.At - a.started
	}
	if t.shards == nil {
		c.note(n)
	}
	if r.State.final() {
		t.state, t.reason, t.text, t.finished = r.State, reasonNone, r.Text, r.At
		return
	}
	ready := t.ready
	t.attempt++
	t.wake = r.Until
	if r.Outcome != outcomeLost {
		t.retried++
	}
	c.setPending(t, r.At, reasonBackoff)
	if r.Outcome == outcomeLost && !r.Death {
		t.ready = ready // it lost its turn through no fault of its own
	}
}
