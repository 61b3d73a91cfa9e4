package route

import (
	"fmt"
	"slices"
	"strings"
)

// Wish is what a piece of work would like of its agent. It is never a condition:
// it is weighed against the load. A nil wish is none.
type Wish struct {
	Near   string    // the agent that ran what it wants to be near
	Prefer []string  // capabilities that it would like
	Kin    []string  // agents that had work of the same label value, the last one first
	Data   []string  // agents that had work with the same data, the last one first
	Spread []float64 // by candidate: how much work of the same label value it has, 1 is the most
	Avoid  string    // the agent that it was taken from
	Toward string    // the agent that it was taken from there for
}

// What each kind of wish is worth, in units of load: 1 is the difference between
// an idle host and a full one.
const (
	worthNear   = 0.5
	worthPrefer = 0.4
	worthKin    = 0.4
	worthData   = 0.5
	worthSpread = -0.5
	worthToward = 2  // as long as it is free
	worthAvoid  = -4 // more than any load: it goes back only where nobody else is free
)

// Bonus is how far a candidate meets a wish, kind by kind, in units of load.
type Bonus struct {
	Near, Prefer, Kin, Data, Spread, Avoid, Toward float64
}

// Bonus is what a candidate meets of the wish.
func (w *Wish) Bonus(i int, c *Candidate) (b Bonus) {
	if w == nil {
		return b
	}
	id := c.Agent.ID
	if w.Near != "" && w.Near == id {
		b.Near = worthNear
	}
	if len(w.Prefer) > 0 {
		has := 0
		for _, p := range w.Prefer {
			if slices.Contains(c.Agent.Capabilities, p) {
				has++
			}
		}
		b.Prefer = worthPrefer * float64(has) / float64(len(w.Prefer))
	}
	b.Kin, b.Data = recency(w.Kin, id)*worthKin, recency(w.Data, id)*worthData
	if i < len(w.Spread) {
		b.Spread = worthSpread * w.Spread[i]
	}
	if w.Avoid != "" && w.Avoid == id {
		b.Avoid = worthAvoid
	}
	if w.Toward != "" && w.Toward == id {
		b.Toward = worthToward
	}
	return b
}

// recency is 1 for the last that had it, 1/2 for the one before, and so on.
func recency(agents []string, id string) float64 {
	if i := slices.Index(agents, id); i >= 0 {
		return 1 / float64(i+1)
	}
	return 0
}

// Sum is all of it together.
func (b Bonus) Sum() float64 {
	return b.Near + b.Prefer + b.Kin + b.Data + b.Spread + b.Avoid + b.Toward
}

// worth is what a wish takes off the load of a candidate.
func (w *Wish) worth(i int, c *Candidate) float64 {
	if w == nil {
		return 0
	}
	return w.Bonus(i, c).Sum()
}

// wishExponent is the power of two by which a whole unit of load multiplies a weight.
const wishExponent = 3

// String names the kinds that count; empty where none does.
func (b Bonus) String() string {
	var parts []string
	for _, k := range [...]struct {
		name  string
		worth float64
	}{{"near", b.Near}, {"capabilities", b.Prefer}, {"label", b.Kin}, {"data", b.Data}, {"anti-affinity", b.Spread}, {"taken from it", b.Avoid}, {"moved to it", b.Toward}} {
		if k.worth != 0 {
			parts = append(parts, fmt.Sprintf("%s %+.2f", k.name, k.worth))
		}
	}
	return strings.Join(parts, ", ")
}
