package route

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"loadstar/models"
)

// Balance says when work that has not begun is moved between agents, and how much
// of it. The zero value of a field is its default.
type Balance struct {
	// Every is the time between two rounds; negative is never. Default: 5s.
	Every time.Duration
	// CPU and Memory weigh an agent's load for it. Default: 0.6 and 0.4.
	CPU, Memory float64
	// Window is how many of an agent's last heartbeats its load is the mean of.
	// Default: 5.
	Window int
	// Spread is the standard deviation of the agents' loads (0 to 1) up to which all
	// stays as it is. Default: 0.2.
	Spread float64
	// MaxMoves bounds the moves of a round. Default: 8.
	MaxMoves int
	// CoolDown is how long a task that was moved is left alone. Default: 1m.
	CoolDown time.Duration
}

// WithDefaults fills what was left zero.
func (b Balance) WithDefaults() Balance {
	if b.Every == 0 {
		b.Every = 5 * time.Second
	}
	if b.CPU == 0 && b.Memory == 0 {
		b.CPU, b.Memory = 0.6, 0.4
	}
	if b.Window == 0 {
		b.Window = 5
	}
	if b.Spread == 0 {
		b.Spread = 0.2
	}
	if b.MaxMoves == 0 {
		b.MaxMoves = 8
	}
	if b.CoolDown == 0 {
		b.CoolDown = time.Minute
	}
	return b
}

// Validate checks the rules; the error is a *models.FieldError.
func (b *Balance) Validate() error {
	switch {
	case !(b.CPU >= 0 && b.Memory >= 0 && b.CPU+b.Memory < 1e9): // NaN too
		return models.Invalid("rebalance.cpu, rebalance.memory", "neither may be negative")
	case b.Window < 0 || b.Window > 1000:
		return models.Invalid("rebalance.window", "%d is not between 1 and 1000 heartbeats", b.Window)
	case !(b.Spread >= 0 && b.Spread <= 1):
		return models.Invalid("rebalance.spread", "%v is not between 0 and 1", b.Spread)
	case b.MaxMoves < 0:
		return models.Invalid("rebalance.max_moves", "%d is negative", b.MaxMoves)
	case b.CoolDown < 0:
		return models.Invalid("rebalance.cool_down", "%s is negative", b.CoolDown)
	}
	return nil
}

// Load is an agent's load from its CPU and memory shares, 0 to 1.
func (b *Balance) Load(cpu, memory float64) float64 {
	v := (b.CPU*cpu + b.Memory*memory) / (b.CPU + b.Memory)
	if !(v > 0) { // not a number, too
		return 0
	}
	return min(v, 1)
}

// Standing is an agent as the balance sees it.
type Standing struct {
	Known bool    // its load has been measured
	Load  float64 // 0 to 1
	Held  int     // the tasks that it has, begun or not
}

// Movable is a task that an agent has and has not begun.
type Movable struct {
	Task uint64
	From int // the candidate that has it
	Need Need
}

// Move takes a task from an agent, for another one.
type Move struct {
	Task     uint64
	From, To int
	Why      string
}

// Rebalance says which tasks should leave their agents, the first in the order of
// tasks first. Where the agents' loads differ by more than the balance allows, work
// goes from the most loaded that has some to the least loaded that is free for it.
// It never makes the numbers of tasks that agents have more unequal: the one that
// gives has at least one more than the one that takes. There are at most MaxMoves.
// standings are by candidate.
func Rebalance(b Balance, candidates []Candidate, standings []Standing, tasks []Movable) []Move {
	mean, spread := spreadOf(candidates, standings)
	if spread <= b.Spread || len(tasks) == 0 {
		return nil
	}
	from, to := sides(candidates, standings, mean)
	cands, held := slices.Clone(candidates), make([]int, len(standings))
	for i := range standings {
		held[i] = standings[i].Held
	}
	var moves []Move
	for _, f := range from {
		for j := range tasks {
			if len(moves) == b.MaxMoves {
				return moves
			}
			t := &tasks[j]
			if t.From != f {
				continue
			}
			for _, g := range to {
				c := &cands[g]
				ask := Ask{Need: t.Need}
				if held[f] <= held[g] || !ask.open(g, c) || c.Agent.Slots > 0 && c.Used >= c.Agent.Slots {
					continue
				}
				moves = append(moves, Move{Task: t.Task, From: f, To: g, Why: fmt.Sprintf(
					"taken from %s, whose load is %.2f, for %s with %.2f: the loads of the agents differ by %.2f, and %.2f is allowed",
					cands[f].Agent.ID, standings[f].Load, c.Agent.ID, standings[g].Load, spread, b.Spread)})
				held[f]--
				held[g]++
				c.Used++
				c.MilliCPU += t.Need.MilliCPU
				c.Memory += t.Need.Memory
				break
			}
		}
	}
	return moves
}

// sides are the agents above the mean, the most loaded first, and those below it,
// the least loaded first.
func sides(candidates []Candidate, standings []Standing, mean float64) (above, below []int) {
	for i := range candidates {
		switch s := &standings[i]; {
		case !counts(&candidates[i], s):
		case s.Load > mean:
			above = append(above, i)
		case s.Load < mean:
			below = append(below, i)
		}
	}
	slices.SortFunc(above, func(x, y int) int { return cmp.Or(cmp.Compare(standings[y].Load, standings[x].Load), x-y) })
	slices.SortFunc(below, func(x, y int) int { return cmp.Or(cmp.Compare(standings[x].Load, standings[y].Load), x-y) })
	return above, below
}

// counts reports whether an agent has a part in the balance.
func counts(c *Candidate, s *Standing) bool { return s.Known && c.Agent.State == Ready }

// spreadOf is the mean and the standard deviation of the loads.
func spreadOf(candidates []Candidate, standings []Standing) (mean, spread float64) {
	n := 0.0
	for i := range standings {
		if counts(&candidates[i], &standings[i]) {
			n++
			mean += standings[i].Load
		}
	}
	if n < 2 {
		return mean, 0
	}
	mean /= n
	for i := range standings {
		if counts(&candidates[i], &standings[i]) {
			spread += (standings[i].Load - mean) * (standings[i].Load - mean)
		}
	}
	return mean, math.Sqrt(spread / n)
}
