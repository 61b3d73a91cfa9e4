package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// agent is the agent of a name; one that has tasks but has not joined since the
// start is made up as lost.
func (c *Core) agent(id string) *agentState {
	a := c.agentIDs[id]
	if a == nil {
		a = &agentState{index: len(c.agents), info: models.Agent{ID: id, State: route.Lost}}
		c.agents = append(c.agents, a)
		c.agentIDs[id] = a
		c.cands = append(c.cands, route.Candidate{Agent: a.info})
	}
	return a
}

// agentName is the one copy of an agent's name.
func (c *Core) agentName(id string) string { return c.agent(id).info.ID }

// workerName is the one copy of a worker's name, where the worker is there.
func (c *Core) workerName(id string) string {
	if w := c.workers[id]; w != nil {
		return w.id
	}
	return id
}

// countWorker takes note of the name of a worker of a daemon that is gone: it is
// not given again, as another host's agent may still have an attempt on it.
func (c *Core) countWorker(id string) {
	if n, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:]); err == nil {
		c.workerNo = max(c.workerNo, n)
	}
}

// occupy enters a task with the agent and the worker that have it.
func (c *Core) occupy(t *task) {
	a := c.agent(t.last.agent)
	t.activeAt = int32(len(a.tasks)) //nolint:gosec // an agent has no two billion tasks
	a.tasks, a.placed = append(a.tasks, t), append(a.placed, placement{})
	t.class.count(1)
	c.cands[a.index].MilliCPU += t.class.need.MilliCPU
	c.cands[a.index].Memory += t.class.need.Memory
	if w := c.workers[t.last.worker]; w != nil {
		w.task = t
		w.setIdle(false, 0)
	} else {
		c.cands[a.index].Used++
	}
	if t.pool.exec() {
		t.pool.take(a)
	}
}

func (c *Core) vacate(t *task) {
	a := c.agent(t.last.agent)
	i, last := int(t.activeAt), len(a.tasks)-1
	c.leaveCrowds(a, &a.placed[i])
	a.tasks[i], a.placed[i] = a.tasks[last], a.placed[last]
	a.tasks[i].activeAt = int32(i) //nolint:gosec // as above
	a.tasks[last] = nil
	a.placed[last] = placement{}
	a.tasks, a.placed = a.tasks[:last], a.placed[:last]
	t.activeAt = queue.Absent
	if t.pool.exec() {
		t.pool.let(a)
	}
	if t.class.count(-1); len(t.class.limits) > 0 {
		c.emptied = append(c.emptied, t.class)
	}
	if n := &t.class.need; n.Asks() {
		c.cands[a.index].MilliCPU -= n.MilliCPU
		c.cands[a.index].Memory -= n.Memory
		for _, p := range c.poolList { // a task of any may have waited for the room
			p.dirty = true
		}
	}
	if w := c.workers[t.last.worker]; w != nil {
		if w.task == t {
			w.task = nil
			w.setIdle(true, c.now)
		}
	} else {
		c.freeSlot(a)
	}
}

// freeSlot gives a slot of an agent back; work of any pool may have waited for it.
func (c *Core) freeSlot(a *agentState) {
	if !c.cands[a.index].Free() {
		for _, p := range c.poolList {
			p.dirty = true
		}
	}
	c.cands[a.index].Used--
}

// setIdle enters a worker among its pool's idle ones, or takes it out.
func (w *worker) setIdle(idle bool, now int64) {
	if idle = idle && w.ready && !w.stopping && w.task == nil; idle == w.idle {
		return
	}
	w.idle = idle
	if idle {
		w.idleSince = now
		w.pool.idle = append(w.pool.idle, w)
		return
	}
	for i := len(w.pool.idle) - 1; i >= 0; i-- {
		if w.pool.idle[i] == w {
			w.pool.idle = slices.Delete(w.pool.idle, i, i+1)
			return
		}
	}
}

func (c *Core) command(a *agentState, cmd Command, always bool) {
	c.out.Commands = append(c.out.Commands, Directed{Agent: a.info.ID, Command: cmd, Always: always})
}

