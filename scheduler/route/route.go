// Package route chooses the agent that work goes to. Its functions are pure:
// values in, an index out. Capabilities are a hard condition, a free slot and room
// for what the work asks of the host are too; among those left a policy chooses
// (Choose), by the load or by weights, and what the work wishes for (Wish) counts
// against the load.
//
// It imports models only.
package route

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"loadstar/models"
)

// Candidate is an agent as the choice sees it.
type Candidate struct {
	Agent models.Agent
	// Used is how many of its slots are taken, as the scheduler counts them.
	Used int
	// Recent is how many tasks it was given since it told its load.
	Recent int
	// MilliCPU and Memory are what the tasks that it has ask for together.
	MilliCPU int64
	Memory   models.Bytes
}

// Need is what the work asks of an agent.
type Need struct {
	Agent        string   // the only agent that will do; empty is any
	Capabilities []string // all of them must be there
	MilliCPU     int64    // thousandths of a core
	Memory       models.Bytes
}

// Asks reports whether the work asks for a part of the host.
func (n *Need) Asks() bool { return n.MilliCPU > 0 || n.Memory > 0 }

// asks are the amounts in words.
func (n *Need) asks() string {
	var parts []string
	if n.MilliCPU > 0 {
		parts = append(parts, strconv.FormatFloat(float64(n.MilliCPU)/1000, 'g', -1, 64)+" cores")
	}
	if n.Memory > 0 {
		parts = append(parts, n.Memory.String()+" of memory")
	}
	return strings.Join(parts, " and ")
}

// milliCPUs are an agent's cores in thousandths.
func milliCPUs(a *models.Agent) int64 { return int64(a.CPUs * 1000) }

// fits reports whether an amount keeps within a total; one of 0 is unknown, and no limit.
func fits[T int64 | models.Bytes](used, more, total T) bool {
	return more == 0 || total <= 0 || used <= total && more <= total-used
}

// Room reports whether what the work asks for is left beside what is asked for already.
func (c *Candidate) Room(n *Need) bool {
	return fits(c.MilliCPU, n.MilliCPU, milliCPUs(&c.Agent)) && fits(c.Memory, n.Memory, c.Agent.MemoryTotal)
}

// WaitsForRoom reports whether some agent could take the work at once but for
// what other tasks there have asked for.
func WaitsForRoom(candidates []Candidate, n Need) bool {
	waits := false
	for i := range candidates {
		c := &candidates[i]
		if n.Asks() && c.Agent.State == Ready && c.Free() && Able(&c.Agent, n) {
			if c.Room(&n) {
				return false
			}
			waits = true
		}
	}
	return waits
}

// WhyNoRoom says what the work waits for.
func WhyNoRoom(n Need) string { return "waits for room on a host: it asks for " + n.asks() }

// Free reports whether the agent has a slot left; an agent of 0 slots sets no limit of its own.
func (c *Candidate) Free() bool { return c.Agent.Slots <= 0 || c.Used < c.Agent.Slots }

// Able reports whether an agent meets the need, free or not: it has the
// capabilities, and as a whole what is asked for.
func Able(a *models.Agent, n Need) bool { return able(a, &n) }

func able(a *models.Agent, n *Need) bool {
	return capable(a, n) && fits(0, n.MilliCPU, milliCPUs(a)) && fits(0, n.Memory, a.MemoryTotal)
}

func capable(a *models.Agent, n *Need) bool {
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
	return lowest(models.DispatchPriority, candidates, &Ask{Need: n}).Index
}

// States of an agent, as models.Agent names them.
const (
	Ready    = "ready"
	Draining = "draining"
	Lost     = "lost"
)

// nominalSlots stands for the slots of an agent that sets no limit.
const nominalSlots = 64

func (c *Candidate) slots() int {
	if c.Agent.Slots <= 0 {
		return nominalSlots
	}
	return c.Agent.Slots
}

// score is the load score that the agent told, 0 where it is not known.
func (c *Candidate) score() float64 {
	if !(c.Agent.LoadScore >= 0) { // not a number, or negative
		return 0
	}
	return min(c.Agent.LoadScore, 1)
}

func (c *Candidate) load() float64 { return c.score() + float64(c.Used)/float64(c.slots()) }

// WhyNone says in words why no agent meets the need; empty where one does.
func WhyNone(agents []models.Agent, n Need) string {
	pinned, some := false, false
	for i := range agents {
		a := &agents[i]
		if a.State == Lost {
			continue
		}
		if Able(a, n) {
			return ""
		}
		pinned = pinned || a.ID == n.Agent
		some = some || capable(a, &n)
	}
	switch {
	case some && n.Agent != "":
		return fmt.Sprintf("it is assigned to %s and asks for %s, which is more than that has", n.Agent, n.asks())
	case some:
		return fmt.Sprintf("it asks for %s, which is more than any agent has", n.asks())
	case n.Agent != "" && !pinned:
		return fmt.Sprintf("it is assigned to %s, which has not joined", n.Agent)
	case n.Agent != "":
		return fmt.Sprintf("it is assigned to %s, which lacks %s", n.Agent, strings.Join(n.Capabilities, ", "))
	case len(n.Capabilities) > 0:
		return "no agent has " + strings.Join(n.Capabilities, ", ")
	}
	return "no agent has joined"
}
