package scheduler

import (
	"slices"

	"loadstar/models"
	"loadstar/scheduler/route"
)

// trail remembers which agents had work of a kind, the last one first. It keeps two
// generations of at most maxTrail kinds, so that what was not asked for lately is
// forgotten. It is found again as work goes on, and so not durable.
type trail struct {
	recent, older map[string][]string
	labels        map[string]bool // those that some task asks about, to be near its like or away from it
}

const (
	maxTrail      = 10_000
	maxTrailWidth = 4  // agents of one kind
	maxTrailNames = 64 // labels that are kept track of
)

func (t *trail) of(kind string) []string {
	if agents, ok := t.recent[kind]; ok {
		return agents
	}
	agents, ok := t.older[kind]
	if ok {
		t.set(kind, agents)
	}
	return agents
}

func (t *trail) set(kind string, agents []string) {
	if len(t.recent) >= maxTrail {
		t.older, t.recent = t.recent, nil
	}
	if t.recent == nil {
		t.recent = map[string][]string{}
	}
	t.recent[kind] = agents
}

// passed notes that an agent has got work of a kind.
func (t *trail) passed(kind, agent string) {
	was := t.of(kind)
	if len(was) > 0 && was[0] == agent {
		return
	}
	now := append(make([]string, 0, maxTrailWidth), agent)
	for _, a := range was {
		if a != agent && len(now) < maxTrailWidth {
			now = append(now, a)
		}
	}
	t.set(kind, now)
}

// follow keeps track of a label from now on.
func (t *trail) follow(label string) {
	if label == "" || t.labels[label] || len(t.labels) >= maxTrailNames {
		return
	}
	if t.labels == nil {
		t.labels = map[string]bool{}
	}
	t.labels[label] = true
}

// followed keeps track of what a task asks about.
func (t *trail) followed(a *models.Affinity) {
	if a != nil {
		t.follow(a.Label)
		t.follow(a.AntiAffinity)
	}
}

func kindOfLabel(label, value string) string { return "l" + label + "=" + value }
func kindOfData(data string) string          { return "d" + data }

// crowd is how many tasks of one label value each agent has, by its index.
type crowd struct {
	kind string
	by   map[int]int
}

// wish is what a task would like of its agent, as things are; nil where it is nothing.
func (c *Core) wish(t *task, doc *models.TaskSpec) *route.Wish {
	moved, a := c.moves[t.seq], doc.Affinity
	if moved != nil && (!moved.done || !c.cooling(moved)) {
		moved = nil
	}
	if a == nil && moved == nil {
		return nil
	}
	w := new(route.Wish)
	if moved != nil {
		w.Avoid, w.Toward = moved.from, moved.to
	}
	if a == nil {
		return w
	}
	w.Prefer = a.Capabilities
	if n := c.find(a.Near); n != nil {
		w.Near = n.last.agent
	}
	if a.Label != "" {
		w.Kin = c.trail.of(kindOfLabel(a.Label, doc.Labels[a.Label]))
	}
	if a.Data != "" {
		w.Data = c.trail.of(kindOfData(a.Data))
	}
	if a.AntiAffinity != "" {
		if crowd := c.crowds[kindOfLabel(a.AntiAffinity, doc.Labels[a.AntiAffinity])]; crowd != nil {
			w.Spread = make([]float64, len(c.cands))
			for i, n := range crowd.by {
				w.Spread[i] = float64(n)
			}
			most := slices.Max(w.Spread)
			for i := range w.Spread {
				w.Spread[i] /= most // there is one, or the crowd would be gone
			}
		}
	}
	return w
}

// leaveTrail notes which agent a task has gone to.
func (c *Core) leaveTrail(t *task, a *agentState, doc *models.TaskSpec) {
	c.trail.followed(doc.Affinity)
	if doc.Affinity != nil && doc.Affinity.Data != "" {
		c.trail.passed(kindOfData(doc.Affinity.Data), a.info.ID)
	}
	if len(c.trail.labels) == 0 {
		return
	}
	for k, v := range doc.Labels {
		if !c.trail.labels[k] {
			continue
		}
		kind := kindOfLabel(k, v)
		c.trail.passed(kind, a.info.ID)
		g := c.crowds[kind]
		if g == nil {
			g = &crowd{kind: kind, by: map[int]int{}}
			c.crowds[kind] = g
		}
		g.by[a.index]++
		p := &a.placed[t.activeAt]
		p.crowds = append(p.crowds, g)
	}
}

// leaveCrowds takes a task that has left its agent off the crowds that it was in.
func (c *Core) leaveCrowds(a *agentState, p *placement) {
	for _, g := range p.crowds {
		if g.by[a.index]--; g.by[a.index] == 0 {
			delete(g.by, a.index)
		}
		if len(g.by) == 0 {
			delete(c.crowds, g.kind)
		}
	}
}
