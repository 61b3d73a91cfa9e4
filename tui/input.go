package tui

import (
	"fmt"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"loadstar/tui/keys"
	"loadstar/tui/page"
	"loadstar/tui/theme"
)

// stamped is a message with the time at which it came: Update reads no clock.
type stamped struct {
	msg tea.Msg
	at  time.Time
}

// typed gives keys on one by one: those that were read at once, as a held key or a
// slow line brings them, come as one message.
func (m Model) typed(k tea.KeyMsg) (Model, tea.Cmd) {
	if k.Type != tea.KeyRunes || k.Paste || len(k.Runes) < 2 {
		return m.key(k)
	}
	cmds := make([]tea.Cmd, 0, len(k.Runes))
	for _, r := range k.Runes {
		var cmd tea.Cmd
		m, cmd = m.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: k.Alt})
		cmds = append(cmds, cmd)
	}
	return m, tea.Batch(cmds...)
}

// key gives a key to what is on top: the question, the help, a line of text, the screen.
func (m Model) key(k tea.KeyMsg) (Model, tea.Cmd) {
	if k.Type == tea.KeyCtrlC && !m.pages[m.at].Typing() {
		return m.quit()
	}
	switch {
	case m.dialog != nil:
		d, done, reqs := m.dialog.Update(page.Key{KeyMsg: k, Action: m.keys.Action(k.String(), keys.Dialog)})
		return m.dialogNext(d, done, reqs)
	case m.help:
		return m.helpKey(k)
	case m.palette != nil:
		return m.paletteKey(k)
	case m.pages[m.at].Typing():
		return m.tell(page.Key{KeyMsg: k})
	}
	scopes := append(m.pages[m.at].Scopes(m.env()), keys.Global)
	b := m.keys.Lookup(k.String(), scopes...)
	return m.act(page.Key{KeyMsg: k, Action: b.Action}, b)
}

// act does what a binding asks for: what concerns the whole screen here, the rest
// is the page's.
func (m Model) act(k page.Key, b keys.Binding) (Model, tea.Cmd) {
	switch b.Action {
	case keys.Quit:
		return m.quit()
	case keys.Help:
		m.help, m.scroll = true, 0
		return m, nil
	case keys.Palette:
		m.palette = &palette{input: page.NewInput("")}
		return m, nil
	case keys.NextPage:
		return m.show((m.at + 1) % len(m.pages))
	case keys.PrevPage:
		return m.show((m.at + len(m.pages) - 1) % len(m.pages))
	case keys.Page1, keys.Page2, keys.Page3, keys.Page4, keys.Page5, keys.Page6, keys.Page7:
		return m.show(int(b.Action[len(b.Action)-1] - '1'))
	case keys.Freeze:
		return m.freeze()
	case keys.Earlier:
		return m.travel(-travelStep)
	case keys.Later:
		return m.travel(travelStep)
	case keys.MuchEarlier:
		return m.travel(-travelFar)
	case keys.MuchLater:
		return m.travel(travelFar)
	case keys.ThemeNext:
		return m.nextTheme(), nil
	case keys.MouseToggle:
		return m.toggleMouse()
	case keys.ExportCSV:
		return m.export("csv")
	case keys.ExportJSON:
		return m.export("json")
	case keys.Refresh:
		m.retryAt = time.Time{}
		return m.poll()
	case keys.Suspend:
		return m, tea.Suspend
	}
	if b.Writes && m.cfg.ReadOnly {
		return m.say("read-only: this screen changes nothing", true), nil
	}
	return m.tell(k)
}

// export writes what the page shows to a file.
func (m Model) export(format string) (Model, tea.Cmd) {
	p, ok := m.pages[m.at].(page.Exporter)
	if !ok || m.cfg.Save == nil {
		return m.say("nothing can be written from here", true), nil
	}
	t := p.Export(m.env())
	if len(t.Rows) == 0 {
		return m.say("there is nothing to export", true), nil
	}
	data, err := t.Encode(format)
	if err != nil {
		return m.say("the export failed: "+err.Error(), true), nil
	}
	name := fmt.Sprintf("loadstar-%s-%s.%s", t.Name, m.now.In(m.cfg.Zone).Format("20060102-150405"), format)
	return m, m.link.save(page.Save{Name: name, Data: data}, m.cfg.Save, len(t.Rows))
}