func (c *Core) workerEvent(w *worker, format string, args ...any) {
	c.out.Events = append(c.out.Events, models.Event{At: at(c.now), Kind: models.EventWorker, Pool: w.pool.spec.Name, Worker: w.id, Message: fmt.Sprintf(format, args...)})
}

// reconcile moves a stdio pool toward the size wanted: starting workers count,
// idle ones are stopped, the longest idle first, and busy ones never. It comes
// after dispatch, so that an idle worker is one that no task is there for.
func (c *Core) reconcile(p *pool) {
	if p.exec() || !p.configured {
		return
	}
	target := min(max(p.want, p.spec.Min), p.spec.Max)
	if c.draining {
		target = 0
	}
	have := p.ready() + p.starting
	for _, k := range p.live { // those whose tasks no worker could ever take come first
		if k.open.Len() == 0 || c.served(p, k) || p.crash.until != 0 || target == 0 {
			continue
		}
		if have >= target {
			if len(p.idle) == 0 || !c.placeable(p, k.need) {
				continue
			}
			c.stopWorker(p.idle[0], "a task waits that it cannot take, and another worker can")
			have--
		}
		if c.startWorker(p, have, k.need) {
			have++
		}
	}
	for ; have < target && p.crash.until == 0; have++ {
		if !c.startWorker(p, have, route.Need{}) {
			break
		}
	}
	for ; have > target && len(p.idle) > 0; have-- {
		c.stopWorker(p.idle[0], "more are there than wanted")
	}
}

// served reports whether a worker that is up, or will be, can take a shape's tasks.
func (c *Core) served(p *pool, k *shape) bool {
	for _, w := range p.workers {
		if !w.stopping && route.Able(&w.agent.info, k.need) {
			return true
		}
	}
	return false
}

// placeable reports whether an agent could take a worker for the need.
func (c *Core) placeable(p *pool, n route.Need) bool {
	return route.LeastLoaded(c.cands, p.placing(n)) >= 0
}

// placing is what a worker of the pool asks of its agent, with what its tasks ask.
func (p *pool) placing(n route.Need) route.Need {
	if len(p.spec.Capabilities) > 0 {
		n.Capabilities = append(slices.Clone(n.Capabilities), p.spec.Capabilities...)
	}
	return n
}

func (c *Core) startWorker(p *pool, have int, n route.Need) bool {
	special := n.Agent != "" || len(n.Capabilities) > 0 || n.Asks()
	n = p.placing(n)
	i := route.LeastLoaded(c.cands, n)
	if i < 0 {
		if !special {
			p.crash.trouble = "no worker can be started: " + c.noAgentFor(n)
		}
		return false
	}
	if p.crash.count == 0 {
		p.crash.trouble = ""
	}
	c.workerNo++
	w := &worker{id: fmt.Sprintf("%s-%d", p.spec.Name, c.workerNo), pool: p, agent: c.agents[i], started: c.now}
	c.workers[w.id] = w
	p.workers = append(p.workers, w)
	p.starting++
	w.agent.workers++
	c.cands[i].Used++
	if d := p.decision; d != nil && d.Gate && d.Applied && have >= max(d.Reactive, p.spec.Min) && d.Predicted > d.Reactive {
		p.prestarted++
	}
	c.command(w.agent, Command{StartWorker: &StartWorker{Worker: w.id, Pool: p.spec}}, true)
	c.workerEvent(w, "is starting on %s", w.agent.info.ID)
	return true
}

// noAgentFor says why nobody can take something, also where somebody only has no slot left.
func (c *Core) noAgentFor(n route.Need) string {
	if why := route.WhyNone(c.agentViews(), n); why != "" {
		return why
	}
	return "every agent that could take it is full"
}

func (c *Core) stopWorker(w *worker, why string) {
	if w.stopping {
		return
	}
	w.setIdle(false, 0)
	w.stopping = true
	w.pool.stopping++
	if !w.ready {
		w.pool.starting--
	}
	c.command(w.agent, Command{StopWorker: &StopWorker{Worker: w.id}}, true)
	c.workerEvent(w, "is stopped: %s", why)
}

