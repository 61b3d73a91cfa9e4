package app

import (
	"math"
	"time"

	"loadstar/models"
	"loadstar/predictor/baseline"
	"loadstar/scheduler/simulate"
)

// What the daemon's forecasting service does by default, done here step by step.
const (
	replayRefit  = 240  // steps until models are fitted anew
	replayGrowth = 1.5  // or until the values have grown so
	replayTail   = 6000 // newest values that a forecast looks at, five seasons at least
	replayWindow = 288  // newest scored steps that skill and coverage rest on
	replayShort  = 5    // steps ahead that drift is judged on
	replayFirst  = 60   // values before there is a forecast
	replayLead   = 0.95 // a challenger's loss over the champion's, at most
	replayStreak = 3    // for so many steps
)

// NewReplayForecaster makes what forecasts in a replay: the baselines of the daemon
// and a linear autoregression, fitted as they would have been live on what has
// been seen by then, scored against what came, the best of them the champion, with
// the daemon's test for drift. The autoregression stands in for the LSTM, which
// would have to be trained over and over.
func NewReplayForecaster(bin time.Duration, horizon int) simulate.Forecaster {
	return &replayForecaster{
		step: bin, horizon: horizon,
		models: []baseline.Model{baseline.NewLast(), baseline.NewSeasonalNaive(), baseline.NewHoltWinters(), baseline.NewAR()},
	}
}

type replayForecaster struct {
	step    time.Duration
	horizon int
	now     time.Time
	values  []float64

	models  []baseline.Model
	fitted  []bool
	fittedN int
	season  int
	issues  []replayIssue // the newest horizon
	scores  []replayScore // the newest replayWindow scored steps
	sums    replayScore   // over them

	champion, challenger, streak int
	drift                        replayDrift
}

// replayIssue is what each model said when so many values were known.
type replayIssue struct {
	known int
	paths []*baseline.Quantiles // by model; nil where it had nothing to say
}

// replayScore is what the forecasts of one step, or of several, were worth, by model.
type replayScore struct {
	loss, naive, cells, inside, short, shortN [4]float64
}

func (s *replayScore) add(o *replayScore, sign float64) {
	for m := range s.loss {
		s.loss[m] += sign * o.loss[m]
		s.naive[m] += sign * o.naive[m]
		s.cells[m] += sign * o.cells[m]
		s.inside[m] += sign * o.inside[m]
		s.short[m] += sign * o.short[m]
		s.shortN[m] += sign * o.shortN[m]
	}
}

// replayNaive is the place of the seasonal naive among the models.
const replayNaive = 1

// Observe is as simulate.Forecaster says.
func (f *replayForecaster) Observe(end time.Time, load float64) {
	f.now = end
	f.values = append(f.values, load)
	if len(f.issues) > 0 {
		f.score(load)
	}
	if n := len(f.values); n >= replayFirst && (n-f.fittedN >= replayRefit || float64(n) >= replayGrowth*float64(f.fittedN)) {
		f.fit()
	}
}

func (f *replayForecaster) fit() {
	f.fittedN = len(f.values)
	f.season = baseline.Season(f.values, f.step.Seconds())
	f.fitted = make([]bool, len(f.models))
	for i, m := range f.models {
		f.fitted[i] = m.Fit(f.values, baseline.Params{Season: f.season, Horizon: f.horizon}) == nil
	}
}

// score compares a value with every forecast of it.
func (f *replayForecaster) score(y float64) {
	var s replayScore
	target := len(f.values) - 1
	for _, issue := range f.issues {
		ahead := target - issue.known
		if ahead < 0 || ahead >= f.horizon || issue.paths[replayNaive] == nil {
			continue
		}
		naive := pinballs(issue.paths[replayNaive], ahead, y)
		for m, q := range issue.paths {
			if q == nil {
				continue
			}
			loss := pinballs(q, ahead, y)
			s.loss[m] += loss
			s.naive[m] += naive
			s.cells[m]++
			if q.P10[ahead] <= y && y <= q.P90[ahead] {
				s.inside[m]++
			}
			if ahead < replayShort {
				s.short[m] += loss
				s.shortN[m]++
			}
		}
	}
	f.drift.watch(f, &s)
	f.scores = append(f.scores, s)
	f.sums.add(&s, 1)
	if len(f.scores) > replayWindow {
		f.sums.add(&f.scores[0], -1)
		f.scores = f.scores[1:]
	}
	f.choose()
}

func pinballs(q *baseline.Quantiles, i int, y float64) float64 {
	return (baseline.Pinball(y, q.P10[i], 0.1) + baseline.Pinball(y, q.P50[i], 0.5) + baseline.Pinball(y, q.P90[i], 0.9)) / 3
}

