package page

import (
	"fmt"
	"math"
	"strings"

	"loadstar/models"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// View draws the page.
func (a Agents) View(c *widget.Canvas, env Env) {
	w, h := c.Size()
	list := a.list(env)
	if len(list) == 0 {
		in := widget.Panel(c, widget.Rect{X: 0, Y: 0, W: w, H: h}, "agents", "", false)
		if env.Data.HasAgents {
			widget.Centre(in, "no agents", "the daemon carries one itself; it joins when the journal has been replayed")
		} else if !env.At.IsZero() {
			widget.Centre(in, "not known at that time", "the screen remembers agents from while this page was open")
		} else {
			widget.Centre(in, "asking for the agents")
		}
		return
	}
	top := a.tableRows(h, len(list))
	in := widget.Panel(c, widget.Rect{X: 0, Y: 0, W: w, H: top}, "agents", a.note(list), true)
	a.drawTable(in, list, env)
	k := &list[max(0, min(a.cursor, len(list)-1))]
	rest := widget.Rect{X: 0, Y: top, W: w, H: h - top}
	left := max(36, w*36/100)
	a.drawAgent(c, widget.Rect{X: 0, Y: top, W: left, H: rest.H}, k, env)
	a.drawTasks(c, widget.Rect{X: left, Y: top, W: w - left, H: rest.H}, k, env)
}

// note sums the agents up.
func (a Agents) note(list []models.Agent) string {
	slots, busy, lost := 0, 0, 0
	for i := range list {
		slots += max(0, list[i].Slots)
		busy += max(0, list[i].Busy)
		if list[i].State == "lost" {
			lost++
		}
	}
	text := fmt.Sprintf("%d of %d, %s of %s slots busy", a.cursor+1, len(list), widget.Short(busy), widget.Short(slots))
	if lost > 0 {
		text += fmt.Sprintf(", %d lost", lost)
	}
	return text
}

func agentColumns() []widget.Column {
	return []widget.Column{
		{Title: "AGENT", Width: 10, Grow: 2},
		{Title: "STATE", Width: 10},
		{Title: "HOST", Width: 10, Grow: 1, Drop: 5},
		{Title: "LOAD", Width: 15, Grow: 2, Drop: 1},
		{Title: "CPU", Width: 5, Right: true, Drop: 4},
		{Title: "MEM", Width: 5, Right: true, Drop: 4},
		{Title: "IO", Width: 5, Right: true, Drop: 4},
		{Title: "SLOTS", Width: 11, Right: true},
		{Title: "HEARD", Width: 7, Right: true},
		{Title: "CAN", Width: 10, Grow: 3, Drop: 3},
	}
}

const agentLoadColumn = 3

func (a Agents) drawTable(in *widget.Canvas, list []models.Agent, env Env) {
	columns := agentColumns()
	at := map[agentSort]int{agentsByID: 0, agentsByLoad: 3, agentsByBusy: 7, agentsByHeard: 8}[a.sort]
	columns[at].Sort = 1
	if (a.sort == agentsByLoad || a.sort == agentsByBusy) != a.reverse {
		columns[at].Sort = -1
	}
	t := widget.NewTable(in.W()-1, columns)
	t.Header(in, 0)
	rows := in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: in.H() - 1})
	first := widget.Window(0, a.cursor, rows.H(), len(list))
	for y := 0; y < rows.H() && first+y < len(list); y++ {
		k := &list[first+y]
		t.Row(rows, y, agentCells(k, env), first+y == a.cursor)
		if x, w, ok := t.Place(agentLoadColumn); ok {
			widget.Gauge(rows, x, y, w-5, k.LoadScore)
			rows.TextRight(x+w-4, y, 4, style(theme.Text), fraction(k.LoadScore))
		}
		rows.Zone(widget.Rect{X: 0, Y: y, W: rows.W(), H: 1}, "agent", first+y)
	}
	widget.Scrollbar(rows, first, rows.H(), len(list))
}

// fraction is a share of one with two digits; what is no number is not shown as one.
func fraction(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "?"
	}
	return fmt.Sprintf("%.2f", max(-9, min(9, v)))
}

// agentSign is how an agent's state is shown.
func agentSign(state string, g *theme.Glyphs) (glyph string, role theme.Role) {
	switch state {
	case "ready":
		return g.Live, theme.Good
	case "lost":
		return g.Lost, theme.Bad
	case "draining":
		return g.Pause, theme.Warn
	}
	return g.Bullet, theme.Muted
}

