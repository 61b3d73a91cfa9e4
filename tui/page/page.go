package page

import (
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"loadstar/tui/keys"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// Env is what a page may look at beside itself.
type Env struct {
	Theme    *theme.Theme
	Keys     *keys.Map
	Now      time.Time // what the view is of: At where that is set
	At       time.Time // the moment in the past that is shown; zero is now
	Past     bool      // the moment was travelled to: it is not the one that the view was frozen at
	Wall     time.Time // now, whatever is shown
	Zone     *time.Location
	W, H     int // cells that the page has
	ReadOnly bool
	Data     *Data
}

// Where the pages stand in the tabs.
const (
	AtOverview = iota
	AtTasks
	AtForecast
	AtPools
	AtQueues
	AtAgents
	AtEvents
)

// All are the pages as they first stand, in the order of the tabs.
func All() []Page {
	return []Page{Overview{}, Tasks{}, Forecast{}, Pools{}, Queues{}, Agents{}, Stream{}}
}

// Page is one view of the screen.
type Page interface {
	// Name stands in the tabs.
	Name() string
	// Scopes are where keys are looked up now, the most specific first.
	Scopes(env Env) []keys.Scope
	// Typing reports whether keys are text just now.
	Typing() bool
	// Poll is what the page wants to know anew every second while it is shown.
	Poll(env Env) []Request
	// Update is the page after a message: Key, Click, Wheel, Shown or a result.
	Update(env Env, msg any) (Page, []Request)
	// View draws the page.
	View(c *widget.Canvas, env Env)
}

// Key is a key press and the action that it is bound to.
type Key struct {
	tea.KeyMsg
	Action keys.Action
}

// Click is a press of the left button on a zone of the page.
type Click struct {
	Zone  widget.Zone
	Twice bool // the second within the time of a double click
}

// Wheel is a turn of the mouse wheel: -1 up, 1 down.
type Wheel struct {
	Zone  widget.Zone
	Delta int
}

// Shown tells a page that it is now to be seen.
type Shown struct{}

// clock is a time of day as the screen shows it.
func (e *Env) clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	local := t.In(e.Zone)
	if d := e.Now.Sub(t); d > 20*time.Hour || d < -20*time.Hour {
		return local.Format("Jan 02 15:04")
	}
	return local.Format("15:04:05")
}

// move is where a list's cursor goes by an action; ok is false where the action is
// not one of moving.
func move(a keys.Action, cursor, total, rows int) (to int, ok bool) {
	switch a {
	case keys.Up:
		cursor--
	case keys.Down:
		cursor++
	case keys.PageUp:
		cursor -= max(1, rows-1)
	case keys.PageDown:
		cursor += max(1, rows-1)
	case keys.Top:
		cursor = 0
	case keys.Bottom:
		cursor = total - 1
	default:
		return cursor, false
	}
	return max(0, min(cursor, total-1)), true
}

// style shortens what every page writes all the time.
func style(r theme.Role) theme.Style { return theme.Fg(r) }

// IsNote reports whether a request is a message that one page leaves for another.
func IsNote(r Request) bool {
	switch r.(type) {
	case showPool, showState, showTasks, showText, openTask:
		return true
	}
	return false
}
