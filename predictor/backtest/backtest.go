package backtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"loadstar/models"
	"loadstar/predictor"
	"loadstar/predictor/baseline"
)

const (
	maxOrigins = 6000      // that are scored, about
	maxSteps   = 2_000_000 // of the grid, gaps included
	refitSteps = 240
	warmUp     = 0.15 // of the part before the first origin: forecasts that only calibrate and weigh
	growth     = 1.5
)

// Models lists every model, in the order of the report.
func Models() []string { return models.ForecastModels() }

// Config says what to measure. The zero value of a field is its default.
type Config struct {
	Series    string            // the name in the report
	Step      time.Duration     // of the grid; default the usual distance of the points
	Horizon   int               // steps ahead, 1 to 512; default 12
	Season    int               // steps; default found in the data, anew at each fit; -1 is none
	Models    []string          // default all
	Train     float64           // share before the first origin, above 0 and below 1; default 0.7
	Context   int               // steps that the LSTM reads; default 64
	LearnFits int               // trainings of the LSTM at most; default 4
	Seed      uint64            // of the LSTM
	Learner   predictor.Learner // default the LSTM
}

func (c Config) withDefaults() Config {
	if c.Horizon == 0 {
		c.Horizon = 12
	}
	if len(c.Models) == 0 {
		c.Models = Models()
	}
	if c.Train == 0 {
		c.Train = 0.7
	}
	if c.Context == 0 {
		c.Context = 64
	}
	if c.LearnFits == 0 {
		c.LearnFits = 4
	}
	if c.Learner == nil {
		c.Learner = predictor.LSTM{}
	}
	return c
}

// Validate names the first field that is wrong; the error wraps models.ErrInvalid.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Step < 0:
		return models.Invalid("step", "%s is negative", c.Step)
	case c.Horizon < 1 || c.Horizon > 512:
		return models.Invalid("horizon", "%d is not between 1 and 512", c.Horizon)
	case c.Season < -1:
		return models.Invalid("season", "%d is not a number of steps", c.Season)
	case !(c.Train > 0 && c.Train < 1):
		return models.Invalid("train", "%v is not between 0 and 1", c.Train)
	case c.Context < 4 || c.Context > 1024:
		return models.Invalid("context", "%d is not between 4 and 1024", c.Context)
	case c.LearnFits < 1:
		return models.Invalid("learn_fits", "%d is not positive", c.LearnFits)
	}
	for _, m := range c.Models {
		if !slices.Contains(Models(), m) {
			return models.Invalid("models", "%q is not one of %v", m, Models())
		}
	}
	return nil
}

// Run measures the models on points, ascending by time. progress, which may be
// nil, is told the share done and what is being done. ErrTooShort of package
// baseline where there is no origin.
func Run(ctx context.Context, cfg Config, points []models.Point, progress func(done float64, status string)) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	cfg = cfg.withDefaults()
	if progress == nil {
		progress = func(float64, string) {}
	}
	grid, err := newGrid(points, cfg.Step)
	if err != nil {
		return Report{}, err
	}
	first := max(int(cfg.Train*float64(len(grid.values))), 4)
	r := &run{cfg: cfg, grid: grid}
	counted := origins(first, len(grid.values), cfg.Horizon, r.seasonOf(grid.values[:min(first, len(grid.values))]))
	if len(counted) == 0 {
		return Report{}, fmt.Errorf("%d steps do not hold a training part and one horizon of %d: %w", len(grid.values), cfg.Horizon, baseline.ErrTooShort)
	}
	r.warmUp(counted)
	names := r.order()
	for i, name := range names {
		began := time.Now()
		tell := func(done float64) {
			progress((float64(i)+done)/float64(len(names)), name)
		}
		tell(0)
		m := measured{name: name}
		if name == models.ModelEnsemble {
			m.paths = r.ensemble()
		} else if err = r.walk(ctx, &m, tell); err != nil {
			return Report{}, fmt.Errorf("%s: %w", name, err)
		}
		m.took = time.Since(began)
		r.models = append(r.models, m)
	}
	progress(1, "done")
	return r.report(first), nil
}

// grid is the series on a regular grid, NaN where nothing was measured.
type grid struct {
	step   time.Duration
	start  time.Time
	values []float64
	counts []int // measured values before each step
	points int
}

