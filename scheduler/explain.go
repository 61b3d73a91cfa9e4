package scheduler

import (
	"loadstar/scheduler/route"
)

// maxStanding is how many agents an explanation looks at one by one.
const maxStanding = 8

// explainPlaced says why a task is on its agent.
func (c *Core) explainPlaced(t *task, fact func(string, ...any)) {
	c.explainMove(t, fact)
	a := c.agent(t.last.agent)
	if p := &a.placed[t.activeAt]; p.policy != "" {
		fact("%s", route.Why(p.policy, c.cands, p.choice, p.bonus))
	}
}

// explainCandidates says how each agent stands towards a waiting task.
func (c *Core) explainCandidates(t *task, fact func(string, ...any)) {
	c.explainMove(t, fact)
	p := t.pool
	doc := t.document()
	ask := route.Ask{Need: t.class.need, Wish: c.wish(t, &doc)}
	if !p.exec() {
		ask.Need = p.placing(ask.Need)
	}
	fact("its pool's dispatch policy is %s", p.spec.Dispatch)
	left := maxStanding
	for i := range c.cands {
		if cand := &c.cands[i]; cand.Agent.State != route.Lost {
			if left == 0 {
				fact("… and %d agents more", len(c.cands)-i)
				return
			}
			left--
			fact("%s", route.Stand(p.spec.Dispatch, cand, i, &ask))
		}
	}
}