// choose changes the champion when another has been better for a while; while the
// series drifts it is the best of the simple ones over the newest steps.
func (f *replayForecaster) choose() {
	best, least := f.champion, math.Inf(1)
	if f.drift.on {
		for m := range 3 {
			if loss, ok := f.recent(m, replayDriftShort); ok && loss < least {
				best, least = m, loss
			}
		}
		f.champion, f.streak = best, 0
		return
	}
	for m := range f.models {
		if r := f.sums.loss[m] / f.sums.naive[m]; f.sums.cells[m] >= 20 && r < least {
			best, least = m, r
		}
	}
	mine := f.sums.loss[f.champion] / f.sums.naive[f.champion]
	switch {
	case best == f.champion || least > replayLead*mine:
		f.streak = 0
		return
	case best != f.challenger:
		f.challenger, f.streak = best, 0
	}
	if f.streak++; f.streak >= replayStreak {
		f.champion, f.streak = best, 0
	}
}

// recent is a model's mean loss a few steps ahead over the newest n scored steps.
func (f *replayForecaster) recent(model, n int) (loss float64, ok bool) {
	sum, count := 0.0, 0.0
	for _, s := range f.scores[max(0, len(f.scores)-n):] {
		sum += s.short[model]
		count += s.shortN[model]
	}
	return sum / math.Max(count, 1), count > 0
}

// Demand is as simulate.Forecaster says.
func (f *replayForecaster) Demand() *models.DemandForecast {
	if f.fitted == nil {
		return nil
	}
	issue := replayIssue{known: len(f.values), paths: make([]*baseline.Quantiles, len(f.models))}
	tail := f.values[max(0, len(f.values)-max(replayTail, 5*f.season+100)):]
	for m, model := range f.models {
		if !f.fitted[m] {
			continue
		}
		if q, err := model.Forecast(tail, f.horizon); err == nil && q.Settle(0, math.MaxFloat64) == nil {
			issue.paths[m] = &q
		}
	}
	f.issues = append(f.issues, issue)
	if len(f.issues) > f.horizon {
		f.issues[0] = replayIssue{}
		f.issues = f.issues[1:]
	}
	m := f.champion
	if issue.paths[m] == nil {
		m = 0
	}
	q := issue.paths[m]
	if q == nil {
		return nil
	}
	d := &models.DemandForecast{
		Series: models.PoolSeries("replay", models.PoolLoad), Model: f.models[m].Name(), IssuedAt: f.now, StepS: f.step.Seconds(),
		Levels: []float64{0.1, 0.5, 0.9}, Values: make([][]float64, f.horizon), Scored: int(f.sums.cells[m]), Drift: f.drift.on,
	}
	if f.sums.naive[m] > 0 {
		d.Skill = 1 - f.sums.loss[m]/f.sums.naive[m]
	}
	if f.sums.cells[m] > 0 {
		d.Coverage = f.sums.inside[m] / f.sums.cells[m]
	}
	for i := range d.Values {
		d.Values[i] = []float64{q.P10[i], q.P50[i], q.P90[i]}
	}
	return d
}

// replayDrift is the daemon's test for drift: Page and Hinkley's, on the ratio of
// the champion's loss a few steps ahead to what is usual.
type replayDrift struct {
	on        bool
	statistic float64
	usual     float64
	steps     int
}

const (
	replayDriftClip    = 5.0
	replayDriftSlack   = 0.5
	replayDriftTrips   = 12.0
	replayDriftWarm    = 30
	replayDriftShort   = 10
	replayDriftCalm    = 1.5
	replayDriftLongest = 60
)

func (d *replayDrift) watch(f *replayForecaster, s *replayScore) {
	c := f.champion
	if s.shortN[c] == 0 {
		return
	}
	if d.on {
		d.steps++
		loss, ok := f.recent(c, replayDriftShort)
		if d.steps >= replayDriftShort && ok && loss <= replayDriftCalm*d.usual || d.steps >= replayDriftLongest {
			*d = replayDrift{}
		}
		return
	}
	if len(f.scores) < replayDriftWarm || f.sums.shortN[c] == 0 {
		return
	}
	usual := f.sums.short[c]/f.sums.shortN[c] + 1e-9
	d.statistic = max(0, d.statistic+min(s.short[c]/s.shortN[c]/usual, replayDriftClip)-1-replayDriftSlack)
	if d.statistic >= replayDriftTrips {
		d.on, d.steps, d.usual = true, 0, usual
	}
}
