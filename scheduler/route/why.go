package route

import (
	"fmt"
	"strings"

	"loadstar/models"
)

// Why says in words why a policy chose as it did. bonus is what the chosen one
// met of the work's wish.
func Why(p models.DispatchPolicy, candidates []Candidate, c Choice, bonus Bonus) string {
	if c.Index < 0 || c.Index >= len(candidates) || c.Other >= len(candidates) {
		return ""
	}
	chosen, other := candidates[c.Index].Agent.ID, ""
	if c.Other >= 0 {
		other = candidates[c.Other].Agent.ID
	}
	wish := ""
	if b := bonus.String(); b != "" {
		wish = " (affinity: " + b + ")"
	}
	switch {
	case c.Free == 0:
		return fmt.Sprintf("%s: nobody was free for it, and it waits on %s for the next slot there", p, chosen)
	case c.Free == 1:
		return fmt.Sprintf("%s: %s was the only agent free for it%s", p, chosen, wish)
	case p == models.DispatchWeighted:
		return fmt.Sprintf("%s: it was the turn of %s, of weight %.0f%s, among %d that were free", p, chosen, c.Cost, wish, c.Free)
	case p == models.DispatchTwoChoices:
		return fmt.Sprintf("%s: of %s and %s, drawn among %d that were free, %s has the lower load: %.2f%s against %.2f", p, chosen, other, c.Free, chosen, c.Cost, wish, c.Next)
	}
	return fmt.Sprintf("%s: of %d agents that were free %s has the lowest load, %.2f%s; %s is next with %.2f", p, c.Free, chosen, c.Cost, wish, other, c.Next)
}

// Stand says in words how a candidate stands towards a piece of work.
func Stand(p models.DispatchPolicy, c *Candidate, i int, a *Ask) string {
	id := c.Agent.ID
	switch {
	case c.Agent.State != Ready:
		return fmt.Sprintf("agent %s is %s", id, c.Agent.State)
	case !capable(&c.Agent, &a.Need):
		if a.Need.Agent != "" && a.Need.Agent != id {
			return fmt.Sprintf("agent %s is not the one that it is assigned to", id)
		}
		return fmt.Sprintf("agent %s lacks %s", id, strings.Join(c.lacks(a.Need.Capabilities), ", "))
	case !able(&c.Agent, &a.Need):
		return fmt.Sprintf("agent %s has less than it asks for, %s", id, a.Need.asks())
	case !c.Room(&a.Need):
		return fmt.Sprintf("agent %s has no room for %s", id, a.Need.asks())
	}
	taken := fmt.Sprintf("%d taken", c.Used)
	if c.Agent.Slots > 0 {
		taken = fmt.Sprintf("%d of %d slots taken", c.Used, c.Agent.Slots)
	}
	what, cost := "load", c.Cost(p, i, a.Wish)
	if p == models.DispatchWeighted {
		what = "weight"
	}
	text := fmt.Sprintf("agent %s: %s %.2f (load score %.2f, %s)", id, what, cost, c.score(), taken)
	if b := a.Wish.Bonus(i, c).String(); b != "" {
		text += ", affinity: " + b
	}
	return text
}

// lacks are the capabilities that an agent does not have.
func (c *Candidate) lacks(capabilities []string) (out []string) {
	for _, k := range capabilities {
		if !capable(&c.Agent, &Need{Capabilities: []string{k}}) {
			out = append(out, k)
		}
	}
	return out
}
