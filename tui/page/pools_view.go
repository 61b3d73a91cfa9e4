package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/tui/chart"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// View draws the page.
func (p Pools) View(c *widget.Canvas, env Env) {
	w, h := c.Size()
	pools := env.Data.Pools
	if len(pools) == 0 {
		in := widget.Panel(c, widget.Rect{X: 0, Y: 0, W: w, H: h}, "pools", "", false)
		if env.Data.HasPools {
			widget.Centre(in, "no pools", "the configuration names them; the pool default is always there")
		} else {
			widget.Centre(in, "asking for the pools")
		}
		return
	}
	top := p.tableRows(h, len(pools))
	r := widget.Rect{X: 0, Y: 0, W: w, H: top}
	in := widget.Panel(c, r, "pools", fmt.Sprintf("%d of %d", p.cursor+1, len(pools)), !p.ledger)
	poolRows(in, env, pools, p.cursor, true)
	legend(c, r, env)
	pool := p.pool(env)
	if pool == nil {
		return
	}
	rest := h - top
	facts := p.why(pool, w-2)
	why := min(len(facts)+2, max(3, rest*45/100))
	p.drawWhy(c, widget.Rect{X: 0, Y: top, W: w, H: why}, pool, facts)
	y := top + why
	lower := widget.Rect{X: 0, Y: y, W: w, H: h - y}
	if p.open && p.decision < len(p.decisions.Decisions) {
		if w >= splitsAt {
			lower.W = w / 2
			p.drawDemand(c, widget.Rect{X: lower.W, Y: y, W: w - lower.W, H: lower.H}, pool, env)
		}
		p.drawOpened(c, lower, &p.decisions.Decisions[p.decision], env)
		return
	}
	switch {
	case w >= splitsAt:
		left := w / 2
		p.drawDemand(c, widget.Rect{X: left, Y: y, W: w - left, H: lower.H}, pool, env)
		p.drawLedger(c, widget.Rect{X: 0, Y: y, W: left, H: lower.H}, env)
	case lower.H >= 18:
		n := lower.H / 2
		p.drawDemand(c, widget.Rect{X: 0, Y: y, W: w, H: n}, pool, env)
		p.drawLedger(c, widget.Rect{X: 0, Y: y + n, W: w, H: lower.H - n}, env)
	default:
		p.drawLedger(c, lower, env)
	}
}

type whyLine struct {
	text string
	role theme.Role
}

// why says in words how the pool stands and what was decided last.
func (p Pools) why(pool *models.PoolStatus, w int) []whyLine {
	var out []whyLine
	add := func(text string, role theme.Role) {
		for _, l := range widget.Wrap(widget.Clean(text), w) {
			out = append(out, whyLine{l, role})
		}
	}
	if pool.Trouble != "" {
		add("trouble: "+pool.Trouble, theme.Bad)
	}
	if pool.Paused {
		add("paused: no task starts; p resumes it", theme.Warn)
	}
	if d := pool.Decision; d != nil {
		add(d.Reason, theme.Text)
	} else {
		add("no decision yet", theme.Muted)
	}
	line := fmt.Sprintf("%s, %s, min %d, max %d, wait target %s", pool.Kind, pool.Policy, pool.Min, pool.Max, widget.Span(pool.SLO.Std()))
	if pool.Kind == models.KindStdio {
		line += fmt.Sprintf(", cold start %s (%s), %s started ahead of need",
			widget.Seconds(pool.ColdStartS), measured(pool.ColdStarts), plural(pool.Prestarted, "worker"))
	}
	add(line, theme.Muted)
	return out
}

func measured(n int) string {
	if n == 0 {
		return "assumed"
	}
	return "P90 of " + widget.Count(n)
}

func (p Pools) drawWhy(c *widget.Canvas, r widget.Rect, pool *models.PoolStatus, lines []whyLine) {
	in := widget.Panel(c, r, "why "+widget.Clean(pool.Name)+" wants "+widget.Short(pool.Wanted), "p pause  m min/max  o policy", false)
	for y, l := range lines {
		in.TextFit(0, y, in.W(), style(l.role), l.text)
	}
}

func ledgerColumns() []widget.Column {
	return []widget.Column{
		{Title: "AT", Width: 8},
		{Title: "WANT", Width: 5, Right: true},
		{Title: "NOW ASKS", Width: 8, Right: true},
		{Title: "FORECAST", Width: 8, Right: true},
		{Title: "BUSY", Width: 5, Right: true, Drop: 4},
		{Title: "QUEUE", Width: 5, Right: true, Drop: 3},
		{Title: "CAPS", Width: 14, Drop: 2},
		{Title: "REASON", Width: 10, Grow: 1, Drop: 1},
	}
}

