package page

import (
	"fmt"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/tui/chart"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// View draws the page.
func (q Queues) View(c *widget.Canvas, env Env) {
	w, h := c.Size()
	queues := env.Data.Queues
	if len(queues) == 0 {
		in := widget.Panel(c, widget.Rect{X: 0, Y: 0, W: w, H: h}, "queues", "", false)
		if env.Data.HasQueues {
			widget.Centre(in, "no queues", "a pool has one; the pool default is always there")
		} else {
			widget.Centre(in, "asking for the queues")
		}
		return
	}
	top := min(len(queues)+3, max(4, h*2/5))
	r := widget.Rect{X: 0, Y: 0, W: w, H: top}
	in := widget.Panel(c, r, "queues", fmt.Sprintf("%d of %d", q.cursor+1, len(queues)), true)
	q.drawTable(in, env)
	bandLegend(c, r, env)
	queue := q.queue(env)
	if queue == nil {
		return
	}
	if w >= splitsAt {
		left := max(70, w*2/5)
		q.drawBands(c, widget.Rect{X: 0, Y: top, W: left, H: 7}, queue, env)
		q.drawWords(c, widget.Rect{X: 0, Y: top + 7, W: left, H: h - top - 7}, queue, env)
		half := (h - top) / 2
		q.drawDepth(c, widget.Rect{X: left, Y: top, W: w - left, H: half}, queue, env)
		q.drawWaits(c, widget.Rect{X: left, Y: top + half, W: w - left, H: h - top - half}, queue, env)
		return
	}
	q.drawBands(c, widget.Rect{X: 0, Y: top, W: w, H: 7}, queue, env)
	rest := widget.Rect{X: 0, Y: top + 7, W: w, H: h - top - 7}
	if rest.H >= 18 {
		half := rest.H / 2
		q.drawDepth(c, widget.Rect{X: 0, Y: rest.Y, W: w, H: half}, queue, env)
		q.drawWaits(c, widget.Rect{X: 0, Y: rest.Y + half, W: w, H: rest.H - half}, queue, env)
		return
	}
	q.drawDepth(c, rest, queue, env)
}

func queueColumns() []widget.Column {
	return []widget.Column{
		{Title: "QUEUE", Width: 10, Grow: 2},
		{Title: "BY PRIORITY", Width: 12, Grow: 5, Drop: 1},
		{Title: "DEPTH", Width: 6, Right: true},
		{Title: "OLDEST", Width: 7, Right: true},
		{Title: "IN/S", Width: 6, Right: true},
		{Title: "OUT/S", Width: 6, Right: true},
		{Title: "EMPTY IN", Width: 8, Right: true, Drop: 2},
		{Title: "WAIT", Width: 7, Right: true, Drop: 3},
		{Title: "RUN", Width: 7, Right: true, Drop: 6},
		{Title: "LATER", Width: 6, Right: true, Drop: 5},
		{Title: "DEPTH, LAST MINUTES", Width: 19, Grow: 4, Drop: 7},
	}
}

const queueBarColumn, queueTrailColumn = 1, 10

// bandLook is how a band is drawn in a bar: told apart by its sign, not by colour alone.
func bandLook(i int, g *theme.Glyphs) (glyph string, role theme.Role) {
	switch i {
	case 0:
		return g.Full, theme.Bad
	case 1:
		return g.Shade, theme.Warn
	case 2:
		return g.Empty, theme.Accent
	}
	return g.Bullet, theme.Muted
}

func bandLegend(c *widget.Canvas, r widget.Rect, env Env) {
	bands := models.PriorityBands()
	parts := make([]string, len(bands))
	for i := range bands {
		glyph, _ := bandLook(i, &env.Theme.Glyphs)
		parts[i] = glyph + " " + bands[i].Name
	}
	widget.Foot(c, r, strings.Join(parts, " "))
}

func (q Queues) drawTable(in *widget.Canvas, env Env) {
	queues := env.Data.Queues
	t := widget.NewTable(in.W()-1, queueColumns())
	t.Header(in, 0)
	rows := in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: in.H() - 1})
	most := 1
	for i := range queues {
		most = max(most, queues[i].Queued)
	}
	first := widget.Window(0, q.cursor, rows.H(), len(queues))
	for y := 0; y < rows.H() && first+y < len(queues); y++ {
		k := &queues[first+y]
		t.Row(rows, y, queueCells(k, env), first+y == q.cursor)
		if x, w, ok := t.Place(queueBarColumn); ok {
			drawBandBar(rows, x, y, w, most, k.Bands)
		}
		if x, w, ok := t.Place(queueTrailColumn); ok {
			trail := env.Data.Trails[models.PoolSeries(k.Pool, models.PoolQueue)]
			top, _ := trail.over(w * chart.PerCell(env.Theme.Level))
			chart.Spark(rows.Sub(widget.Rect{X: x, Y: y, W: w, H: 1}), trail.Values(), max(top, 4), theme.Info, false)
		}
		rows.Zone(widget.Rect{X: 0, Y: y, W: rows.W(), H: 1}, "queue", first+y)
	}
	widget.Scrollbar(rows, first, rows.H(), len(queues))
}

