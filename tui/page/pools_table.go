package page

import (
	"loadstar/models"
	"loadstar/tui/chart"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

func poolColumns() []widget.Column {
	return []widget.Column{
		{Title: "POOL", Width: 10, Grow: 2},
		{Title: "WORKERS", Width: 12, Grow: 6, Drop: 1},
		{Title: "BUSY", Width: 5, Right: true},
		{Title: "READY", Width: 5, Right: true},
		{Title: "START", Width: 5, Right: true},
		{Title: "WANT", Width: 5, Right: true},
		{Title: "QUEUE", Width: 6, Right: true},
		{Title: "OLDEST", Width: 7, Right: true, Drop: 4},
		{Title: "ARRIVE/S", Width: 8, Right: true, Drop: 5},
		{Title: "RUN", Width: 7, Right: true, Drop: 6},
		{Title: "COLD", Width: 7, Right: true, Drop: 7},
		{Title: "QUEUE, LAST MINUTES", Width: 19, Grow: 4, Drop: 8},
	}
}

const poolBarColumn, poolQueueColumn = 1, 11

// legend says in the border what the bars of the pools are made of.
func legend(c *widget.Canvas, r widget.Rect, env Env) {
	g := &env.Theme.Glyphs
	widget.Foot(c, r, g.Full+" busy "+g.Shade+" idle "+g.Empty+" starting "+g.Wanted+" wanted")
}

// poolRows draws pools as a table with size bars, the cursor in view.
func poolRows(in *widget.Canvas, env Env, pools []models.PoolStatus, cursor int, mark bool) {
	t := widget.NewTable(in.W()-1, poolColumns())
	t.Header(in, 0)
	rows := in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: in.H() - 1})
	most := 1
	for i := range pools {
		most = max(most, pools[i].Ready+pools[i].Starting, pools[i].Wanted, min(pools[i].Max, 2*(pools[i].Ready+pools[i].Starting+1)))
	}
	first := widget.Window(0, cursor, rows.H(), len(pools))
	for y := 0; y < rows.H() && first+y < len(pools); y++ {
		p := &pools[first+y]
		selected := mark && first+y == cursor
		t.Row(rows, y, poolCells(p, env), selected)
		drawPoolGraphs(rows, y, &t, p, most, env)
		rows.Zone(widget.Rect{X: 0, Y: y, W: rows.W(), H: 1}, "pool", first+y)
	}
	widget.Scrollbar(rows, first, rows.H(), len(pools))
}

func poolCells(p *models.PoolStatus, env Env) []widget.Cell {
	name, nameStyle := widget.Clean(p.Name), style(theme.Text)
	if p.Paused {
		name, nameStyle = env.Theme.Glyphs.Pause+" "+name+" paused", style(theme.Warn)
	}
	if p.Trouble != "" {
		name, nameStyle = env.Theme.Glyphs.Warning+" "+name+" trouble", style(theme.Bad)
	}
	num := func(n int, role theme.Role) widget.Cell {
		if n == 0 {
			role = theme.Muted
		}
		return widget.Cell{Text: widget.Short(n), Style: style(role)}
	}
	oldest := widget.Cell{Text: "-", Style: style(theme.Muted)}
	if p.Queued > 0 {
		role := theme.Text
		if slo := p.SLO.Std().Seconds(); slo > 0 && p.OldestWaitS > slo {
			role = theme.Warn
		}
		oldest = widget.Cell{Text: widget.Seconds(p.OldestWaitS), Style: style(role)}
	}
	queue := theme.Text
	if p.Queued > p.Ready {
		queue = theme.Warn
	}
	cold := "-"
	if p.Kind == models.KindStdio {
		cold = widget.Seconds(p.ColdStartS)
	}
	return []widget.Cell{
		{Text: name, Style: nameStyle},
		{},
		num(p.Busy, theme.Text), num(p.Ready, theme.Text), num(p.Starting, theme.Warn), num(p.Wanted, theme.Text), num(p.Queued, queue),
		oldest,
		{Text: widget.Number(p.ArrivalsPerS), Style: style(theme.Text)},
		{Text: widget.Seconds(p.ServiceS), Style: style(theme.Text)},
		{Text: cold, Style: style(theme.Muted)},
		{},
	}
}

// drawPoolGraphs draws what a table's row cannot hold as text.
func drawPoolGraphs(rows *widget.Canvas, y int, t *widget.Table, p *models.PoolStatus, most int, env Env) {
	if x, w, ok := t.Place(poolBarColumn); ok {
		busy := min(p.Busy, p.Ready)
		widget.SizeBar(rows, x, y, w, most, max(busy, 0), max(0, p.Ready-busy), max(0, p.Starting), max(0, p.Wanted))
	}
	if x, w, ok := t.Place(poolQueueColumn); ok {
		trail := env.Data.Trails[models.PoolSeries(p.Name, models.PoolQueue)]
		top, _ := trail.over(w * chart.PerCell(env.Theme.Level))
		chart.Spark(rows.Sub(widget.Rect{X: x, Y: y, W: w, H: 1}), trail.Values(), max(top, 4), theme.Info, false)
	}
}