func agentCells(k *models.Agent, env Env) []widget.Cell {
	glyph, role := agentSign(k.State, &env.Theme.Glyphs)
	part := func(v float64) widget.Cell {
		return widget.Cell{Text: fraction(v), Style: style(theme.Muted)}
	}
	heard := theme.Muted
	if env.Now.Sub(k.LastHeard).Seconds() > 10 {
		heard = theme.Warn
	}
	slots := theme.Text
	if k.Slots > 0 && k.Busy >= k.Slots {
		slots = theme.Warn
	}
	return []widget.Cell{
		{Text: widget.Clean(k.ID), Style: style(theme.Text)},
		{Text: glyph + " " + widget.Clean(k.State), Style: style(role)},
		{Text: widget.Clean(k.Host), Style: style(theme.Muted)},
		{},
		part(k.CPU), part(k.Memory), part(k.IO),
		{Text: widget.Short(k.Busy) + " of " + widget.Short(k.Slots), Style: style(slots)},
		{Text: widget.Age(env.Now, k.LastHeard), Style: style(heard)},
		{Text: widget.Clean(strings.Join(k.Capabilities, " ")), Style: style(theme.Text)},
	}
}

// drawAgent shows one agent closely: its load by parts, its slots, what it can do.
func (a Agents) drawAgent(c *widget.Canvas, r widget.Rect, k *models.Agent, env Env) {
	in := widget.Panel(c, r, widget.Clean(k.ID), "", false)
	y := 0
	glyph, role := agentSign(k.State, &env.Theme.Glyphs)
	in.TextFit(0, y, in.W(), style(role), glyph+" "+widget.Clean(k.State)+", heard "+widget.Age(env.Now, k.LastHeard)+" ago")
	y++
	for _, part := range []struct {
		label string
		share float64
	}{{"load score", k.LoadScore}, {"  cpu", k.CPU}, {"  memory", k.Memory}, {"  io", k.IO}} {
		in.Text(0, y, style(theme.Muted), part.label)
		widget.Gauge(in, 12, y, max(4, in.W()-18), part.share)
		in.TextRight(in.W()-5, y, 5, style(theme.Text), fraction(part.share))
		y++
	}
	busy := 0.0
	if k.Slots > 0 {
		busy = float64(k.Busy) / float64(k.Slots)
	}
	slots := widget.Short(k.Busy) + "/" + widget.Short(k.Slots)
	in.Text(0, y, style(theme.Muted), "slots")
	widget.Gauge(in, 12, y, max(4, in.W()-14-widget.Width(slots)), busy)
	in.TextRight(0, y, in.W(), style(theme.Text), slots)
	y++
	fact := func(label, text string) {
		for i, l := range widget.Wrap(widget.Clean(text), max(1, in.W()-12)) {
			if i == 0 {
				in.Text(0, y, style(theme.Muted), label)
			}
			in.TextFit(12, y, in.W()-12, style(theme.Text), l)
			y++
		}
	}
	fact("host", dash(k.Host))
	if k.CPUs > 0 || k.MemoryTotal > 0 {
		fact("for tasks", widget.Number(k.CPUs)+" cores, "+widget.ByteSize(float64(k.MemoryTotal)))
	}
	if len(k.Capabilities) == 0 {
		fact("can", "run programs")
	} else {
		fact("can", strings.Join(k.Capabilities, " "))
	}
}

// drawTasks lists what the agent has now.
func (a Agents) drawTasks(c *widget.Canvas, r widget.Rect, k *models.Agent, env Env) {
	var tasks []*models.Task
	for i := range a.active {
		if a.active[i].Agent == k.ID {
			tasks = append(tasks, &a.active[i])
		}
	}
	note := "Enter lists them"
	if a.more {
		note = fmt.Sprintf("among the newest %d of all agents", agentTasks)
	}
	in := widget.Panel(c, r, plural(len(tasks), "task")+" on "+widget.Clean(k.ID), note, false)
	if len(tasks) == 0 {
		if a.asked {
			widget.Centre(in, "nothing runs here")
		} else {
			widget.Centre(in, "asking for its tasks")
		}
		return
	}
	t := widget.NewTable(in.W(), []widget.Column{
		{Title: "STATE", Width: 10},
		{Title: "TASK", Width: 10, Grow: 2},
		{Title: "POOL", Width: 8, Grow: 1, Drop: 2},
		{Title: "RUN", Width: 7, Right: true},
		{Title: "WHAT", Width: 10, Grow: 4, Drop: 1},
	})
	t.Header(in, 0)
	for i, task := range tasks[:min(len(tasks), max(0, in.H()-1))] {
		sign := env.Theme.State(task.State)
		t.Row(in, 1+i, []widget.Cell{
			{Text: sign.Glyph + " " + string(task.State), Style: sign.Style},
			{Text: widget.Clean(task.TaskID), Style: style(theme.Text)},
			{Text: widget.Clean(task.Pool), Style: style(theme.Muted)},
			runCell(task, env),
			{Text: whatOf(task), Style: style(theme.Muted)},
		}, false)
	}
}
