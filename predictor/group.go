package predictor

import (
	"math"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"loadstar/models"
	"loadstar/predictor/baseline"
)

const (
	firstForecast = 3    // points before anything is forecast
	refitGrowth   = 1.5  // baselines and the learner are refitted when the points have grown so
	refitSteps    = 240  // baselines: after so many steps at the latest
	leastRoom     = 0.02 // of the naive error: what is widened at least where a model gives no room
	huge          = 1e15 // no forecast is larger
)

// key names a group.
type key struct {
	series string
	step   time.Duration
}

// group is one series at one resolution. Run's goroutine writes it under the
// service's mutex; fitted models are replaced, never changed.
type group struct {
	key
	res  Resolution
	live bool // in the history; else known from kept forecasts only

	w     *window
	kept  []*issue // ascending by at
	bytes int      // of kept

	board    board
	bench    bench
	drift    drift
	scoredTo int64                          // grid index of the first step that was not scored
	spread   map[string]*baseline.Conformal // by model: what its P10 and P90 are corrected by
	mixture  baseline.Mixture               // what the ensemble weighs the models by
	faded    int64                          // grid index up to which the mixture has faded

	season   int
	scale    float64 // MASE's: mean error of the naive forecast in sample
	fitted   []baseline.Model
	guess    map[string]float64 // their loss when fitted
	fittedN  int
	fittedAt int64 // grid index
	lastDue  int64 // unix ms of the newest moment a forecast was due

	learned   Learned
	trainedAt time.Time
	trainedOn int
	trainS    float64
	triedOn   int            // points at the last try
	trouble   string         // why the last training failed
	failing   bool           // the learned model could not forecast the last time
	progress  *atomic.Uint64 // float64 bits while training, else nil

	// Every quantile of the learner's newest forecast, where it has more than three.
	levels   []float64
	quantile [][]float64
}

func newGroup(k key, res Resolution, cfg *Config) *group {
	return &group{
		key: k, res: res, w: newWindow(k.step, cfg.MaxPoints),
		board: board{most: cfg.ScoreWindow}, scoredTo: math.MinInt64 / 2,
		spread: map[string]*baseline.Conformal{},
	}
}

// bounds is what a forecast is clamped to.
func (g *group) bounds() (lo, hi float64) {
	lo, hi = 0, huge
	if g.w.least < 0 {
		lo = -huge
	}
	if models.Unit(g.series) == "%" {
		hi = 100
	}
	return lo, hi
}

// settle is how long after a step's end its value is read, and until when a
// missing value is waited for. Half a step of patience is long, but a clock that
// runs many times too fast, as in a demo, leaves the collector no more than that.
func (g *group) settle(cfg *Config) (at, patience time.Duration) {
	at = cfg.Settle
	if at == 0 {
		at = min(g.step/5, time.Second)
	}
	return at, max(at, g.step/2)
}

// fitDue says whether the baselines want fitting at grid index end.
func (g *group) fitDue(end int64) bool {
	switch {
	case g.w.count < firstForecast:
		return false
	case len(g.fitted) == 0:
		return true
	case g.drift.on && g.drift.steps%driftShort == 0:
		return true
	}
	return float64(g.w.count) >= refitGrowth*float64(g.fittedN) || end-g.fittedAt >= refitSteps
}

// fit is the outcome of fitting a group's baselines.
type fit struct {
	season int
	scale  float64
	models []baseline.Model
	guess  map[string]float64
}

// fitBaselines finds the season and fits every baseline that the values allow.
// start is the time of the first one.
func fitBaselines(values []float64, start time.Time, step time.Duration, horizon int) fit {
	f := fit{season: baseline.Season(values, step.Seconds()), guess: map[string]float64{}}
	f.scale = naiveError(values, max(1, f.season))
	p := baseline.Params{Season: f.season, Horizon: horizon, Start: start, Step: step}
	for _, m := range []baseline.Model{
		baseline.NewLast(), baseline.NewSeasonalNaive(), baseline.NewLevelNaive(), baseline.NewHoltWinters(), baseline.NewAR(),
	} {
		if err := m.Fit(values, p); err != nil {
			continue // too few values for this one yet
		}
		f.models = append(f.models, m)
		f.guess[m.Name()] = m.Loss()
	}
	return f
}

// take makes a fit the group's.
func (g *group) take(f fit, end int64) {
	g.season, g.scale, g.fitted, g.guess = f.season, f.scale, f.models, f.guess
	g.fittedN, g.fittedAt = g.w.count, end
}

// issue keeps what the models said, after choosing the champion among them. bytes
// is by how much more is kept.
func (g *group) issue(f forecasts, at int64) (is *issue, changed bool, bytes int) {
	names := make([]string, len(f.models))
	for i, m := range f.models {
		names[i] = m.name
	}
	g.levels, g.quantile = f.levels, f.quantile
	changed = g.crown(names)
	if len(names) == 0 {
		return nil, false, 0
	}
	is = &issue{at: at, horizon: g.res.Horizon, models: f.models, used: f.used, raw: f.raw, champion: max(0, slices.Index(names, g.bench.champion))}
	return is, changed, g.keep(is)
}

