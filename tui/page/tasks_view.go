package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// splitsAt is the width from which list and detail stand side by side, stacksAt the
// height from which they stand above each other.
const (
	splitsAt = 140
	stacksAt = 30
)

func (t Tasks) splits(env Env) bool { return env.W >= splitsAt || env.H >= stacksAt }

// logHasKeys reports whether keys scroll the log: it was asked for, or it is all
// that there is room for.
func (t Tasks) logHasKeys(env Env) bool { return t.open && (t.focus || !t.splits(env)) }

// layout is where list and detail go; an empty one is not shown.
func (t Tasks) layout(w, h int, focus bool) (list, detail widget.Rect) {
	whole := widget.Rect{X: 0, Y: 0, W: w, H: h}
	switch {
	case !t.open:
		return whole, widget.Rect{}
	case focus || w < splitsAt && h < stacksAt:
		return widget.Rect{}, whole
	case w >= splitsAt:
		left := w * 55 / 100
		return widget.Rect{X: 0, Y: 0, W: left, H: h}, widget.Rect{X: left, Y: 0, W: w - left, H: h}
	}
	top := h * 45 / 100
	return widget.Rect{X: 0, Y: 0, W: w, H: top}, widget.Rect{X: 0, Y: top, W: w, H: h - top}
}

// listRows is how many tasks the list shows: without frame, filter line and header.
func (t Tasks) listRows(env Env) int {
	list, _ := t.layout(env.W, env.H, t.focus)
	return max(1, list.H-4)
}

func (t Tasks) logRows(env Env) int {
	_, detail := t.layout(env.W, env.H, t.focus)
	rows := detail.H - t.factRows(detail.W, detail.H) - 4
	if t.log.typing || t.log.query != "" {
		rows--
	}
	return max(1, rows)
}

func taskColumns() []widget.Column {
	return []widget.Column{
		{Title: "", Width: 1},
		{Title: "STATE", Width: 11},
		{Title: "TASK", Width: 10, Grow: 2},
		{Title: "POOL", Width: 8, Grow: 1, Drop: 4},
		{Title: "PRIO", Width: 8, Drop: 5},
		{Title: "TRY", Width: 3, Right: true, Drop: 6},
		{Title: "WAIT", Width: 7, Right: true, Drop: 7},
		{Title: "RUN", Width: 9, Right: true, Drop: 3},
		{Title: "AGE", Width: 7, Right: true, Drop: 2},
		{Title: "AGENT", Width: 10, Drop: 8},
		{Title: "WHAT", Width: 18, Grow: 5, Drop: 1},
	}
}

// columnSort is what a click on a column's title sorts by.
func columnSort(column int) (sortKey, bool) {
	by, ok := map[int]sortKey{1: byState, 2: byID, 3: byPool, 4: byPriority, 6: byWait, 7: byRun, 8: byAge}[column]
	return by, ok
}

// View draws the page.
func (t Tasks) View(c *widget.Canvas, env Env) {
	w, h := c.Size()
	list, detail := t.layout(w, h, t.focus)
	if list.H > 0 {
		t.drawList(c, list, env)
	}
	if detail.H > 0 {
		t.drawDetail(c, detail, env)
	}
}

