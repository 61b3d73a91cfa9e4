package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"loadstar/models"
)

// take holds a record of the step under way against the model and against what
// happened, and enters it.
func (s *sim) take(r *Record, in *Input) error {
	m := &s.model
	switch r.Kind {
	case recOpened:
		return nil
	case recSubmitted:
		return s.takeSubmitted(r, in)
	case recPool:
		return s.takePool(r, in)
	case recKey:
		if in.Submit == nil || in.Submit.Key != r.Text || slices.Contains(m.keys, r.Text) {
			return fmt.Errorf("key %q was written", r.Text)
		}
		m.keys = append(m.keys, r.Text)
		return nil
	}
	t := m.at(r.Seq)
	if t == nil || t.body == nil {
		return fmt.Errorf("record %d of a task at %d, which is not there", r.Kind, r.Seq)
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%v: record %d: %s", t, r.Kind, fmt.Sprintf(format, args...))
	}
	var err error
	switch r.Kind {
	case recReady:
		if t.state != statePending || t.reason != reasonScheduled && t.reason != reasonBackoff || t.wake > s.now {
			return wrong("its time %d has not come at %d", t.wake, s.now)
		}
		t = m.change(r.Seq)
		t.reason, t.ready = reasonQueued, r.At
	case recAssigned:
		if err := s.mayAssign(t, r); err != nil {
			return wrong("%v", err)
		}
		t = m.change(r.Seq)
		t.state, t.reason, t.lease, t.worker, t.agent = stateAssigned, reasonNone, r.Lease, r.Worker, m.agentAt(r.Agent)
		t.assigned, t.started = r.At, 0
		m.lease = r.Lease
		s.count.Assigned++
	case recStarted:
		if t.state != stateAssigned || !s.told(t, in) || in.Report.Returned != nil || r.At < t.assigned {
			return wrong("its start was told by nobody")
		}
		t = m.change(r.Seq)
		t.state, t.started = stateRunning, r.At
	case recEnded:
		if err := s.mayEnd(t, r, in); err != nil {
			return wrong("%v", err)
		}
		t = m.change(r.Seq)
		s.applyEnd(t, r)
	case recReturned:
		back := in.Report != nil && in.Report.Returned != nil && s.told(t, in)
		if t.state != stateAssigned || t.toCancel || !back && !s.agentGone(t, in) {
			return wrong("nobody gave it back")
		}
		t = m.change(r.Seq)
		ready := t.ready
		m.wait(t, r.At, reasonScheduled)
		t.ready = ready
	case recClosed:
		if err := s.mayClose(t, r, in); err != nil {
			return wrong("%v", err)
		}
		t = m.change(r.Seq)
		t.state, t.reason = r.State, reasonNone
		s.count.Closed++
	case recCancelWanted:
		if !t.state.active() || in.Cancel == nil || !s.selected(t, in.Cancel) {
			return wrong("nobody cancelled it")
		}
		t = m.change(r.Seq)
		t.toCancel = true
	case recRetried:
		if t.state != stateFailed && t.state != stateCancelled || in.Retry == nil || !in.Retry.WithDependents && !s.selected(t, &in.Retry.Selection) {
			return wrong("nobody sent it round again")
		}
		t = m.change(r.Seq)
		t.attempt++
		t.retried, t.deaths, t.toCancel, t.wake = 0, 0, false, 0
		m.wait(t, r.At, reasonScheduled)
		s.count.Retried++
	case recPrioritized:
		if t.state.final() || in.Prioritize == nil || int(r.Priority) != int(in.Prioritize.Priority) {
			return wrong("nobody changed its priority")
		}
		t = m.change(r.Seq)
		t.priority = r.Priority
	default:
		return wrong("the model does not know it")
	}
	m.put(r.Seq)
	if t.state.final() {
		t.toCancel = false
		m.release(r.Seq, r.At)
	}
	return err
}