// naiveError is the mean |y[t] - y[t-m]|, 0 where there are none.
func naiveError(values []float64, m int) float64 {
	sum, n := 0.0, 0.0
	for i := m; i < len(values); i++ {
		if d := math.Abs(values[i] - values[i-m]); !math.IsNaN(d) {
			sum += d
			n++
		}
	}
	return sum / max(n, 1)
}

func (g *group) spec(cfg *Config) Spec {
	lo, hi := g.bounds()
	s := Spec{Context: g.res.Context, Horizon: g.res.Horizon, Seed: cfg.Seed, NonNegative: lo == 0}
	if hi < huge {
		s.Max = hi
	}
	return s
}

// sequence is the values before a grid index for a learner, the newest most of them.
func (g *group) sequence(end int64, most int) Sequence {
	v := g.w.upTo(end)
	if len(v) > most {
		v = v[len(v)-most:]
	}
	return Sequence{Values: v, Start: g.w.start(end - int64(len(v))), Step: g.step, Season: g.season}
}

// forecasts is what every model says at a grid index: settled, within bounds.
type forecasts struct {
	models   []packed
	used     [][]float32 // what each one's spread was corrected by
	raw      []packed    // what each said before that
	levels   []float64
	quantile [][]float64
	failed   error // why the learner has none, if it should
}

// look asks every model, corrects what it says by what came of its earlier
// forecasts, and blends all. It reads only what Run's goroutine alone writes.
func (g *group) look(end int64, learner string) forecasts {
	values := g.w.upTo(end)
	start := g.w.start(g.w.first)
	lo, hi := g.bounds()
	var out forecasts
	var said []baseline.Said
	for _, m := range g.fitted {
		q, err := baseline.Forecast(m, start, values, g.res.Horizon)
		if err != nil || q.Settle(lo, hi) != nil {
			continue // no value in the tail: nothing to say
		}
		said = out.add(g, m.Name(), q, said)
	}
	if g.learned != nil {
		q, err := g.lookLearned(&out, end, learner)
		if err != nil {
			out.failed = err
		} else {
			said = out.add(g, learner, q, said)
		}
	}
	if len(said) > 1 {
		for i := range said {
			said[i].Presumed = g.presumed(said[i].Name)
		}
		if q, ok := g.mixture.Blend(said); ok && q.Settle(lo, hi) == nil {
			out.add(g, models.ModelEnsemble, q, nil)
		}
	}
	for _, m := range out.models {
		out.used = append(out.used, g.conformal(m.name).Used())
	}
	return out
}

// add corrects what a model said, and keeps both; said grows by the uncorrected.
func (f *forecasts) add(g *group, name string, q baseline.Quantiles, said []baseline.Said) []baseline.Said {
	raw := q.Clone()
	lo, hi := g.bounds()
	if g.correct(name, q).Settle(lo, hi) != nil {
		return said
	}
	f.models, f.raw = append(f.models, pack(name, q)), append(f.raw, pack(name, raw))
	return append(said, baseline.Said{Name: name, Quantiles: raw})
}

// lookLearned asks the learned model, and puts all its quantiles into out.
func (g *group) lookLearned(out *forecasts, end int64, learner string) (baseline.Quantiles, error) {
	lo, hi := g.bounds()
	tail := g.sequence(end, max(4*g.res.Context, 3*g.season+g.res.Context))
	q, levels, all, err := g.learned.Forecast(tail)
	if err == nil {
		err = q.Settle(lo, hi)
	}
	if err == nil && len(q.P50) != g.res.Horizon {
		err = errHorizon
	}
	if err != nil {
		return q, err
	}
	g.correctLevels(all, levels, q.P50, learner)
	if orderLevels(all, levels, lo, hi) {
		out.levels, out.quantile = levels, all
	}
	return q, nil
}

func (g *group) conformal(name string) *baseline.Conformal {
	c := g.spread[name]
	if c == nil {
		c = baseline.NewConformal(g.res.Horizon)
		g.spread[name] = c
	}
	return c
}

// correct widens or narrows a model's forecast in place.
func (g *group) correct(name string, q baseline.Quantiles) baseline.Quantiles {
	g.conformal(name).Apply(q, leastRoom*g.scale)
	return q
}

// correctLevels does the same to every quantile that a model has.
func (g *group) correctLevels(all [][]float64, levels, mid []float64, name string) {
	c := g.conformal(name)
	for i := range min(len(all), len(mid)) {
		below, above := c.Stretch(i)
		for k := range all[i] {
			by := above
			if k < len(levels) && levels[k] < 0.5 {
				by = below
			}
			all[i][k] = mid[i] + by*(all[i][k]-mid[i])
		}
	}
}

