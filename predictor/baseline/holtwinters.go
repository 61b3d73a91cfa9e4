package baseline

import "math"

const (
	hwMinPoints = 4    // below that there is no trend to speak of
	hwMaxPoints = 6000 // newest points looked at, in fit and forecast
	hwEvals     = 70   // of the simplex, after the grid
)

// HoltWinters is exponential smoothing with a damped trend and an additive
// season (Holt 1957, Winters 1960, Gardner and McKenzie 1985):
//
//	l = a(y - s[t-m]) + (1-a)(l + phi b)
//	b = beta(l - l') + (1-beta) phi b
//	s = g(y - l' - phi b') + (1-g) s[t-m]
//	yhat(h) = l + sum phi^i b + s[t+h-m]
//
// where l' and b' are the former level and trend. Without a season it is damped
// Holt. Fit chooses the four by the mean absolute error at one step, half the
// horizon and the horizon, first on a grid and then with a simplex of bounded
// evaluations. A missing step ages the trend and teaches nothing.
type HoltWinters struct {
	alpha, beta, gamma, phi float64
	season                  int
	spread                  spread
}

// NewHoltWinters is a model that has to be fitted.
func NewHoltWinters() *HoltWinters {
	return &HoltWinters{alpha: 0.3, beta: 0.05, gamma: 0.2, phi: 0.95}
}

// Name is "holtwinters".
func (m *HoltWinters) Name() string { return "holtwinters" }

// Loss is as Model says.
func (m *HoltWinters) Loss() float64 { return m.spread.loss }

// Fit is as Model says; it needs four values. A season that does not fit
// twice into the values, or does not help, is left out.
func (m *HoltWinters) Fit(values []float64, p Params) (err error) {
	if Count(values) < hwMinPoints {
		return ErrTooShort
	}
	tail := m.tail(values, p.Season)
	leads := []int{1, max(1, p.Horizon/2), max(1, p.Horizon)}
	best := math.Inf(1)
	try := func(season, warm int, a, b, g, phi float64) float64 {
		loss := holtLoss(tail, season, warm, leads, a, b, g, phi)
		if loss < best {
			best = loss
			m.season, m.alpha, m.beta, m.gamma, m.phi = season, a, b, g, phi
		}
		return loss
	}
	m.season = 0
	warm, seasons := min(len(tail)/4, 2), []int{0}
	if p.Season > 1 && 2*p.Season <= len(values) {
		seasons = append(seasons, p.Season)
		warm = startSeasons(len(tail), p.Season) * p.Season
	}
	for _, season := range seasons {
		gammas := []float64{0}
		if season > 0 {
			gammas = []float64{0.05, 0.2, 0.5}
		}
		for _, a := range []float64{0.02, 0.1, 0.3, 0.7} {
			for _, b := range []float64{0.01, 0.1} {
				for _, g := range gammas {
					for _, phi := range []float64{0.8, 0.98} {
						try(season, warm, a, b, g, phi)
					}
				}
			}
		}
	}
	start, season := []float64{logit(m.alpha), logit(m.beta), logit(m.phi)}, m.season
	if season > 0 {
		start = append(start, logit(m.gamma))
	}
	minimize(func(x []float64) float64 {
		g := 0.0
		if season > 0 {
			g = sigmoid(x[3])
		}
		return try(season, warm, sigmoid(x[0]), sigmoid(x[1]), g, min(sigmoid(x[2]), 0.995))
	}, start, 0.7, hwEvals)
	m.spread, err = measure(m, values, p)
	return err
}

// Forecast is as Model says.
func (m *HoltWinters) Forecast(values []float64, h int) (Quantiles, error) {
	return forecast(m, m.spread, values, h)
}

// tail is what is looked at: the newest points, four seasons at least.
func (m *HoltWinters) tail(values []float64, season int) []float64 {
	n := max(hwMaxPoints, 4*season)
	if len(values) > n {
		return values[len(values)-n:]
	}
	return values
}