func (s *sim) takeSubmitted(r *Record, in *Input) error {
	m := &s.model
	if in.Submit == nil {
		return fmt.Errorf("a task was accepted that nobody submitted")
	}
	i := slices.IndexFunc(in.Submit.Bodies, func(b []byte) bool { return &b[0] == &r.Body[0] })
	if i < 0 {
		return fmt.Errorf("a task was accepted with another document than was submitted")
	}
	spec := &in.Submit.Specs[i]
	name := s.number(spec.TaskID)
	for uint64(len(m.listed)) <= r.Seq {
		m.listed = append(m.listed, false)
	}
	for uint64(len(m.tasks)) <= r.Seq {
		if len(m.tasks) < cap(m.tasks) {
			m.tasks = m.tasks[:len(m.tasks)+1]
			continue
		}
		m.tasks = append(m.tasks, modelTask{})
	}
	t := &m.tasks[r.Seq]
	if t.body != nil || s.places[name] >= 0 && m.tasks[s.places[name]].body != nil {
		return fmt.Errorf("task %s was accepted at %d, and is there already", spec.TaskID, r.Seq)
	}
	s.places[name] = int64(r.Seq) //nolint:gosec // a place
	*t = modelTask{
		name: name, body: r.Body, spec: spec, pool: m.poolAt(spec.Pool), attempt: 1, priority: uint8(spec.Priority), batch: m.batch, //nolint:gosec // it was validated
		ends: t.ends[:0], deps: t.deps[:0], dependents: t.dependents[:0],
	}
	if spec.NotBefore != nil {
		t.wake = spec.NotBefore.UnixNano()
	}
	if spec.Deadline != nil {
		t.deadline = spec.Deadline.UnixNano()
	}
	if spec.Resources != nil {
		t.milli, t.memory = int64(spec.Resources.CPU*1000), spec.Resources.Memory
	}
	for _, d := range spec.Dependencies {
		at := s.places[s.number(d)]
		if at < 0 || m.tasks[at].body == nil {
			return fmt.Errorf("task %s was accepted before %s, on which it depends", spec.TaskID, d)
		}
		t.deps = append(t.deps, uint64(at)) //nolint:gosec // a place
		m.tasks[at].dependents = append(m.tasks[at].dependents, r.Seq)
	}
	m.undo = append(m.undo, modelUndo{seq: r.Seq, isNew: true})
	m.touched = append(m.touched, r.Seq)
	m.wait(t, r.At, reasonScheduled)
	m.put(r.Seq)
	s.count.Submitted++
	return nil
}

func (s *sim) takePool(r *Record, in *Input) error {
	if in.SetPool == nil || in.SetPool.Name != r.Text {
		return fmt.Errorf("pool %s was changed by nobody", r.Text)
	}
	p := &s.model.pools[s.model.poolAt(r.Text)]
	if v := in.SetPool.Patch.Max; v != nil {
		p.max = *v
	}
	if v := in.SetPool.Patch.Paused; v != nil {
		p.paused = *v
	}
	if over := in.SetPool.Patch.Caps; len(over) > 0 {
		caps := maps.Clone(p.caps)
		if caps == nil {
			caps = map[string]int{}
		}
		maps.Copy(caps, over)
		maps.DeleteFunc(caps, func(_ string, n int) bool { return n == 0 })
		p.caps = caps
	}
	if v := in.SetPool.Patch.Dispatch; v != nil {
		p.fifo = *v == models.DispatchFIFO
	}
	return nil
}

// told reports whether the step's report is about the present attempt of a task.
func (s *sim) told(t *modelTask, in *Input) bool {
	r := in.Report
	if r == nil || !t.state.active() || s.model.agents[t.agent].info.ID != r.Agent {
		return false
	}
	switch {
	case r.Started != nil:
		return r.Started.Lease == t.lease && r.Started.TaskID == s.id(t.name)
	case r.Finished != nil:
		return r.Finished.Lease == t.lease && r.Finished.TaskID == s.id(t.name)
	case r.Returned != nil:
		return r.Returned.Lease == t.lease && r.Returned.TaskID == s.id(t.name)
	}
	return false
}

