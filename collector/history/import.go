package history

import (
	"math"
	"slices"
	"time"

	"loadstar/models"
)

// MaxImport is how many points one Import takes.
const MaxImport = 10_000_000

// Import puts past points, each the mean of the step that begins at its time,
// into the tiers. The finest tier whose step is not below the given one takes
// them, by overlap where the steps are not equal (a step has to be covered at
// least by half), and every coarser tier is derived; finer ones get nothing, for
// nothing is known at their step. Where the steps are equal, a time off the grid
// is moved to the nearest step.
//
// Points take the place of what was there. Those behind a tier's reach are kept
// in the coarser ones alone; an error says that none had a place. What was
// imported is durable after the next Flush.
func (s *Store) Import(name string, step time.Duration, points []models.Point) error {
	tier, err := s.importTier(name, step, points)
	if err != nil {
		return err
	}
	sorted := slices.Clone(points)
	slices.SortStableFunc(sorted, func(a, b models.Point) int { return a.At.Compare(b.At) })

	s.mu.Lock()
	defer s.mu.Unlock()
	ser := s.seriesFor(name)
	if ser == nil {
		return models.Invalid("series", "there are %d series already, the most that are kept", s.cfg.MaxSeries)
	}
	if tier >= len(ser.rings) {
		return models.Invalid("step", "%s is kept at a step of %s only", name, s.cfg.Tiers[0].Step)
	}
	// The tiers are derived on rings of their own, since the points may lie behind
	// what the finer of the real ones can hold.
	scratch := s.newSeries(name)
	resample(sorted, int64(step), int64(s.cfg.Tiers[tier].Step), func(index int64, v float32) { scratch.put(tier, index, v) })
	kept := false
	// Coarsest first: a step that is partly the import's and partly there already
	// is then made anew from both.
	for i := len(ser.rings) - 1; i >= tier; i-- {
		kept = ser.merge(i, scratch.rings[i]) || kept
	}
	if !kept {
		return models.Invalid("points", "none of the %d is within what the history keeps", len(points))
	}
	return nil
}

// importTier checks an import and finds the tier that takes it.
func (s *Store) importTier(name string, step time.Duration, points []models.Point) (int, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	coarsest := s.cfg.Tiers[len(s.cfg.Tiers)-1].Step
	tier := slices.IndexFunc(s.cfg.Tiers, func(t Tier) bool { return t.Step >= step })
	switch {
	case step < time.Millisecond:
		return 0, models.Invalid("step", "%s is less than a millisecond", step)
	case tier < 0:
		return 0, models.Invalid("step", "%s is coarser than the coarsest tier, %s", step, coarsest)
	case len(points) == 0:
		return 0, models.Invalid("points", "there are none")
	case len(points) > MaxImport:
		return 0, models.Invalid("points", "%d are more than %d", len(points), MaxImport)
	}
	for i, p := range points {
		if !finite(float32(p.Value)) {
			return 0, models.Invalid("points", "the value of point %d, %v, is not a number that can be kept", i+1, p.Value)
		}
		if !inTime(p.At) {
			return 0, models.Invalid("points", "the time of point %d, %s, is not between 1970 and 2200", i+1, p.At.UTC().Format(time.RFC3339))
		}
	}
	return tier, nil
}

// resample gives the values of the target step that points of another, not
// coarser step make, in order. Of two points for one step the later counts.
func resample(points []models.Point, step, target int64, record func(index int64, v float32)) {
	if step == target {
		for _, p := range points {
			record(nearest(p.At.UnixNano(), step), float32(p.Value))
		}
		return
	}
	var (
		index        int64 = math.MinInt64
		sum, covered float64
	)
	emit := func() {
		if 2*covered >= float64(target) {
			record(index, float32(sum/covered))
		}
		sum, covered = 0, 0
	}
	for i, p := range points {
		from := p.At.UnixNano()
		to := from + step
		if i+1 < len(points) { // the next one takes over, also where the stamps drift or repeat
			to = min(to, points[i+1].At.UnixNano())
		}
		for from < to {
			at := floorDiv(from, target)
			if at != index {
				emit()
				index = at
			}
			end := min(to, (at+1)*target)
			sum += p.Value * float64(end-from)
			covered += float64(end - from)
			from = end
		}
	}
	emit()
}

// nearest is the step whose start is nearest; of two equally near, the earlier.
func nearest(t, step int64) int64 { return ceilDiv(t-step/2, step) }

// merge puts a scratch ring's values into a tier. It says whether any had a place.
func (ser *series) merge(tier int, from *ring) bool {
	if !from.used {
		return false
	}
	r, kept := ser.rings[tier], false
	for i := from.first; i <= from.last; i++ {
		if v := from.at(i); !isAbsent(v) && ser.put(tier, i, v) {
			kept = true
		}
	}
	r.urgent = r.urgent || kept
	return kept
}
