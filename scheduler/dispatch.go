package scheduler

import (
	"strings"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// maxPasses bounds how often a step goes over the pools: what one gives up of a cap
// over all pools another may take.
const maxPasses = 8

// moveOn gives out what can be given out, and moves the pools toward their sizes.
func (c *Core) moveOn() {
	for again, pass := true, 0; again && pass < maxPasses; pass++ {
		again = false
		for _, p := range c.poolList {
			if p.dirty {
				p.dirty, again = false, true
				c.feed(p)
				c.dispatch(p)
				c.reconcile(p)
			}
		}
	}
}

// dispatch gives a pool's waiting tasks to whoever is free, the first in order first.
func (c *Core) dispatch(p *pool) {
	stopped := c.draining || p.spec.Paused || !p.configured
	if p.ahead > 0 {
		switch {
		case stopped || p.held() > p.ceiling():
			c.recall(p, c.now)
		case p.held() < p.ceiling():
			c.promote(p)
		}
	}
	if stopped {
		return
	}
	for p.queued > 0 {
		if p.exec() && p.held() >= p.ceiling() || !p.exec() && (len(p.idle) == 0 || p.busy() >= p.spec.Max) {
			break
		}
		t := c.next(p)
		if t == nil || !c.give(t) {
			break
		}
	}
	c.prefetch(p)
}

// ceiling is how many tasks of an exec pool may run at once: its max, or fewer
// where the last decision found no memory or CPU for them.
func (p *pool) ceiling() int {
	if d := p.decision; d != nil && d.Applied {
		for i := range d.Caps {
			if strings.HasPrefix(d.Caps[i].Name, "headroom") {
				return min(d.Want, p.spec.Max)
			}
		}
	}
	return p.spec.Max
}

// next is the first waiting task that somebody is free for. A task that waits for
// room on a host holds back those behind it that ask for a part of one too, so that
// the small ones do not take for ever what it waits for; those that ask for nothing
// go past it.
func (c *Core) next(p *pool) *task {
	for {
		t := c.first(p)
		if t == nil || t.class.full() < 0 {
			return t
		}
		// One that was looked at after it has taken a place that it needs.
		t.class.park(t.class.full(), true)
	}
}

func (c *Core) first(p *pool) (t *task) {
	var best, held queue.Key
	holds := false
	for _, s := range p.live {
		if !s.need.Asks() {
			continue
		}
		if k := c.head(s); k != nil && route.WaitsForRoom(c.cands, s.need) {
			if _, key, _ := k.queue.Peek(); !holds || key.Before(held) {
				held, holds = key, true
			}
		}
	}
	for _, s := range p.live {
		k := c.head(s)
		if k == nil {
			continue
		}
		head, key, _ := k.queue.Peek()
		if t != nil && !key.Before(best) || holds && s.need.Asks() && !key.Before(held) {
			continue
		}
		if c.anyFree(s) {
			t, best = head, key
		}
	}
	return t
}

// head is the class of a shape's first task that no cap holds back, nil where
// there is none. What a cap holds back is parked on the way.
func (c *Core) head(s *shape) *class {
	for {
		k, _, ok := s.open.Peek()
		if !ok {
			return nil
		}
		full := k.full()
		if full < 0 {
			return k
		}
		k.park(full, c.anyFree(s))
	}
}

// anyFree reports whether a slot or an idle worker is there for a shape.
func (c *Core) anyFree(s *shape) bool {
	p := s.pool
	if p.exec() {
		return route.AnyOpen(c.cands, &route.Ask{Need: s.need})
	}
	for i := len(p.idle) - 1; i >= 0; i-- { // the last one used is the warmest
		if c.fits(p.idle[i], s) {
			return true
		}
	}
	return false
}

// fits reports whether an idle worker can take a shape's tasks. It holds a slot of
// its agent already.
func (c *Core) fits(w *worker, k *shape) bool {
	return w.agent.info.State == route.Ready && route.Able(&w.agent.info, k.need) && c.cands[w.agent.index].Room(&k.need)
}

// give assigns the next task to the agent that the pool's policy chooses for it,
// and there to the worker that was used last.
func (c *Core) give(t *task) bool {
	p, k := t.pool, t.class.shape
	doc := t.document()
	ask := route.Ask{Need: k.need, Wish: c.wish(t, &doc)}
	if !p.exec() {
		ask.Held, ask.Only = true, c.idleHosts(p, k)
	}
	choice := route.Choose(p.spec.Dispatch, c.cands, &ask, &p.wheel, c.draw)
	if choice.Index < 0 {
		return false
	}
	a := c.agents[choice.Index]
	var w *worker
	for i := len(p.idle) - 1; i >= 0 && w == nil && !p.exec(); i-- {
		if v := p.idle[i]; v.agent == a && c.fits(v, k) {
			w = v
		}
	}
	if !c.assign(t, a, w, doc) {
		return false
	}
	c.cands[a.index].Recent++
	bonus := ask.Wish.Bonus(choice.Index, &c.cands[choice.Index])
	a.placed[t.activeAt] = placement{policy: p.spec.Dispatch, choice: choice, bonus: bonus}
	c.leaveTrail(t, a, &doc)
	return true
}

// idleHosts says by candidate who has an idle worker of the pool for the shape.
func (c *Core) idleHosts(p *pool, k *shape) []bool {
	c.only = append(c.only[:0], make([]bool, len(c.cands))...)
	for _, w := range p.idle {
		c.only[w.agent.index] = c.only[w.agent.index] || c.fits(w, k)
	}
	return c.only
}

func (c *Core) assign(t *task, a *agentState, w *worker, doc models.TaskSpec) bool {
	r := Record{Kind: recAssigned, Seq: t.seq, Lease: c.lease + 1, Agent: a.info.ID}
	if w != nil {
		r.Worker = w.id
	}
	if !c.emit(r) {
		return false
	}
	c.told(t)
	c.parentBegins(t)
	if t.part != nil {
		doc = doc.ForItems(t.part.parent.id)
	}
	run := &Run{Kind: t.pool.spec.Kind, URL: t.pool.spec.URL, Worker: r.Worker, Task: doc, Attempt: int(t.attempt), Lease: t.lease}
	if t.pool.exec() {
		run.Slots = t.pool.shareOf(a).slots()
	}
	c.command(a, Command{Run: run}, false)
	return true
}

// unroutable says why nobody could ever take a waiting task, as things are;
// empty where somebody could.
func (c *Core) unroutable(t *task) string {
	n := t.class.need
	if !t.pool.exec() {
		n = t.pool.placing(n)
	}
	return route.WhyNone(c.agentViews(), n)
}

// agentViews are the agents as they are told to others.
func (c *Core) agentViews() []models.Agent {
	out := make([]models.Agent, 0, len(c.agents))
	for _, a := range c.agents {
		if a.departed && len(a.tasks) == 0 {
			continue
		}
		v := a.info
		v.Busy = len(a.tasks)
		if c.draining && v.State == route.Ready {
			v.State = route.Draining
		}
		out = append(out, v)
	}
	return out
}
