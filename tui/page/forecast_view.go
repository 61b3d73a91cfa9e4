package page

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/tui/chart"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// View draws the page.
func (f Forecast) View(c *widget.Canvas, env Env) {
	w, h := c.Size()
	if len(f.items) == 0 {
		in := widget.Panel(c, widget.Rect{X: 0, Y: 0, W: w, H: h}, "forecast", "", false)
		if f.loaded {
			widget.Centre(in, "no series yet", "the collector samples the host every second; the first forecast comes after a few steps")
		} else {
			widget.Centre(in, "asking for the forecasts")
		}
		return
	}
	left := max(24, min(48, w*28/100))
	f.drawList(c, widget.Rect{X: 0, Y: 0, W: left, H: h}, env)
	right := widget.Rect{X: left, Y: 0, W: w - left, H: h}
	s, ok := f.current()
	if !ok {
		f.drawChart(c, right, nil, env)
		return
	}
	why := whyChampion(&s, right.W-2)
	table := min(len(s.Models)+len(why)+4, max(5, h*11/20))
	why = why[:max(1, min(len(why), table-len(s.Models)-4))] // the models before the words
	errors := 0
	if h >= 34 {
		errors = max(7, h/5)
	}
	f.drawChart(c, widget.Rect{X: left, Y: 0, W: right.W, H: h - table - errors}, &s, env)
	if errors > 0 {
		f.drawErrors(c, widget.Rect{X: left, Y: h - table - errors, W: right.W, H: errors}, &s, env)
	}
	f.drawModels(c, widget.Rect{X: left, Y: h - table, W: right.W, H: table}, &s, why, env)
}

func (f Forecast) drawList(c *widget.Canvas, r widget.Rect, env Env) {
	in := widget.Panel(c, r, "series", fmt.Sprintf("%d of %d", f.cursor+1, len(f.items)), false)
	t := widget.NewTable(in.W()-1, []widget.Column{
		{Title: "", Width: 1},
		{Title: "SERIES", Width: 15, Grow: 1},
		{Title: "NOW", Width: 10, Right: true, Drop: 1},
		{Title: "BEST", Width: 11, Drop: 2},
	})
	first := widget.Window(0, f.cursor, in.H(), len(f.items))
	for y := 0; y < in.H() && first+y < len(f.items); y++ {
		name := f.items[first+y]
		t.Row(in, y, f.listCells(name, env), first+y == f.cursor)
		in.Zone(widget.Rect{X: 0, Y: y, W: in.W(), H: 1}, "series", first+y)
	}
	widget.Scrollbar(in, first, in.H(), len(f.items))
}

func (f Forecast) listCells(name string, env Env) []widget.Cell {
	sign, best := widget.Cell{Text: env.Theme.Glyphs.Bullet, Style: style(theme.Border)}, widget.Cell{Text: "-", Style: style(theme.Muted)}
	if steps := f.steps(name, true); len(steps) > 0 {
		s := f.known[seriesKey{name, steps[0]}]
		sign = widget.Cell{Text: env.Theme.Glyphs.Forecast, Style: style(theme.Median)}
		if s.Champion != "" {
			best = widget.Cell{Text: widget.Clean(s.Champion), Style: style(theme.Muted)}
		}
		if s.Drift {
			sign = widget.Cell{Text: env.Theme.Glyphs.Warning, Style: style(theme.Warn)}
		}
	}
	now := widget.Cell{Text: "-", Style: style(theme.Muted)}
	if v, ok := f.last(name); ok {
		now = widget.Cell{Text: nowText(v, models.Unit(name)), Style: style(theme.Text)}
	}
	return []widget.Cell{sign, {Text: widget.Clean(shortName(name)), Style: style(theme.Text)}, now, best}
}

// shortName is a series' name without what all pools' have in common.
func shortName(name string) string {
	if pool, what, ok := models.ParsePoolSeries(name); ok {
		return pool + "." + what
	}
	return name
}

// nowText is a value in a narrow column: its unit is in the series' name, but for rates.
func nowText(v float64, unit string) string {
	switch unit {
	case "tasks/s":
		return widget.SI(v) + " /s"
	case "workers", "tasks":
		if v == math.Trunc(v) && math.Abs(v) < 1e6 {
			return strconv.Itoa(int(v))
		}
		return widget.SI(v)
	}
	return widget.Value(v, unit)
}

