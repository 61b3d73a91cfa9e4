package ingest

import (
	"math"
	"time"

	"loadstar/models"
)

// Resample is the table at a coarser step: means over steps at multiples of it
// since 1970, by overlap where the grids do not meet. A step that is covered by
// less than half has no point; stretches of those are gaps. A finer step is
// refused, since nothing is known at it.
func (t *Table) Resample(step time.Duration) (Table, error) {
	from := t.Step()
	switch {
	case step < time.Millisecond:
		return Table{}, models.Invalid("step", "%s is less than a millisecond", step)
	case step < from:
		return Table{}, models.Invalid("step", "%s is finer than that of the rows, %s", step, from)
	}
	out := Table{StepS: step.Seconds(), Rows: t.Rows, OffGrid: t.OffGrid, Duplicates: t.Duplicates, Unordered: t.Unordered}
	var (
		at           time.Time // of the step that is being filled
		sum, covered float64   // value times seconds, seconds
	)
	emit := func() {
		if covered == 0 || 2*covered < out.StepS*(1-1e-9) {
			return
		}
		v := sum / covered
		if math.IsInf(v, 0) || math.IsNaN(v) { // the sum of very large values
			return
		}
		if n := len(out.Points); n > 0 {
			if end := out.Points[n-1].At.Add(step); end.Before(at) {
				out.Gaps = append(out.Gaps, models.Gap{From: end, To: at})
				out.Missing += int(at.Sub(end) / step)
			}
		}
		out.Points = append(out.Points, models.Point{At: at, Value: v})
	}
	for _, p := range t.Points {
		for begin, end := p.At, p.At.Add(from); begin.Before(end); {
			cell := floor(begin, step)
			if !cell.Equal(at) {
				emit()
				at, sum, covered = cell, 0, 0
			}
			until := cell.Add(step)
			if until.After(end) {
				until = end
			}
			sum += p.Value * until.Sub(begin).Seconds()
			covered += until.Sub(begin).Seconds()
			begin = until
		}
	}
	emit()
	return out, nil
}

// floor is the last multiple of the step since 1970 that is not after t.
func floor(t time.Time, step time.Duration) time.Time {
	over := t.Sub(time.Unix(0, 0)) % step
	if over < 0 {
		over += step
	}
	return t.Add(-over)
}
