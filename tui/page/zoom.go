package page

import "time"

// spans are what the charts can show of the past, from a minute to a month.
func spans() []time.Duration {
	return []time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour,
		24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour,
	}
}

// zoomed is the next span on that side of one: shorter where in is set.
func zoomed(span time.Duration, in bool) time.Duration {
	all := spans()
	if in {
		for i := len(all) - 1; i >= 0; i-- {
			if all[i] < span {
				return all[i]
			}
		}
		return all[0]
	}
	for _, s := range all {
		if s > span {
			return s
		}
	}
	return all[len(all)-1]
}

// mostPoints is how many values of a series a chart asks for at most: more than
// twice the columns of a wide screen are not told apart.
const mostPoints = 1000

// stepFor is the finest of the steps (seconds, ascending) that shows the span with
// no more values than a chart can.
func stepFor(span time.Duration, steps []float64) float64 {
	for _, s := range steps {
		if s > 0 && span.Seconds()/s <= mostPoints {
			return s
		}
	}
	if len(steps) == 0 {
		return 1
	}
	return steps[len(steps)-1]
}

// tiers are the steps in seconds that the daemon keeps every series at.
func tiers() []float64 { return []float64{1, 10, 60, 900} }
