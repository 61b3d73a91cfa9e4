// Package collector is the one sampler: once a second, on the whole second, it
// reads the host and the pools' totals, publishes an immutable snapshot, and
// appends the samples to the history.
//
//	            host.Read      Pools()
//	                \            /
//	whole second -> sample ------+--> Host(): the latest snapshot
//	                             +--> History.Append, stamped with the second that has ended
//
// A value is about the one second that has ended, or it is left out: the first
// reading is no rate, a tick that comes half a second late or after a leap of the
// clock leaves a gap, and so does a counter that began anew. A clock that is set
// back makes the history forget what lies ahead of it.
//
// It imports models, and its own host. One goroutine, Run, owns everything but
// the snapshot.
package collector
