package scheduler

import (
	"fmt"
	"slices"
	"time"

	"loadstar/models"
	"loadstar/scheduler/route"
)

// join enters an agent, or brings back one that was lost.
func (c *Core) join(info *models.Agent) {
	a := c.agent(info.ID)
	a.joined = true
	c.heard(a, info)
	for _, p := range c.poolList {
		p.dirty = true
	}
}

func (c *Core) heard(a *agentState, info *models.Agent) {
	a.missed = 0
	back := a.info.State == route.Lost
	if info != nil {
		was := a.info
		a.info = *info
		a.info.ID, a.info.State = was.ID, route.Ready
		if info.Capabilities == nil { // a heartbeat may tell the load alone
			a.info.Capabilities = was.Capabilities
		}
		if info.Slots == 0 {
			a.info.Slots = was.Slots
		}
		if info.CPUs == 0 && info.MemoryTotal == 0 {
			a.info.CPUs, a.info.MemoryTotal = was.CPUs, was.MemoryTotal
		}
		if info.Host == "" {
			a.info.Host = was.Host
		}
		if info.Weight == 0 {
			a.info.Weight = was.Weight
		}
		c.cands[a.index].Recent = 0 // what it tells counts what it was given
		if info.State == route.Draining {
			a.info.State = route.Draining
			if was.State != route.Draining {
				c.agentEvent(a, "is draining")
			}
		}
	} else if back {
		a.info.State = route.Ready
	}
	if !a.joined { // a late word of one that the last daemon had: what it can take is not known
		a.info.State, back = route.Lost, false
	}
	a.info.LastHeard = at(c.now)
	if info != nil || back {
		c.setCandidates()
	}
	if back {
		for _, p := range c.poolList {
			p.dirty = true
		}
	}
}

// setCandidates tells the routing how the agents are. An agent's slots share work
// out between hosts; where only one is there, the pools' own maxima are the limit,
// so that raising one is enough.
func (c *Core) setCandidates() {
	here := 0
	for _, a := range c.agents {
		if a.info.State != route.Lost {
			here++
		}
	}
	for i, a := range c.agents {
		c.cands[i].Agent = a.info
		if here == 1 && !a.remote {
			c.cands[i].Agent.Slots = 0
		}
	}
}

// leave loses an agent: its workers are gone and its tasks go back.
func (c *Core) leave(id string) {
	a := c.agentIDs[id]
	if a == nil {
		return
	}
	c.depart(a)
	a.info.State, a.window = route.Lost, beats{}
	c.setCandidates()
	c.lose(a, "its agent "+id+" was lost")
	c.forgetWorkers(a)
	for _, p := range c.poolList {
		p.dirty = true
	}
}

// lose takes back everything that an agent has.
func (c *Core) lose(a *agentState, text string) {
	tasks := slices.Clone(a.tasks)
	slices.SortFunc(tasks, bySubmission)
	for _, t := range tasks {
		c.takeBack(t, text)
	}
}

// open takes back what the last daemon left unfinished: nobody has it any more,
// unless another host's agent does.
func (c *Core) open() {
	c.emit(Record{Kind: recOpened})
	for _, a := range slices.Clone(c.agents) {
		if c.awaits(a.info.ID) && len(a.tasks) > 0 {
			a.awaited = c.cfg.MissedTicks + 1
			continue
		}
		c.lose(a, "the daemon was restarted while it ran")
	}
}

// cut kills what still runs at the end of a drain.
func (c *Core) cut() {
	c.cutting = true
	for _, t := range c.running() {
		c.kill(t, true)
	}
}

// abandon takes back what did not end even so.
func (c *Core) abandon() {
	for _, a := range slices.Clone(c.agents) {
		if c.awaits(a.info.ID) {
			continue
		}
		c.lose(a, "the daemon was stopped while it ran")
	}
}

func (c *Core) kill(t *task, always bool) {
	c.command(c.agent(t.last.agent), Command{Kill: &Kill{TaskID: t.id, Lease: t.lease, Grace: c.cfg.KillGrace}}, always)
}

