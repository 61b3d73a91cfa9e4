package baseline

import (
	"math"
	"math/cmplx"
	"slices"

	"gonum.org/v1/gonum/dsp/fourier"
)

const (
	minRepeats    = 2.5  // so many whole seasons must have been seen
	minPeak       = 0.25 // autocorrelation at a season
	minProminence = 0.2  // by how much it must rise from the valley before
	nearBest      = 0.05 // a shorter season whose peak is so close to the highest is taken
	asGood        = 1.02 // and one whose error is at most so much of that one's
)

// Season is the number of steps after which the values repeat, found from the
// values themselves, or 0. stepS is the length of a step in seconds; the hour,
// the day and the week are candidates where they are whole steps, beside every
// peak of the autocorrelation (computed by FFT, after taking out the trend and
// clipping outliers); of the highest ones the
// shortest, or a shorter one yet that forecasts as well. A season must have been seen two and a half times.
func Season(values []float64, stepS float64) int {
	x, ok := flattened(values)
	if !ok {
		return 0
	}
	longest := int(float64(len(x)) / minRepeats)
	if longest < 2 {
		return 0
	}
	r := autocorrelation(x, len(x)*3/4)
	// The chance level of an autocorrelation falls with the root of the length.
	least := max(minPeak, 3/math.Sqrt(float64(len(x))))
	best, found := math.Inf(-1), []int(nil)
	for _, lag := range candidates(r, longest, stepS) {
		if peak := around(r, lag); peak >= least && peak-valley(r, lag) >= minProminence {
			found = append(found, lag)
			best = max(best, peak)
		}
	}
	high := slices.IndexFunc(found, func(lag int) bool { return around(r, lag) >= best-nearBest })
	if high < 0 {
		return 0
	}
	// A week may have the higher peak where a day forecasts as well by its
	// shorter memory.
	season := found[high]
	limit := asGood * lagError(x, season, season)
	for _, lag := range found[:high] {
		if lagError(x, lag, season) <= limit {
			season = lag
			break
		}
	}
	return refined(r, season, stepS)
}

// lagError is the mean |x[t] - x[t-lag]| from index from on; beside the lag, too,
// as noise may have moved it, the least counts.
func lagError(x []float64, lag, from int) float64 {
	best := math.Inf(1)
	for _, l := range []int{lag - lag/100, lag, lag + lag/100} {
		sum, n := 0.0, 0.0
		for t := max(from, l); t < len(x); t++ {
			sum += math.Abs(x[t] - x[t-l])
			n++
		}
		best = min(best, sum/max(n, 1))
	}
	return best
}

// refined moves a season found to the lag nearby that the multiples of it agree
// on, as noise shifts a single peak by a step or two. A calendar length stays.
func refined(r []float64, lag int, stepS float64) int {
	for _, s := range calendarSeconds() {
		if float64(lag)*stepS == s {
			return lag
		}
	}
	best, at := math.Inf(-1), lag
	for c := max(2, lag-lag/20); c <= lag+lag/20; c++ {
		sum, n := 0.0, 0.0
		for k := 1; k*c+c/24 < len(r); k++ {
			for j := -c / 24; j <= c/24; j++ {
				sum += float64(k) * r[k*c+j]
				n += float64(k)
			}
		}
		if n > 0 && sum/n > best+1e-12 {
			best, at = sum/n, c
		}
	}
	return at
}

func calendarSeconds() []float64 { return []float64{3600, 86400, 7 * 86400} }

// candidates are the lags worth a look, ascending: peaks of the smoothed
// autocorrelation, each moved to a calendar length that is within 2 %.
func candidates(r []float64, longest int, stepS float64) []int {
	var calendar []int
	if stepS > 0 {
		for _, s := range calendarSeconds() {
			if lag := s / stepS; lag >= 2 && lag <= float64(longest) && lag == math.Trunc(lag) {
				calendar = append(calendar, int(lag))
			}
		}
	}
	out := slices.Clone(calendar)
	for lag := 2; lag <= longest; lag++ {
		w := max(1, lag/20) // a peak must rule its neighbourhood
		if !isPeak(r, lag, w) {
			continue
		}
		near := lag
		for _, c := range calendar {
			if math.Abs(float64(c-lag)) <= 0.02*float64(c) {
				near = c
			}
		}
		out = append(out, near)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func isPeak(r []float64, lag, w int) bool {
	for k := max(1, lag-w); k <= min(len(r)-1, lag+w); k++ {
		if r[k] > r[lag] {
			return false
		}
	}
	return true
}

// around is the autocorrelation at a lag, or beside it where noise put the peak.
func around(r []float64, lag int) float64 {
	best := r[lag]
	w := lag / 50
	for k := max(1, lag-w); k <= min(len(r)-1, lag+w); k++ {
		best = max(best, r[k])
	}
	return best
}

// valley is the lowest autocorrelation before a lag.
func valley(r []float64, lag int) float64 { return slices.Min(r[1:max(2, lag)]) }

// flattened fills gaps with the mean, takes out the straight trend and clips
// outliers to five times the median absolute deviation (the 2nd and 98th
// percentile where that is 0). ok is false for too few or constant values.
func flattened(values []float64) ([]float64, bool) {
	n := Count(values)
	if n < 8 || n < len(values)/2 {
		return nil, false
	}
	var st, sy, stt, sty float64
	for i, v := range values {
		if !math.IsNaN(v) {
			t := float64(i)
			st += t
			sy += v
			stt += t * t
			sty += t * v
		}
	}
	fn := float64(n)
	slope := 0.0
	if d := fn*stt - st*st; d > 0 {
		slope = (fn*sty - st*sy) / d
	}
	base := (sy - slope*st) / fn
	out := make([]float64, len(values))
	there := make([]float64, 0, n)
	for i, v := range values {
		if !math.IsNaN(v) {
			out[i] = v - base - slope*float64(i)
			there = append(there, out[i])
		}
	}
	slices.Sort(there)
	mid := quantile(there, 0.5)
	low, high := quantile(there, 0.02), quantile(there, 0.98)
	for i := range there {
		there[i] = math.Abs(there[i] - mid)
	}
	slices.Sort(there)
	if mad := quantile(there, 0.5); mad > 0 {
		low, high = mid-5*1.4826*mad, mid+5*1.4826*mad
	}
	power := 0.0
	for i, v := range values {
		if !math.IsNaN(v) {
			out[i] = min(max(out[i], low), high)
			power += out[i] * out[i]
		}
	}
	tiny := 1e-9 * (math.Abs(sy/fn) + 1e-9)
	return out, power > fn*tiny*tiny
}

// autocorrelation is that of x at lags 0 to lags-1, unbiased, by FFT.
func autocorrelation(x []float64, lags int) []float64 {
	size := 1
	for size < 2*len(x) {
		size *= 2
	}
	padded := make([]float64, size)
	m, _ := mean(x)
	for i, v := range x {
		padded[i] = v - m
	}
	fft := fourier.NewFFT(size)
	c := fft.Coefficients(nil, padded)
	for i := range c {
		a := cmplx.Abs(c[i])
		c[i] = complex(a*a, 0)
	}
	r := fft.Sequence(padded, c)
	lags = min(lags, len(x)-1)
	out := make([]float64, lags)
	zero := r[0] / float64(len(x))
	if zero <= 0 {
		return out
	}
	for k := range out {
		out[k] = r[k] / float64(len(x)-k) / zero
	}
	return out
}
