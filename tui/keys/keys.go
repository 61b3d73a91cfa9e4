package keys

import (
	"fmt"
	"slices"
	"strings"
)

// Scope is where a binding holds. A page's own scope is asked before Global.
type Scope string

// The scopes.
const (
	Global   Scope = "everywhere"
	List     Scope = "lists" // moving, in every list
	Overview Scope = "overview"
	Tasks    Scope = "tasks"
	Log      Scope = "log"
	Forecast Scope = "forecast"
	Pools    Scope = "pools"
	Queues   Scope = "queues"
	Agents   Scope = "agents"
	Events   Scope = "events"
	Dialog   Scope = "questions"
)

// Action is what a key asks for.
type Action string

// The actions.
const (
	None Action = ""

	Quit, Help, NextPage, PrevPage     Action = "quit", "help", "next-page", "previous-page"
	Page1, Page2, Page3, Page4         Action = "page-1", "page-2", "page-3", "page-4"
	Page5, Page6, Page7                Action = "page-5", "page-6", "page-7"
	MouseToggle, ThemeNext, Refresh    Action = "mouse", "theme", "refresh"
	Suspend, Palette                   Action = "suspend", "commands"
	Freeze, Earlier, Later             Action = "freeze", "earlier", "later"
	MuchEarlier, MuchLater             Action = "much-earlier", "much-later"
	ExportCSV, ExportJSON              Action = "export-csv", "export-json"
	Up, Down, PageUp, PageDown         Action = "up", "down", "page-up", "page-down"
	Top, Bottom, Open, Back            Action = "top", "bottom", "open", "back"
	Left, Right                        Action = "left", "right"
	Filter, ClearFilter, Sort, Reverse Action = "filter", "clear-filter", "sort", "reverse"
	Mark, MarkRange, MarkAll, Unmark   Action = "mark", "mark-range", "mark-all", "unmark"
	Cancel, Retry, Priority            Action = "cancel", "retry", "priority"
	OpenLog, Follow, Search            Action = "log", "follow", "search"
	NextHit, PrevHit, OtherAttempt     Action = "next-hit", "previous-hit", "attempt"
	StepFiner, StepCoarser             Action = "finer-step", "coarser-step"
	ZoomIn, ZoomOut                    Action = "zoom-in", "zoom-out"
	HorizonLess, HorizonMore           Action = "horizon-less", "horizon-more"
	Pause, Limits, Policy              Action = "pause", "limits", "policy"
	Yes, No, Toggle, NextField         Action = "yes", "no", "toggle", "next-field"
)

// Binding ties keys to an action in a scope.
type Binding struct {
	Scope  Scope
	Action Action
	Keys   []string // as Bubble Tea names them
	Help   string   // what it does, a few words
	Short  string   // one word for the footer; empty is not shown there
	Writes bool     // changes something: not available read-only
}

// Map is a set of bindings that do not contradict each other.
type Map struct {
	bindings []Binding
	byKey    map[Scope]map[string]Action
}

// New is a map of the bindings; one key with two meanings in a scope is refused.
func New(bindings []Binding) (*Map, error) {
	m := &Map{bindings: slices.Clone(bindings), byKey: map[Scope]map[string]Action{}}
	for _, b := range bindings {
		scope := m.byKey[b.Scope]
		if scope == nil {
			scope = map[string]Action{}
			m.byKey[b.Scope] = scope
		}
		if len(b.Keys) == 0 || b.Help == "" {
			return nil, fmt.Errorf("keys: %s/%s has no key or no help", b.Scope, b.Action)
		}
		for _, k := range b.Keys {
			if other, taken := scope[k]; taken {
				return nil, fmt.Errorf("keys: %q means both %s and %s in %s", k, other, b.Action, b.Scope)
			}
			scope[k] = b.Action
		}
	}
	return m, nil
}

// Lookup is the binding of a key, that of the first scope that knows it.
func (m *Map) Lookup(key string, scopes ...Scope) Binding {
	for _, s := range scopes {
		if a, ok := m.byKey[s][key]; ok {
			b, _ := m.Find(s, a)
			return b
		}
	}
	return Binding{}
}

