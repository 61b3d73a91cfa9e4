// Package autoscale decides how many workers a pool should have.
//
// Decide is a pure function from a pool and what is known of it to a size with
// every number it used and one plain sentence. It imports models only, so the
// live scheduler and a replay in virtual time run the very same rule:
//
//	need now (queue, busy, rate) ──────────────► reactive ──┐
//	                                                        max ─► caps ─► want
//	offered load ahead, P10..P90 ─► Erlang-C ─► predicted ──┘      max, min,
//	                                    ▲                          memory, cpu,
//	                          gate: skill, coverage,               slow scale-in
//	                          drift, age, cold start
//
// A closed gate leaves the reactive rule in charge, so a bad forecast costs idle
// workers at worst, never a wait that reacting would have avoided.
package autoscale