func (t Tasks) drawList(c *widget.Canvas, r widget.Rect, env Env) {
	in := widget.Panel(c, r, "tasks", t.note(), t.open && !t.focus)
	t.drawFilter(in, env)
	body := in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: in.H() - 1})
	if len(t.rows) == 0 {
		switch {
		case !t.loaded:
			widget.Centre(body, "asking for the tasks")
		case !t.filter.Empty():
			widget.Centre(body, "no task matches "+widget.Clean(t.filter.String()), `\ drops the filter, / changes it`)
		default:
			widget.Centre(body, "no tasks yet", "loadstar submit -- echo hi")
		}
		return
	}
	columns := taskColumns()
	direction := -1
	if t.reverse {
		direction = 1
	}
	for i := range columns {
		if by, ok := columnSort(i); ok && by == t.sort {
			columns[i].Sort = direction
		}
	}
	table := widget.NewTable(body.W()-1, columns)
	table.Header(body, 0)
	rows := body.Sub(widget.Rect{X: 0, Y: 1, W: body.W(), H: body.H() - 1})
	first := widget.Window(t.first, t.cursor, rows.H(), len(t.rows))
	for y := 0; y < rows.H() && first+y < len(t.rows); y++ {
		i := first + y
		table.Row(rows, y, t.cells(&t.rows[i], env), i == t.cursor)
		rows.Zone(widget.Rect{X: 0, Y: y, W: rows.W(), H: 1}, "task", i)
	}
	widget.Scrollbar(rows, first, rows.H(), t.count())
}

// count is how many tasks are selected: the daemon's number, or what the screen found.
func (t Tasks) count() int {
	if t.narrowed() {
		return len(t.rows)
	}
	return max(t.total, len(t.rows))
}

// held is how many tasks the screen has of the listing.
func (t Tasks) held() int {
	n := 0
	for i := range t.parts {
		n += len(t.parts[i].tasks)
	}
	return n
}

// note says what the list holds: how many, in which order, how many marked.
func (t Tasks) note() string {
	var parts []string
	switch {
	case t.all:
		parts = append(parts, "all "+widget.Count(t.count())+" marked")
	case len(t.marks) > 0:
		parts = append(parts, widget.Count(len(t.marks))+" marked")
	}
	if len(t.rows) > 0 {
		parts = append(parts, widget.Count(t.cursor+1)+" of "+widget.Count(t.count()))
	}
	if n := t.held(); t.narrowed() && n < t.total {
		parts = append(parts, "among the newest "+widget.Count(n))
	}
	if t.sort != byAge && t.count() > len(t.rows) {
		parts = append(parts, "sorted among "+widget.Count(len(t.rows)))
	}
	return strings.Join(parts, ", ")
}

func (t Tasks) drawFilter(in *widget.Canvas, env Env) {
	in.Zone(widget.Rect{X: 0, Y: 0, W: in.W(), H: 1}, "filter", 0)
	x := in.Text(0, 0, style(theme.Accent), "/") + 1
	switch {
	case t.typing:
		room := in.W() - x
		if t.fault != "" {
			n := min(widget.Width(t.fault), room*2/3)
			in.TextRight(in.W()-n, 0, n, style(theme.Bad), widget.Clean(t.fault))
			room -= n + 1
		}
		DrawInput(in, x, 0, room, t.input, true)
	case t.filter.Empty():
		in.TextFit(x, 0, in.W()-x, style(theme.Muted), "all tasks, "+t.orderText())
	default:
		x = in.TextFit(x, 0, in.W()-x, style(theme.Text), widget.Clean(t.filter.String()))
		in.TextFit(x+2, 0, in.W()-x-2, style(theme.Muted), t.orderText())
	}
	_ = env
}

func (t Tasks) orderText() string {
	names := [...]string{"newest first", "by state", "by id", "by pool", "by priority", "longest wait first", "longest run first"}
	text := names[t.sort]
	switch {
	case t.sort == byAge && t.reverse:
		text = "oldest first"
	case t.reverse:
		text += ", reversed"
	}
	return text
}

