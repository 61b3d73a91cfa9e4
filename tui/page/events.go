package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/textinput"

	"loadstar/models"
	"loadstar/tui/keys"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// Stream shows what happens, the newest on top, as far back as the screen remembers.
type Stream struct {
	filter string
	input  textinput.Model
	typing bool
	held   []models.Event // what is shown while it does not follow; nil follows
	cursor int            // from the newest that matches
}

// Name stands in the tabs.
func (Stream) Name() string { return "Events" }

// Typing reports whether keys are text.
func (s Stream) Typing() bool { return s.typing }

// Scopes are where keys are looked up.
func (Stream) Scopes(Env) []keys.Scope { return []keys.Scope{keys.Events, keys.List} }

// Poll is what is wanted every second: that the daemon is there; events come by themselves.
func (Stream) Poll(Env) []Request { return []Request{LoadStats{}} }

// list is what the filter selects of the events shown, the newest first.
func (s Stream) list(env Env) []*models.Event {
	events := env.Data.Events
	if s.held != nil {
		events = s.held
	}
	match := eventMatcher(s.filter)
	out := make([]*models.Event, 0, min(len(events), 256))
	for i := len(events) - 1; i >= 0; i-- {
		if match(&events[i]) {
			out = append(out, &events[i])
		}
	}
	return out
}

// eventMatcher reads a filter of events: words are found anywhere in an event,
// kind:, state:, pool:, task: and worker: narrow, and a "!" before a value turns it round.
func eventMatcher(text string) func(*models.Event) bool {
	type term struct {
		field, value string
		not          bool
	}
	var terms []term
	for _, word := range strings.Fields(strings.ToLower(text)) {
		field, value, ok := strings.Cut(word, ":")
		if !ok || !slices.Contains([]string{"kind", "state", "pool", "task", "worker"}, field) {
			field, value = "", word
		}
		value, not := strings.CutPrefix(value, "!")
		terms = append(terms, term{field, value, not})
	}
	return func(e *models.Event) bool {
		for _, t := range terms {
			var hay string
			switch t.field {
			case "kind":
				hay = string(e.Kind)
			case "state":
				hay = string(e.State)
			case "pool":
				hay = e.Pool
			case "task":
				hay = e.TaskID
			case "worker":
				hay = e.Worker
			default:
				hay = strings.Join([]string{string(e.Kind), string(e.State), e.Pool, e.TaskID, e.Worker, e.Message}, " ")
			}
			if strings.Contains(strings.ToLower(hay), t.value) == t.not {
				return false
			}
		}
		return true
	}
}

// Update is the page after a message.
func (s Stream) Update(env Env, msg any) (Page, []Request) {
	switch m := msg.(type) {
	case Wheel:
		return s.moveTo(env, s.cursor+3*m.Delta), nil
	case Click:
		if m.Zone.Kind == "event" {
			s = s.moveTo(env, m.Zone.Index)
			if m.Twice {
				return s, s.open(env)
			}
		}
		if m.Zone.Kind == "filter" {
			s.input, s.typing = NewInput(s.filter), true
		}
	case Key:
		return s.key(env, m)
	}
	return s, nil
}

func (s Stream) key(env Env, k Key) (Page, []Request) {
	if s.typing {
		switch k.String() {
		case "esc", "ctrl+c":
			s.typing = false
		case "enter":
			s.typing, s.filter, s.cursor = false, strings.TrimSpace(s.input.Value()), 0
		default:
			s.input, _ = s.input.Update(k.KeyMsg)
		}
		return s, nil
	}
	switch k.Action {
	case keys.Follow:
		if s.held != nil {
			s.held, s.cursor = nil, 0
		} else {
			s.held = hold(env)
		}
	case keys.Back:
		switch {
		case s.held != nil:
			s.held, s.cursor = nil, 0
		default:
			s.filter = ""
		}
	case keys.Filter:
		s.input, s.typing = NewInput(s.filter), true
	case keys.ClearFilter:
		s.filter, s.cursor = "", 0
	case keys.Open:
		return s, s.open(env)
	default:
		if to, ok := move(k.Action, s.cursor, len(s.list(env)), env.H-3); ok {
			return s.moveTo(env, to), nil
		}
	}
	return s, nil
}

