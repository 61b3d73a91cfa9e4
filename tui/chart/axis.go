package chart

import (
	"math"
	"strings"
	"time"

	"loadstar/tui/widget"
)

// ticks are the multiples of step within [lo, hi].
func ticks(lo, hi, step float64) []float64 {
	if !(hi > lo) || !(step > 0) || math.IsInf(step, 0) || math.IsInf(hi-lo, 0) {
		return []float64{lo}
	}
	var out []float64
	for v := math.Ceil(lo/step-1e-9) * step; v <= hi+step*1e-9 && len(out) < 50; v += step {
		out = append(out, v)
	}
	if len(out) == 0 {
		return []float64{lo}
	}
	return out
}

// niceStep is the least of 1, 2, 5 times a power of ten (of two for bytes) that is at least want.
func niceStep(want float64, binary bool) float64 {
	if !(want > 0) {
		return 0
	}
	if binary && want >= 1 {
		unit := math.Pow(1024, math.Floor(math.Log2(want)/10))
		for _, m := range []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1024} {
			if unit*m >= want {
				return unit * m
			}
		}
	}
	base := math.Pow(10, math.Floor(math.Log10(want)))
	for _, m := range []float64{1, 2, 5, 10} {
		if base*m >= want*(1-1e-9) {
			return base * m
		}
	}
	return base * 10
}

// timeSteps are the distances that ticks of a time axis may have.
func timeSteps() []time.Duration {
	return []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
		2 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 30 * 24 * time.Hour, 90 * 24 * time.Hour, 365 * 24 * time.Hour,
	}
}

// timeTick is a tick of a time axis.
type timeTick struct {
	at    time.Time
	label string
}

// timeTicks are round local times within [from, to], at least room cells apart on an axis of w cells.
func timeTicks(from, to time.Time, w, room int, zone *time.Location) []timeTick {
	span := to.Sub(from)
	if span <= 0 || w < 2 {
		return nil
	}
	least := time.Duration(float64(span) / float64(w) * float64(room))
	steps := timeSteps()
	step := steps[len(steps)-1]
	for _, s := range steps {
		if s >= least {
			step = s
			break
		}
	}
	layout := "15:04"
	switch {
	case step < time.Minute:
		layout = "15:04:05"
	case step >= 24*time.Hour:
		layout = "Jan 02"
	}
	_, offset := from.In(zone).Zone() // ticks are round in local time
	shift := time.Duration(offset) * time.Second
	var out []timeTick
	for t := from.Add(shift).Truncate(step).Add(-shift); !t.After(to) && len(out) < 100; t = t.Add(step) {
		if t.Before(from) {
			continue
		}
		local := t.In(zone)
		label := local.Format(layout)
		if layout == "15:04" && local.Hour() == 0 && local.Minute() == 0 {
			label = local.Format("Mon 02")
		}
		out = append(out, timeTick{t, label})
	}
	return out
}

// labels are the texts of the ticks of a value axis: all in the unit of the largest,
// so that they can be compared at a glance. The unit is said once, apart.
func labels(values []float64, unit string) (texts []string, said string) {
	top := 0.0
	for _, v := range values {
		top = math.Max(top, math.Abs(v))
	}
	scale := 1.0
	switch unit {
	case "B/s":
		names := []string{"B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s", "PiB/s"}
		i := 0
		for top/scale >= 1000 && i < len(names)-1 {
			scale *= 1024
			i++
		}
		said = names[i]
	default:
		names := []string{"", "k", "M", "G", "T", "P"}
		i := 0
		for top/scale >= 10_000 && i < len(names)-1 {
			scale *= 1000
			i++
		}
		said = strings.TrimSpace(names[i] + " " + unit)
		if i > 0 && unit == "" {
			said = names[i]
		}
	}
	decimals := 0
	if len(values) > 1 {
		for step := math.Abs(values[1]-values[0]) / scale; decimals < 4 && step > 0 && step < 0.9999; step *= 10 {
			decimals++
		}
	}
	for _, v := range values {
		texts = append(texts, fixed(v/scale, decimals))
	}
	return texts, said
}

func fixed(v float64, decimals int) string {
	if math.Abs(v) >= 1e6 {
		return widget.SI(v)
	}
	return formatFixed(v, decimals)
}