// last is the newest value of a series at its finest step.
func (f Forecast) last(name string) (float64, bool) {
	found, stepS := -1, 0.0
	for i := range f.series {
		if s := &f.series[i]; s.Name == name && s.Points > 0 && (found < 0 || s.StepS < stepS) {
			found, stepS = i, s.StepS
		}
	}
	if found < 0 {
		return 0, false
	}
	return f.series[found].Last, true
}

func (f Forecast) drawChart(c *widget.Canvas, r widget.Rect, s *models.SeriesForecast, env Env) {
	name, _ := f.shown()
	from, to, stepS, _ := f.span(env.Now)
	title := widget.Clean(name)
	note := "last " + spanText(env.Now.Sub(from).Truncate(time.Second)) + ", step " + widget.Seconds(stepS)
	if steps := f.steps(name, false); len(steps) > 1 {
		note += fmt.Sprintf(" (%d of %d)", 1+indexOf(steps, stepS), len(steps))
	}
	if s != nil && s.Drift {
		title += " " + env.Theme.Glyphs.Warning + " drifts from what was learned"
	}
	in := widget.Panel(c, r, title, note, false)
	if f.chart.Series != name || f.chart.RowStep() != stepS {
		widget.Centre(in, "asking for the values")
		return
	}
	step := seconds(stepS)
	p := chart.Plot{From: from, To: to, Now: env.Now, Zone: env.Zone, Unit: models.Unit(name)}
	p.Lines = append(p.Lines, chart.Line{Name: "actual", Points: f.chart.Points, Step: seconds(f.chart.StepS), Role: theme.Actual, Stroke: chart.Solid})
	if s != nil {
		p.Unit = s.Unit
		f.addForecast(&p, s, step)
	}
	if len(f.chart.Points) == 0 && s == nil {
		widget.Centre(in, "no values of "+title+" in this time", "- shows more of the past")
		return
	}
	p.Legend(in, 0, 0)
	p.Draw(in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: in.H() - 1}))
	if s == nil {
		widget.Foot(c, r, "not forecast")
	}
}

func indexOf(steps []float64, stepS float64) int {
	for i, s := range steps {
		if s == stepS {
			return i
		}
	}
	return 0
}

// addForecast adds what is expected and what had been.
func (f Forecast) addForecast(p *chart.Plot, s *models.SeriesForecast, step time.Duration) {
	if c := champion(s); c != nil {
		n := min(len(c.P10), len(c.P50), len(c.P90))
		median := make([]models.Point, n)
		band := &chart.Band{Name: "P10-P90", Step: step, Lo: c.P10[:n], Hi: c.P90[:n]}
		for i := range n {
			at := c.TargetAt(i)
			median[i] = models.Point{At: at, Value: c.P50[i]}
			band.At = append(band.At, at)
		}
		p.Lines = append(p.Lines, chart.Line{Name: "P50", Points: median, Step: step, Role: theme.Median, Stroke: chart.Dashed})
		p.Band = band
	}
	if then := f.reached(); len(then) > 0 {
		ahead := widget.Seconds(float64(f.ahead()) * step.Seconds())
		p.Lines = append(p.Lines, chart.Line{Name: "P50 " + ahead + " before", Points: then, Step: step, Role: theme.Past, Stroke: chart.Dotted})
	}
}

func (f Forecast) drawErrors(c *widget.Canvas, r widget.Rect, s *models.SeriesForecast, env Env) {
	in := widget.Panel(c, r, "error over time", "mean absolute error of the champion", false)
	if len(s.Errors) == 0 {
		widget.Centre(in, "nothing scored yet", "a forecast is scored when what it was about has come")
		return
	}
	points := make([]models.Point, len(s.Errors))
	gap := seconds(s.StepS)
	for i, e := range s.Errors {
		points[i] = models.Point{At: e.At, Value: e.AbsError}
		if i > 0 { // the distance that most of them have
			if d := e.At.Sub(s.Errors[i-1].At); i == 1 || d < gap {
				gap = max(d, time.Second)
			}
		}
	}
	from, to := points[0].At, points[len(points)-1].At.Add(gap)
	if !to.After(from) {
		to = from.Add(gap)
	}
	p := chart.Plot{
		From: from, To: to, Zone: env.Zone, Unit: s.Unit, FromZero: true,
		Lines: []chart.Line{{Points: points, Step: gap, Role: theme.Warn, Stroke: chart.Solid}},
	}
	p.Draw(in)
}

