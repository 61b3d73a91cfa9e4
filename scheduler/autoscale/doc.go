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
// An Advisor says which expectation of the load and which way to staff it would have
// been the cheapest on what has arrived lately; a Sizer has one for each pool and
// puts its advice into the decision's inputs. Then that rule is what predicts, and
// the gate asks whether looking ahead would have paid:
//
//	arrivals ─► signals × sizings ─► shadow pools ─► late share, worker-hours ─► advice
//	            rate, day, week,     price of a
//	            forecast             late task
//
// A closed gate leaves the reactive rule in charge, so a bad forecast costs idle
// workers at worst, never a wait that reacting would have avoided.
package autoscale
