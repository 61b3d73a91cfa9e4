package predictor

import (
	"fmt"
	"math"
	"slices"
	"time"

	"loadstar/models"
)

// Current returns what is known ahead of a series at a step in seconds. An empty
// series is all, a step of 0 is every one. models.ErrNotFound for a series or
// step that is not forecast.
func (s *Service) Current(series string, stepS float64) ([]models.SeriesForecast, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := []models.SeriesForecast{}
	for _, g := range s.order {
		if (series == "" || g.series == series) && (stepS == 0 || g.step.Seconds() == stepS) && (g.live || series != "") {
			out = append(out, s.view(g))
		}
	}
	if len(out) == 0 && (series != "" || stepS != 0) {
		return nil, notForecast(series, stepS)
	}
	return out, nil
}

func notForecast(series string, stepS float64) error {
	switch {
	case stepS == 0:
		return fmt.Errorf("no forecast of series %q: %w", series, models.ErrNotFound)
	case series == "":
		return fmt.Errorf("no forecast at step %g s: %w", stepS, models.ErrNotFound)
	}
	return fmt.Errorf("no forecast of series %q at step %g s: %w", series, stepS, models.ErrNotFound)
}

func (s *Service) view(g *group) models.SeriesForecast {
	v := models.SeriesForecast{
		Series: g.series, Unit: models.Unit(g.series), StepS: g.step.Seconds(), SeasonSteps: g.season,
		Champion: g.bench.champion, Why: g.bench.why, Drift: g.drift.on,
		Models: s.scores(g), Forecasts: []models.Forecast{},
		TrainedOn: g.trainedOn, TrainS: g.trainS, Status: s.status(g),
	}
	if g.learned != nil {
		at := g.trainedAt
		v.TrainedAt = &at
	}
	if is, ok := g.newest(); ok {
		for k, m := range is.models {
			q := m.unpack()
			v.Forecasts = append(v.Forecasts, models.Forecast{
				Series: g.series, IssuedAt: utc(is.at), StepS: v.StepS, Model: m.name, Champion: k == is.champion,
				P10: q.P10, P50: q.P50, P90: q.P90,
			})
		}
	}
	for _, st := range g.board.window() {
		if st.champN > 0 {
			v.Errors = append(v.Errors, models.ErrorPoint{At: g.w.start(st.index), AbsError: st.champErr / st.champN})
		}
	}
	return v
}