func (m Model) quit() (Model, tea.Cmd) {
	return m.stopLog(), tea.Quit
}

func (m Model) dialogNext(d page.Dialog, done bool, reqs []page.Request) (Model, tea.Cmd) {
	m.dialog = &d
	if done {
		m.dialog = nil
	}
	return m.request(reqs)
}

func (m Model) helpKey(k tea.KeyMsg) (Model, tea.Cmd) {
	switch m.keys.Action(k.String(), keys.List) {
	case keys.Up:
		m.scroll = max(0, m.scroll-1)
	case keys.Down:
		m.scroll = min(m.scroll+1, m.helpEnd())
	case keys.PageUp:
		m.scroll = max(0, m.scroll-10)
	case keys.PageDown:
		m.scroll = min(m.scroll+10, m.helpEnd())
	default:
		m.help = false
	}
	return m, nil
}

// nextTheme goes round the themes; without colours there is only one.
func (m Model) nextTheme() Model {
	names := theme.Names()
	name := names[(slices.Index(names, m.cfg.Theme)+1)%len(names)]
	t, err := theme.New(name, m.profile, m.level())
	if err != nil {
		return m.say(err.Error(), true)
	}
	m.cfg.Theme, m.theme, m.themed = name, t, true
	if t.Name != name {
		return m.say("no colours on this terminal", false)
	}
	return m.say("theme "+name, false)
}

func (m Model) toggleMouse() (Model, tea.Cmd) {
	m.release = !m.release
	if m.release {
		return m.say("the mouse is the terminal's: select text; M takes it back", false), tea.DisableMouse
	}
	return m.say("the mouse is the screen's again", false), tea.EnableMouseCellMotion
}

// mouse finds what lies under the pointer by drawing the screen once more: where
// things are is said in one place only.
func (m Model) mouse(e tea.MouseMsg) (Model, tea.Cmd) {
	wheel := e.Button == tea.MouseButtonWheelUp || e.Button == tea.MouseButtonWheelDown
	if m.small() || e.Action != tea.MouseActionPress || !wheel && e.Button != tea.MouseButtonLeft {
		return m, nil
	}
	z, ok := m.draw().ZoneAt(e.X, e.Y)
	if wheel {
		delta := 1
		if e.Button == tea.MouseButtonWheelUp {
			delta = -1
		}
		switch {
		case m.dialog != nil, m.palette != nil:
			return m, nil
		case m.help:
			m.scroll = max(0, min(m.scroll+3*delta, m.helpEnd()))
			return m, nil
		}
		return m.tell(page.Wheel{Zone: z, Delta: delta})
	}
	twice := ok && z.Kind == m.click.Kind && z.Index == m.click.Index && m.now.Sub(m.clickAt) <= doubleClick
	m.click, m.clickAt = z, m.now
	switch {
	case m.dialog != nil:
		if !ok {
			return m, nil
		}
		d, done, reqs := m.dialog.Click(z)
		return m.dialogNext(d, done, reqs)
	case m.help:
		m.help = false
		return m, nil
	case m.palette != nil:
		if list := matching(m.commands(), m.palette.input.Value()); ok && z.Kind == "command" && z.Index < len(list) {
			m.palette = nil
			return m.command(&list[z.Index])
		}
		m.palette = nil
		return m, nil
	case !ok:
		return m, nil
	case z.Kind == "tab":
		return m.show(z.Index)
	case z.Kind == "help":
		m.help, m.scroll = true, 0
		return m, nil
	}
	return m.tell(page.Click{Zone: z, Twice: twice})
}
