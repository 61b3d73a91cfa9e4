package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/tui/chart"
	"loadstar/tui/keys"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// Overview is the whole at a glance: the host, the work, the pools, what happened.
type Overview struct {
	pool   int // cursor among the pools
	events int // events scrolled up from the newest
}

// Name stands in the tabs.
func (Overview) Name() string { return "Overview" }

// Typing reports whether keys are text.
func (Overview) Typing() bool { return false }

// Scopes are where keys are looked up.
func (Overview) Scopes(Env) []keys.Scope { return []keys.Scope{keys.Overview, keys.List} }

// Poll is what is wanted every second.
func (Overview) Poll(Env) []Request {
	return []Request{LoadHost{}, LoadStats{}, LoadPools{}}
}

// Update is the page after a message.
func (o Overview) Update(env Env, msg any) (Page, []Request) {
	switch m := msg.(type) {
	case Shown:
		since := env.Now.Add(-keepTrail * time.Second)
		if t, ok := env.Data.Trails[models.SeriesCPU]; ok && env.Now.Sub(t.Last()) < 3*time.Second {
			return o, nil
		}
		return o, []Request{LoadTrails{Since: since}}
	case Key:
		if m.Action == keys.Open {
			return o, []Request{Show{Page: AtPools}, showPool{o.pool}}
		}
		if to, ok := move(m.Action, o.pool, len(env.Data.Pools), 5); ok {
			o.pool = to
		}
	case Wheel:
		if m.Zone.Kind == "events" {
			o.events = max(0, min(o.events-m.Delta*3, len(env.Data.Events)-1))
		} else if to, ok := move(wheelAction(m.Delta), o.pool, len(env.Data.Pools), 5); ok {
			o.pool = to
		}
	case Click:
		if m.Zone.Kind == "pool" {
			o.pool = m.Zone.Index
			if m.Twice {
				return o, []Request{Show{Page: AtPools}, showPool{o.pool}}
			}
		}
		if m.Zone.Kind == "state" && m.Zone.Index < len(models.States()) {
			return o, []Request{Show{Page: AtTasks}, showState{models.States()[m.Zone.Index]}}
		}
	}
	return o, nil
}

// Messages that one page leaves for another.
type (
	showPool  struct{ index int }
	showState struct{ state models.State }
	showTasks struct{ filter models.TaskFilter }
	showText  struct{ filter string } // as it would be typed
	openTask  struct{ id string }
)

func wheelAction(delta int) keys.Action {
	if delta < 0 {
		return keys.Up
	}
	return keys.Down
}

// View draws the page.
func (o Overview) View(c *widget.Canvas, env Env) {
	w, h := c.Size()
	top := max(10, h*45/100)
	pools := min(len(env.Data.Pools), max(3, (h-top)*2/5)) + 3
	if len(env.Data.Pools) == 0 {
		pools = 4
	}
	if h < 20 {
		top, pools = min(10, h), max(0, min(pools, h-10))
	}
	right := max(28, min(44, w*30/100))
	if w < 64 {
		right = 0
	}
	o.host(c, widget.Rect{X: 0, Y: 0, W: w - right, H: top}, env)
	if right > 0 {
		o.work(c, widget.Rect{X: w - right, Y: 0, W: right, H: top}, env)
	}
	o.pools(c, widget.Rect{X: 0, Y: top, W: w, H: pools}, env)
	o.happened(c, widget.Rect{X: 0, Y: top + pools, W: w, H: h - top - pools}, env)
}

type gauge struct {
	label, value, more string
	extra              string  // after more, where there is room
	share              float64 // negative: no whole to compare with
	trail              string
	top                float64 // 0: what the graph shows at most
}