// presumed is a model's loss over the ensemble's as far as it is known without the
// mixture's own learning: by the board, which holds trials and what was scored before
// a restart, else by how well it was fitted. 0 is unknown.
func (g *group) presumed(name string) float64 {
	mine, _, ok := g.board.relative(name)
	if !ok {
		last := g.guess[models.ModelLast]
		if last <= 0 || g.guess[name] <= 0 {
			return 0
		}
		mine = g.guess[name] / last
	}
	if all, _, ok := g.board.relative(models.ModelEnsemble); ok {
		return mine / all
	}
	return mine
}

// orderLevels clamps and orders each step's quantiles; false where they cannot be used.
func orderLevels(all [][]float64, levels []float64, lo, hi float64) bool {
	if len(levels) == 0 || len(all) == 0 {
		return false
	}
	for _, row := range all {
		if len(row) != len(levels) {
			return false
		}
		least := lo
		for i, v := range row {
			if math.IsNaN(v) {
				return false
			}
			row[i] = min(max(v, least), hi)
			least = row[i]
		}
	}
	return true
}

// keep appends an issue; what was issued at its time or later was issued by a
// clock that has since been set back, and goes.
func (g *group) keep(i *issue) (bytes int) {
	bytes = g.dropFrom(i.at)
	g.kept = append(g.kept, i)
	g.bytes += i.size()
	return bytes + i.size()
}

// dropFrom forgets the issues made at a time or later, and returns by how much
// the bytes kept have changed.
func (g *group) dropFrom(at int64) int {
	before := g.bytes
	for n := len(g.kept); n > 0 && g.kept[n-1].at >= at; n-- {
		g.bytes -= g.kept[n-1].size()
		g.kept = g.kept[:n-1]
	}
	return g.bytes - before
}

// dropOldest forgets the oldest issue.
func (g *group) dropOldest() int {
	n := g.kept[0].size()
	g.kept[0] = nil
	g.kept = g.kept[1:]
	g.bytes -= n
	return n
}

// lateSteps is how many steps late a value may come and still be scored.
const lateSteps = 3

// scoreTo scores every step before grid index end that was not scored, against
// what is kept. It returns whether drift began or ended.
func (g *group) scoreTo(end int64) (changed bool) {
	from := max(g.scoredTo-lateSteps, g.w.first, end-int64(2*g.board.most))
	for i := from; i < end; i++ {
		y, ok := g.w.at(i)
		if !ok || i < g.scoredTo && g.board.has(i) {
			continue
		}
		s, ok := score(g.kept, g.w.step, i, y)
		if !ok {
			continue
		}
		changed = g.drift.watch(&g.board, s, g.bench.champion, g.lossFloor()) != changed
		g.board.push(s)
		g.learn(i, y)
	}
	g.scoredTo = max(g.scoredTo, end)
	g.forgetUsed(end)
	return changed
}

// learn hands a value to the corrections of all forecasts of it, and to the mixture.
func (g *group) learn(index int64, y float64) {
	g.mixture.Fade(index - g.faded)
	g.faded = max(g.faded, index)
	target := index * g.w.step
	for k := len(g.kept) - 1; k >= 0 && g.kept[k].used != nil; k-- {
		is := g.kept[k]
		ahead := int((target - is.at) / g.w.step)
		if is.at > target || ahead >= is.horizon {
			continue
		}
		for m, p := range is.models {
			p10, p50, p90 := p.at(ahead)
			g.conformal(p.name).Learn(ahead, y, p10, p50, p90, leastRoom*g.scale, is.used[m])
		}
		g.learnMixture(is, ahead, y)
	}
}

// learnMixture hands it what the models and the ensemble of them had said.
func (g *group) learnMixture(is *issue, ahead int, y float64) {
	last := len(is.raw) - 1
	if last < 0 || is.raw[last].name != models.ModelEnsemble {
		return
	}
	var said [maxModels]baseline.Told
	for m, p := range is.raw[:last] {
		said[m] = baseline.Told{Name: p.name, Q: p.three(ahead)}
	}
	g.mixture.Learn(ahead, y, said[:last], is.raw[last].three(ahead))
}

// forgetUsed lets go of what is needed no more: all values of those issues are in.
func (g *group) forgetUsed(end int64) {
	for k := len(g.kept) - 1; k >= 0 && g.kept[k].used != nil; k-- {
		if is := g.kept[k]; is.at+int64(is.horizon+lateSteps)*g.w.step < end*g.w.step {
			is.used, is.raw = nil, nil
		}
	}
}

// lossFloor is a loss that is noise beside the series' own changes.
func (g *group) lossFloor() float64 { return 0.01*g.scale + 1e-9 }

// crown chooses the champion among the models with a forecast now.
func (g *group) crown(names []string) (changed bool) {
	if !g.drift.on {
		return g.bench.choose(&g.board, names, g.guess)
	}
	best := refuge(&g.board, names)
	if best == "" {
		return g.bench.choose(&g.board, names, g.guess)
	}
	return g.bench.crown(best, "drift: "+g.drift.why+"; "+best+" is the safest of the last "+strconv.Itoa(driftShort)+" steps")
}

// newest is the newest issue.
func (g *group) newest() (*issue, bool) {
	if len(g.kept) == 0 {
		return nil, false
	}
	return g.kept[len(g.kept)-1], true
}