// Action is what a key asks for: the first of the scopes that knows it decides.
func (m *Map) Action(key string, scopes ...Scope) Action {
	for _, s := range scopes {
		if a, ok := m.byKey[s][key]; ok {
			return a
		}
	}
	return None
}

// All are all bindings, in the order of the table.
func (m *Map) All() []Binding { return slices.Clone(m.bindings) }

// Bindings are those of a scope, in the order of the table.
func (m *Map) Bindings(s Scope) []Binding {
	var out []Binding
	for _, b := range m.bindings {
		if b.Scope == s {
			out = append(out, b)
		}
	}
	return out
}

// Find is the binding of an action in a scope.
func (m *Map) Find(s Scope, a Action) (Binding, bool) {
	for _, b := range m.bindings {
		if b.Scope == s && b.Action == a {
			return b, true
		}
	}
	return Binding{}, false
}

// Name is a key as a person reads it.
func Name(key string) string {
	switch key {
	case "up":
		return "↑"
	case "down":
		return "↓"
	case "left":
		return "←"
	case "right":
		return "→"
	case " ":
		return "Space"
	case "pgup":
		return "PgUp"
	case "pgdown":
		return "PgDn"
	case "shift+tab":
		return "S-Tab"
	}
	if rest, ok := strings.CutPrefix(key, "ctrl+"); ok {
		return "^" + strings.ToUpper(rest)
	}
	if len(key) > 1 {
		return strings.ToUpper(key[:1]) + key[1:]
	}
	return key
}

// Names are all keys of a binding as a person reads them.
func (b Binding) Names() string {
	names := make([]string, len(b.Keys))
	for i, k := range b.Keys {
		names[i] = Name(k)
	}
	return strings.Join(names, " ")
}