// drawBandBar draws the parts of a queue, the most urgent first, the longest queue over the whole width.
func drawBandBar(c *widget.Canvas, x, y, w, most int, bands []models.QueueBand) {
	total, at := 0, 0
	for i := range bands {
		n := max(0, bands[i].Queued)
		if n == 0 || at >= w {
			continue
		}
		total = min(total+n, most)
		end := min(w, max(at+1, int(float64(total)/float64(most)*float64(w)+0.5)))
		glyph, role := bandLook(i, c.Glyphs())
		for ; at < end; at++ {
			c.Text(x+at, y, style(role), glyph)
		}
	}
}

func queueCells(k *models.QueueStatus, env Env) []widget.Cell {
	pool, rate := env.Data.Pool(k.Pool), env.Data.Rates[k.Pool]
	muted := widget.Cell{Text: "-", Style: style(theme.Muted)}
	name := widget.Cell{Text: widget.Clean(k.Pool), Style: style(theme.Text)}
	slo := 0.0
	if pool != nil {
		slo = pool.SLO.Std().Seconds()
		if pool.Paused {
			name = widget.Cell{Text: env.Theme.Glyphs.Pause + " " + name.Text + " paused", Style: style(theme.Warn)}
		}
	}
	oldest, in, out, empty, wait, run := muted, muted, muted, muted, muted, muted
	if k.Queued > 0 {
		oldest = widget.Cell{Text: widget.Seconds(k.OldestWaitS), Style: style(beyond(k.OldestWaitS, slo))}
	}
	if rate.Known {
		in = widget.Cell{Text: widget.Number(rate.In), Style: style(theme.Text)}
		out = widget.Cell{Text: widget.Number(rate.Out), Style: style(theme.Text)}
		empty = emptyIn(k.Queued, rate)
	} else if pool != nil {
		in = widget.Cell{Text: widget.Number(pool.ArrivalsPerS), Style: style(theme.Text)}
	}
	if rate.Started > 0 {
		wait = widget.Cell{Text: widget.Seconds(rate.MeanWaitS), Style: style(beyond(rate.MeanWaitS, slo))}
	}
	if pool != nil && pool.ServiceS > 0 {
		run = widget.Cell{Text: widget.Seconds(pool.ServiceS), Style: style(theme.Muted)}
	}
	depth := style(theme.Text)
	if k.Queued == 0 {
		depth = style(theme.Muted)
	}
	return []widget.Cell{
		name,
		{},
		{Text: widget.Short(k.Queued), Style: depth},
		oldest, in, out, empty, wait, run,
		{Text: widget.Short(k.Waiting), Style: style(theme.Muted)},
		{},
	}
}

// beyond is the role of a wait: one longer than was aimed at needs an eye.
func beyond(waitS, slo float64) theme.Role {
	if slo > 0 && waitS > slo {
		return theme.Warn
	}
	return theme.Text
}

// emptyIn is how long the queue takes to be empty if all goes on as it does.
func emptyIn(queued int, r Rate) widget.Cell {
	switch net := r.Out - r.In; {
	case queued <= 0:
		return widget.Cell{Text: "empty", Style: style(theme.Muted)}
	case net > 1e-9:
		return widget.Cell{Text: widget.Seconds(float64(queued) / net), Style: style(theme.Text)}
	case r.Out <= 0 && r.In <= 0:
		return widget.Cell{Text: "stands", Style: style(theme.Warn)}
	case r.In > r.Out:
		return widget.Cell{Text: "grows", Style: style(theme.Warn)}
	}
	return widget.Cell{Text: "holds", Style: style(theme.Muted)}
}

func bandColumns() []widget.Column {
	return []widget.Column{
		{Title: "", Width: 1},
		{Title: "PRIORITY", Width: 15, Grow: 1},
		{Title: "DEPTH", Width: 7, Right: true},
		{Title: "OLDEST", Width: 8, Right: true},
		{Title: "OUT/S", Width: 6, Right: true, Drop: 2},
		{Title: "WAIT P50", Width: 8, Right: true},
		{Title: "P95", Width: 7, Right: true},
		{Title: "P99", Width: 7, Right: true, Drop: 1},
	}
}

