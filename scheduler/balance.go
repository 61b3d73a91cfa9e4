package scheduler

import (
	"cmp"
	"slices"
	"time"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// beats is an agent's last heartbeats, for its load over them.
type beats struct {
	loads []float64
	next  int
}

func (b *beats) add(load float64, window int) {
	if len(b.loads) < window {
		b.loads = append(b.loads, load)
		return
	}
	b.loads[b.next] = load
	b.next = (b.next + 1) % window
}

func (b *beats) mean() float64 {
	sum := 0.0
	for _, l := range b.loads {
		sum += l
	}
	return sum / float64(max(1, len(b.loads)))
}

// move is a task that is taken from an agent before it has begun.
type move struct {
	lease Lease // the assignment that is taken back
	from  string
	to    string
	why   string
	at    int64
	done  bool // the agent has given it back
}

// settled is how long a task is left alone after its assignment: most have begun
// by then, and it is only not told yet.
const settled = int64(time.Second)

// rebalance takes work that has not begun from loaded agents where others are idle.
func (c *Core) rebalance() {
	b := &c.cfg.Balance
	if since := c.now - c.balanced; b.Every < 0 || since >= 0 && since < int64(b.Every) { // the clock may have been set back
		return
	}
	c.balanced = c.now
	c.forgetMoves()
	if c.draining || len(c.agents) < 2 {
		return
	}
	standings := make([]route.Standing, len(c.agents))
	for i, a := range c.agents {
		standings[i] = route.Standing{Known: len(a.window.loads) > 0, Load: a.window.mean(), Held: len(a.tasks)}
	}
	for _, m := range route.Rebalance(*b, c.cands, standings, c.movable()) {
		t := c.bySeq(m.Task)
		c.moves[t.seq] = &move{lease: t.lease, from: c.agents[m.From].info.ID, to: c.agents[m.To].info.ID, why: m.Why, at: c.now}
		c.command(c.agents[m.From], Command{Recall: &Recall{TaskID: t.id, Lease: t.lease}}, false)
	}
}

// movable are the tasks that agents have and have not begun, the most urgent first.
// What a worker of a pool was chosen for begins at once, and stays.
func (c *Core) movable() []route.Movable {
	type waiting struct {
		t   *task
		key queue.Key
	}
	var list []waiting
	for _, a := range c.agents {
		for _, t := range a.tasks {
			if m := c.moves[t.seq]; m != nil && c.cooling(m) {
				continue
			}
			if t.state == stateAssigned && !t.toCancel && t.pool.exec() && !t.pool.spec.Paused && c.now-t.last.assigned >= settled {
				list = append(list, waiting{t, queue.Aged(int(t.priority), t.ready, c.cfg.AgeEvery, t.seq)})
			}
		}
	}
	slices.SortFunc(list, func(x, y waiting) int {
		return cmp.Or(cmp.Compare(y.key.Rank, x.key.Rank), cmp.Compare(x.key.Tie, y.key.Tie))
	})
	out := make([]route.Movable, 0, len(list))
	room := map[*pool]int{}
	for _, w := range list {
		a, p := c.agent(w.t.last.agent), w.t.pool
		if p.shareOf(a).ahead > 0 { // giving it back frees no slot of the pool's own: one must be left
			if room[p]++; room[p] > p.ceiling()-p.held() {
				continue
			}
		}
		out = append(out, route.Movable{Task: w.t.seq, From: a.index, Need: w.t.class.need})
	}
	return out
}

// cooling reports whether a moved task is still left alone.
func (c *Core) cooling(m *move) bool {
	age := c.now - m.at
	return age >= 0 && age < int64(c.cfg.Balance.CoolDown)
}

// forgetMoves drops those that are over. A task that was moved is told of it as long
// as it is not final.
func (c *Core) forgetMoves() {
	for seq, m := range c.moves {
		if t := c.bySeq(seq); !c.cooling(m) && (t == nil || t.state.final() || !m.done) {
			delete(c.moves, seq)
		}
	}
}

// takenBack is why an attempt that was given back had been asked for; empty where
// it was not.
func (c *Core) takenBack(t *task) string {
	m := c.moves[t.seq]
	if m == nil || m.lease != t.lease {
		return ""
	}
	m.done = true
	return m.why
}

// explainMove says that a task was taken from another agent.
func (c *Core) explainMove(t *task, fact func(string, ...any)) {
	if m := c.moves[t.seq]; m != nil && m.done {
		fact("moved at %s: %s", at(m.at).Format(time.RFC3339), m.why)
	}
}

// toldMove adds the event of a task that waits again because it was taken back.
func (c *Core) toldMove(t *task, why string) {
	c.told(t)
	if why != "" {
		e := &c.out.Events[len(c.out.Events)-1]
		e.Kind, e.Message = models.EventTask, why
	}
}
