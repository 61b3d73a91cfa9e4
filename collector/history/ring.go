package history

import (
	"math"
	"time"

	"loadstar/models"
)

const (
	maxTierLen = 1 << 20
	minRing    = 64  // values of a ring when it begins
	maxGaps    = 200 // of one ring that are told, the newest
)

// absent marks a step without a value; it never leaves the package.
func absent() float32 { return float32(math.NaN()) }

func isAbsent(v float32) bool { return v != v } //nolint:staticcheck // NaN is the one value that differs from itself

// ring holds the newest values of one series at one step. A step has the index
// floor(unix time / step) and stands at values[index mod len(values)].
//
//	reach() <= first <= last, where reach() = last - limit + 1, and never falls
//
// last is the newest index ever written (since a rewind); slots from max(first,
// reach) to last are valid, absent ones included. len(values) covers them all.
type ring struct {
	step    int64 // nanoseconds
	limit   int   // values kept
	values  []float32
	first   int64
	last    int64
	floor   int64 // the oldest index that has not been forgotten for want of room
	present int   // values that are not absent
	used    bool

	unsaved int64 // the first index that may not be in the log
	urgent  bool  // what is unsaved cannot be made again from the tier below

	gaps      []models.Gap // as of the last call of gapsOf
	gapsKnown bool
}

func newRing(t Tier) *ring { return &ring{step: int64(t.Step), limit: t.Len} }

// reach is the oldest index that has a place; only where used.
func (r *ring) reach() int64 { return max(r.floor, r.last-int64(r.limit)+1) }

func (r *ring) at(index int64) float32 {
	if !r.used || index < r.first || index > r.last {
		return absent()
	}
	return r.values[mod(index, len(r.values))]
}

func (r *ring) time(index int64) time.Time { return time.Unix(0, index*r.step).UTC() }

// set puts a value in its place, where it has one: false says that it is too old.
func (r *ring) set(index int64, v float32) bool {
	switch {
	case !r.used:
		r.used, r.first, r.last, r.unsaved = true, index, index, index
		r.floor = index - int64(r.limit) + 1
		r.values = append(r.values[:0], v)
		r.present = 1
		r.gapsKnown = false
		return true
	case index < r.reach():
		return false
	case index > r.last:
		r.advance(index)
	case index < r.first:
		r.fit(int(r.last - index + 1))
		for i := index; i < r.first; i++ {
			r.values[mod(i, len(r.values))] = absent()
		}
		r.first = index
	}
	place := &r.values[mod(index, len(r.values))]
	if isAbsent(*place) {
		r.present++
	}
	*place = v
	r.unsaved = min(r.unsaved, index)
	r.gapsKnown = false
	return true
}

// advance makes index the newest, absent so far, and forgets what falls out of reach.
func (r *ring) advance(index int64) {
	oldest := index - int64(r.limit) + 1
	r.floor = max(r.floor, oldest)
	if oldest > r.last { // a gap longer than the ring: nothing stays
		r.first, r.last, r.present = index, index, 0
		r.unsaved = index
		r.values = append(r.values[:0], absent())
		return
	}
	for i := r.first; i < oldest; i++ {
		if !isAbsent(r.values[mod(i, len(r.values))]) {
			r.present--
		}
	}
	r.first = max(r.first, oldest)
	r.unsaved = max(r.unsaved, oldest)
	r.fit(int(index - r.first + 1))
	for i := r.last + 1; i <= index; i++ {
		r.values[mod(i, len(r.values))] = absent()
	}
	r.last = index
	r.trimAbsent()
}

// trimAbsent moves first onto a value, so that a series begins with one.
func (r *ring) trimAbsent() {
	for r.first < r.last && isAbsent(r.values[mod(r.first, len(r.values))]) {
		r.first++
	}
}

// fit makes room for n values, which is at most limit.
func (r *ring) fit(n int) {
	if n <= len(r.values) {
		return
	}
	size := min(max(2*len(r.values), n, minRing), r.limit)
	values := make([]float32, size)
	for i := r.first; i <= r.last; i++ {
		values[mod(i, size)] = r.values[mod(i, len(r.values))]
	}
	r.values = values
}

// cut forgets every step that ends after t (unix nanoseconds).
func (r *ring) cut(t int64) {
	if !r.used {
		return
	}
	last := floorDiv(t, r.step) - 1
	if last >= r.last {
		return
	}
	r.gapsKnown = false
	for i := max(r.first, last+1); i <= r.last; i++ {
		if !isAbsent(r.values[mod(i, len(r.values))]) {
			r.present--
		}
	}
	if r.present == 0 {
		r.used, r.values = false, nil
		return
	}
	r.last = last
	for isAbsent(r.values[mod(r.last, len(r.values))]) { // the newest is a value too
		r.last--
	}
	r.unsaved = min(r.unsaved, r.last+1)
}

// points copies the values with from <= at < to (unix nanoseconds).
func (r *ring) points(from, to int64) []models.Point {
	if !r.used {
		return nil
	}
	a, b := max(r.first, ceilDiv(from, r.step)), min(r.last, ceilDiv(to, r.step)-1)
	if a > b {
		return nil
	}
	out := make([]models.Point, 0, min(int(b-a+1), r.present))
	for i := a; i <= b; i++ {
		if v := r.values[mod(i, len(r.values))]; !isAbsent(v) {
			out = append(out, models.Point{At: r.time(i), Value: float64(v)})
		}
	}
	return out
}

// gapsOf are the newest maxGaps stretches without a value between the first and
// the last, oldest first. The slice is not changed afterwards.
func (r *ring) gapsOf() []models.Gap {
	if r.gapsKnown || !r.used {
		return r.gaps
	}
	r.gaps, r.gapsKnown = nil, true
	if int64(r.present) == r.last-r.first+1 {
		return nil
	}
	for i := r.last; i >= r.first && len(r.gaps) < maxGaps; i-- {
		if !isAbsent(r.values[mod(i, len(r.values))]) {
			continue
		}
		end := i + 1
		for i >= r.first && isAbsent(r.values[mod(i, len(r.values))]) {
			i--
		}
		r.gaps = append(r.gaps, models.Gap{From: r.time(i + 1), To: r.time(end)})
	}
	for i, j := 0, len(r.gaps)-1; i < j; i, j = i+1, j-1 {
		r.gaps[i], r.gaps[j] = r.gaps[j], r.gaps[i]
	}
	return r.gaps
}

func mod(index int64, n int) int {
	m := int(index % int64(n))
	if m < 0 {
		m += n
	}
	return m
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}
