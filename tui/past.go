package tui

import (
	"context"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"loadstar/models"
	"loadstar/tui/page"
	"loadstar/tui/widget"
)

// How far a key moves all views back or forth in time.
const (
	travelStep = 10 * time.Second
	travelFar  = 5 * time.Minute
)

// momentPast is how much before a moment its small graphs show.
const momentPast = 10 * time.Minute

func (m Model) frozen() bool { return !m.moment.IsZero() }

// freeze holds the view as it is, or lets it go on. What is collected goes on.
func (m Model) freeze() (Model, tea.Cmd) {
	if m.frozen() {
		return m.thaw()
	}
	m.moment, m.then, m.past = m.now, m.data, false
	return m, nil
}

func (m Model) thaw() (Model, tea.Cmd) {
	m.moment, m.then, m.past = time.Time{}, page.Data{}, false
	next, cmd := m.tell(page.Shown{})
	next.polling = false
	polled, more := next.poll()
	return polled, tea.Batch(cmd, more)
}

// travel moves all views in time; at now they go on by themselves again.
func (m Model) travel(by time.Duration) (Model, tea.Cmd) {
	at := m.moment
	if !m.frozen() {
		at = m.now
	}
	if at = at.Add(by); !at.Before(m.now) {
		if !m.frozen() {
			return m, nil
		}
		return m.thaw()
	}
	m.moment, m.past = at, true
	m.then = m.kept.At(at, m.data)
	next, cmd := m.tell(page.Shown{})
	if m.then.HasHost && m.then.HasPools && m.then.HasQueues {
		return next, cmd
	}
	return next, tea.Batch(cmd, m.link.do([]page.Request{page.LoadMoment{At: at, Pools: m.data.Pools}}, false))
}

// ofThen leaves out what can be asked only about now.
func ofThen(reqs []page.Request) []page.Request {
	return slices.DeleteFunc(slices.Clone(reqs), func(r page.Request) bool {
		switch r.(type) {
		case page.LoadInfo, page.LoadHost, page.LoadStats, page.LoadPools, page.LoadQueues, page.LoadAgents, page.LoadActive, page.LoadTrails:
			return true
		}
		return false
	})
}

// ofAnother reports whether a result is of another moment than the one shown:
// answers may come in another order than their questions.
func ofAnother(r any, moment time.Time) bool {
	switch r := r.(type) {
	case page.ForecastsLoaded:
		return r.Series != "" && !r.At.Equal(moment)
	case page.DecisionsLoaded:
		return !r.At.Equal(moment)
	case page.ChartLoaded:
		return !r.At.Equal(moment)
	}
	return false
}

// frozenText is what stands under the header while the view does not move.
func (m Model) frozenText() string {
	at := m.moment.In(m.cfg.Zone)
	clock := at.Format("15:04:05")
	if m.now.Sub(at) > 20*time.Hour {
		clock = at.Format("Jan 02 15:04:05")
	}
	word := "FROZEN at "
	if m.past {
		word = "THE PAST: "
	}
	return word + clock + ", " + widget.Age(m.now, m.moment) + " ago. The collection goes on; F returns to now, [ ] move in time"
}

// moment asks what the daemon's history tells of a moment.
func (t transport) moment(ctx context.Context, r page.LoadMoment) (any, error) {
	out := page.MomentLoaded{At: r.At, Points: map[string][]models.Point{}}
	now, err := t.source.Host(ctx)
	if err != nil && !contentError(err) {
		return nil, err
	}
	infos, err := t.source.Series(ctx)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for name, stepS := range stepsAt(infos, r.At) {
		_, what, pool := models.ParsePoolSeries(name)
		if pool && what != models.PoolQueue {
			continue
		}
		points, err := t.source.Samples(ctx, name, stepS, r.At.Add(-momentPast), r.At)
		if err != nil && !contentError(err) {
			return nil, err
		}
		out.Points[name] = points
		if n := len(points); n > 0 && !pool {
			values[name] = points[n-1].Value
		}
	}
	out.Host = page.HostOf(r.At, &now, values)
	pools := r.Pools
	if len(pools) == 0 {
		if pools, err = t.source.Pools(ctx); err != nil {
			return nil, err
		}
	}
	for i := range pools {
		list, err := t.source.Decisions(ctx, pools[i].Name, r.At, 1)
		if err != nil && !contentError(err) {
			return nil, err
		}
		if len(list) > 0 {
			out.Pools = append(out.Pools, page.PoolOf(&pools[i], &list[0]))
		}
	}
	return out, nil
}

// stepsAt are the series that reach back to a moment, each with its finest step that does.
func stepsAt(infos []models.SeriesInfo, at time.Time) map[string]float64 {
	steps := map[string]float64{}
	for i := range infos {
		s := &infos[i]
		if s.Points == 0 || s.From.After(at) || s.StepS <= 0 {
			continue
		}
		if was, ok := steps[s.Name]; !ok || s.StepS < was {
			steps[s.Name] = s.StepS
		}
	}
	return steps
}

// forecastsAt are the forecasts of a series as they stood at a moment: the newest
// that had been made by then. Their scores are known for now alone, and left out.
func (t transport) forecastsAt(ctx context.Context, r page.LoadForecasts) (any, error) {
	list, err := t.source.Forecasts(ctx, r.Series, r.StepS)
	if err != nil {
		return nil, err
	}
	if r.Series == "" {
		return page.ForecastsLoaded{LoadForecasts: r, Forecasts: list}, nil
	}
	for i := range list {
		f := &list[i]
		step := time.Duration(f.StepS * float64(time.Second))
		rows, err := t.source.ForecastHistory(ctx, models.ForecastQuery{Series: r.Series, StepS: f.StepS, From: r.At.Add(-5 * step), To: r.At.Add(time.Nanosecond)})
		if err != nil && !contentError(err) {
			return nil, err
		}
		f.Models, f.TrainedAt, f.Status, f.Drift = nil, nil, "", false
		f.Champion, f.Why, f.Forecasts = "", "nothing had been forecast by then, or it is no longer kept", nil
		f.Errors = slices.DeleteFunc(slices.Clone(f.Errors), func(e models.ErrorPoint) bool { return e.At.After(r.At) })
		if then := page.ForecastOf(rows, r.At); then != nil {
			f.Champion, f.Forecasts = then.Model, []models.Forecast{*then}
			f.Why = "as " + then.Model + " saw it then; beside it stands what came"
		}
	}
	return page.ForecastsLoaded{LoadForecasts: r, Forecasts: list}, nil
}