// agentGone reports whether what happened takes back what the task's agent has.
func (s *sim) agentGone(t *modelTask, in *Input) bool {
	a := &s.model.agents[t.agent]
	switch {
	case in.Open, in.Abandon:
		return !a.remote
	case in.Rejoin != nil:
		return in.Rejoin.Agent.ID == a.info.ID && (t.worker != "" || !slices.Contains(in.Rejoin.Holds, Held{TaskID: s.id(t.name), Lease: t.lease}))
	}
	return in.Leave == a.info.ID || in.Tick && a.state == simLost && a.await == 0
}

// nobodyHas finds what an input should have taken back, of what was given out
// before under leases up to one.
func (s *sim) nobodyHas(in *Input, lease Lease) error {
	gone := in.Report != nil && in.Report.WorkerGone != nil
	if !gone && !in.Open && !in.Abandon && !in.Tick && in.Rejoin == nil && in.Leave == "" {
		return nil
	}
	for i := range s.model.tasks {
		t := &s.model.tasks[i]
		if !t.state.active() || t.lease > lease {
			continue
		}
		if s.agentGone(t, in) || gone && in.Report.WorkerGone.Worker == t.worker && in.Report.Agent == s.model.agents[t.agent].info.ID {
			return fmt.Errorf("%v is still out after this: %s", t, s.describe(in))
		}
	}
	return nil
}

// mayAssign holds an assignment against everything that must have been so for it.
func (s *sim) mayAssign(t *modelTask, r *Record) error {
	m := &s.model
	p := &m.pools[t.pool]
	i := m.agentAt(r.Agent)
	switch {
	case t.state != statePending || t.reason != reasonQueued:
		return fmt.Errorf("it does not wait for a worker")
	case r.Lease <= m.lease:
		return fmt.Errorf("lease %d was given out after %d", r.Lease, m.lease)
	case t.deadline != 0 && t.deadline <= s.now:
		return fmt.Errorf("its deadline has passed")
	case s.draining || p.paused:
		return fmt.Errorf("its pool takes nothing: paused %v, draining %v", p.paused, s.draining)
	case i < 0 || m.agents[i].state != simReady:
		return fmt.Errorf("agent %q is not there", r.Agent)
	case p.kind.Slots() != (r.Worker == ""):
		return fmt.Errorf("it went to worker %q of a pool of kind %s", r.Worker, p.kind)
	}
	if m.blocked(t) && t.spec.OnDependencyFailure != models.DependencyRun { // with run, one that failed may go round again meanwhile
		return fmt.Errorf("a dependency is not done")
	}
	most := p.max
	if p.ceiling >= 0 && p.kind.Slots() {
		most = min(most, p.ceiling)
	}
	if s.ahead && p.kind.Slots() {
		most *= 1 + mostAhead // the slots themselves are held against the commands
	}
	if busy := p.counts[stateAssigned] + p.counts[stateRunning]; busy >= most {
		return fmt.Errorf("pool %s has %d tasks, and may have %d", p.name, busy, most)
	}
	if err := cmp.Or(s.capped(t, p.caps, t.pool), s.capped(t, s.caps, -1), s.mayTake(t, p, i, r.Worker)); err != nil {
		return err
	}
	return s.inTurn(t, p, i)
}

// capOf is the cap that a label is under; 0 is none.
func capOf(caps map[string]int, label, value string) int {
	if n := caps[label+"="+value]; n > 0 {
		return n
	}
	return caps[label]
}

// capped holds an assignment against caps of a pool, or of all where it is -1.
func (s *sim) capped(t *modelTask, caps map[string]int, pool int) error {
	for label, value := range t.spec.Labels {
		most := capOf(caps, label, value)
		if most == 0 {
			continue
		}
		active := 0
		for i := range s.model.tasks {
			if o := &s.model.tasks[i]; o.state.active() && (pool < 0 || o.pool == pool) && o.spec.Labels[label] == value {
				active++
			}
		}
		if active >= most {
			return fmt.Errorf("%d tasks of %s=%s are out, and %d may be", active, label, value, most)
		}
	}
	return nil
}

