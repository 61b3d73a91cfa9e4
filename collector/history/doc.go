// Package history keeps what was sampled: rings in memory, one a series and
// tier, and packed frames in a side log that bring them back after a restart.
//
// It imports models and nothing else of the house; it starts no goroutine of
// its own (Run, which writes out once a minute, is the caller's to run), and
// one mutex guards everything.
//
// # Tiers
//
// A value is the mean of its step and is stamped with the step's start.
//
//	step   values    reach    bytes a series
//	1 s     3,600    1 h       14 KiB
//	10 s    8,640    24 h      34 KiB
//	1 min  20,160    14 days   79 KiB
//	15 min 38,400    400 days 150 KiB
//
// Rings grow as data comes, so a series costs at most 277 KiB and 40 series at
// most 11 MiB, after 400 days. Values are float32 (24 bits of mantissa).
//
// A coarser value is the mean of the values of the tier below in its step. It is
// made when the step is over, and only where at least half of it has values
// (any one, for series that have values only now and then: see Rule). A value
// that comes late, within the reach of its tier, is put in its place and what
// was made from it is made anew. Of two values for one step the later call wins.
// A step without a value has no point, and a stretch of them is a gap.
//
// # What a restart brings back
//
// New values of the finest tier are written once in FlushEvery and at Close;
// those of a coarser tier every 60 of its steps, since until then they can be
// made again from the tier below. A kill -9 therefore loses at most the last
// FlushEvery (one minute) of samples, in every tier, if the next start is within a
// day; after longer, what was not written yet (10 minutes of the 10 s tier, an hour
// of the minutes) may be missing too. A damaged frame is left out and counted. The
// format stands in frame.go.
//
// # What it costs
//
// A second of 40 series takes some 6 µs (go test -bench Append), a whole tick of the
// collector 0.3 ms of CPU time, 0.03 % of a core at 1 Hz (go test -bench Tick ./collector).
// On disk a sample takes 4.8 bytes, all tiers together.
package history
