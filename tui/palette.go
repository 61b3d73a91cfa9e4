package tui

import (
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"

	"loadstar/tui/keys"
	"loadstar/tui/page"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// paletteRows is how many commands the palette shows at a time.
const paletteRows = 12

// palette is the line after ":" and what it may mean.
type palette struct {
	input  textinput.Model
	cursor int
}

// command is a binding as the palette names it.
type command struct {
	keys.Binding
	name string
}

// scopePage is the page that a scope belongs to; ok is false for those of every page.
func scopePage(s keys.Scope) (at int, ok bool) {
	at, ok = map[keys.Scope]int{
		keys.Overview: page.AtOverview, keys.Tasks: page.AtTasks, keys.Log: page.AtTasks, keys.Forecast: page.AtForecast,
		keys.Pools: page.AtPools, keys.Queues: page.AtQueues, keys.Agents: page.AtAgents, keys.Events: page.AtEvents,
	}[s]
	return at, ok
}

// commands are all that can be asked for by a name: those of the page on show first.
// An action of another page turns to that page.
func (m Model) commands() []command {
	here := m.pages[m.at].Scopes(m.env())
	var first, rest []command
	for _, b := range m.keys.All() {
		if b.Scope == keys.Dialog || b.Action == keys.Palette || b.Scope == keys.Log && !slices.Contains(here, keys.Log) {
			continue
		}
		c := command{Binding: b, name: string(b.Action)}
		switch {
		case strings.HasPrefix(string(b.Action), "page-"):
			c.name = b.Help
		case slices.Contains(here, b.Scope) && b.Scope != keys.List:
			first = append(first, c)
			continue
		case b.Scope != keys.Global && b.Scope != keys.List:
			c.name = string(b.Scope) + " " + c.name
		}
		rest = append(rest, c)
	}
	return append(first, rest...)
}

// matching are the commands that the text may mean, the likeliest first: those
// whose name begins with it, then those that hold it, then those that hold its
// letters with gaps.
func matching(all []command, text string) []command {
	text = strings.ToLower(strings.TrimSpace(text))
	if text == "" {
		return all
	}
	var out []command
	for rank := range 4 {
		for _, c := range all {
			if commandRank(&c, text) == rank {
				out = append(out, c)
			}
		}
	}
	return out
}

func commandRank(c *command, text string) int {
	help := strings.ToLower(c.Help)
	switch {
	case strings.HasPrefix(c.name, text):
		return 0
	case strings.Contains(c.name, text):
		return 1
	case strings.Contains(help, text):
		return 2
	case page.Fuzzy(c.name+" "+help, text):
		return 3
	}
	return 4
}

func (m Model) paletteKey(k tea.KeyMsg) (Model, tea.Cmd) {
	p := *m.palette
	list := matching(m.commands(), p.input.Value())
	switch k.String() {
	case "esc", "ctrl+c":
		m.palette = nil
		return m, nil
	case "up", "ctrl+p", "shift+tab":
		p.cursor = max(0, p.cursor-1)
	case "down", "ctrl+n":
		p.cursor = max(0, min(p.cursor+1, len(list)-1))
	case "tab":
		if p.cursor < len(list) {
			p.input.SetValue(list[p.cursor].name)
			p.input.CursorEnd()
			p.cursor = 0
		}
	case "enter":
		if p.cursor >= len(list) {
			return m.say("no such command: "+p.input.Value(), true), nil
		}
		m.palette = nil
		return m.command(&list[p.cursor])
	default:
		p.input, _ = p.input.Update(k)
		p.cursor = 0
	}
	m.palette = &p
	return m, nil
}

// command does what a command of the palette asks for.
func (m Model) command(c *command) (Model, tea.Cmd) {
	var turned tea.Cmd
	if at, ok := scopePage(c.Scope); ok && at != m.at {
		m, turned = m.show(at)
	}
	m, cmd := m.act(page.Key{Action: c.Action}, c.Binding)
	return m, tea.Batch(turned, cmd)
}

func (m Model) drawPalette(c *widget.Canvas) {
	list := matching(m.commands(), m.palette.input.Value())
	rows := max(1, min(paletteRows, m.h-8))
	in := widget.Box(c, min(m.w-4, 84), rows+4, "commands", false)
	x := in.Text(0, 0, theme.Fg(theme.Accent), ":")
	page.DrawInput(in, x, 0, in.W()-x, m.palette.input, true)
	first := widget.Window(0, m.palette.cursor, rows, len(list))
	for y := range rows {
		if first+y >= len(list) {
			break
		}
		b := &list[first+y]
		if first+y == m.palette.cursor {
			in.Fill(widget.Rect{X: 0, Y: y + 1, W: in.W(), H: 1}, theme.Style{FG: theme.OnSelect, BG: theme.SelectBG})
		}
		role := theme.Text
		if b.Writes && m.cfg.ReadOnly {
			role = theme.Muted
		}
		in.TextFit(0, y+1, 24, theme.Fg(role), b.name)
		in.TextFit(25, y+1, max(0, in.W()-38), theme.Fg(theme.Muted), b.Help)
		in.TextRight(in.W()-13, y+1, 12, theme.Fg(theme.Accent), b.Names())
		in.Zone(widget.Rect{X: 0, Y: y + 1, W: in.W(), H: 1}, "command", first+y)
	}
	widget.Scrollbar(in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: rows}), first, rows, len(list))
	hint := "Tab completes  Enter does it  Esc leaves"
	if len(list) == 0 {
		hint = "no command has these letters"
	}
	in.TextFit(0, rows+1, in.W(), theme.Fg(theme.Muted), hint)
}