// hold is the events as they are now, never nil.
func hold(env Env) []models.Event {
	return append(make([]models.Event, 0, len(env.Data.Events)), env.Data.Events...)
}

// moveTo puts the cursor on an event; away from the newest the list stands still,
// so that what is read does not run away.
func (s Stream) moveTo(env Env, to int) Stream {
	to = max(0, min(to, len(s.list(env))-1))
	if to > 0 && s.held == nil {
		s.held = hold(env)
	}
	s.cursor = to
	return s
}

// open turns to what the event is about.
func (s Stream) open(env Env) []Request {
	list := s.list(env)
	if s.cursor >= len(list) {
		return nil
	}
	switch e := list[s.cursor]; {
	case e.TaskID != "":
		return []Request{Show{Page: AtTasks}, openTask{e.TaskID}}
	case e.Pool != "":
		for i := range env.Data.Pools {
			if env.Data.Pools[i].Name == e.Pool {
				return []Request{Show{Page: AtPools}, showPool{i}}
			}
		}
		return []Request{Show{Page: AtPools}}
	case e.Kind == models.EventForecast:
		return []Request{Show{Page: AtForecast}}
	}
	return nil
}

// View draws the page.
func (s Stream) View(c *widget.Canvas, env Env) {
	w, h := c.Size()
	list := s.list(env)
	note := "following"
	if s.held != nil {
		note = "stands still, " + plural(newer(env.Data.Events, s.held), "newer event") + "; f follows"
	}
	in := widget.Panel(c, widget.Rect{X: 0, Y: 0, W: w, H: h}, "events", note, s.held != nil)
	in.Zone(widget.Rect{X: 0, Y: 0, W: in.W(), H: 1}, "filter", 0)
	x := in.Text(0, 0, style(theme.Accent), "/") + 1
	switch {
	case s.typing:
		DrawInput(in, x, 0, in.W()-x, s.input, true)
	case s.filter == "":
		in.TextFit(x, 0, in.W()-x, style(theme.Muted), fmt.Sprintf("all events, the newest first; %s remembered", widget.Count(len(env.Data.Events))))
	default:
		x = in.TextFit(x, 0, in.W()-x, style(theme.Text), widget.Clean(s.filter))
		in.TextFit(x+2, 0, in.W()-x-2, style(theme.Muted), plural(len(list), "event"))
	}
	rows := in.Sub(widget.Rect{X: 0, Y: 1, W: in.W(), H: in.H() - 1})
	if len(list) == 0 {
		if s.filter == "" {
			widget.Centre(rows, "nothing happened yet", "events are remembered from when the screen was opened")
		} else {
			widget.Centre(rows, "no event matches "+widget.Clean(s.filter), `\ drops the filter, / changes it`)
		}
		return
	}
	first := widget.Window(0, s.cursor, rows.H(), len(list))
	for y := 0; y < rows.H() && first+y < len(list); y++ {
		if first+y == s.cursor && s.held != nil {
			rows.Fill(widget.Rect{X: 0, Y: y, W: rows.W(), H: 1}, theme.Style{FG: theme.OnSelect, BG: theme.SelectBG})
		}
		drawEvent(rows.Sub(widget.Rect{X: 0, Y: y, W: rows.W() - 1, H: 1}), 0, list[first+y], env)
		rows.Zone(widget.Rect{X: 0, Y: y, W: rows.W(), H: 1}, "event", first+y)
	}
	widget.Scrollbar(rows, first, rows.H(), len(list))
}

// newer is how many events have come since the held ones.
func newer(now, held []models.Event) int {
	if len(held) == 0 {
		return len(now)
	}
	last := &held[len(held)-1]
	for i := len(now) - 1; i >= 0; i-- {
		if now[i].Seq == last.Seq && now[i].At.Equal(last.At) {
			return len(now) - 1 - i
		}
	}
	return len(now)
}