func gaugesOf(h *models.HostStatus) []gauge {
	memory := memoryOf(h)
	load := fmt.Sprintf("load %.1f %.1f %.1f", h.Load1, h.Load5, h.Load15)
	if h.Load5 < 0 {
		load = fmt.Sprintf("load %.1f", h.Load1)
	}
	stalled := ""
	if h.PressureCPU >= 0 {
		stalled = "stalled " + percent(h.PressureCPU)
	}
	swap := gauge{label: "swap", value: "none", trail: models.SeriesSwap, top: 100}
	if h.SwapTotal > 0 {
		s := share(h.SwapUsed, h.SwapTotal)
		swap.value, swap.share = percent(100*s), s
		swap.more = partOf(h.SwapUsed, h.SwapTotal)
	}
	return []gauge{
		{"cpu", percent(h.CPU), load, stalled, h.CPU / 100, models.SeriesCPU, 100},
		{"mem", percent(100 * share(h.MemoryUsed, memory)), partOf(h.MemoryUsed, memory), "", share(h.MemoryUsed, memory), models.SeriesMemory, 100},
		swap,
		{"io", widget.ByteSize(h.DiskRead+h.DiskWrite) + "/s", "r " + widget.ByteShort(h.DiskRead) + " w " + widget.ByteShort(h.DiskWrite), "", -1, models.SeriesIO, 0},
		{"net", widget.ByteSize(h.NetRx+h.NetTx) + "/s", "rx " + widget.ByteShort(h.NetRx) + " tx " + widget.ByteShort(h.NetTx), "", -1, models.SeriesNetwork, 0},
	}
}

// partOf is "20.6 of 32.0 GiB" where both are in one unit.
func partOf(part, whole models.Bytes) string {
	a, b := widget.ByteSize(float64(part)), widget.ByteSize(float64(whole))
	if n, unit, ok := strings.Cut(a, " "); ok && strings.HasSuffix(b, " "+unit) {
		return n + " of " + b
	}
	return a + " of " + b
}

