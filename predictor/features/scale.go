package features

import (
	"math"
	"slices"
)

// maxScaleSamples is how many values Spread looks at; longer stretches are sampled evenly.
const maxScaleSamples = 256

// Spread measures a stretch of values robustly: its median, and a width that is
// the standard deviation where the values are normal. The width is half the
// distance between the 10th and 90th percentile (over 1.28), but never less than
// a quarter of the mean distance from the median, so that rare bursts over a
// constant count a little. It is 0 for a constant. Where mask is not nil only
// values with a true mask count; ok is false where there are none.
func Spread(values []float64, mask []bool) (median, width float64, ok bool) {
	var buf [maxScaleSamples]float64
	stride := (len(values) + maxScaleSamples - 1) / maxScaleSamples
	s := buf[:0]
	for i := len(values) - 1; i >= 0; i -= max(1, stride) { // from the end: the newest always counts
		if mask == nil || mask[i] {
			s = append(s, values[i])
		}
	}
	if len(s) == 0 {
		return 0, 0, false
	}
	slices.Sort(s)
	median = Quantile(s, 0.5)
	away := 0.0
	for _, v := range s {
		away += math.Abs(v-median) / float64(len(s))
	}
	width = max((Quantile(s, 0.9)-Quantile(s, 0.1))/2.563, away*1.253/4)
	return median, width, true
}

// Quantile is the p-quantile of sorted values by linear interpolation, p from 0 to 1.
func Quantile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := min(max(p, 0), 1) * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	f := at - float64(i)
	return sorted[i]*(1-f) + sorted[i+1]*f
}

// Median is the middle of values, which it leaves as they are; 0 for none.
func Median(values []float64) float64 {
	s := slices.Clone(values)
	slices.Sort(s)
	return Quantile(s, 0.5)
}
