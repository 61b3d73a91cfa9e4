package page

import (
	"cmp"
	"slices"
	"time"

	"loadstar/models"
	"loadstar/tui/keys"
)

// How often what the daemon only renews with a step is asked for again.
const (
	forecastEvery = 3 * time.Second  // the series shown
	listEvery     = 15 * time.Second // all of them
)

// Forecast shows what is expected of every series, and how good that has been.
type Forecast struct {
	series  []models.SeriesInfo
	known   map[seriesKey]models.SeriesForecast // replaced, never changed
	items   []string                            // the series' names, as listed
	cursor  int
	step    map[string]float64 // the step chosen of a series; its finest otherwise
	past    time.Duration      // shown; 0 is two horizons
	horizon int                // steps ahead of the forecasts compared with; 0 chooses
	chart   ChartLoaded
	asked   time.Time // of the list
	drawn   time.Time // of the chart
	loaded  bool
	at      time.Time // the moment shown; zero is now
}

type seriesKey struct {
	name  string
	stepS float64
}

// Name stands in the tabs.
func (Forecast) Name() string { return "Forecast" }

// Typing reports whether keys are text.
func (Forecast) Typing() bool { return false }

// Scopes are where keys are looked up.
func (Forecast) Scopes(Env) []keys.Scope { return []keys.Scope{keys.Forecast, keys.List} }

// Poll is what is wanted every second; most of it changes only with a step.
func (f Forecast) Poll(env Env) []Request {
	var reqs []Request
	if env.Now.Sub(f.asked) >= listEvery || !f.loaded {
		reqs = append(reqs, LoadSeries{}, LoadForecasts{})
	}
	if env.Now.Sub(f.drawn) >= forecastEvery && len(f.items) > 0 {
		reqs = append(reqs, f.loadShown(env, env.Now.Sub(f.asked) < listEvery)...)
	}
	return reqs
}

// Update is the page after a message.
func (f Forecast) Update(env Env, msg any) (Page, []Request) {
	switch m := msg.(type) {
	case Shown:
		f.asked, f.drawn, f.at = time.Time{}, time.Time{}, env.At
		if !env.At.IsZero() && f.loaded { // the list of series is that of now
			return f, f.loadShown(env, true)
		}
		return f, f.Poll(env)
	case SeriesLoaded:
		f.series = m.Series
		return f.list(), nil
	case ForecastsLoaded:
		return f.forecastsLoaded(env, m)
	case ChartLoaded:
		name, stepS := f.shown()
		if m.Series == name && m.RowStep() == stepS {
			f.chart, f.drawn = m, env.Now
		}
	case Failed:
		switch m.Request.(type) {
		case LoadForecasts, LoadSeries:
			f.asked, f.loaded = env.Now, true
		case LoadChart:
			f.drawn = env.Now
		}
	case Wheel:
		if to, ok := move(wheelAction(m.Delta), f.cursor, len(f.items), 5); ok {
			return f.moveTo(env, to)
		}
	case Click:
		if m.Zone.Kind == "series" {
			return f.moveTo(env, m.Zone.Index)
		}
	case Key:
		return f.key(env, m)
	}
	return f, nil
}

func (f Forecast) forecastsLoaded(env Env, m ForecastsLoaded) (Page, []Request) {
	known := make(map[seriesKey]models.SeriesForecast, len(f.known)+len(m.Forecasts))
	if m.Series != "" { // one series anew, the others as they were
		for k, v := range f.known {
			known[k] = v
		}
	}
	for _, s := range m.Forecasts {
		known[seriesKey{s.Series, s.StepS}] = s
	}
	f.known = known
	if m.Series != "" {
		return f, nil
	}
	f.loaded, f.asked = true, env.Now
	before, _ := f.shown()
	f = f.list()
	if now, _ := f.shown(); now != before || f.drawn.IsZero() || !env.At.IsZero() {
		return f, f.loadShown(env, false)
	}
	return f, nil
}

