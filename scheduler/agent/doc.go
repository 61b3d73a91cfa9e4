// Package agent is a host's executor: it runs what the scheduler assigns, and
// reports what became of it. Local is the one that the daemon carries itself.
//
// It imports models, scheduler (for the words of the protocol) and
// scheduler/worker. It decides nothing: how many tasks run at once, and where, is
// the core's choice, and an agent takes what it is given. What it is given beyond
// the slots that the core names (scheduler.Run.Slots) waits in its pool's lane, so
// that a slot that becomes free is taken at once; until it begins it can be recalled.
//
// One goroutine (Run) owns the books: which attempts run, by task and lease, and
// which workers there are. Each attempt and each worker has a goroutine of its
// own that ends with it. Commands come in and reports go out through unbounded
// mailboxes, so that neither the driver nor the agent ever waits for the other;
// what is in them is bounded by what the core has assigned.
package agent
