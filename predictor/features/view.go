package features

import "math"

// Seasons is how many past seasons SeasonalMean averages.
const Seasons = 3

// View is a series as a forecaster may see it from an origin: every method takes
// the origin and reads nothing after it. Values must be finite (see CarryForward).
type View struct {
	Values []float64
	Mask   []bool // observed
	Season int    // steps, 0 for none
}

// Seasonal is the newest observed value at the same phase as step i, at or before
// the origin and before i. ok is false where the season is 0 or nothing that
// far back is known.
func (v View) Seasonal(i, origin int) (value float64, ok bool) {
	if v.Season <= 0 {
		return 0, false
	}
	at := v.sameBefore(i, origin)
	for k, j := 0, at; k < Seasons && j >= 0; k, j = k+1, j-v.Season {
		if v.Mask[j] {
			return v.Values[j], true
		}
	}
	return 0, false
}

// SeasonalMean is the mean of up to Seasons observed values at the phase of step i.
func (v View) SeasonalMean(i, origin int) (value float64, ok bool) {
	if v.Season <= 0 {
		return 0, false
	}
	n := 0
	for k, j := 0, v.sameBefore(i, origin); k < Seasons && j >= 0; k, j = k+1, j-v.Season {
		if v.Mask[j] {
			n++
			value += (v.Values[j] - value) / float64(n)
		}
	}
	return value, n > 0
}

func (v View) sameBefore(i, origin int) int {
	if i > origin {
		return i - v.Season*((i-origin+v.Season-1)/v.Season)
	}
	return i - v.Season
}

// Move is how far the level has moved in a season: the median of value minus
// seasonal value over the last steps up to the origin. 0 where nothing is known.
func (v View) Move(origin, steps int) float64 {
	var buf [32]float64
	d := buf[:0]
	for i := max(0, origin-min(steps, len(buf))+1); i <= origin; i++ {
		if s, ok := v.Seasonal(i, origin); ok && v.Mask[i] {
			d = append(d, v.Values[i]-s)
		}
	}
	return sortedMedian(d)
}

// sortedMedian is the median; it sorts d, which is short.
func sortedMedian(d []float64) float64 {
	for i := range d {
		for j := i; j > 0 && d[j] < d[j-1]; j-- {
			d[j], d[j-1] = d[j-1], d[j]
		}
	}
	return Quantile(d, 0.5)
}

// Mean is the mean of the observed values among the last steps up to the origin;
// the value at the origin where none is.
func (v View) Mean(origin, steps int) float64 {
	n, mean := 0, 0.0
	for i := max(0, origin-steps+1); i <= origin; i++ {
		if v.Mask[i] {
			n++
			mean += (v.Values[i] - mean) / float64(n)
		}
	}
	if n == 0 {
		return v.Values[origin]
	}
	return mean
}

// Width is the Spread of the last steps up to the origin, at least least and at
// least a thousandth of the median.
func (v View) Width(origin, steps int, least float64) float64 {
	from := max(0, origin-steps+1)
	median, width, _ := Spread(v.Values[from:origin+1], v.Mask[from:origin+1])
	return max(width, least, math.Abs(median)/1000)
}