// mayTake says why an agent cannot take a task.
func (s *sim) mayTake(t *modelTask, p *modelPool, i int, worker string) error {
	m := &s.model
	a := &m.agents[i]
	if !s.able(t, p, i) {
		return fmt.Errorf("agent %s lacks what it needs", a.info.ID)
	}
	if worker != "" {
		w := m.worker(worker)
		if w == nil || !w.ready || w.stopping || w.task >= 0 || w.agent != i || w.pool != t.pool {
			return fmt.Errorf("worker %q cannot take it: %+v", worker, w)
		}
		return nil
	}
	here := 0
	for j := range m.agents {
		if m.agents[j].state != simLost {
			here++
		}
	}
	if here > 1 && a.info.Slots > 0 && a.slots >= a.info.Slots && !(s.ahead && t.milli == 0 && t.memory == 0) {
		return fmt.Errorf("agent %s has %d slots taken of %d", a.info.ID, a.slots, a.info.Slots)
	}
	return nil
}

func (s *sim) able(t *modelTask, p *modelPool, i int) bool {
	a := &s.model.agents[i]
	for _, c := range t.spec.Capabilities {
		if !slices.Contains(a.info.Capabilities, c) {
			return false
		}
	}
	for _, c := range p.needs {
		if !slices.Contains(a.info.Capabilities, c) {
			return false
		}
	}
	return (t.spec.AssignedTo == "" || t.spec.AssignedTo == a.info.ID) &&
		(t.milli == 0 || a.info.CPUs == 0 || a.milli+t.milli <= int64(a.info.CPUs*1000)) &&
		(t.memory == 0 || a.info.MemoryTotal == 0 || a.memory+t.memory <= a.info.MemoryTotal)
}

// inTurn holds an assignment against those that wait: where another that no room
// and no cap holds back could have gone to the same agent in its place, it must not
// have come before. Its place in
// the order is its priority, raised by its wait, so that nothing starves.
func (s *sim) inTurn(t *modelTask, p *modelPool, i int) error {
	m := &s.model
	key := func(t *modelTask) int64 {
		if p.fifo {
			return -t.ready
		}
		return int64(t.priority)*int64(simAgeEvery) - t.ready
	}
	mine, kept := key(t), m.live[:0]
	var err error
	for _, seq := range m.live {
		o := m.at(seq)
		if o == nil || o.body == nil || o.state != statePending || o.reason != reasonQueued {
			m.listed[seq] = false // it waits no more
			continue
		}
		kept = append(kept, seq)
		if o.pool == t.pool && key(o) > mine && o.milli == 0 && o.memory == 0 && len(o.spec.Labels) == 0 && s.able(o, p, i) {
			err = fmt.Errorf("it was taken before %v, which could have gone in its place and comes first", o)
		}
	}
	m.live = kept
	return err
}

// mayEnd holds the end of an attempt against who told it and what follows from it.
func (s *sim) mayEnd(t *modelTask, r *Record, in *Input) error {
	if !t.state.active() {
		return fmt.Errorf("nobody has it, and its attempt ended")
	}
	if t.attempt <= t.ended {
		return fmt.Errorf("the end of attempt %d was recorded before", t.attempt)
	}
	o, death := outcomeLost, false
	switch {
	case in.Report != nil && in.Report.Finished != nil && s.told(t, in):
		o, _ = outcomeOf(in.Report.Finished.Outcome)
		death = o == outcomeLost && !s.model.pools[t.pool].kind.Slots()
	case in.Report != nil && in.Report.Returned != nil && s.told(t, in) && t.toCancel:
		o = outcomeCancelled
	case in.Report != nil && in.Report.WorkerGone != nil && in.Report.WorkerGone.Worker == t.worker && in.Report.Agent == s.model.agents[t.agent].info.ID:
		death = true
	case s.agentGone(t, in):
	default:
		return fmt.Errorf("its end (%s) was told by nobody who has it: %s", r.Outcome, s.describe(in))
	}
	state, want := s.endOf(t, o, death)
	switch {
	case r.State != state || r.Outcome != want || r.Death != death:
		return fmt.Errorf("it ended %s and is %s (death %v), want %s and %s (%v)", r.Outcome, r.State.model(), r.Death, want, state.model(), death)
	case r.At < max(t.assigned, t.started):
		return fmt.Errorf("it ended before it began")
	case r.Until != 0 && (state != statePending || r.Until < s.now || r.Until > s.now+int64(simMaxBackoff)):
		return fmt.Errorf("it waits until %d at %d", r.Until, s.now)
	}
	return nil
}