func newGrid(points []models.Point, step time.Duration) (grid, error) {
	if len(points) < 2 {
		return grid{}, fmt.Errorf("%d points: %w", len(points), baseline.ErrTooShort)
	}
	for i := 1; i < len(points); i++ {
		if points[i].At.Before(points[i-1].At) {
			return grid{}, fmt.Errorf("point %d (%s) is before the one above it", i+1, points[i].At.Format(time.RFC3339))
		}
	}
	if step == 0 {
		step = usualStep(points)
	}
	if step < time.Millisecond {
		return grid{}, errors.New("the points are less than a millisecond apart: name a step")
	}
	g := grid{step: step, start: points[0].At.Truncate(step)}
	n := int64(points[len(points)-1].At.Sub(g.start)/step) + 1
	if n > maxSteps {
		return grid{}, fmt.Errorf("%d steps of %s are more than %d: name a longer step", n, step, maxSteps)
	}
	sums, counts := make([]float64, n), make([]float64, n)
	for _, p := range points {
		if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
			i := p.At.Sub(g.start) / step
			sums[i] += p.Value
			counts[i]++
			g.points++
		}
	}
	for i := range sums {
		sums[i] /= counts[i] // 0/0 is NaN: a gap
	}
	g.values, g.counts = sums, make([]int, n+1)
	for i, v := range sums {
		g.counts[i+1] = g.counts[i]
		if !math.IsNaN(v) {
			g.counts[i+1]++
		}
	}
	return g, nil
}

// usualStep is the median distance of neighbours.
func usualStep(points []models.Point) time.Duration {
	var d []time.Duration
	for i := 1; i < len(points); i++ {
		if gap := points[i].At.Sub(points[i-1].At); gap > 0 {
			d = append(d, gap)
		}
	}
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)/2]
}

// origins are indices into the values, ascending: the number of values known. Each
// step is one, as in the service; in a long series every so many steps, but never so
// that they meet the season at a few phases only, which would say more of those
// phases than of the model.
func origins(first, n, horizon, season int) []int {
	last := n - horizon
	if last < first {
		return nil
	}
	stride := coprime(1+(last-first)/maxOrigins, season)
	var out []int
	for o := first; o <= last; o += stride {
		out = append(out, o)
	}
	return out
}

// warmUp puts origins before those that count, as far apart.
func (r *run) warmUp(counted []int) {
	first, stride := counted[0], 1
	if len(counted) > 1 {
		stride = counted[1] - first
	}
	for o := first - stride; o >= max(4, int((1-warmUp)*float64(first))); o -= stride {
		r.origins = append(r.origins, o)
	}
	slices.Reverse(r.origins)
	r.counted = len(r.origins)
	r.origins = append(r.origins, counted...)
}

// coprime is the stride itself or the nearest below it, not under half, that shares
// no factor with the season; else the nearest above.
func coprime(stride, season int) int {
	if season < 2 {
		return stride
	}
	for s := stride; s >= max(1, stride/2); s-- {
		if gcd(s, season) == 1 {
			return s
		}
	}
	for gcd(stride, season) > 1 {
		stride++
	}
	return stride
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// run is a backtest at work.
type run struct {
	cfg     Config
	grid    grid
	origins []int
	counted int // index of the first origin that is scored
	models  []measured
	season  int         // found at the last fit
	seasons map[int]int // found by origin: every model is fitted at much the same ones
}

// measured is one model's forecasts, by origin; nil where it had none.
type measured struct {
	name  string
	raw   []*baseline.Quantiles // as the model said them; nil of the ensemble
	paths []*baseline.Quantiles // with their spread corrected
	fits  int
	took  time.Duration
}

// order is the models asked for, the ensemble last.
func (r *run) order() []string {
	var out []string
	for _, m := range Models() {
		if slices.Contains(r.cfg.Models, m) {
			out = append(out, m)
		}
	}
	return out
}

// known is the values before an origin, all that a model may see; it changes none.
func (r *run) known(origin int) []float64 { return r.grid.values[:origin:origin] }

func (r *run) seasonAt(origin int) int {
	season, ok := r.seasons[origin]
	if !ok {
		season = r.seasonOf(r.known(origin))
		if r.seasons == nil {
			r.seasons = map[int]int{}
		}
		r.seasons[origin] = season
	}
	return season
}

func (r *run) seasonOf(values []float64) int {
	switch {
	case r.cfg.Season < 0:
		return 0
	case r.cfg.Season > 0:
		return r.cfg.Season
	}
	return baseline.Season(values, r.grid.step.Seconds())
}

// forecaster is a model behind one face.
type forecaster interface {
	due(points, origin int) bool
	fit(ctx context.Context, values []float64, season int, tell func(float64)) error
	forecast(values []float64) (baseline.Quantiles, error)
}

func (r *run) forecaster(name string) forecaster {
	h := r.cfg.Horizon
	switch name {
	case models.ModelLast:
		return &simple{model: baseline.NewLast(), grid: r.grid, horizon: h}
	case models.ModelSNaive:
		return &simple{model: baseline.NewSeasonalNaive(), grid: r.grid, horizon: h}
	case models.ModelLevelNaive:
		return &simple{model: baseline.NewLevelNaive(), grid: r.grid, horizon: h}
	case models.ModelHoltWinters:
		return &simple{model: baseline.NewHoltWinters(), grid: r.grid, horizon: h}
	case models.ModelAR:
		return &simple{model: baseline.NewAR(), grid: r.grid, horizon: h}
	}
	return &learned{cfg: r.cfg, grid: r.grid, left: r.cfg.LearnFits, span: len(r.grid.values)}
}

// walk forecasts from every origin with one model.
func (r *run) walk(ctx context.Context, m *measured, tell func(float64)) error {
	f := r.forecaster(m.name)
	c := r.calibration()
	for i, o := range r.origins {
		if err := ctx.Err(); err != nil {
			return err
		}
		known := r.known(o)
		if f.due(r.grid.counts[o], o) {
			season := r.seasonAt(o)
			err := f.fit(ctx, known, season, func(done float64) { tell((float64(i) + done) / float64(len(r.origins))) })
			if err != nil && ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				m.fits++
			}
			r.season = season
		}
		q, err := f.forecast(known)
		lo, hi := bounds(known)
		if err != nil || len(q.P50) != r.cfg.Horizon || q.Settle(lo, hi) != nil {
			m.raw = append(m.raw, nil) // too short for this model yet, or a gap: it has no say
			c.apply(nil)
			continue
		}
		raw := q.Clone()
		m.raw = append(m.raw, &raw)
		c.apply(&q)
		if q.Settle(lo, hi) != nil {
			c.paths[i] = nil
		}
		tell(float64(i+1) / float64(len(r.origins)))
	}
	m.paths = c.paths
	return nil
}

