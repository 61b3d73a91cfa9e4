package shard

import (
	"math"
	"time"
)

// What is aimed at.
const (
	// MaxOverhead is the share of a shard's time that may go into other things than its items.
	MaxOverhead = 0.05
	// ShardsPerWorker is how many shards each worker gets at least, so that none is
	// left alone with a long one at the end.
	ShardsPerWorker = 3
	// Shortest and Longest are how long a shard should take, where that is not
	// against the two above.
	Shortest, Longest = time.Second, 5 * time.Second
)

const (
	decay    = 0.9   // weight of a measurement when the next one comes
	growth   = 4     // a shard has at most so many times the items of the largest one measured
	dispatch = 0.002 // s, what a shard costs where nothing is known: its way to the worker and back
	least    = 1e-9  // s, of an item
)

// Measure is what is known of the shards of a task that have ended: a line through
// their run times over their items, older ones counting less. The zero value knows
// nothing.
type Measure struct {
	// Weight, Items, Squares, Time and Product are the weighted sums of 1, n, n², t
	// and n·t, with n items and t seconds.
	Weight, Items, Squares, Time, Product float64
	// Gap is the shortest time from assigned to started in seconds; 0 is unknown.
	Gap float64
	// Most is the largest shard that was measured, in items.
	Most int
	// Start is the time of a shard beside its items as sizes that differed have last
	// told it, in seconds; Told says that they have.
	Start float64
	Told  bool
}

// Add takes in a shard that has ended well.
func (m *Measure) Add(items int, gap, run time.Duration) {
	if items < 1 || run < 0 {
		return
	}
	n, t := float64(items), run.Seconds()
	m.Weight = decay*m.Weight + 1
	m.Items = decay*m.Items + n
	m.Squares = decay*m.Squares + n*n
	m.Time = decay*m.Time + t
	m.Product = decay*m.Product + n*t
	if g := gap.Seconds(); g > 0 && (m.Gap == 0 || g < m.Gap) {
		m.Gap = g
	}
	m.Most = max(m.Most, items)
	if start, ok := m.start(); ok {
		m.Start, m.Told = start, true
	}
}

// start is where the line through the run times begins; ok is false where all were
// of about one size, or chance is larger than the difference.
func (m *Measure) start() (s float64, ok bool) {
	mean, size := m.Time/m.Weight, m.Items/m.Weight
	spread := m.Squares/m.Weight - size*size
	if !(spread > 1e-3*size*size) {
		return 0, false
	}
	b := (m.Product/m.Weight - size*mean) / spread
	s = bounded(mean - b*size)
	return s, b > 0 && s < mean
}

// Costs is the time of an item and what a shard costs beside its items, in
// seconds; ok is false while nothing was measured. Both are finite, item is
// positive and overhead not negative.
func (m *Measure) Costs() (item, overhead float64, ok bool) {
	if !(m.Weight > 0 && m.Items > 0) {
		return 0, 0, false
	}
	mean, size := m.Time/m.Weight, m.Items/m.Weight
	gap := dispatch
	if m.Gap > 0 {
		gap = min(m.Gap, 1)
	}
	start := min(m.Start, mean)
	return bounded(max((mean-start)/size, least)), bounded(start + gap), true
}

func bounded(v float64) float64 {
	const most = 1e9
	if !(v > 0) { // NaN too
		return 0
	}
	return min(v, most)
}

// Input is what a size depends on.
type Input struct {
	Size    int // items that were asked for; 0 is auto
	Total   int // items of the task
	Left    int // those that are not cut yet
	Workers int // that may run shards at once
	Measure Measure
}

// Grain is how many items the next shard gets: 1 to Left, or 0 where none is left.
func Grain(in Input) int {
	if in.Left <= 0 {
		return 0
	}
	if in.Size > 0 {
		return min(in.Size, in.Left)
	}
	item, overhead, ok := in.Measure.Costs()
	if !ok {
		return 1
	}
	cheap := math.Ceil(overhead / item * (1 - MaxOverhead) / MaxOverhead)
	n := max(cheap, math.Ceil(Shortest.Seconds()/item))
	n = max(1, min(n, max(cheap, math.Floor(Longest.Seconds()/item))))
	if m := &in.Measure; !m.Told && float64(2*m.Most)*item <= 2*Longest.Seconds() {
		n = max(n, float64(2*m.Most)) // another size, to tell the items from what is beside them
	}
	n = min(n, growth*float64(in.Measure.Most))

	workers := float64(max(1, in.Workers))
	n = min(n, max(1, math.Floor(float64(in.Total)/(ShardsPerWorker*workers))))
	// The last ones grow smaller, so that all workers end together, but not so small
	// that the overhead eats what that gains.
	tail := math.Ceil(float64(in.Left) / (2 * workers))
	n = min(n, max(1, cheap, tail))
	return max(1, min(int(min(n, float64(in.Left))), in.Left))
}
