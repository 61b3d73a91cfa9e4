package features

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"loadstar/models"
)

// MaxSteps is the longest grid that Resample makes.
const MaxSteps = 1 << 22

// Grid is a series on regular steps. Values are finite everywhere; where Mask is
// false nothing was observed and the value is the last one observed before it
// (the first one observed, at the front).
type Grid struct {
	Start  time.Time // start of the first step
	Step   time.Duration
	Values []float64
	Mask   []bool
}

// Len is the number of steps.
func (g Grid) Len() int { return len(g.Values) }

// End is the end of the last step.
func (g Grid) End() time.Time { return g.Start.Add(time.Duration(len(g.Values)) * g.Step) }

// Observed is the number of steps with an observed value.
func (g Grid) Observed() int {
	n := 0
	for _, ok := range g.Mask {
		if ok {
			n++
		}
	}
	return n
}

// Tail is the last n steps, or all of them; it shares memory with g.
func (g Grid) Tail(n int) Grid {
	cut := max(0, len(g.Values)-n)
	g.Start = g.Start.Add(time.Duration(cut) * g.Step)
	g.Values, g.Mask = g.Values[cut:], g.Mask[cut:]
	return g
}

// Resample puts points on a grid of steps from from (rounded down to a multiple
// of step since the zero time) to to (exclusive). A step's value is the mean of
// the points in it. Points outside are left out and their order does not matter;
// points that are not finite count as not observed. A step that no point falls
// into is carried forward and masked out, never interpolated: a value would
// otherwise leak backwards over the gap.
func Resample(points []models.Point, step time.Duration, from, to time.Time) (Grid, error) {
	if step <= 0 {
		return Grid{}, fmt.Errorf("features: the step %s is not positive", step)
	}
	start := from.Truncate(step)
	if !to.After(start) {
		return Grid{}, errors.New("features: the span is empty")
	}
	n := int64(to.Sub(start)+step-1) / int64(step)
	if n > MaxSteps || to.Sub(start) == math.MaxInt64 {
		return Grid{}, fmt.Errorf("features: the span has more than %d steps of %s", MaxSteps, step)
	}
	g := Grid{Start: start, Step: step, Values: make([]float64, n), Mask: make([]bool, n)}
	count := make([]int32, n)
	for _, p := range points {
		if p.At.Before(start) || !p.At.Before(to) || math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			continue
		}
		i := int64(p.At.Sub(start) / step)
		count[i]++
		g.Values[i] += (p.Value - g.Values[i]) / float64(count[i]) // a running mean cannot overflow
		g.Mask[i] = true
	}
	CarryForward(g.Values, g.Mask)
	return g, nil
}

// CarryForward overwrites values that were not observed with the last observed
// one; those before the first observed value take the first.
func CarryForward(values []float64, mask []bool) {
	first := slices.Index(mask, true)
	if first < 0 {
		clear(values)
		return
	}
	for i := range first {
		values[i] = values[first]
	}
	for i := first + 1; i < len(values); i++ {
		if !mask[i] {
			values[i] = values[i-1]
		}
	}
}