// endOf is what becomes of a task whose attempt ended so.
func (s *sim) endOf(t *modelTask, o outcome, death bool) (stateCode, outcome) {
	if o == outcomeCancelled && s.cutting && !t.toCancel {
		o = outcomeLost
	}
	switch {
	case o == outcomeSuccess:
		return stateSuccess, o
	case t.toCancel:
		return stateCancelled, outcomeCancelled
	case o == outcomeCancelled:
		return stateCancelled, o
	case o == outcomeLost && death && t.deaths+1 >= simMaxDeaths:
		return stateFailed, o
	case o == outcomeLost || int(t.retried) < t.spec.Retries:
		return statePending, o
	}
	return stateFailed, o
}

func (s *sim) applyEnd(t *modelTask, r *Record) {
	t.ends = append(t.ends, r.Outcome)
	t.ended = t.attempt
	if r.Death {
		t.deaths++
	}
	switch r.Outcome {
	case outcomeSuccess:
		s.count.Succeeded++
	case outcomeLost:
		s.count.Lost++
	}
	if r.State.final() {
		t.state, t.reason = r.State, reasonNone
		return
	}
	ready := t.ready
	t.attempt++
	t.wake = r.Until
	if r.Outcome != outcomeLost {
		t.retried++
	}
	s.model.wait(t, r.At, reasonBackoff)
	if r.Outcome == outcomeLost && !r.Death {
		t.ready = ready
	}
}

func (s *sim) mayClose(t *modelTask, r *Record, in *Input) error {
	if t.state != statePending {
		return fmt.Errorf("it was closed while an agent had it, or after its end")
	}
	if r.State == stateFailed {
		if t.deadline == 0 || t.deadline > s.now {
			return fmt.Errorf("its deadline %d has not passed at %d", t.deadline, s.now)
		}
		return nil
	}
	if r.State == stateCancelled && in.Cancel != nil && s.selected(t, in.Cancel) {
		return nil
	}
	for _, d := range t.deps {
		if o := s.model.tasks[d].state; o.final() && o != stateSuccess && r.State == stateCancelled && t.spec.OnDependencyFailure != models.DependencyRun && t.spec.OnDependencyFailure != models.DependencyWait {
			return nil
		}
	}
	return fmt.Errorf("nothing makes it %s", r.State.model())
}

func (s *sim) selected(t *modelTask, sel *models.Selection) bool {
	if f := sel.Filter; f != nil {
		return f.Pool == "" || f.Pool == s.model.pools[t.pool].name
	}
	return slices.Contains(sel.IDs, s.id(t.name))
}

// describe is an input in words, for a failure.
func (s *sim) describe(in *Input) string {
	if r := in.Report; r != nil {
		switch {
		case r.Started != nil:
			return fmt.Sprintf("%s says that %+v has started", r.Agent, *r.Started)
		case r.Finished != nil:
			return fmt.Sprintf("%s says that %+v has finished", r.Agent, *r.Finished)
		case r.Returned != nil:
			return fmt.Sprintf("%s gives back %+v", r.Agent, *r.Returned)
		case r.WorkerGone != nil:
			return fmt.Sprintf("%s says that %+v has gone", r.Agent, *r.WorkerGone)
		}
	}
	return fmt.Sprintf("%+v", *in)
}