func (p Pools) drawLedger(c *widget.Canvas, r widget.Rect, env Env) {
	note := "Enter moves in here"
	if p.ledger {
		note = "Enter opens the arithmetic"
	}
	in := widget.Panel(c, r, "decisions", note, p.ledger)
	c.Zone(r, "ledger", 0)
	list := p.decisions.Decisions
	if len(list) == 0 {
		if p.decisions.Pool == "" {
			widget.Centre(in, "asking for the decisions")
		} else {
			widget.Centre(in, "no decisions yet")
		}
		return
	}
	t := widget.NewTable(in.W()-1, ledgerColumns())
	t.Header(in, 0)
	rows := in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: in.H() - 1})
	first := widget.Window(0, p.decision, rows.H(), len(list))
	for y := 0; y < rows.H() && first+y < len(list); y++ {
		i := first + y
		var before *models.Decision
		if i+1 < len(list) {
			before = &list[i+1]
		}
		t.Row(rows, y, ledgerCells(&list[i], before, env), p.ledger && i == p.decision)
		rows.Zone(widget.Rect{X: 0, Y: y, W: rows.W(), H: 1}, "decision", i)
	}
	widget.Scrollbar(rows, first, rows.H(), len(list))
}

func ledgerCells(d, before *models.Decision, env Env) []widget.Cell {
	want := widget.Cell{Text: widget.Short(d.Want), Style: style(theme.Text)}
	if before != nil && before.Want < d.Want {
		want = widget.Cell{Text: env.Theme.Glyphs.Up + widget.Short(d.Want), Style: style(theme.Warn)}
	} else if before != nil && before.Want > d.Want {
		want = widget.Cell{Text: env.Theme.Glyphs.Down + widget.Short(d.Want), Style: style(theme.Info)}
	}
	forecast := widget.Cell{Text: "-", Style: style(theme.Muted)}
	if d.Inputs.Forecast != nil {
		forecast = widget.Cell{Text: widget.Short(d.Predicted), Style: style(theme.Text)}
		if !d.Gate {
			forecast = widget.Cell{Text: "(" + widget.Short(d.Predicted) + ")", Style: style(theme.Muted)}
		}
	}
	caps := make([]string, len(d.Caps))
	for i, c := range d.Caps {
		caps[i] = strings.ReplaceAll(c.Name, "_", " ")
	}
	at := d.At.In(env.Zone).Format("15:04:05")
	return []widget.Cell{
		{Text: at, Style: style(theme.Muted)},
		want,
		{Text: widget.Short(d.Reactive), Style: style(theme.Text)},
		forecast,
		{Text: widget.Short(d.Inputs.Busy), Style: style(theme.Muted)},
		{Text: widget.Short(d.Inputs.Queued), Style: style(theme.Muted)},
		{Text: widget.Clean(strings.Join(caps, " ")), Style: style(theme.Warn)},
		{Text: widget.Clean(d.Reason), Style: style(theme.Muted)},
	}
}

func (p Pools) drawDemand(c *widget.Canvas, r widget.Rect, pool *models.PoolStatus, env Env) {
	in := widget.Panel(c, r, "demand", "busy workers that the load asks for", false)
	stepS := p.demandStep(pool)
	step := seconds(stepS)
	plot := chart.Plot{From: env.Now.Add(-demandPast(stepS)), To: env.Now, Now: env.Now, Zone: env.Zone, Unit: "workers", FromZero: true}
	plot.Lines = []chart.Line{{Name: "actual", Points: p.demand.Points, Step: step, Role: theme.Actual, Stroke: chart.Solid}}
	if f := champion(&p.forecast); f != nil && p.forecast.StepS == stepS {
		n := min(len(f.P10), len(f.P50), len(f.P90))
		plot.To = env.Now.Add(time.Duration(min(n, 10_000)) * step)
		median := make([]models.Point, n)
		band := &chart.Band{Name: "P10-P90", Step: step, Lo: f.P10[:n], Hi: f.P90[:n]}
		for i := range n {
			median[i] = models.Point{At: f.TargetAt(i), Value: f.P50[i]}
			band.At = append(band.At, f.TargetAt(i))
		}
		plot.Lines = append(plot.Lines, chart.Line{Name: "P50", Points: median, Step: step, Role: theme.Median, Stroke: chart.Dashed})
		plot.Band = band
	}
	if wanted := p.wanted(); len(wanted) > 1 {
		plot.Lines = append(plot.Lines, chart.Line{Name: "wanted", Points: wanted, Step: wantedStep(wanted), Role: theme.Past, Stroke: chart.Dotted})
	}
	if len(p.demand.Points) == 0 && plot.Band == nil && len(plot.Lines) < 2 {
		widget.Centre(in, "no load known yet", "it is arrivals times run time, and comes with the first tasks")
		return
	}
	plot.Legend(in, 0, 0)
	plot.Draw(in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: in.H() - 1}))
}

// wanted is the ledger as a line, oldest first.
func (p Pools) wanted() []models.Point {
	list := p.decisions.Decisions
	out := make([]models.Point, 0, len(list))
	for i := len(list) - 1; i >= 0; i-- {
		out = append(out, models.Point{At: list[i].At, Value: float64(list[i].Want)})
	}
	return out
}