// Default are the keys as shipped.
func Default() []Binding {
	return []Binding{
		{Global, Page1, []string{"1"}, "overview", "", false},
		{Global, Page2, []string{"2"}, "tasks", "", false},
		{Global, Page3, []string{"3"}, "forecast", "", false},
		{Global, Page4, []string{"4"}, "pools", "", false},
		{Global, Page5, []string{"5"}, "queues", "", false},
		{Global, Page6, []string{"6"}, "agents", "", false},
		{Global, Page7, []string{"7"}, "events", "", false},
		{Global, NextPage, []string{"tab"}, "next page", "", false},
		{Global, PrevPage, []string{"shift+tab"}, "previous page", "", false},
		{Global, Help, []string{"?", "f1"}, "this help", "help", false},
		{Global, Palette, []string{":"}, "all commands, by name", "commands", false},
		{Global, Freeze, []string{"F"}, "freeze the view, or return to now", "", false},
		{Global, Earlier, []string{"["}, "all views 10 s back in time", "", false},
		{Global, Later, []string{"]"}, "all views 10 s on, up to now", "", false},
		{Global, MuchEarlier, []string{"{"}, "all views 5 min back in time", "", false},
		{Global, MuchLater, []string{"}"}, "all views 5 min on, up to now", "", false},
		{Global, ExportCSV, []string{"e"}, "what is shown to a CSV file in this folder", "", false},
		{Global, ExportJSON, []string{"E"}, "what is shown to a JSON file in this folder", "", false},
		{Global, ThemeNext, []string{"T"}, "next theme", "", false},
		{Global, MouseToggle, []string{"M"}, "release or take the mouse (to select text)", "", false},
		{Global, Refresh, []string{"ctrl+r", "f5"}, "ask the daemon again now", "", false},
		{Global, Suspend, []string{"ctrl+z"}, "to the shell; fg comes back", "", false},
		{Global, Quit, []string{"q", "ctrl+c"}, "quit the screen (the daemon goes on)", "quit", false},

		{List, Up, []string{"up", "k"}, "up", "", false},
		{List, Down, []string{"down", "j"}, "down", "", false},
		{List, PageUp, []string{"pgup", "ctrl+b", "ctrl+u"}, "a page up", "", false},
		{List, PageDown, []string{"pgdown", "ctrl+f", "ctrl+d"}, "a page down", "", false},
		{List, Top, []string{"home", "g"}, "to the first", "", false},
		{List, Bottom, []string{"end", "G"}, "to the last", "", false},
		{List, Back, []string{"esc"}, "back, close", "", false},

		{Overview, Open, []string{"enter"}, "this pool's page", "pool", false},

		{Tasks, Open, []string{"enter"}, "detail, attempts and log", "open", false},
		{Tasks, Filter, []string{"/"}, "filter: state:FAILED pool:x wait:>10s ~fuzzy text", "filter", false},
		{Tasks, ClearFilter, []string{"\\"}, "drop the filter", "", false},
		{Tasks, Sort, []string{"s"}, "sort by the next column", "sort", false},
		{Tasks, Reverse, []string{"S"}, "reverse the order", "", false},
		{Tasks, Mark, []string{" "}, "mark or unmark", "mark", false},
		{Tasks, MarkRange, []string{"v"}, "mark from the last marked to here", "", false},
		{Tasks, MarkAll, []string{"a"}, "mark all that the filter selects", "", false},
		{Tasks, Unmark, []string{"u"}, "unmark all", "", false},
		{Tasks, Cancel, []string{"x"}, "cancel the marked, or this one", "cancel", true},
		{Tasks, Retry, []string{"r"}, "retry the marked, or this one", "retry", true},
		{Tasks, Priority, []string{"p"}, "set the priority of the marked, or this one", "prio", true},
		{Tasks, OpenLog, []string{"l"}, "log over the whole page", "log", false},

		{Log, Follow, []string{"f"}, "follow the end, or stop", "follow", false},
		{Log, Search, []string{"/"}, "search", "search", false},
		{Log, NextHit, []string{"n"}, "next hit", "", false},
		{Log, PrevHit, []string{"N"}, "previous hit", "", false},
		{Log, OtherAttempt, []string{"o"}, "log of the attempt before", "", false},
		{Log, Left, []string{"left", "h"}, "scroll left", "", false},
		{Log, Right, []string{"right", "l"}, "scroll right", "", false},

		{Forecast, StepFiner, []string{"left", "h"}, "finer step", "step", false},
		{Forecast, StepCoarser, []string{"right", "l"}, "coarser step", "step", false},
		{Forecast, ZoomIn, []string{"+", "="}, "less of the past", "zoom", false},
		{Forecast, ZoomOut, []string{"-"}, "more of the past", "zoom", false},
		{Forecast, HorizonLess, []string{"<", ","}, "compare with a forecast made later", "ahead", false},
		{Forecast, HorizonMore, []string{">", "."}, "compare with a forecast made earlier", "ahead", false},

		{Pools, Open, []string{"enter"}, "into the decisions, then their arithmetic", "decisions", false},
		{Pools, Pause, []string{"p"}, "pause or resume the pool", "pause", true},
		{Pools, Limits, []string{"m"}, "set min and max", "min/max", true},
		{Pools, Policy, []string{"o"}, "choose the policy", "policy", true},

		{Queues, Open, []string{"enter"}, "the tasks that wait in this queue", "tasks", false},
		{Queues, ZoomIn, []string{"+", "="}, "less of the past", "zoom", false},
		{Queues, ZoomOut, []string{"-"}, "more of the past", "zoom", false},

		{Agents, Open, []string{"enter"}, "the tasks that this agent has", "tasks", false},
		{Agents, Sort, []string{"s"}, "sort by the next column", "sort", false},
		{Agents, Reverse, []string{"S"}, "reverse the order", "", false},

		{Events, Open, []string{"enter"}, "what the event is about", "open", false},
		{Events, Follow, []string{"f"}, "follow the newest, or stand still", "follow", false},
		{Events, Filter, []string{"/"}, "filter: kind:task state:FAILED pool:x task:id text", "filter", false},
		{Events, ClearFilter, []string{"\\"}, "drop the filter", "", false},

		{Dialog, Yes, []string{"y"}, "yes", "", false},
		{Dialog, No, []string{"n", "esc"}, "no", "", false},
		{Dialog, Toggle, []string{"d"}, "switch the option", "", false},
		{Dialog, NextField, []string{"tab", "down", "up", "shift+tab"}, "next field", "", false},
	}
}
