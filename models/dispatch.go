package models

import (
	"maps"
	"slices"
	"strings"
)

// DispatchPolicy is how a pool's waiting tasks are given out: which goes first, and
// to which agent. It has nothing to do with PoolPolicy, which chooses a pool's size.
type DispatchPolicy string

// The dispatch policies. All but fifo take the highest priority first, raised by
// waiting.
const (
	DispatchPriority   DispatchPolicy = "priority"    // to the agent with the least load and the fewest slots taken (the default)
	DispatchFIFO       DispatchPolicy = "fifo"        // first come, first served, whatever the priority; to the same agent as under priority
	DispatchLoadAware  DispatchPolicy = "load-aware"  // to the agent with the lowest load score
	DispatchWeighted   DispatchPolicy = "weighted"    // to the agents in turn, by their weights and their free CPU
	DispatchTwoChoices DispatchPolicy = "two-choices" // to the less loaded of two agents that are drawn
)

// DispatchPolicies lists every dispatch policy.
func DispatchPolicies() []DispatchPolicy {
	return []DispatchPolicy{DispatchPriority, DispatchFIFO, DispatchLoadAware, DispatchWeighted, DispatchTwoChoices}
}

// The base weights of agents under the dispatch policy weighted.
const (
	DefaultWeight = 100 // of an agent that names none
	MaxWeight     = 10_000
)

// MaxCap is the largest number that a cap may have.
const MaxCap = 1_000_000

// CheckCaps refuses caps that are none: each is a label with a value ("team=a") or
// a label alone ("user": each value by itself), and how many of its tasks agents may
// have at once. The error is a *FieldError.
func CheckCaps(field string, caps map[string]int) error {
	for _, name := range slices.Sorted(maps.Keys(caps)) {
		label, value, _ := strings.Cut(name, "=")
		if label == "" || len(label) > maxLabelLength || len(value) > maxLabelLength || strings.Contains(label, ",") {
			return Invalid(field, "%q is not a label, or a label and its value (label=value)", name)
		}
		if n := caps[name]; n < 1 || n > MaxCap {
			return Invalid(field+"."+name, "%d is not between 1 and %d", n, MaxCap)
		}
	}
	return nil
}

// mergeCaps lays a change of caps over others; 0 takes one away, and is kept as
// such where keep is set. Neither map is changed.
func mergeCaps(under, over map[string]int, keep bool) map[string]int {
	if over == nil {
		return under
	}
	out := make(map[string]int, len(under)+len(over))
	maps.Copy(out, under)
	for name, n := range over {
		if out[name] = n; n == 0 && !keep {
			delete(out, name)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
