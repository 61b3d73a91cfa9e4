// Package simulate replays a recorded trace through the real scheduler in virtual
// time, to say what a policy for the size of a pool would have cost.
//
// The core (scheduler.NewCore, Step) and the rule (autoscale.Decide) are the ones
// that run live. What is simulated is the world around them: a clock that jumps
// from event to event, workers with a cold start, and the tasks' run times.
//
//	trace ─► Workload: arrivals and run times, fixed by the seed ──┐
//	   │                                                           ▼
//	   └► offered load a bin ─► Forecaster ─► forecasts ─► Sizer ─► Core.Step ─► agent (virtual)
//	                            (one pass, in order)        ▲            │          │
//	                                                        └── ticks ───┴─ reports ┘
//
// Every policy gets the same arrivals, the same run times and the same cold starts
// (common random numbers), and each bin and each worker has its own random stream,
// so what comes later cannot change what came before. A policy sees the pool as the
// core tells it; only the oracle is handed the workload.
//
// It imports models, scheduler and scheduler/autoscale; forecasts come in through
// the interface Forecaster.
package simulate
