package tui

import (
	"fmt"
	"strconv"

	"loadstar/tui/keys"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// View is the screen as text: never more lines or cells than the terminal has.
func (m Model) View() (out string) {
	defer func() {
		if r := recover(); r != nil { // better a line than a lost terminal
			out = widget.Fit(fmt.Sprintf("this view could not be drawn: %v", r), max(0, m.w), "")
		}
	}()
	if m.w <= 0 || m.h <= 0 {
		return ""
	}
	return m.draw().String()
}

func (m Model) small() bool { return m.w < leastWidth || m.h < leastHeight }

func (m Model) draw() *widget.Canvas {
	c := widget.NewCanvas(m.w, m.h, m.theme)
	if m.small() {
		widget.Centre(c, fmt.Sprintf("%dx%d is too small", m.w, m.h), fmt.Sprintf("loadstar needs %dx%d", leastWidth, leastHeight), "q quits")
		return c
	}
	m.header(c)
	y, h := m.body()
	body := c.Sub(widget.Rect{X: 0, Y: y, W: m.w, H: h})
	m.pages[m.at].View(body, m.env())
	if m.lost != "" {
		body.Grey()
	}
	m.footer(c)
	switch {
	case m.dialog != nil:
		m.dialog.View(c)
	case m.help:
		m.drawHelp(c)
	case m.palette != nil:
		m.drawPalette(c)
	}
	return c
}

// notice is the line under the header: a lost daemon, or what the banner says.
func (m Model) notice() string {
	if m.lost != "" {
		return m.lost
	}
	if m.frozen() {
		return m.frozenText()
	}
	if v := m.data.Info.Version; m.cfg.Version != "" && v != "" && v != m.cfg.Version {
		return "the daemon is version " + widget.Clean(v) + ", this screen is " + m.cfg.Version + ": what one of them lacks may be missing here"
	}
	return m.banner
}

// wideTabs is the width from which the tabs stand apart.
const wideTabs = 105

func (m Model) header(c *widget.Canvas) {
	bar := theme.Style{BG: theme.BarBG}
	c.Fill(widget.Rect{X: 0, Y: 0, W: m.w, H: 1}, bar)
	x, space := 1, ""
	if m.w >= wideTabs { // else the tabs have its room
		x, space = c.Text(1, 0, theme.Fg(theme.Title), "loadstar")+1, " "
	}
	for i, p := range m.pages {
		num := strconv.Itoa(i + 1)
		st, digit := theme.Fg(theme.Muted), theme.Fg(theme.Muted)
		if i == m.at {
			st = theme.Style{FG: theme.OnSelect, BG: theme.SelectBG, Attr: theme.Bold}
			digit = st
		}
		start := x
		if space == "" && i != m.at {
			digit = theme.Fg(theme.Accent)
		}
		x = c.Text(x, 0, digit, space+num+space)
		x = c.Text(x, 0, st, p.Name()+space)
		c.Zone(widget.Rect{X: start, Y: 0, W: x - start, H: 1}, "tab", i)
		x++
	}
	m.status(c, x)
	if n := m.notice(); n != "" {
		if m.lost != "" {
			c.Fill(widget.Rect{X: 0, Y: 1, W: m.w, H: 1}, theme.Style{BG: theme.AlarmBG})
			wait := max(0, m.retryAt.Sub(m.now).Seconds())
			tail := fmt.Sprintf("asking again in %.0f s ", wait)
			if m.polling || wait == 0 {
				tail = "asking again "
			}
			if !m.heard.IsZero() {
				tail = "data " + widget.Age(m.now, m.heard) + " old, " + tail
			}
			c.TextFit(1, 1, m.w-widget.Width(tail)-3, theme.Fg(theme.Title), n)
			c.TextRight(0, 1, m.w, theme.Fg(theme.Title), tail)
			return
		}
		if m.frozen() {
			c.Fill(widget.Rect{X: 0, Y: 1, W: m.w, H: 1}, theme.Style{BG: theme.AlarmBG})
			c.TextFit(1, 1, m.w-2, theme.Fg(theme.Title), c.Glyphs().Pause+" "+n)
			return
		}
		c.TextFit(1, 1, m.w-2, theme.Fg(theme.Accent), n)
	}
}

// status is the right end of the header: whose data, how old, the time.
func (m Model) status(c *widget.Canvas, from int) {
	g := c.Glyphs()
	clock := m.now.In(m.cfg.Zone).Format("15:04:05")
	x := m.w - 1
	put := func(st theme.Style, text string) bool {
		n := widget.Width(text)
		if x-n < from+1 {
			return false
		}
		x -= n
		c.Text(x, 0, st, text)
		x--
		return true
	}
	needed := 12 // the longest word about the link
	if m.cfg.ReadOnly {
		needed += len("read-only") + 1
	}
	if !m.now.IsZero() && (!m.cfg.ReadOnly || x-len(clock)-needed > from) { // what must be known goes before the time
		put(theme.Fg(theme.Text), clock)
	}
	switch {
	case m.lost != "":
		put(theme.Style{FG: theme.Title, BG: theme.AlarmBG}, " "+g.Lost+" lost ")
	case m.frozen():
		put(theme.Style{FG: theme.Title, BG: theme.AlarmBG}, " FROZEN ")
	case m.heard.IsZero():
		put(theme.Fg(theme.Muted), "connecting")
	case m.now.Sub(m.heard) > 3*m.cfg.Refresh+m.cfg.Refresh/2:
		put(theme.Fg(theme.Warn), g.Warning+" "+widget.Age(m.now, m.heard)+" old")
	default:
		put(theme.Fg(theme.Good), g.Live+" live")
	}
	if m.cfg.ReadOnly {
		put(theme.Fg(theme.Warn), "read-only")
	}
	if m.data.Info.Hostname != "" {
		put(theme.Fg(theme.Muted), widget.Fit(widget.Clean(m.data.Info.Hostname), 24, g.Ellipsis))
	}
}

// footer names the keys that matter here, or what was just said; at its right end
// what the daemon costs.
func (m Model) footer(c *widget.Canvas) {
	y := m.h - 1
	c.Fill(widget.Rect{X: 0, Y: y, W: m.w, H: 1}, theme.Style{BG: theme.BarBG})
	right := m.w - 1
	if info := &m.data.Info; info.PID != 0 && m.w >= 80 {
		cost := "daemon " + strconv.FormatFloat(min(info.CPU, 9999), 'f', 1, 64) + " % " + widget.ByteSize(float64(info.RSS))
		right -= widget.Width(cost)
		c.Text(right, y, theme.Fg(theme.Muted), cost)
		right -= 2
	}
	if m.toast != "" {
		role := theme.Accent
		if m.bad {
			role = theme.Bad
		}
		c.TextFit(1, y, right-1, theme.Style{FG: role, Attr: theme.Bold}, m.toast)
		return
	}
	x := 1
	scopes := m.pages[m.at].Scopes(m.env())
	inLog := scopes[0] == keys.Log
	for _, s := range append([]keys.Scope{keys.Global}, scopes...) {
		bindings := m.keys.Bindings(s)
		for i, b := range bindings {
			if b.Short == "" || b.Writes && m.cfg.ReadOnly || inLog && s == keys.Tasks && !b.Writes {
				continue
			}
			name := keys.Name(b.Keys[0])
			if i+1 < len(bindings) && bindings[i+1].Short == b.Short { // two directions of one thing
				name += keys.Name(bindings[i+1].Keys[0])
			} else if i > 0 && bindings[i-1].Short == b.Short {
				continue
			}
			if x+widget.Width(name)+1+widget.Width(b.Short) > right {
				return
			}
			start := x
			x = c.Text(x, y, theme.Fg(theme.Accent), name) + 1
			x = c.Text(x, y, theme.Fg(theme.Muted), b.Short)
			if b.Action == keys.Help {
				c.Zone(widget.Rect{X: start, Y: y, W: x - start, H: 1}, "help", 0)
			}
			x += 2
		}
	}
}

// helpLine is a line of the help: a scope's name, or a binding.
type helpLine struct {
	title      string
	keys, text string
}

// helpLines are all bindings, those of the page on show first.
func (m Model) helpLines() []helpLine {
	order := append([]keys.Scope{}, m.pages[m.at].Scopes(m.env())...)
	for _, s := range []keys.Scope{keys.Global, keys.List, keys.Overview, keys.Tasks, keys.Log, keys.Forecast, keys.Pools, keys.Queues, keys.Agents, keys.Events, keys.Dialog} {
		seen := false
		for _, o := range order {
			seen = seen || o == s
		}
		if !seen {
			order = append(order, s)
		}
	}
	var lines []helpLine
	for _, s := range order {
		bindings := m.keys.Bindings(s)
		if len(bindings) == 0 {
			continue
		}
		if len(lines) > 0 {
			lines = append(lines, helpLine{})
		}
		lines = append(lines, helpLine{title: string(s)})
		for _, b := range bindings {
			text := b.Help
			if b.Writes && m.cfg.ReadOnly {
				text += " (not read-only)"
			}
			lines = append(lines, helpLine{keys: b.Names(), text: text})
		}
	}
	return lines
}

func (m Model) helpRows() int { return max(1, min(len(m.helpLines()), m.h-6)) }

func (m Model) helpEnd() int { return max(0, len(m.helpLines())-m.helpRows()) }

func (m Model) drawHelp(c *widget.Canvas) {
	lines, rows := m.helpLines(), m.helpRows()
	in := widget.Box(c, min(m.w-4, 76), rows+3, "keys", false)
	first := min(m.scroll, m.helpEnd())
	for y := range rows {
		if first+y >= len(lines) {
			break
		}
		l := lines[first+y]
		if l.title != "" {
			in.Text(0, y, theme.Fg(theme.Title), l.title)
			continue
		}
		in.TextFit(1, y, 17, theme.Fg(theme.Accent), l.keys)
		in.TextFit(19, y, in.W()-20, theme.Fg(theme.Text), l.text)
	}
	widget.Scrollbar(in.Sub(widget.Rect{X: 0, Y: 0, W: in.W(), H: rows}), first, rows, len(lines))
	in.TextFit(0, rows, in.W(), theme.Fg(theme.Muted), "any other key closes")
}