func percent(v float64) string {
	if v > 99_999 {
		return widget.SI(v) + " %"
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " %"
}

func (o Overview) host(c *widget.Canvas, r widget.Rect, env Env) {
	h := &env.Data.Host
	title, note := "host", ""
	if env.Data.HasHost {
		title = "host " + widget.Clean(h.Hostname)
		note = coresNote(h)
	}
	in := widget.Panel(c, r, title, note, false)
	if !env.Data.HasHost {
		widget.Centre(in, "no sample of the host yet", "the collector takes one every second")
		return
	}
	coreRows := o.coreRows(in, len(h.Cores))
	gauges := gaugesOf(h)
	rows := in.H() - coreRows
	y := 0
	for i, g := range gauges {
		n := rows / len(gauges)
		if extra := rows - n*len(gauges); i < extra { // the cpu's graph gets what is over
			n++
		}
		if n <= 0 {
			break
		}
		drawGauge(in.Sub(widget.Rect{X: 0, Y: y, W: in.W(), H: n}), g, env)
		y += n
	}
	drawCores(in.Sub(widget.Rect{X: 0, Y: in.H() - coreRows, W: in.W(), H: coreRows}), h.Cores)
}

func coresNote(h *models.HostStatus) string {
	if len(h.Cores) == 0 {
		return ""
	}
	note := fmt.Sprintf("%d cores", len(h.Cores))
	if h.CPULimit > 0 && h.CPULimit < float64(len(h.Cores)) {
		note += ", " + widget.Number(h.CPULimit) + " allowed"
	}
	return note
}

func drawGauge(c *widget.Canvas, g gauge, env Env) {
	c.Text(0, 0, style(theme.Muted), g.label)
	c.TextRight(5, 0, 10, style(theme.Text), g.value)
	if g.value == "none" {
		return
	}
	x := 16
	bar := min(20, max(15, c.W()/6))
	switch {
	case g.share >= 0:
		widget.Gauge(c, x, 0, bar, g.share)
	case c.H() == 1: // a rate has no whole: its parts stand where the bar would
		c.TextFit(x, 0, bar, style(theme.Muted), g.more)
	}
	left := x + bar
	trail := env.Data.Trails[g.trail]
	graph := c.Sub(widget.Rect{X: left + 2, Y: 0, W: c.W() - left - 2, H: c.H()})
	shown := graph.W() * chart.PerCell(env.Theme.Level)
	top, mean := trail.over(shown)
	limit := g.top
	if limit == 0 {
		limit = max(top*1.1, 1)
	}
	chart.Spark(graph, trail.Values(), limit, theme.Info, g.top > 0)
	if c.H() >= 2 {
		more := g.more
		if g.extra != "" && widget.Width(more)+2+widget.Width(g.extra) <= left-5 {
			more += "  " + g.extra
		}
		c.TextFit(5, 1, left-5, style(theme.Muted), more)
	}
	if c.H() >= 3 {
		value := func(v float64) string {
			if g.top > 0 {
				return percent(v)
			}
			return widget.ByteSize(v) + "/s"
		}
		c.TextFit(5, 2, left-5, style(theme.Muted), "mean "+value(mean)+"  top "+value(top))
	}
}

// coreRows is how many lines the cores take: a column a core where that is enough,
// bars with numbers where there is room.
func (o Overview) coreRows(in *widget.Canvas, cores int) int {
	if cores == 0 || in.H() < 6 {
		return 0
	}
	if in.H() >= 14 {
		perRow := max(1, in.W()/coreWidth)
		if rows := (cores + perRow - 1) / perRow; rows <= in.H()/4 {
			return rows
		}
		return 2
	}
	return 1
}

const coreWidth = 20

func drawCores(c *widget.Canvas, cores []float64) {
	if c.H() == 0 {
		return
	}
	if most := max(1, c.W()/coreWidth); (len(cores)+most-1)/most <= c.H() {
		perRow := (len(cores) + c.H() - 1) / c.H()
		cell := c.W() / perRow
		for i, v := range cores {
			x, y := i%perRow*cell, i/perRow
			c.TextFit(x, y, 4, style(theme.Muted), strconv.Itoa(i))
			widget.Gauge(c, x+5, y, cell-14, v/100)
			c.TextRight(x+cell-8, y, 6, style(theme.Text), strconv.FormatFloat(min(v, 999), 'f', 0, 64)+" %")
		}
		return
	}
	c.Text(0, 0, style(theme.Muted), "cores")
	bars := c.Sub(widget.Rect{X: 6, Y: 0, W: c.W() - 6, H: c.H()})
	if gap := bars.W() / max(1, len(cores)); gap >= 2 { // room to tell them apart
		for i, v := range cores {
			chart.Columns(bars.Sub(widget.Rect{X: i * 2, Y: 0, W: 1, H: bars.H()}), []float64{v}, 100)
		}
		return
	}
	shown := cores
	if n := bars.W(); len(cores) > n && n > 0 { // more cores than columns: the busiest of each group
		shown = make([]float64, n)
		for i, v := range cores {
			k := i * n / len(cores)
			shown[k] = max(shown[k], v)
		}
	}
	chart.Columns(bars, shown, 100)
}

func (o Overview) work(c *widget.Canvas, r widget.Rect, env Env) {
	s := &env.Data.Stats
	note := ""
	if env.Data.HasStats {
		note = widget.Number(s.TasksPerS) + " done/s"
	}
	in := widget.Panel(c, r, "work", note, false)
	if !env.Data.HasStats {
		if !env.At.IsZero() {
			widget.Centre(in, "not known at that time", "counts are remembered while this page is open")
			return
		}
		widget.Centre(in, "no counts yet")
		return
	}
	y := 0
	for i, state := range models.States() {
		if y >= in.H() {
			return
		}
		sign := env.Theme.State(state)
		in.Text(0, y, sign.Style, sign.Glyph)
		n := s.Tasks[state]
		st := style(theme.Text)
		if n == 0 {
			st = style(theme.Muted)
		}
		in.Text(2, y, sign.Style, string(state))
		in.TextRight(11, y, in.W()-11, st, widget.Count(n))
		in.Zone(widget.Rect{X: 0, Y: y, W: in.W(), H: 1}, "state", i)
		y++
	}
	if room := in.H() - y; room >= 5 {
		y++
	}
	if in.W() >= 34 && in.H()-y >= 4 {
		in.Text(0, y, style(theme.Muted), "time to")
		for i, name := range []string{"p50", "p95", "p99"} {
			in.TextRight(in.W()-26+i*9, y, 8, style(theme.Muted), name)
		}
		y++
	}
	for _, l := range []struct {
		label string
		q     models.Quantiles
	}{{"start", s.SubmitToStart}, {"end", s.SubmitToDone}} {
		if y >= in.H() {
			return
		}
		drawWaits(in, y, l.label, l.q)
		y++
	}
	if rest := in.H() - y; rest >= 3 {
		trail := env.Data.Trails[trailDone]
		graph := in.Sub(widget.Rect{X: 0, Y: y + 1, W: in.W(), H: min(rest-1, 8)})
		top, _ := trail.over(graph.W() * chart.PerCell(env.Theme.Level))
		chart.Spark(graph, trail.Values(), max(top*1.1, 1), theme.Good, false)
	}
}

// drawWaits draws three quantiles in columns, or two where there is less room.
func drawWaits(in *widget.Canvas, y int, label string, q models.Quantiles) {
	in.Text(0, y, style(theme.Muted), label)
	if in.W() >= 34 {
		for i, v := range []float64{q.P50, q.P95, q.P99} {
			in.TextRight(in.W()-26+i*9, y, 8, style(theme.Text), widget.Millis(v))
		}
		return
	}
	in.TextRight(6, y, in.W()-6, style(theme.Text), "p50 "+widget.Millis(q.P50)+" p95 "+widget.Millis(q.P95))
}

func (o Overview) pools(c *widget.Canvas, r widget.Rect, env Env) {
	pools := env.Data.Pools
	in := widget.Panel(c, r, "pools", "", false)
	if len(pools) == 0 {
		if env.Data.HasPools {
			widget.Centre(in, "no pools")
		} else {
			widget.Centre(in, "no word of the pools yet")
		}
		return
	}
	legend(c, r, env)
	poolRows(in, env, pools, o.pool, true)
}

func (o Overview) happened(c *widget.Canvas, r widget.Rect, env Env) {
	events := env.Data.Events
	note := ""
	if o.events > 0 {
		note = fmt.Sprintf("%s %d newer", env.Theme.Glyphs.Newer, o.events)
	}
	in := widget.Panel(c, r, "events", note, false)
	c.Zone(r, "events", 0)
	if len(events) == 0 && !env.At.IsZero() {
		widget.Centre(in, "no event is remembered of that time")
		return
	}
	if len(events) == 0 {
		widget.Centre(in, "nothing happened yet", "try: loadstar submit -- echo hi")
		return
	}
	for y := range in.H() {
		i := len(events) - 1 - o.events - y // the newest on top
		if i < 0 {
			break
		}
		drawEvent(in, y, &events[i], env)
	}
}

func drawEvent(c *widget.Canvas, y int, e *models.Event, env Env) {
	g := &env.Theme.Glyphs
	glyph, role, word := g.Bullet, theme.Muted, string(e.Kind)
	switch e.Kind {
	case models.EventTask:
		sign := env.Theme.State(e.State)
		glyph, role, word = sign.Glyph, sign.Style.FG, string(e.State)
	case models.EventPool:
		glyph, role = g.Pool, theme.Info
	case models.EventWorker:
		glyph, role = g.Worker, theme.Info
	case models.EventForecast:
		glyph, role = g.Forecast, theme.Past
	case models.EventTrouble:
		glyph, role = g.Warning, theme.Bad
	}
	x := c.Text(0, y, style(theme.Muted), env.clock(e.At)) + 1
	x = c.Text(x, y, style(role), glyph) + 1
	c.Text(x, y, style(role), word)
	x += 10
	var parts []string
	for _, p := range []string{e.TaskID, e.Pool, e.Worker} {
		if p != "" {
			parts = append(parts, widget.Clean(p))
		}
	}
	if e.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", e.Attempt))
	}
	if len(parts) > 0 {
		x = c.Text(x, y, style(theme.Text), strings.Join(parts, " ")) + 1
	}
	c.TextFit(x, y, c.W()-x, style(theme.Muted), widget.Clean(e.Message))
}