func (c *Core) workerReady(a *agentState, r *WorkerReady) {
	w := c.workers[r.Worker]
	if w == nil || w.agent != a { // started by a daemon that is gone
		c.command(a, Command{StopWorker: &StopWorker{Worker: r.Worker}}, true)
		return
	}
	if w.ready {
		return
	}
	w.ready = true
	took := r.ColdStart
	if took <= 0 {
		took = time.Duration(max(0, c.now-w.started))
	}
	w.pool.measure.coldStart(took)
	if !w.stopping {
		w.pool.starting--
		w.pool.crash.trouble = ""
		w.setIdle(true, c.now)
	}
	w.pool.dirty = true
	c.workerEvent(w, "is ready after %s", took.Round(time.Millisecond))
}

func (c *Core) workerGone(a *agentState, r *WorkerGone) {
	// By the task's own word, too: the worker may be forgotten while a change that
	// could not be written has to be made again.
	for _, t := range slices.Clone(a.tasks) {
		if t.last.worker == r.Worker {
			c.attemptEnded(t, c.now, outcomeLost, nil, lostText(r), true)
		}
	}
	w := c.workers[r.Worker]
	if w == nil || w.agent != a { // one of a daemon that is gone may have had its name
		return
	}
	asked := w.stopping && r.Err == ""
	c.forgetWorker(w)
	if asked {
		c.workerEvent(w, "has stopped")
		return
	}
	c.crashed(w, r.Err)
}

func lostText(r *WorkerGone) string {
	if r.Err == "" {
		return "its worker " + r.Worker + " ended while it ran"
	}
	return "its worker " + r.Worker + " ended while it ran: " + r.Err
}

func (c *Core) forgetWorker(w *worker) {
	if w.task != nil { // its loss could not be recorded yet: from now on it counts as a slot of the agent
		w.task = nil
		c.cands[w.agent.index].Used++
	}
	p := w.pool
	w.setIdle(false, 0)
	delete(c.workers, w.id)
	p.workers = slices.DeleteFunc(p.workers, func(o *worker) bool { return o == w })
	switch {
	case w.stopping:
		p.stopping--
	case !w.ready:
		p.starting--
	}
	w.agent.workers--
	c.freeSlot(w.agent)
	p.dirty = true
}

// maxCrashDoublings bounds the wait after crashes to 64 times the first.
const maxCrashDoublings = 6

// crashed puts off the pool's next start, the longer the oftener it happens.
func (c *Core) crashed(w *worker, text string) {
	p := w.pool
	if text == "" {
		text = "it ended by itself"
	}
	p.crash.count++
	wait := c.cfg.CrashBackoff << min(p.crash.count-1, maxCrashDoublings)
	wait += time.Duration(c.rng.Int64N(int64(wait)/4 + 1))
	p.crash.until = c.now + int64(wait)
	during := "while it started"
	if w.ready {
		during = "after it was ready"
	}
	p.crash.trouble = fmt.Sprintf("worker %s went away %s: %s (%d in a row; the next start in %s)", w.id, during, text, p.crash.count, wait.Round(100*time.Millisecond))
	c.trouble(p.spec.Name, w.id, p.crash.trouble)
}

// proven ends a pool's crash backoff: a worker has done what it is for.
func (p *pool) proven() {
	if p.crash.count > 0 {
		p.crash = crash{}
		p.dirty = true
	}
}

// running lists the tasks that this process's agents have, in order of submission.
func (c *Core) running() []*task {
	var out []*task
	for _, a := range c.agents {
		if !c.awaits(a.info.ID) {
			out = append(out, a.tasks...)
		}
	}
	slices.SortFunc(out, bySubmission)
	return out
}

func bySubmission(a, b *task) int {
	switch {
	case a.seq < b.seq:
		return -1
	case a.seq > b.seq:
		return 1
	}
	return 0
}
