package scheduler

import (
	"cmp"
	"fmt"
	"slices"

	"loadstar/models"
	"loadstar/scheduler/route"
)

// Held is an attempt that an agent has, by its own word.
type Held struct {
	TaskID string
	Lease  Lease
}

// Rejoin is an agent of another host that is there, for the first time or again,
// with all that it has: what runs there, and what ended there and may not have
// been heard. Its workers are new ones, or will be.
type Rejoin struct {
	Agent models.Agent
	Holds []Held
}

// rejoin settles with an agent who has what. An attempt that the agent has under
// its present lease goes on. One that it has not, or has on a worker, is taken
// back; one that is no longer its own, it is told to kill.
func (c *Core) rejoin(r *Rejoin) {
	a := c.agent(r.Agent.ID)
	a.joined, a.remote, a.beats, a.awaited, a.departed = true, true, true, 0, false
	c.heard(a, &r.Agent)
	c.agentEvent(a, "has joined from %s", cmp.Or(a.info.Host, "a host without a name"))
	holds := make(map[Held]bool, len(r.Holds))
	for _, h := range r.Holds {
		holds[h] = true
		if t := c.find(h.TaskID); t == nil || t.lease != h.Lease || !t.state.active() || t.last.agent != a.info.ID {
			c.command(a, Command{Kill: &Kill{TaskID: h.TaskID, Lease: h.Lease, Grace: c.cfg.KillGrace}}, true)
		}
	}
	tasks := slices.Clone(a.tasks)
	slices.SortFunc(tasks, bySubmission)
	for _, t := range tasks {
		switch {
		case t.last.worker != "" || !holds[Held{TaskID: t.id, Lease: t.lease}]:
			c.takeBack(t, "its agent "+a.info.ID+" joined again without it")
		case t.toCancel:
			c.kill(t, true)
		}
	}
	c.forgetWorkers(a)
	for _, p := range c.poolList {
		p.dirty = true
	}
}

// takeBack ends an attempt that nobody has any more: one that never began is the
// same attempt again, one that ran is lost.
func (c *Core) takeBack(t *task, text string) {
	if t.state == stateAssigned && !t.toCancel {
		if c.emit(Record{Kind: recReturned, Seq: t.seq}) {
			c.told(t)
		}
		return
	}
	c.attemptEnded(t, c.now, outcomeLost, nil, text, false)
}

func (c *Core) forgetWorkers(a *agentState) {
	for _, p := range c.poolList {
		for _, w := range slices.Clone(p.workers) {
			if w.agent == a {
				c.forgetWorker(w)
			}
		}
	}
}

// awaits reports whether an agent is one of another host, whose attempts go on
// without this daemon: they are neither cut off when it stops nor given up when
// the next one starts, until the agent has had the time to say that it has them.
func (c *Core) awaits(id string) bool {
	return c.cfg.OwnAgents != nil && !slices.Contains(c.cfg.OwnAgents, id)
}

// await counts down the ticks for which the attempts of an agent that has not
// joined since the start are kept for it.
func (c *Core) await(a *agentState) {
	if a.awaited == 0 {
		return
	}
	if a.awaited--; a.awaited == 0 && len(a.tasks) > 0 {
		c.trouble("", "", fmt.Sprintf("agent %s has not joined again since the daemon was started, and counts as lost", a.info.ID))
	}
}

// late tells of a result that came too late to count: the task was given to
// somebody, or made final, in a later attempt.
func (c *Core) late(a *agentState, f *Finished) {
	t := c.find(f.TaskID)
	if t == nil || f.Lease >= t.lease {
		return // the same result twice, or about nothing that is there
	}
	c.lateResults++
	c.out.Events = append(c.out.Events, models.Event{
		At: at(c.now), Kind: models.EventAgent, TaskID: t.id, Attempt: int(t.attempt), Pool: t.pool.spec.Name,
		Message: fmt.Sprintf("a late result (%s) of an earlier attempt was refused: agent %s was given it under lease %d, the task has lease %d since",
			f.Outcome, a.info.ID, f.Lease, t.lease),
	})
}

// depart notes that another host's agent is gone; one that went on its own account
// is not listed any more.
func (c *Core) depart(a *agentState) {
	if !a.remote || a.info.State == route.Lost {
		return
	}
	if a.departed = a.info.State == route.Draining; a.departed {
		c.agentEvent(a, "has left")
		return
	}
	c.agentEvent(a, "is lost")
}

func (c *Core) agentEvent(a *agentState, format string, args ...any) {
	c.out.Events = append(c.out.Events, models.Event{At: at(c.now), Kind: models.EventAgent, Message: "agent " + a.info.ID + " " + fmt.Sprintf(format, args...)})
}
