package predictor

import (
	"math"
	"time"

	"loadstar/models"
)

// window is the newest stretch of a series on its grid. Step k covers
// [k*step, (k+1)*step) since the epoch. A missing step is NaN, and a value is
// taken once: what is there never changes.
type window struct {
	step   int64     // milliseconds
	first  int64     // grid index of values[0]
	values []float64 //
	most   int       // values kept
	count  int       // values that are there
	least  float64   // of the values that are there, over all time
}

func newWindow(step time.Duration, most int) *window {
	return &window{step: step.Milliseconds(), most: most, least: math.Inf(1)}
}

// floorDiv is a/b rounded down, for a before the epoch too.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (w *window) index(at time.Time) int64    { return floorDiv(at.UnixMilli(), w.step) }
func (w *window) start(index int64) time.Time { return time.UnixMilli(index * w.step).UTC() }

// end is the grid index after the newest step held.
func (w *window) end() int64 { return w.first + int64(len(w.values)) }

// at is the value of a step, if it is there.
func (w *window) at(index int64) (float64, bool) {
	if index < w.first || index >= w.end() {
		return 0, false
	}
	v := w.values[index-w.first]
	return v, !math.IsNaN(v)
}

// newest is the grid index of the newest value; ok is false without one.
func (w *window) newest() (int64, bool) {
	for i := len(w.values) - 1; i >= 0; i-- {
		if !math.IsNaN(w.values[i]) {
			return w.first + int64(i), true
		}
	}
	return 0, false
}

// put takes the points before grid index end, and stretches the window to there
// with missing steps. Values that are not finite are no values.
func (w *window) put(points []models.Point, end int64) {
	if len(w.values) == 0 || end-w.end() >= int64(w.most) { // nothing, or nothing of it would stay
		w.values, w.count, w.first = nil, 0, end
		for _, p := range points {
			if i := w.index(p.At); i >= end-int64(w.most) {
				w.first = min(w.first, i)
			}
		}
	}
	for w.end() < end {
		w.values = append(w.values, math.NaN())
	}
	for _, p := range points {
		i := w.index(p.At)
		if i < w.first || i >= min(end, w.end()) || math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			continue
		}
		if slot := &w.values[i-w.first]; math.IsNaN(*slot) {
			*slot = p.Value
			w.count++
			w.least = min(w.least, p.Value)
		}
	}
	w.trim()
}

// extend takes points from before the window, as far back as it may reach.
func (w *window) extend(points []models.Point) {
	first := w.first
	for _, p := range points {
		if i := w.index(p.At); i >= w.end()-int64(w.most) {
			first = min(first, i)
		}
	}
	older := make([]float64, w.first-first, w.first-first+int64(len(w.values)))
	for i := range older {
		older[i] = math.NaN()
	}
	w.values, w.first = append(older, w.values...), first
	w.put(points, w.end())
}

// trim lets go of the oldest values, a quarter of the window at a time.
func (w *window) trim() {
	over := len(w.values) - w.most
	if over < max(1, w.most/4) {
		return
	}
	for _, v := range w.values[:over] {
		if !math.IsNaN(v) {
			w.count--
		}
	}
	w.values = append(make([]float64, 0, w.most+w.most/4+1), w.values[over:]...)
	w.first += int64(over)
}

// upTo is the values before a grid index, shared, not to be written.
func (w *window) upTo(index int64) []float64 {
	n := min(max(index-w.first, 0), int64(len(w.values)))
	return w.values[:n:n]
}
