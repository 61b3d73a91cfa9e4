package route

import (
	"math"

	"loadstar/models"
)

// Ask is one choice to be made.
type Ask struct {
	Need Need
	Wish *Wish  // what the work would like; nil is nothing
	Only []bool // by candidate: whether it counts; nil is all of them
	Held bool   // the slot is held already: an idle worker has it
}

// Choice is what a policy chose, and from what.
type Choice struct {
	Index int     // the candidate's; -1 where nobody is free and able
	Cost  float64 // of the one chosen; the smaller the better, under weighted the larger
	Free  int     // how many were free and able
	Other int     // the one that came second, or that was drawn beside it; -1 where there was none
	Next  float64 // its cost
}

// none is the choice where nobody will do.
func none() Choice { return Choice{Index: -1, Other: -1} }

// open reports whether a candidate may be chosen: it is ready, able, and has a
// free slot and room.
func (a *Ask) open(i int, c *Candidate) bool {
	return (a.Only == nil || a.Only[i]) && (a.Held || c.Free()) && c.Agent.State == Ready &&
		(!a.Need.Asks() || c.Room(&a.Need)) && able(&c.Agent, &a.Need)
}

// AnyOpen reports whether somebody may be chosen.
func AnyOpen(candidates []Candidate, a *Ask) bool {
	for i := range candidates {
		if a.open(i, &candidates[i]) {
			return true
		}
	}
	return false
}

// Choose is the agent for a piece of work under a policy. The wheel is turned
// under weighted alone, and draw, which gives a number from 0 to n-1, is called
// under two-choices alone, so that the others are functions of the candidates.
func Choose(p models.DispatchPolicy, candidates []Candidate, a *Ask, w *Wheel, draw func(n int) int) Choice {
	switch p {
	case models.DispatchWeighted:
		return w.turn(candidates, a)
	case models.DispatchTwoChoices:
		return twoChoices(candidates, a, draw)
	}
	return lowest(p, candidates, a)
}

// Cost is what a policy chooses by: the load that the agent would have to bear
// less what it wishes for, or under weighted the weight.
func (c *Candidate) Cost(p models.DispatchPolicy, i int, w *Wish) float64 {
	switch p {
	case models.DispatchWeighted:
		return c.weight(i, w)
	case models.DispatchLoadAware:
		return c.score() + float64(c.Recent)/float64(c.slots()) - w.worth(i, c)
	}
	return c.load() - w.worth(i, c)
}

// lowest takes the smallest cost, of equal ones the first.
func lowest(p models.DispatchPolicy, candidates []Candidate, a *Ask) Choice {
	best := none()
	for i := range candidates {
		c := &candidates[i]
		if !a.open(i, c) {
			continue
		}
		best.Free++
		switch cost := c.Cost(p, i, a.Wish); {
		case best.Index < 0 || cost < best.Cost:
			best.Other, best.Next = best.Index, best.Cost
			best.Index, best.Cost = i, cost
		case best.Other < 0 || cost < best.Next:
			best.Other, best.Next = i, cost
		}
	}
	return best
}

// twoChoices draws two of those that are open and takes the one of the smaller
// cost (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001).
// Where the work wishes for somebody, that one is the first of the two.
func twoChoices(candidates []Candidate, a *Ask, draw func(n int) int) Choice {
	free, wished, most := 0, -1, 0.0
	for i := range candidates {
		if c := &candidates[i]; a.open(i, c) {
			if b := a.Wish.worth(i, c); b > most {
				wished, most = free, b
			}
			free++
		}
	}
	if free == 0 {
		return none()
	}
	first, second := wished, -1
	if first < 0 {
		first = draw(free)
	}
	if free > 1 {
		if second = draw(free - 1); second >= first {
			second++
		}
	}
	best := none()
	best.Free = free
	at := 0
	for i := range candidates {
		c := &candidates[i]
		if !a.open(i, c) {
			continue
		}
		if at == first || at == second {
			cost := c.Cost(models.DispatchTwoChoices, i, a.Wish)
			if best.Index < 0 || cost < best.Cost {
				best.Other, best.Next = best.Index, best.Cost
				best.Index, best.Cost = i, cost
			} else {
				best.Other, best.Next = i, cost
			}
		}
		at++
	}
	return best
}

// Wheel is where the smooth weighted round robin stands: each agent's credit, by
// candidate. The zero value is its start.
type Wheel struct {
	credit []float64
}

// turn gives everybody that is open a credit of its weight and takes the one with
// the most, which pays what all of them were given (nginx,
// ngx_http_upstream_round_robin). Over a cycle each is chosen as often as its
// weight says, and never in a lump.
func (w *Wheel) turn(candidates []Candidate, a *Ask) Choice {
	for len(w.credit) < len(candidates) {
		w.credit = append(w.credit, 0)
	}
	best, total := none(), 0.0
	for i := range candidates {
		c := &candidates[i]
		if !a.open(i, c) {
			continue
		}
		best.Free++
		weight := c.weight(i, a.Wish)
		total += weight
		w.credit[i] += weight
		switch {
		case best.Index < 0 || w.credit[i] > w.credit[best.Index]:
			best.Other, best.Next = best.Index, best.Cost
			best.Index, best.Cost = i, weight
		case best.Other < 0 || w.credit[i] > w.credit[best.Other]:
			best.Other, best.Next = i, weight
		}
	}
	if best.Index >= 0 {
		w.credit[best.Index] -= total
	}
	return best
}

// weight is the effective weight: the agent's own plus its free CPU in percent.
func (c *Candidate) weight(i int, w *Wish) float64 {
	base := c.Agent.Weight
	if base <= 0 {
		base = models.DefaultWeight
	}
	cpu := c.Agent.CPU
	if !(cpu >= 0) { // not a number, or negative: unknown
		cpu = 0
	}
	weight := float64(base) + 100*(1-min(cpu, 1))
	if w == nil {
		return weight
	}
	return weight * math.Exp2(wishExponent*w.worth(i, c))
}