// wantedStep is the usual distance of decisions, so that a stop of the daemon shows as a gap.
func wantedStep(points []models.Point) time.Duration {
	step := time.Hour
	for i := 1; i < len(points); i++ {
		if d := points[i].At.Sub(points[i-1].At); d > 0 {
			step = min(step, d)
		}
	}
	return step * 2
}

// arithmetic is a decision worked out line by line, from what was seen to what is wanted.
func arithmetic(d *models.Decision, env Env) [][2]string {
	in := &d.Inputs
	lines := [][2]string{
		{"seen", fmt.Sprintf("%d ready, %d busy, %d starting; %d queued, the oldest for %s", in.Ready, in.Busy, in.Starting, in.Queued, widget.Seconds(in.OldestWaitS))},
		{"load now", fmt.Sprintf("%s tasks/s × %s = %s busy workers (variation of the run time %s)",
			widget.Number(in.ArrivalsPerS), widget.Seconds(in.ServiceS), widget.Number(in.ArrivalsPerS*in.ServiceS), widget.Number(in.ServiceCV2))},
		{"now asks", strconv.Itoa(d.Reactive)},
	}
	if f := in.Forecast; f != nil {
		lines = append(lines,
			[2]string{"ahead", fmt.Sprintf("%s: cold start and decision interval, %s of the latter", widget.Seconds(in.LeadS), widget.Seconds(in.IntervalS))},
			[2]string{"forecast", fmt.Sprintf("%s of %s, made at %s, step %s: skill %s over %d scored, %s within the band%s",
				f.Model, f.Series, env.clock(f.IssuedAt), widget.Seconds(f.StepS), percent(100*f.Skill), f.Scored, percent(100*f.Coverage), driftText(f.Drift))})
		lines = append(lines, quantileLines(f)...)
		asks := strconv.Itoa(d.Predicted)
		if d.PredictedAt != nil {
			asks += ", for " + env.clock(*d.PredictedAt)
		}
		lines = append(lines, [2]string{"it asks", asks})
	} else {
		lines = append(lines, [2]string{"forecast", "none"})
	}
	gate := "counts"
	if !d.Gate {
		gate = "does not count"
	}
	if d.GateWhy != "" {
		gate += ": " + d.GateWhy
	}
	lines = append(lines, [2]string{"gate", gate})
	for _, c := range d.Caps {
		lines = append(lines, [2]string{"cap", fmt.Sprintf("%s: %d → %d, %s", strings.ReplaceAll(c.Name, "_", " "), c.Before, c.After, c.Why)})
	}
	host := ""
	if in.HostCPU >= 0 {
		host = "cpu " + percent(100*in.HostCPU)
	}
	if in.HostCPUForecast >= 0 {
		host += ", forecast " + percent(100*in.HostCPUForecast)
	}
	if in.FreeMemory >= 0 {
		host += ", " + widget.ByteSize(float64(in.FreeMemory)) + " memory free"
	}
	if host != "" {
		lines = append(lines, [2]string{"host", strings.TrimPrefix(host, ", ")})
	}
	want := strconv.Itoa(d.Want)
	if !d.Applied {
		want += ", recommended only"
	}
	return append(lines, [2]string{"wanted", want}, [2]string{"in words", d.Reason})
}

func driftText(drift bool) string {
	if drift {
		return ", drifting"
	}
	return ""
}

// quantileLines are the next steps' quantiles, a line a level.
func quantileLines(f *models.DemandForecast) [][2]string {
	var out [][2]string
	for k, level := range f.Levels {
		var b strings.Builder
		for i := range min(len(f.Values), 12) {
			if k < len(f.Values[i]) {
				fmt.Fprintf(&b, "%s ", widget.Number(f.Values[i][k]))
			}
		}
		out = append(out, [2]string{"", fmt.Sprintf("P%.0f  %s", 100*level, b.String())})
		if len(out) == 9 {
			break
		}
	}
	return out
}

func (p Pools) drawOpened(c *widget.Canvas, r widget.Rect, d *models.Decision, env Env) {
	in := widget.Panel(c, r, "decision of "+env.clock(d.At)+" for "+widget.Clean(d.Pool), "Esc closes", true)
	c.Zone(r, "opened", 0)
	type line struct {
		label, text string
		role        theme.Role
	}
	var lines []line
	for _, l := range arithmetic(d, env) {
		role := theme.Text
		switch l[0] {
		case "wanted":
			role = theme.Accent
		case "cap":
			role = theme.Warn
		case "":
			role = theme.Muted
		}
		for i, t := range widget.Wrap(widget.Clean(l[1]), max(1, in.W()-12)) {
			label := l[0]
			if i > 0 {
				label = ""
			}
			lines = append(lines, line{label, t, role})
		}
	}
	first := min(p.scroll, max(0, len(lines)-in.H()))
	for y := 0; y < in.H() && first+y < len(lines); y++ {
		l := lines[first+y]
		in.TextFit(0, y, 10, style(theme.Muted), l.label)
		in.TextFit(11, y, in.W()-12, style(l.role), l.text)
	}
	widget.Scrollbar(in, first, in.H(), len(lines))
}