func modelColumns() []widget.Column {
	return []widget.Column{
		{Title: "", Width: 1},
		{Title: "MODEL", Width: 11, Grow: 1},
		{Title: "MASE", Width: 6, Right: true},
		{Title: "WAPE", Width: 8, Right: true},
		{Title: "IN BAND", Width: 7, Right: true},
		{Title: "SKILL", Width: 7, Right: true},
		{Title: "PINBALL", Width: 12, Right: true, Drop: 2},
		{Title: "N", Width: 6, Right: true, Drop: 1},
	}
}

func (f Forecast) drawModels(c *widget.Canvas, r widget.Rect, s *models.SeriesForecast, why []string, env Env) {
	note := ""
	if mean, last, n := f.missed(); n > 0 {
		note = "missed by " + widget.Value(last, s.Unit)
		if long := note + " just now, " + widget.Value(mean, s.Unit) + " on average"; widget.Width(long)+16 < r.W {
			note = long
		}
	}
	in := widget.Panel(c, r, "models", note, false)
	t := widget.NewTable(in.W(), modelColumns())
	t.Header(in, 0)
	y := 1
	for i := range s.Models {
		if y >= in.H()-len(why)-1 {
			break
		}
		t.Row(in, y, modelCells(&s.Models[i], s, env), false)
		y++
	}
	for _, l := range why {
		in.TextFit(0, y, in.W(), style(theme.Text), l)
		y++
	}
	in.TextFit(0, y, in.W(), style(theme.Muted), trainedText(s, env))
}

// whyChampion says which model is used and why.
func whyChampion(s *models.SeriesForecast, w int) []string {
	why := strings.TrimSpace(widget.Clean(s.Why))
	if why == "" {
		why = "no champion yet"
	}
	lines := widget.Wrap(why, w)
	if len(lines) == 0 { // nothing of it can be drawn here
		lines = []string{""}
	}
	return lines[:min(len(lines), 3)]
}

func modelCells(m *models.ModelScore, s *models.SeriesForecast, env Env) []widget.Cell {
	num := func(v *float64, scale float64, unit string) widget.Cell {
		if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
			return widget.Cell{Text: "-", Style: style(theme.Muted)}
		}
		if unit == "%" {
			return widget.Cell{Text: percent(*v * scale), Style: style(theme.Text)}
		}
		if unit != "" {
			return widget.Cell{Text: widget.Value(*v, unit), Style: style(theme.Text)}
		}
		return widget.Cell{Text: widget.Number(*v), Style: style(theme.Text)}
	}
	sign, name := widget.Cell{}, widget.Cell{Text: widget.Clean(m.Model), Style: style(theme.Text)}
	if m.Model == s.Champion {
		sign = widget.Cell{Text: env.Theme.Glyphs.Star, Style: style(theme.Accent)}
		name.Style = style(theme.Accent)
		name.Text += " best"
	}
	skill := num(m.Skill, 100, "%")
	if m.Skill != nil && *m.Skill < 0 {
		skill.Style = style(theme.Warn)
	} else if m.Skill != nil && *m.Skill > 0 {
		skill.Style = style(theme.Good)
	}
	return []widget.Cell{
		sign, name, num(m.MASE, 1, ""), num(m.WAPE, 100, "%"), num(m.Coverage, 100, "%"), skill,
		num(m.Pinball, 1, dashUnit(s.Unit)),
		{Text: widget.Short(m.N), Style: style(theme.Muted)},
	}
}

// dashUnit keeps a series' percent from being taken for a share.
func dashUnit(unit string) string {
	if unit == "%" {
		return ""
	}
	return unit
}

func trainedText(s *models.SeriesForecast, env Env) string {
	text := widget.Clean(s.Status)
	if s.TrainedAt != nil {
		text += fmt.Sprintf(", LSTM trained %s ago on %s points in %s",
			widget.Age(env.Now, *s.TrainedAt), widget.Count(s.TrainedOn), widget.Seconds(s.TrainS))
	}
	if s.SeasonSteps > 0 {
		text += fmt.Sprintf(", season %s", widget.Seconds(float64(s.SeasonSteps)*s.StepS))
	}
	return strings.TrimPrefix(text, ", ")
}
