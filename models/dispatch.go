package models

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
