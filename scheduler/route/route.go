// Package route chooses the agent that work goes to. Its functions are pure:
// values in, an index out. Capabilities are a hard condition, a free slot is one
// too, and among those left the least loaded agent is taken.
//
// It imports models only.
package route

import (
	"fmt"
	"slices"
	"strings"

	"loadstar/models"
)

// Candidate is an agent as the choice sees it.
type Candidate struct {
	Agent models.Agent
	// Used is how many of its slots are taken, as the scheduler counts them.
	Used int
}

// Need is what the work asks of an agent.
type Need struct {
	Agent        string   // the only agent that will do; empty is any
	Capabilities []string // all of them must be there
}

// Free reports whether the agent has a slot left; an agent of 0 slots sets no limit of its own.
func (c *Candidate) Free() bool { return c.Agent.Slots <= 0 || c.Used < c.Agent.Slots }

// Able reports whether an agent meets the need, free or not.
func Able(a *models.Agent, n Need) bool {
	if n.Agent != "" && n.Agent != a.ID {
		return false
	}
	for _, c := range n.Capabilities {
		if !slices.Contains(a.Capabilities, c) {
			return false
		}
	}
	return true
}

// LeastLoaded is the index of the free and able candidate with the smallest load:
// its load score plus the share of its slots that are taken; of equal ones the
// first. It is -1 where there is none. Agents that are not ready are passed over.
func LeastLoaded(candidates []Candidate, n Need) int {
	best, least := -1, 0.0
	for i := range candidates {
		c := &candidates[i]
		if c.Agent.State != Ready || !c.Free() || !Able(&c.Agent, n) {
			continue
		}
		if l := c.load(); best < 0 || l < least {
			best, least = i, l
		}
	}
	return best
}

// States of an agent, as models.Agent names them.
const (
	Ready    = "ready"
	Draining = "draining"
	Lost     = "lost"
)

// nominalSlots stands for the slots of an agent that sets no limit.
const nominalSlots = 64

func (c *Candidate) load() float64 {
	slots := c.Agent.Slots
	if slots <= 0 {
		slots = nominalSlots
	}
	score := c.Agent.LoadScore
	if !(score >= 0) { // not a number, or negative: unknown
		score = 0
	}
	return min(score, 1) + float64(c.Used)/float64(slots)
}

// WhyNone says in words why no agent meets the need; empty where one does.
func WhyNone(agents []models.Agent, n Need) string {
	pinned := false
	for i := range agents {
		a := &agents[i]
		if a.State == Lost {
			continue
		}
		if Able(a, n) {
			return ""
		}
		pinned = pinned || a.ID == n.Agent
	}
	switch {
	case n.Agent != "" && !pinned:
		return fmt.Sprintf("it is assigned to %s, which has not joined", n.Agent)
	case n.Agent != "":
		return fmt.Sprintf("it is assigned to %s, which lacks %s", n.Agent, strings.Join(n.Capabilities, ", "))
	case len(n.Capabilities) > 0:
		return "no agent has " + strings.Join(n.Capabilities, ", ")
	}
	return "no agent has joined"
}