func (q Queues) drawBands(c *widget.Canvas, r widget.Rect, k *models.QueueStatus, env Env) {
	in := widget.Panel(c, r, widget.Clean(k.Pool)+" by priority", "Enter lists the tasks", false)
	if len(k.Bands) == 0 {
		widget.Centre(in, "not known at that time", "the screen remembers priorities from while this page was open")
		return
	}
	t := widget.NewTable(in.W(), bandColumns())
	t.Header(in, 0)
	rate, slo := env.Data.Rates[k.Pool], 0.0
	if p := env.Data.Pool(k.Pool); p != nil {
		slo = p.SLO.Std().Seconds()
	}
	for i := range k.Bands {
		b := &k.Bands[i]
		glyph, role := bandLook(min(i, 3), &env.Theme.Glyphs)
		dash := widget.Cell{Text: "-", Style: style(theme.Muted)}
		oldest, out := dash, dash
		if b.Queued > 0 && b.OldestWaitS > 0 {
			text := widget.Seconds(b.OldestWaitS)
			if b.AtMost {
				text = "<" + text
			}
			oldest = widget.Cell{Text: text, Style: style(beyond(b.OldestWaitS, slo))}
		}
		if i < len(rate.Bands) {
			out = widget.Cell{Text: widget.Number(rate.Bands[i]), Style: style(theme.Text)}
		}
		cells := []widget.Cell{
			{Text: glyph, Style: style(role)},
			{Text: fmt.Sprintf("%s %d-%d", widget.Clean(b.Name), int(b.From), int(b.To)), Style: style(theme.Text)},
			{Text: widget.Short(b.Queued), Style: style(theme.Text)},
			oldest, out,
		}
		for _, ms := range []float64{b.WaitMS.P50, b.WaitMS.P95, b.WaitMS.P99} {
			if b.Started == 0 {
				cells = append(cells, dash)
				continue
			}
			cells = append(cells, widget.Cell{Text: widget.Millis(ms), Style: style(beyond(ms/1000, slo))})
		}
		t.Row(in, 1+i, cells, false)
	}
}

// drawWords says in sentences how the queue stands.
func (q Queues) drawWords(c *widget.Canvas, r widget.Rect, k *models.QueueStatus, env Env) {
	in := widget.Panel(c, r, "in words", "", false)
	y := 0
	say := func(role theme.Role, text string) {
		for _, l := range widget.Wrap(widget.Clean(text), in.W()) {
			if y < in.H() {
				in.TextFit(0, y, in.W(), style(role), l)
			}
			y++
		}
	}
	rate, pool := env.Data.Rates[k.Pool], env.Data.Pool(k.Pool)
	if k.Queued == 0 {
		say(theme.Text, "Nothing waits for a worker.")
	} else {
		say(theme.Text, plural(k.Queued, "task")+" wait for a worker, the longest for "+widget.Seconds(k.OldestWaitS)+".")
	}
	if k.Waiting > 0 {
		say(theme.Muted, plural(k.Waiting, "task")+" more are blocked, scheduled or backing off.")
	}
	if rate.Known {
		say(theme.Text, fmt.Sprintf("%s tasks/s come in, %s/s start, %s/s end.", widget.Number(rate.In), widget.Number(rate.Out), widget.Number(rate.Done)))
	}
	if pool == nil {
		return
	}
	if pool.ServiceS > 0 {
		say(theme.Muted, fmt.Sprintf("A task runs for %s on average, so %s workers would keep up with what comes in now; %d are up, %d of them busy.",
			widget.Seconds(pool.ServiceS), widget.Number(pool.ArrivalsPerS*pool.ServiceS), pool.Ready, pool.Busy))
	}
	slo := pool.SLO.Std().Seconds()
	if slo > 0 && k.OldestWaitS > slo && k.Queued > 0 {
		say(theme.Warn, "The longest waits beyond the target of "+widget.Seconds(slo)+".")
	}
	if pool.Paused {
		say(theme.Warn, "The pool is paused: nothing starts.")
	}
	if pool.Trouble != "" {
		say(theme.Bad, "Trouble: "+pool.Trouble)
	}
}

func (q Queues) drawDepth(c *widget.Canvas, r widget.Rect, k *models.QueueStatus, env Env) {
	q.drawSeries(c, r, "depth", "tasks", "+ - zoom", q.depth, theme.Info, env)
	_ = k
}

func (q Queues) drawWaits(c *widget.Canvas, r widget.Rect, k *models.QueueStatus, env Env) {
	note := ""
	if p := env.Data.Pool(k.Pool); p != nil && p.SLO > 0 {
		note = "target " + widget.Span(p.SLO.Std())
	}
	q.drawSeries(c, r, "mean wait of what started", "s", note, q.waits, theme.Warn, env)
}

func (q Queues) drawSeries(c *widget.Canvas, r widget.Rect, title, unit, note string, m ChartLoaded, role theme.Role, env Env) {
	in := widget.Panel(c, r, title+", last "+spanText(q.shown()), note, false)
	if m.Series == "" {
		widget.Centre(in, "asking for the values")
		return
	}
	if len(m.Points) == 0 {
		widget.Centre(in, "no values in this time", "- shows more of the past")
		return
	}
	p := chart.Plot{
		From: env.Now.Add(-q.shown()), To: env.Now, Zone: env.Zone, Unit: unit, FromZero: true,
		Lines: []chart.Line{{Points: m.Points, Step: seconds(m.StepS), Role: role, Stroke: chart.Solid}},
	}
	p.Draw(in)
}

// spanText is a span in its largest whole unit: "15 min", "3 d".
func spanText(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return widget.Span(d)
}