// list orders the series: those with forecasts first, the host's before the pools'.
func (f Forecast) list() Forecast {
	name, _ := f.shown()
	seen := map[string]bool{}
	var items []string
	for k := range f.known {
		if !seen[k.name] {
			seen[k.name] = true
			items = append(items, k.name)
		}
	}
	for _, s := range f.series {
		if !seen[s.Name] {
			seen[s.Name] = true
			items = append(items, s.Name)
		}
	}
	rank := func(name string) int {
		n := 0
		if len(f.steps(name, true)) == 0 {
			n = 2
		}
		if _, _, pool := models.ParsePoolSeries(name); pool {
			n++
		}
		return n
	}
	slices.SortFunc(items, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	f.items = items
	f.cursor = max(0, slices.Index(items, name))
	return f
}

// steps are the steps of a series in seconds, ascending: those with forecasts, or all.
func (f Forecast) steps(name string, forecast bool) []float64 {
	var out []float64
	for k := range f.known {
		if k.name == name {
			out = append(out, k.stepS)
		}
	}
	if !forecast && len(out) == 0 {
		for i := range f.series {
			if f.series[i].Name == name {
				out = append(out, f.series[i].StepS)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// shown is the series under the cursor and its step.
func (f Forecast) shown() (name string, stepS float64) {
	if f.cursor < 0 || f.cursor >= len(f.items) {
		return "", 0
	}
	name = f.items[f.cursor]
	steps := f.steps(name, false)
	if len(steps) == 0 {
		return name, 0
	}
	if s, ok := f.step[name]; ok && slices.Contains(steps, s) {
		return name, s
	}
	return name, steps[0]
}

// current is what is known ahead of the series shown.
func (f Forecast) current() (models.SeriesForecast, bool) {
	name, stepS := f.shown()
	s, ok := f.known[seriesKey{name, stepS}]
	return s, ok
}

func champion(s *models.SeriesForecast) *models.Forecast {
	for i := range s.Forecasts {
		if s.Forecasts[i].Champion || s.Forecasts[i].Model == s.Champion {
			return &s.Forecasts[i]
		}
	}
	return nil
}

// span is the time shown: the past by the zoom, the future by the forecast.
func (f Forecast) span(now time.Time) (from, to time.Time, stepS float64, steps int) {
	_, stepS = f.shown()
	s, _ := f.current()
	steps = 30
	if c := champion(&s); c != nil && len(c.P50) > 0 {
		steps = len(c.P50)
	}
	step := seconds(stepS)
	past := f.past
	if past <= 0 {
		past = 2 * step * time.Duration(steps)
	}
	from, to = now.Add(-past), now
	if champion(&s) != nil {
		to = now.Add(step * time.Duration(steps))
	}
	return from, to, stepS, steps
}

// seconds is a step as a duration; a step that cannot be is a second.
func seconds(s float64) time.Duration {
	if !(s >= 0.001) || s > 1e8 {
		return time.Second
	}
	return time.Duration(s * float64(time.Second))
}

// ahead is how many steps ahead the forecasts were made that are compared with.
func (f Forecast) ahead() int {
	_, _, _, steps := f.span(time.Time{})
	if f.horizon > 0 {
		return min(f.horizon, steps)
	}
	return max(1, steps/5)
}

func (f Forecast) loadShown(env Env, anew bool) []Request {
	name, stepS := f.shown()
	if name == "" || stepS <= 0 {
		return nil
	}
	from, to, _, _ := f.span(env.Now)
	if to.After(env.Wall) {
		to = env.Wall // of a moment in the past, what came after it too
	}
	drawn := stepS
	if to.Sub(from).Seconds()/stepS > mostPoints {
		drawn = stepFor(to.Sub(from), f.kept(name))
	}
	chart := LoadChart{Series: name, StepS: drawn, From: from.Truncate(seconds(drawn)), To: to, At: env.At, RowStepS: stepS}
	if _, ok := f.current(); ok && to.Sub(from).Seconds()/stepS <= 4*mostPoints {
		chart.Horizon = f.ahead()
	}
	reqs := []Request{chart}
	if anew || !env.At.IsZero() {
		reqs = append(reqs, LoadForecasts{Series: name, StepS: stepS, At: env.At})
	}
	return reqs
}

// kept are all steps that the daemon keeps a series at, ascending.
func (f Forecast) kept(name string) []float64 {
	var steps []float64
	for i := range f.series {
		if f.series[i].Name == name {
			steps = append(steps, f.series[i].StepS)
		}
	}
	if len(steps) == 0 {
		return tiers()
	}
	slices.Sort(steps)
	return steps
}

func (f Forecast) moveTo(env Env, to int) (Page, []Request) {
	if to == f.cursor || to < 0 || to >= len(f.items) {
		return f, nil
	}
	f.cursor = to
	return f, f.loadShown(env, false)
}

func (f Forecast) key(env Env, k Key) (Page, []Request) {
	if to, ok := move(k.Action, f.cursor, len(f.items), f.listRows(env)); ok {
		return f.moveTo(env, to)
	}
	switch k.Action {
	case keys.StepFiner, keys.StepCoarser:
		name, stepS := f.shown()
		steps := f.steps(name, false)
		i := slices.Index(steps, stepS)
		if k.Action == keys.StepFiner {
			i--
		} else {
			i++
		}
		if i < 0 || i >= len(steps) {
			return f, nil
		}
		chosen := map[string]float64{name: steps[i]}
		for n, s := range f.step {
			if n != name {
				chosen[n] = s
			}
		}
		f.step, f.horizon = chosen, 0
	case keys.ZoomIn, keys.ZoomOut:
		from, _, _, _ := f.span(env.Now)
		f.past = zoomed(env.Now.Sub(from), k.Action == keys.ZoomIn)
	case keys.HorizonLess:
		f.horizon = max(1, f.ahead()-1)
	case keys.HorizonMore:
		f.horizon = f.ahead() + 1
		f.horizon = f.ahead() // within the forecast
	default:
		return f, nil
	}
	return f, f.loadShown(env, false)
}

// listRows is how many series the list shows.
func (f Forecast) listRows(env Env) int { return max(1, env.H-2) }

// reached are the forecasts made so many steps ahead of what they were about, as a line.
func (f Forecast) reached() []models.Point {
	var out []models.Point
	for i := range f.chart.Rows {
		if r := &f.chart.Rows[i]; r.Champion && !r.TargetAt.After(f.chart.To) && !r.IssuedAt.After(f.until(f.chart.To)) {
			out = append(out, models.Point{At: r.TargetAt, Value: r.P50})
		}
	}
	slices.SortFunc(out, func(a, b models.Point) int { return a.At.Compare(b.At) })
	return slices.CompactFunc(out, func(a, b models.Point) bool { return a.At.Equal(b.At) })
}

// until is when the forecasts compared with were made at the latest: by the moment
// where one in the past is shown.
func (f Forecast) until(to time.Time) time.Time {
	if f.at.IsZero() || f.at.After(to) {
		return to
	}
	return f.at
}

// missed is how far the forecasts lay from what came: the mean over the chart, and the newest.
func (f Forecast) missed() (mean, last float64, n int) {
	var at time.Time
	for i := range f.chart.Rows {
		r := &f.chart.Rows[i]
		if !r.Champion || r.AbsError == nil {
			continue
		}
		mean += *r.AbsError
		n++
		if r.TargetAt.After(at) {
			at, last = r.TargetAt, *r.AbsError
		}
	}
	if n > 0 {
		mean /= float64(n)
	}
	return mean, last, n
}