// bounds keeps the forecasts of a series that was never negative from being so.
func bounds(values []float64) (lo, hi float64) {
	for _, v := range values {
		if v < 0 {
			return -1e15, 1e15
		}
	}
	return 0, 1e15
}

type simple struct {
	model    baseline.Model
	grid     grid
	horizon  int
	points   int
	fittedAt int
	fitted   bool
}

func (s *simple) due(points, origin int) bool {
	if s.fitted && float64(points) < growth*float64(s.points) && origin-s.fittedAt < refitSteps {
		return false
	}
	s.points, s.fittedAt = points, origin
	return true
}

func (s *simple) fit(_ context.Context, values []float64, season int, _ func(float64)) error {
	err := s.model.Fit(values, baseline.Params{Season: season, Horizon: s.horizon, Start: s.grid.start, Step: s.grid.step})
	s.fitted = s.fitted || err == nil
	return err
}

func (s *simple) forecast(values []float64) (baseline.Quantiles, error) {
	if !s.fitted {
		return baseline.Quantiles{}, baseline.ErrTooShort
	}
	return baseline.Forecast(s.model, s.grid.start, values, s.horizon)
}

// learned is the LSTM; its trainings are spread over the span to be tested.
type learned struct {
	cfg     Config
	grid    grid
	left    int
	span    int
	next    int
	season  int
	model   predictor.Learned
	started bool
}

func (l *learned) due(points, origin int) bool {
	if l.left == 0 || l.started && origin < l.next {
		return false
	}
	if !l.started {
		l.started = true
	}
	l.next = origin + max(1, (l.span-origin)/l.left)
	l.left--
	return points > 0
}

func (l *learned) fit(ctx context.Context, values []float64, season int, tell func(float64)) error {
	lo, _ := bounds(values)
	spec := predictor.Spec{Context: l.cfg.Context, Horizon: l.cfg.Horizon, Seed: l.cfg.Seed, NonNegative: lo == 0}
	l.season = season
	m, err := l.cfg.Learner.Train(ctx, spec, l.sequence(values), l.model, predictor.Hooks{
		Progress: func(done, _ float64) { tell(done) }, Pace: func() {},
	})
	if err == nil {
		l.model = m
	}
	return err
}

func (l *learned) sequence(values []float64) predictor.Sequence {
	return predictor.Sequence{Values: values, Start: l.grid.start, Step: l.grid.step, Season: l.season}
}

func (l *learned) forecast(values []float64) (baseline.Quantiles, error) {
	if l.model == nil {
		return baseline.Quantiles{}, baseline.ErrTooShort
	}
	s := l.sequence(values)
	if most := max(4*l.cfg.Context, 3*l.season+l.cfg.Context); len(values) > most {
		skip := len(values) - most
		s.Values, s.Start = values[skip:], s.Start.Add(time.Duration(skip)*s.Step)
	}
	q, _, _, err := l.model.Forecast(s)
	return q, err
}