// tick notices the agents that have fallen silent. It counts ticks, not time, so
// that a host that slept or whose clock was set does not lose its agents.
func (c *Core) tick() {
	for _, a := range slices.Clone(c.agents) {
		a.missed++
		if a.beats && a.info.State != route.Lost && a.missed > c.cfg.MissedTicks {
			c.trouble("", "", fmt.Sprintf("agent %s has not been heard for %d ticks and counts as lost", a.info.ID, a.missed))
			c.leave(a.info.ID)
			c.out.Lost = append(c.out.Lost, a.info.ID)
		}
		c.await(a)
		if a.info.State == route.Lost && a.awaited == 0 && len(a.tasks) > 0 { // where a first try could not be written
			c.lose(a, "its agent "+a.info.ID+" was lost")
		}
	}
	for _, p := range c.poolList {
		p.dirty = true
	}
	c.rebalance()
}

// report takes in what an agent says.
func (c *Core) report(r *Report) {
	a := c.agent(r.Agent)
	c.heard(a, r.Heartbeat)
	switch {
	case r.Heartbeat != nil:
		a.beats = true
		a.window.add(c.cfg.Balance.Load(r.Heartbeat.CPU, r.Heartbeat.Memory), c.cfg.Balance.Window)
	case r.WorkerReady != nil:
		c.workerReady(a, r.WorkerReady)
	case r.WorkerGone != nil:
		c.workerGone(a, r.WorkerGone)
	case r.Started != nil:
		c.started(a, r.Started)
	case r.Finished != nil:
		c.finished(a, r.Finished)
	case r.Returned != nil:
		c.returned(a, r.Returned)
	}
}

// leased is the task of a report where the report is about its present attempt; a
// stale one is counted and refused.
func (c *Core) leased(a *agentState, id string, lease Lease) *task {
	t := c.find(id)
	if t == nil || t.lease != lease || !t.state.active() || t.last.agent != a.info.ID {
		c.refused++
		return nil
	}
	return t
}

func (c *Core) started(a *agentState, s *Started) {
	t := c.leased(a, s.TaskID, s.Lease)
	if t == nil { // it runs what was given to somebody else since
		c.command(a, Command{Kill: &Kill{TaskID: s.TaskID, Lease: s.Lease, Grace: c.cfg.KillGrace}}, true)
		return
	}
	if t.state != stateAssigned {
		c.refused++
		return
	}
	c.begin(t, s.At)
}

func (c *Core) begin(t *task, when time.Time) {
	if c.emit(Record{Kind: recStarted, Seq: t.seq, At: c.within(t.last.assigned, when)}) {
		c.told(t)
		c.parentBegins(t)
	}
}

// within holds an agent's time against ours: not before earliest, not after now.
func (c *Core) within(earliest int64, when time.Time) int64 {
	ns := c.now
	if !when.IsZero() {
		ns = min(ns, when.UnixNano())
	}
	return max(ns, earliest)
}

func (c *Core) finished(a *agentState, f *Finished) {
	t := c.leased(a, f.TaskID, f.Lease)
	if t == nil {
		c.late(a, f)
		return
	}
	o, ok := outcomeOf(f.Outcome)
	if !ok {
		o = outcomeFailed
		f.Err = fmt.Sprintf("agent %s gave an outcome that is not known: %q", a.info.ID, f.Outcome)
	}
	if t.state == stateAssigned && (o == outcomeSuccess || f.Err == "") {
		c.begin(t, f.At)
	}
	if p := t.pool; !p.exec() && o != outcomeLost {
		p.proven()
	}
	t.pool.stale = false
	text := f.Err
	if o == outcomeSuccess {
		text = ""
	}
	c.attemptEnded(t, c.within(t.last.assigned, f.At), o, f.ExitCode, text, o == outcomeLost && !t.pool.exec())
}