func (t Tasks) cells(k *models.Task, env Env) []widget.Cell {
	mark := widget.Cell{}
	if t.marked(k.TaskID) {
		mark = widget.Cell{Text: env.Theme.Glyphs.Mark, Style: style(theme.Accent)}
	}
	sign := env.Theme.State(k.State)
	prio := theme.Text
	switch {
	case k.Priority >= models.PriorityHigh:
		prio = theme.Warn
	case k.Priority <= models.PriorityLow:
		prio = theme.Muted
	}
	try := theme.Muted
	if k.Attempt > 1 {
		try = theme.Warn
	}
	return []widget.Cell{
		mark,
		{Text: sign.Glyph + " " + string(k.State), Style: sign.Style},
		{Text: widget.Clean(k.TaskID), Style: style(theme.Text)},
		{Text: widget.Clean(k.Pool), Style: style(theme.Muted)},
		{Text: k.Priority.String(), Style: style(prio)},
		{Text: strconv.Itoa(k.Attempt), Style: style(try)},
		waitCell(k, env),
		runCell(k, env),
		{Text: widget.Age(env.Now, k.SubmittedAt), Style: style(theme.Muted)},
		{Text: widget.Clean(k.Agent), Style: style(theme.Muted)},
		{Text: whatOf(k), Style: style(theme.Text)},
	}
}

// whatOf is a task in words; where it failed, why.
func whatOf(k *models.Task) string {
	what := widget.Clean(k.String())
	switch {
	case k.Error != "" && k.State.Final():
		return widget.Clean(k.Error) + " " + "· " + what
	case k.State == models.Pending && k.Detail != "":
		return widget.Clean(k.Detail) + " " + "· " + what
	}
	return what
}

func waitCell(k *models.Task, env Env) widget.Cell {
	if d, ok := k.Wait(); ok {
		return widget.Cell{Text: widget.Span(d), Style: style(theme.Muted)}
	}
	if k.State.Final() {
		return widget.Cell{Text: "-", Style: style(theme.Muted)}
	}
	return widget.Cell{Text: widget.Age(env.Now, k.SubmittedAt), Style: style(theme.Text)}
}

// runCell is how long it runs or ran, or why it does not.
func runCell(k *models.Task, env Env) widget.Cell {
	switch {
	case k.State == models.Running && k.StartedAt != nil:
		return widget.Cell{Text: widget.Seconds(max(0, env.Now.Sub(*k.StartedAt).Seconds())), Style: style(theme.Accent)}
	case k.State == models.Pending:
		return widget.Cell{Text: strings.ReplaceAll(string(k.Reason), "_", " "), Style: style(theme.Muted)}
	}
	if d, ok := k.RunTime(); ok {
		return widget.Cell{Text: widget.Span(d), Style: style(theme.Text)}
	}
	return widget.Cell{Text: "-", Style: style(theme.Muted)}
}

// factRows is how many lines of the detail the facts take; the log has the rest.
func (t Tasks) factRows(w, h int) int {
	n := len(t.facts(w-2, time.Time{}, time.UTC)) + 2
	return min(n, max(3, h*6/10))
}

func (t Tasks) drawDetail(c *widget.Canvas, r widget.Rect, env Env) {
	rows := t.factRows(r.W, r.H)
	k := &t.detail
	sign := env.Theme.State(k.State)
	top := widget.Rect{X: r.X, Y: r.Y, W: r.W, H: rows}
	in := widget.Panel(c, top, widget.Clean(k.TaskID), "Esc closes", false)
	x := in.Text(0, 0, sign.Style.With(theme.Bold), sign.Glyph+" "+string(k.State))
	in.TextFit(x+2, 0, in.W()-x-2, style(theme.Text), stateNote(k))
	for i, f := range t.facts(in.W(), env.Now, env.Zone) {
		if i == 0 {
			continue
		}
		if f.label == "" {
			in.TextFit(10, i, in.W()-10, style(f.role), f.text)
			continue
		}
		in.TextFit(0, i, 9, style(theme.Muted), f.label)
		in.TextFit(10, i, in.W()-10, style(f.role), f.text)
	}
	t.log.view(c, widget.Rect{X: r.X, Y: r.Y + rows, W: r.W, H: r.H - rows}, env, t.logHasKeys(env))
}