func (m *HoltWinters) walk(values []float64, origins []int, h int, visit func(int, []float64)) {
	tail := m.tail(values, m.season)
	skipped := len(values) - len(tail)
	f, ok := newFilter(tail, m.season, m.alpha, m.beta, m.gamma, m.phi)
	if !ok {
		return
	}
	path := make([]float64, h)
	for _, o := range origins {
		o -= skipped
		for f.t < o {
			f.step(tail[f.t])
		}
		if f.t != o || f.seen == 0 || o < f.warm {
			continue // an origin before the first value or the tail, or one that the season's start has seen past
		}
		f.path(path)
		visit(o+skipped, path)
	}
}

// holtLoss is the mean absolute error summed over the leads, from index warm on.
func holtLoss(values []float64, season, warm int, leads []int, a, b, g, phi float64) float64 {
	f, ok := newFilter(values, season, a, b, g, phi)
	if !ok {
		return math.Inf(1)
	}
	var damp [3]float64
	for k, h := range leads {
		damp[k] = phi * (1 - math.Pow(phi, float64(h))) / (1 - phi)
	}
	var sum, n [3]float64
	for t := range values {
		f.step(values[t])
		if t < warm {
			continue
		}
		for k, h := range leads {
			if at := t + h; at < len(values) && !math.IsNaN(values[at]) {
				sum[k] += math.Abs(values[at] - f.level - damp[k]*f.trend - f.seasonAt(at))
				n[k]++
			}
		}
	}
	total := 0.0
	for k := range leads {
		if n[k] > 0 {
			total += sum[k] / n[k]
		}
	}
	if math.IsNaN(total) {
		return math.Inf(1)
	}
	return total
}

// filter is the smoothing at work: it has seen t steps of a series.
type filter struct {
	a, b, g, phi float64
	level, trend float64
	season       []float64 // by index modulo its length; nil without a season
	t, seen      int
	warm         int // values that the season's start rests on
}

// newFilter starts with the mean of the first season as the level and the mean
// deviations of the first one as the season; of two or three where the values
// hold three times as many, so that what is judged is not what was started from.
// ok is false without a value.
func newFilter(values []float64, season int, a, b, g, phi float64) (*filter, bool) {
	f := &filter{a: a, b: b, g: g, phi: phi}
	head := values
	if first := max(season, min(4, len(values))); len(head) > first {
		head = head[:first]
	}
	level, ok := mean(head)
	if !ok {
		if level, ok = mean(values); !ok {
			return nil, false
		}
	}
	f.level = level
	if season > 0 {
		f.season = make([]float64, season)
		f.initSeason(values)
	}
	return f, true
}

// startSeasons is how many seasons a filter of n values starts from.
func startSeasons(n, season int) int { return max(1, min(3, n/(3*season))) }

func (f *filter) initSeason(values []float64) {
	m := len(f.season)
	counts := make([]float64, m)
	first := startSeasons(len(values), m)
	f.warm = min(first*m, len(values))
	for k := 0; k < first && (k+1)*m <= len(values); k++ {
		centre, ok := mean(values[k*m : (k+1)*m])
		if !ok {
			continue
		}
		for i := range m {
			if v := values[k*m+i]; !math.IsNaN(v) {
				f.season[i] += v - centre
				counts[i]++
			}
		}
	}
	for i := range f.season {
		if counts[i] > 0 {
			f.season[i] /= counts[i]
		}
	}
}

func (f *filter) seasonAt(t int) float64 {
	if f.season == nil {
		return 0
	}
	return f.season[t%len(f.season)]
}

func (f *filter) step(y float64) {
	ahead := f.level + f.phi*f.trend
	if math.IsNaN(y) {
		f.level, f.trend = ahead, f.phi*f.trend
		f.t++
		return
	}
	s := f.seasonAt(f.t)
	level := f.a*(y-s) + (1-f.a)*ahead
	f.trend = f.b*(level-f.level) + (1-f.b)*f.phi*f.trend
	f.level = level
	if f.season != nil {
		f.season[f.t%len(f.season)] = f.g*(y-ahead) + (1-f.g)*s
	}
	f.t++
	f.seen++
}

func (f *filter) path(out []float64) {
	damp, p := 0.0, 1.0
	for i := range out {
		p *= f.phi
		damp += p
		out[i] = f.level + damp*f.trend + f.seasonAt(f.t+i)
	}
}

func mean(values []float64) (float64, bool) {
	sum, n := 0.0, 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / max(n, 1), n > 0
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
func logit(p float64) float64   { return math.Log(p / (1 - p)) }