func utc(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// scores are those of the models of the newest issue, in its order.
func (s *Service) scores(g *group) []models.ModelScore {
	out := []models.ModelScore{}
	if is, ok := g.newest(); ok {
		for _, m := range is.models {
			out = append(out, g.board.modelScore(m.name, g.scale))
		}
	}
	return out
}

// status says in words how far a group is.
func (s *Service) status(g *group) string {
	newest, ok := g.w.newest()
	switch {
	case !g.live || !ok:
		return "no values yet"
	case g.w.count < firstForecast:
		return fmt.Sprintf("%d of %d points before the first forecast", g.w.count, firstForecast)
	}
	if is, has := g.newest(); has && g.lastDue-is.at > 2*g.res.Every.Milliseconds() {
		return "no values since " + g.w.start(newest+1).Format(time.RFC3339)
	}
	switch {
	case s.cfg.Learner == nil:
		return "baselines only"
	case g.progress != nil:
		return fmt.Sprintf("training %.0f %%", 100*math.Float64frombits(g.progress.Load()))
	case g.trouble != "":
		return "training failed: " + g.trouble
	case g.learned != nil:
		return "ready"
	case g.w.count < s.cfg.MinTrain:
		return fmt.Sprintf("%d of %d points before the LSTM can train", g.w.count, s.cfg.MinTrain)
	}
	return "waits for its turn to train"
}

// Scores are the measures of every model of a series at a step, over the recent
// window; nil where it is not forecast.
func (s *Service) Scores(series string, stepS float64) []models.ModelScore {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, g := range s.order {
		if g.series == series && g.step.Seconds() == stepS {
			return s.scores(g)
		}
	}
	return nil
}

// History returns kept forecasts, newest issue first; within one issue by series,
// model and horizon. With a limit it looks at no more issues than it needs.
// models.ErrNotFound for a series or step that is not forecast.
func (s *Service) History(q models.ForecastQuery) ([]models.ForecastRow, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var walks []*walk
	finest := map[string]time.Duration{}
	for _, g := range s.order { // ascending step within a series
		if _, ok := finest[g.series]; !ok {
			finest[g.series] = g.step
		}
		if q.Series != "" && g.series != q.Series {
			continue
		}
		if q.StepS == 0 && finest[g.series] != g.step || q.StepS != 0 && g.step.Seconds() != q.StepS {
			continue
		}
		walks = append(walks, newWalk(g, q.To))
	}
	if len(walks) == 0 && (q.Series != "" || q.StepS != 0) {
		return nil, notForecast(q.Series, q.StepS)
	}
	out := []models.ForecastRow{}
	for {
		var newest *walk
		for _, w := range walks {
			if w.at >= 0 && (newest == nil || w.issue().at > newest.issue().at) {
				newest = w
			}
		}
		if newest == nil || !q.From.IsZero() && newest.issue().at < q.From.UnixMilli() {
			return out, nil
		}
		out = newest.g.rows(newest.issue(), q, out)
		newest.at--
		if q.Limit > 0 && len(out) >= q.Limit {
			return out[:q.Limit], nil
		}
	}
}

// walk goes through a group's issues from the newest.
type walk struct {
	g  *group
	at int // index into kept; -1 at the end
}

func newWalk(g *group, to time.Time) *walk {
	n := len(g.kept)
	if !to.IsZero() {
		n, _ = slices.BinarySearchFunc(g.kept, to.UnixMilli()+1, func(i *issue, at int64) int {
			return int(min(max(i.at-at, -1), 1))
		})
	}
	return &walk{g: g, at: n - 1}
}

func (w *walk) issue() *issue { return w.g.kept[w.at] }

// rows appends an issue's rows that the query wants.
func (g *group) rows(is *issue, q models.ForecastQuery, out []models.ForecastRow) []models.ForecastRow {
	from, to := 0, is.horizon
	if q.Horizon > 0 {
		from, to = q.Horizon-1, min(q.Horizon, is.horizon)
	}
	for k, m := range is.models {
		if q.Model != "" && m.name != q.Model {
			continue
		}
		for i := from; i < to; i++ {
			r := models.ForecastRow{
				Series: g.series, IssuedAt: utc(is.at), TargetAt: utc(is.at + int64(i)*g.w.step), StepS: g.step.Seconds(),
				Horizon: i + 1, Model: m.name, Champion: k == is.champion,
			}
			r.P10, r.P50, r.P90 = m.at(i)
			g.fill(&r)
			out = append(out, r)
			if q.Limit > 0 && len(out) >= q.Limit {
				return out
			}
		}
	}
	return out
}

// fill puts in what came of a row, if it is known: only steps that are over.
func (g *group) fill(r *models.ForecastRow) {
	index := g.w.index(r.TargetAt)
	y, ok := g.w.at(index)
	if !ok {
		return
	}
	e := math.Abs(y - r.P50)
	r.Actual, r.AbsError = &y, &e
	if y != 0 {
		if ape := 100 * e / math.Abs(y); !math.IsInf(ape, 0) {
			r.APE = &ape
		}
	}
}

// Demand is the newest forecast of a pool's offered load, from the champion, at
// the finest step whose horizon covers the pool's lead (Config.Lead); where none
// does, at the one that reaches furthest. ok is false without a fresh one.
func (s *Service) Demand(pool string) (models.DemandForecast, bool) {
	lead := time.Duration(0)
	if s.cfg.Lead != nil {
		lead = s.cfg.Lead(pool)
	}
	return s.DemandOver(pool, lead)
}

// DemandOver is Demand at the finest step that reaches over a time.
func (s *Service) DemandOver(pool string, over time.Duration) (models.DemandForecast, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	g, is := s.covering(models.PoolSeries(pool, models.PoolLoad), over)
	if g == nil {
		return models.DemandForecast{}, false
	}
	m := is.models[is.champion]
	d := models.DemandForecast{
		Series: g.series, Model: m.name, IssuedAt: utc(is.at), StepS: g.step.Seconds(), Drift: g.drift.on,
	}
	score := g.board.modelScore(m.name, g.scale)
	d.Scored = score.N
	if score.Skill != nil {
		d.Skill = *score.Skill
	}
	if score.Coverage != nil {
		d.Coverage = *score.Coverage
	}
	if s.cfg.Learner != nil && m.name == s.cfg.Learner.Name() && len(g.quantile) == is.horizon {
		d.Levels = slices.Clone(g.levels)
		d.Values = make([][]float64, len(g.quantile))
		for i := range g.quantile {
			d.Values[i] = slices.Clone(g.quantile[i])
		}
		return d, true
	}
	d.Levels = []float64{0.1, 0.5, 0.9}
	for i := range is.horizon {
		p10, p50, p90 := m.at(i)
		d.Values = append(d.Values, []float64{p10, p50, p90})
	}
	return d, true
}

// covering is the group of a series at the finest step that reaches over the
// lead, and its newest issue, if that is fresh.
func (s *Service) covering(series string, lead time.Duration) (best *group, newest *issue) {
	now := s.cfg.Clock()
	for _, g := range s.order { // finest step first
		if g.series != series {
			continue
		}
		is, ok := g.newest()
		if !ok || now.Sub(utc(is.at)) > 3*g.res.Every+5*time.Second {
			continue
		}
		reach := time.Duration(is.horizon) * g.step
		if best == nil || reach > time.Duration(newest.horizon)*best.step {
			best, newest = g, is
		}
		if reach >= lead {
			break
		}
	}
	return best, newest
}

// HostCPU is the champion's P50 of the host's CPU share, 0 to 1: its largest
// value within the lead. ok is false without a fresh forecast.
func (s *Service) HostCPU(lead time.Duration) (share float64, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	g, is := s.covering(models.SeriesCPU, lead)
	if g == nil {
		return 0, false
	}
	until := s.cfg.Clock().Add(lead).UnixMilli()
	for i := range is.horizon {
		if i > 0 && is.at+int64(i)*g.w.step > until {
			break
		}
		_, p50, _ := is.models[is.champion].at(i)
		share = max(share, p50/100)
	}
	return min(share, 1), true
}