func stateNote(k *models.Task) string {
	var parts []string
	if k.Reason != "" {
		parts = append(parts, strings.ReplaceAll(string(k.Reason), "_", " "))
	}
	if k.ExitCode != nil {
		parts = append(parts, fmt.Sprintf("exit code %d", *k.ExitCode))
	}
	if k.Error != "" {
		parts = append(parts, widget.Clean(k.Error))
	} else if k.Detail != "" {
		parts = append(parts, widget.Clean(k.Detail))
	}
	return strings.Join(parts, ", ")
}

type fact struct {
	label, text string
	role        theme.Role
}

// facts are the lines about a task; the first is drawn by its state.
func (t Tasks) facts(w int, now time.Time, zone *time.Location) []fact {
	k := &t.detail
	facts := []fact{{}}
	add := func(label, text string) {
		if text != "" {
			facts = append(facts, fact{label, widget.Clean(text), theme.Text})
		}
	}
	addWrapped := func(label, text string, role theme.Role, most int) {
		for i, l := range widget.Wrap(widget.Clean(text), max(1, w-10)) {
			if i >= most {
				break
			}
			facts = append(facts, fact{label, l, role})
			label = ""
		}
	}
	addWrapped("what", k.String(), theme.Text, 2)
	if len(k.Run) > 0 && k.Description != "" {
		add("run", strings.Join(k.Run, " "))
	}
	addWrapped("why", t.explain.Text, theme.Info, 3)
	for _, f := range t.explain.Facts[:min(len(t.explain.Facts), 4)] {
		add("", "- "+f)
	}
	add("pool", strings.TrimSpace(fmt.Sprintf("%s  priority %s  agent %s", k.Pool, k.Priority, dash(k.Agent))))
	add("needs", strings.Join(k.Dependencies, " "))
	var labels []string
	for _, key := range sortedKeys(k.Labels) {
		labels = append(labels, key+"="+k.Labels[key])
	}
	add("labels", strings.Join(labels, " "))
	add("times", t.times(now, zone))
	for i := len(k.Attempts) - 1; i >= 0 && i >= len(k.Attempts)-4; i-- {
		label := ""
		if i == len(k.Attempts)-1 {
			label = "attempts"
		}
		facts = append(facts, attemptFact(label, &k.Attempts[i], now, zone))
	}
	return facts
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (t Tasks) times(now time.Time, zone *time.Location) string {
	k := &t.detail
	env := Env{Now: now, Zone: zone}
	text := "submitted " + env.clock(k.SubmittedAt)
	if k.StartedAt != nil {
		text += "  started " + env.clock(*k.StartedAt)
	}
	if k.FinishedAt != nil {
		text += "  finished " + env.clock(*k.FinishedAt)
	}
	if d, ok := k.Wait(); ok {
		text += "  waited " + widget.Span(d)
	}
	if d, ok := k.RunTime(); ok {
		text += "  ran " + widget.Span(d)
	}
	return text
}

func attemptFact(label string, a *models.Attempt, now time.Time, zone *time.Location) fact {
	var role theme.Role
	outcome := a.Outcome
	switch a.Outcome {
	case string(models.Success):
		role = theme.Good
	case "":
		outcome, role = "running", theme.Accent
	case string(models.Cancelled):
		role = theme.Warn
	default:
		role = theme.Bad
	}
	text := fmt.Sprintf("%d %s", a.Attempt, outcome)
	if a.StartedAt != nil {
		env := Env{Now: now, Zone: zone}
		text += " at " + env.clock(*a.StartedAt)
		end := now
		if a.FinishedAt != nil {
			end = *a.FinishedAt
		}
		if !end.IsZero() {
			text += " for " + widget.Seconds(max(0, end.Sub(*a.StartedAt).Seconds()))
		}
	}
	if a.ExitCode != nil {
		text += fmt.Sprintf(", exit %d", *a.ExitCode)
	}
	if a.Worker != "" {
		text += " on " + a.Worker
	}
	if a.Error != "" {
		text += ": " + a.Error
	}
	return fact{label, widget.Clean(text), role}
}