// returned takes back an attempt that never began.
func (c *Core) returned(a *agentState, r *Returned) {
	t := c.leased(a, r.TaskID, r.Lease)
	switch {
	case t == nil:
	case t.state != stateAssigned: // its start was told, so the agent contradicts itself
		c.refused++
	case t.toCancel:
		c.attemptEnded(t, c.now, outcomeCancelled, nil, "", false)
	default:
		why := c.takenBack(t)
		if c.emit(Record{Kind: recReturned, Seq: t.seq, Text: why}) {
			c.toldMove(t, why)
		}
	}
}

// attemptEnded decides what becomes of a task whose attempt has ended. death says
// that its own worker died under it.
func (c *Core) attemptEnded(t *task, when int64, o outcome, exit *int, text string, death bool) {
	if o == outcomeCancelled && c.cutting && !t.toCancel {
		o, text = outcomeLost, "the daemon was stopped while it ran"
	}
	when = max(when, t.last.assigned, t.last.started) // the clock may have been set back
	r := Record{Kind: recEnded, Seq: t.seq, At: when, Outcome: o, Text: text, Death: death}
	if exit != nil {
		r.Exit, r.HasExit = int32(*exit), true //nolint:gosec // an exit code
	}
	retry := false
	switch {
	case o == outcomeSuccess:
		r.State = stateSuccess
	case t.toCancel:
		r.State, r.Outcome = stateCancelled, outcomeCancelled
		if r.Text == "" {
			r.Text = "cancelled by request"
		}
	case o == outcomeCancelled:
		r.State = stateCancelled
	case o == outcomeLost && death && int(t.deaths)+1 >= c.cfg.MaxDeaths:
		r.State = stateFailed
		r.Text = fmt.Sprintf("its worker died under it %d times; the last time: %s", t.deaths+1, text)
	case o == outcomeLost:
		r.State = statePending
	case t.retried < t.retries:
		r.State, retry = statePending, true
	default:
		r.State = stateFailed
	}
	if r.State == stateFailed && r.Text == "" && exit != nil {
		r.Text = fmt.Sprintf("exit code %d", *exit)
	}
	if retry {
		r.Until = c.now + int64(c.backoff(t))
	}
	if !c.emit(r) {
		return
	}
	c.told(t)
	if t.state.final() {
		c.cascade(t)
	}
}

// backoff is the wait before the next retry: exponential with full jitter.
func (c *Core) backoff(t *task) time.Duration {
	base := models.DefaultBackoff.Std()
	if spec := t.document(); spec.Backoff > 0 {
		base = spec.Backoff.Std()
	}
	longest := base
	for i := int32(0); i < t.retried && longest < c.cfg.MaxBackoff; i++ {
		longest *= 2
	}
	longest = min(longest, max(c.cfg.MaxBackoff, base))
	return time.Duration(c.rng.Int64N(int64(longest) + 1))
}

// conclude makes a waiting task final.
func (c *Core) conclude(t *task, s stateCode, why string) {
	if c.emit(Record{Kind: recClosed, Seq: t.seq, State: s, Text: why}) {
		c.told(t)
		c.cascade(t)
	}
}

// cascade cancels those that can no longer run because of t.
func (c *Core) cascade(t *task) {
	if t.part != nil {
		c.shardEnded(t)
	}
	if t.shards != nil {
		c.stopShards(t, fmt.Sprintf("its parent %s ended %s", t.id, t.state.model()))
	}
	work := []*task{t}
	for len(work) > 0 {
		t, work = work[len(work)-1], work[:len(work)-1]
		if t.state == stateSuccess {
			continue
		}
		for _, d := range t.dependents() {
			if d.state != statePending || d.rule != ruleCancel || d.reason != reasonBlocked {
				continue
			}
			why := fmt.Sprintf("its dependency %s ended %s", t.id, t.state.model())
			if c.emit(Record{Kind: recClosed, Seq: d.seq, State: stateCancelled, Text: why}) {
				c.told(d)
				work = append(work, d)
			}
		}
	}
}
