package scheduler

import (
	"math"

	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// Prefetch is work that is assigned, durably, before there is a slot for it. It
// waits on its agent, so that a slot that becomes free has its next task at once
// rather than after a report, a commit and a command. It is ASSIGNED until it
// begins, and is taken back by a cancellation, a pause, a drain, a smaller pool, or
// when it has waited for longer than it was to.
//
// It is counted by pool and agent: of the tasks that an agent has of a pool, all
// but ahead hold a slot. When one of them leaves, whichever it was, one that waits
// takes its place, if there is one. The agent is told how many slots it has and
// never runs more, so a miscount costs time and never a limit.

// Bounds of prefetch.
const (
	mostAhead     = 32 // tasks a slot
	measuredRuns  = 16 // run times that are known before anything is prefetched
	recallFactor  = 2  // how much longer than planned prefetched work waits before it is taken back
	againAfter    = 10 // and how much later that is asked for again, as a multiple of the plan
	nobodyIsAhead = -1
)

// share is what an agent has of a slot pool's tasks.
type share struct {
	tasks int
	ahead int // of them, those that no slot is there for yet
}

func (s *share) slots() int { return s.tasks - s.ahead }

// shareOf is an agent's share of the pool.
func (p *pool) shareOf(a *agentState) *share {
	for len(p.shares) <= a.index {
		p.shares = append(p.shares, share{})
	}
	return &p.shares[a.index]
}

// take and let keep count of what an agent has of the pool.
func (p *pool) take(a *agentState) { p.shareOf(a).tasks++ }

func (p *pool) let(a *agentState) {
	s := p.shareOf(a)
	s.tasks--
	if s.ahead > 0 {
		s.ahead--
		p.ahead--
	}
}

// keepAhead takes note of how many wait where a task is; the result restores it.
func (c *Core) keepAhead(t *task) func() {
	s := t.pool.shareOf(c.agent(t.last.agent))
	ahead := s.ahead
	return func() {
		s = t.pool.shareOf(c.agent(t.last.agent))
		t.pool.ahead += ahead - s.ahead
		s.ahead = ahead
	}
}

// held is how many slots are taken: those of the tasks that run or may begin.
func (p *pool) held() int { return p.busy() - p.ahead }

// depth is how many tasks may wait for each slot: as many as make up the planned
// work, by their mean run time and one standard deviation, so that long ones among
// short ones keep all of them in the queue.
func (c *Core) depth(p *pool) int {
	m := &p.measure
	if c.cfg.PrefetchWork <= 0 || m.runs < measuredRuns || p.stale {
		return 0
	}
	each := m.mean + math.Sqrt(max(0, m.variance))
	if each <= 0 {
		return mostAhead
	}
	return int(min(mostAhead, c.cfg.PrefetchWork.Seconds()/each))
}

// prefetch assigns waiting tasks to agents whose slots of the pool are all taken.
func (c *Core) prefetch(p *pool) {
	depth := c.depth(p)
	if depth == 0 || !p.exec() || p.held() > p.ceiling() {
		return
	}
	for p.queued > 0 {
		t, a := c.nextAhead(p, depth)
		if t == nil {
			return
		}
		if at := t.class.full(); at >= 0 { // one that was looked at after it has taken a place that it needs
			t.class.park(at, true)
			continue
		}
		doc := t.document()
		if c.wish(t, &doc) != nil { // where it goes is worth a choice
			return
		}
		s := p.shareOf(a)
		s.ahead++
		p.ahead++
		if !c.assign(t, a, nil, doc) {
			s.ahead--
			p.ahead--
			return
		}
		c.cands[a.index].Recent++
		a.placed[t.activeAt] = placement{policy: p.spec.Dispatch, choice: route.Choice{Index: a.index}}
		c.leaveTrail(t, a, &doc)
		if p.recallAt == 0 {
			p.recallAt = c.now + recallFactor*int64(c.cfg.PrefetchWork)
		}
	}
}

// nextAhead is the first waiting task that may wait on an agent, and which: the one
// with the fewest before it for each slot. Nothing goes past a task that asks for a
// part of a host, which is never prefetched: its room would be taken for nothing.
func (c *Core) nextAhead(p *pool, depth int) (t *task, a *agentState) {
	var best, held queue.Key
	holds := false
	for _, s := range p.live {
		k := c.head(s)
		if k == nil {
			continue
		}
		head, key, _ := k.queue.Peek()
		if s.need.Asks() {
			if !holds || key.Before(held) {
				held, holds = key, true
			}
			continue
		}
		if t != nil && !key.Before(best) {
			continue
		}
		if i := c.leastAhead(p, s, depth); i != nobodyIsAhead {
			t, a, best = head, c.agents[i], key
		}
	}
	if holds && t != nil && held.Before(best) {
		return nil, nil
	}
	return t, a
}

func (c *Core) leastAhead(p *pool, s *shape, depth int) int {
	found, least := nobodyIsAhead, 0.0
	for i := range p.shares {
		n := &p.shares[i]
		slots := n.slots()
		if slots <= 0 || c.agents[i].info.State != route.Ready || !route.Able(&c.agents[i].info, s.need) {
			continue
		}
		if l := float64(n.ahead) / float64(slots); n.ahead < depth*slots && (found < 0 || l < least) {
			found, least = i, l
		}
	}
	return found
}

// promote gives slots that have become free to what waits for one on an agent.
func (c *Core) promote(p *pool) {
	for i := range p.shares {
		s, a := &p.shares[i], c.agents[i]
		was := s.slots()
		for s.ahead > 0 && p.held() < p.ceiling() && c.cands[i].Free() && a.info.State == route.Ready {
			s.ahead--
			p.ahead--
		}
		if s.slots() > was {
			c.command(a, Command{Limit: &Limit{Pool: p.spec.Name, Slots: s.slots()}}, true)
		}
	}
}

// recall asks for what waits on agents and was assigned no later than a time. What
// has begun meanwhile goes on.
func (c *Core) recall(p *pool, before int64) {
	if p.ahead == 0 || c.now < p.askedAt {
		return
	}
	for i := range p.shares {
		if p.shares[i].ahead == 0 {
			continue
		}
		a := c.agents[i]
		for _, t := range a.tasks {
			if t.pool == p && t.state == stateAssigned && !t.toCancel && t.last.assigned <= before {
				c.askBack(a, t)
				p.askedAt = c.now + againAfter*int64(c.cfg.PrefetchWork)
			}
		}
	}
}

func (c *Core) askBack(a *agentState, t *task) {
	c.command(a, Command{Recall: &Recall{TaskID: t.id, Lease: t.lease}}, true)
}

// recallStale takes back what has waited for too long: the tasks before it take
// longer than was measured. Nothing is prefetched until one has ended.
func (c *Core) recallStale() {
	for _, p := range c.poolList {
		if p.recallAt == 0 || p.recallAt > c.now {
			continue
		}
		if p.recallAt = 0; p.ahead == 0 {
			continue
		}
		p.recallAt = c.now + int64(c.cfg.PrefetchWork)
		asked := p.askedAt
		c.recall(p, c.now-recallFactor*int64(c.cfg.PrefetchWork))
		if p.askedAt != asked {
			p.stale = true
			p.recallAt = p.askedAt
		}
	}
}
