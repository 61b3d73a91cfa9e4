package page

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/charmbracelet/bubbles/textinput"

	"loadstar/models"
	"loadstar/tui/keys"
	"loadstar/tui/widget"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// taskPage is how many tasks are asked for at a time; mostPages how many such
// pages are held.
const (
	taskPage  = 200
	mostPages = 100
)

// detailDelay is how long the cursor rests on a task before its detail is asked for.
const detailDelay = 120 * time.Millisecond

// Tasks lists tasks, a page at a time, and shows one of them closely.
type Tasks struct {
	filter Filter
	at     time.Time // the moment shown; zero is now
	input  textinput.Model
	typing bool
	fault  string // what is wrong with the filter typed

	gen    int // of the listing: a result of an older one is dropped
	parts  []taskPart
	rows   []models.Task // the parts' tasks, in the order shown
	total  int
	loaded bool
	asking bool // a further part is on its way

	sort    sortKey
	reverse bool
	cursor  int
	first   int
	marks   map[string]bool // replaced, never changed
	all     bool            // everything that the filter selects is marked
	anchor  string          // the task marked last: a range begins there

	open    bool // the detail is shown
	focus   bool // keys go to the log
	detail  models.Task
	explain models.Explanation
	log     Log
	opens   string // the task whose detail is to be opened once it is listed
	wanted  int    // counts cursor moves: only the last one's detail is asked for
}

type taskPart struct {
	cursor string // where it begins
	next   string
	tasks  []models.Task
}

// Name stands in the tabs.
func (Tasks) Name() string { return "Tasks" }

// Typing reports whether keys are text.
func (t Tasks) Typing() bool { return t.typing || t.log.typing }

// Scopes are where keys are looked up.
func (t Tasks) Scopes(env Env) []keys.Scope {
	if t.logHasKeys(env) {
		return []keys.Scope{keys.Log, keys.List, keys.Tasks}
	}
	return []keys.Scope{keys.Tasks, keys.List}
}

// Poll is what is wanted every second: the part in view, and the detail.
func (t Tasks) Poll(env Env) []Request {
	reqs := []Request{t.load(t.partInView(env))}
	if t.open && t.detail.TaskID != "" {
		reqs = append(reqs, LoadTask{ID: t.detail.TaskID})
	}
	return reqs
}

// partInView is the part that the cursor is in, in the daemon's order.
func (t Tasks) partInView(Env) int {
	if t.sort != byAge || len(t.parts) == 0 || t.narrowed() {
		return 0
	}
	at := 0
	for i, p := range t.parts {
		at += len(p.tasks)
		if t.first < at {
			return i
		}
	}
	return len(t.parts) - 1
}

func (t Tasks) load(part int) Request {
	f := t.filter.TaskFilter
	f.Limit = taskPage
	if !t.at.IsZero() {
		f.States = nil // what they are now says little of then
	}
	f.Oldest = t.sort == byAge && t.reverse
	switch {
	case part < len(t.parts):
		f.Cursor = t.parts[part].cursor
	case part > 0:
		f.Cursor = t.parts[part-1].next
	}
	return LoadTasks{Gen: t.gen, Index: part, F: f}
}

// Update is the page after a message.
func (t Tasks) Update(env Env, msg any) (Page, []Request) {
	switch m := msg.(type) {
	case Shown:
		return t.shown(env)
	case showState:
		return t.refilter(Filter{TaskFilter: models.TaskFilter{States: []models.State{m.state}}})
	case showTasks:
		return t.refilter(Filter{TaskFilter: m.filter})
	case showText:
		f, err := ParseFilter(m.filter)
		if err != nil {
			return t, []Request{Say{Text: err.Error(), Bad: true}}
		}
		return t.refilter(f)
	case openTask:
		p, reqs := t.refilter(Filter{TaskFilter: models.TaskFilter{Text: m.id}})
		t = p.(Tasks) //nolint:forcetypeassert // refilter gives the page that it is called on
		t.opens = m.id
		return t, reqs
	case TasksLoaded:
		return t.tasksLoaded(env, m)
	case TaskLoaded:
		if m.ID == t.detail.TaskID {
			return t.detailLoaded(m)
		}
	case detailDue:
		if m.wanted == t.wanted && t.open {
			return t.openDetail()
		}
	case LogChunk:
		if m.Gen == t.log.Gen {
			t.log = t.log.feed(m)
		}
	case Acted:
		t.marks, t.all, t.anchor = nil, false, ""
		return t, []Request{Say{Text: actedText(m), Bad: len(m.Result.Refused) > 0}, t.load(t.partInView(env))}
	case Failed:
		if r, ok := m.Request.(LoadTasks); ok && r.Gen == t.gen {
			t.asking = false
		}
	case Key:
		return t.key(env, m)
	case Wheel:
		return t.wheel(env, m)
	case Click:
		return t.click(env, m)
	}
	return t, nil
}

func (t Tasks) tasksLoaded(env Env, m TasksLoaded) (Page, []Request) {
	if m.Gen != t.gen || m.Index > len(t.parts) {
		return t, nil
	}
	part := taskPart{cursor: m.F.Cursor, next: m.Page.Next, tasks: m.Page.Tasks}
	parts := slices.Clone(t.parts[:m.Index])
	parts = append(parts, part)
	// What follows stays while it still begins where this one ends.
	if m.Index+1 < len(t.parts) && t.parts[m.Index+1].cursor == part.next && part.next != "" {
		parts = append(parts, t.parts[m.Index+1:]...)
	}
	t.parts, t.total, t.loaded, t.asking = parts, m.Page.Total, true, false
	id := t.selectedID()
	t = t.arrange(env.Now)
	if i := slices.IndexFunc(t.rows, func(x models.Task) bool { return x.TaskID == id }); i >= 0 && t.cursor > 0 {
		t.first += i - t.cursor // the list moves under the cursor, which stays on its task
		t.cursor = i
	}
	t = t.keep(env)
	if t.opens != "" {
		if i := slices.IndexFunc(t.rows, func(x models.Task) bool { return x.TaskID == t.opens }); i >= 0 {
			t.cursor, t.opens, t.open = i, "", true
			return t.openDetail()
		}
		t.opens = ""
	}
	return t.more(env)
}

// shown is the page when it comes into view, or when what it is to show is of
// another moment.
func (t Tasks) shown(env Env) (Page, []Request) {
	was, at := t.at, env.At
	t.at = at
	switch {
	case !was.IsZero() && at.IsZero(), was.IsZero() && !at.IsZero() && len(t.filter.States) > 0:
		return t.restart()
	case !at.IsZero() && t.loaded:
		return t.clamp(env).more(env)
	}
	return t, []Request{t.load(t.partInView(env))}
}

// clamp arranges the tasks anew and keeps the cursor among them.
func (t Tasks) clamp(env Env) Tasks { return t.arrange(env.Now).keep(env) }

func (t Tasks) keep(env Env) Tasks {
	t.cursor = max(0, min(t.cursor, len(t.rows)-1))
	t.first = widget.Window(t.first, t.cursor, t.listRows(env), len(t.rows))
	return t
}

// narrowed reports whether the screen leaves out some of what the daemon lists.
func (t Tasks) narrowed() bool { return len(t.filter.Terms) > 0 || !t.at.IsZero() }

// more asks for the next part where the end of those held comes into view.
func (t Tasks) more(env Env) (Page, []Request) {
	if t.asking || len(t.parts) == 0 || len(t.parts) >= mostPages || t.parts[len(t.parts)-1].next == "" {
		return t, nil
	}
	if t.first+2*t.listRows(env) < len(t.rows) {
		return t, nil
	}
	t.asking = true
	return t, []Request{t.load(len(t.parts))}
}

func (t Tasks) selected() *models.Task {
	if t.cursor < 0 || t.cursor >= len(t.rows) {
		return nil
	}
	return &t.rows[t.cursor]
}

func (t Tasks) selectedID() string {
	if s := t.selected(); s != nil {
		return s.TaskID
	}
	return ""
}

// refilter is the page with another filter, from the top.
func (t Tasks) refilter(f Filter) (Page, []Request) {
	t.filter, t.fault = f, ""
	return t.restart()
}

func (t Tasks) restart() (Page, []Request) {
	t.gen++
	t.parts, t.rows, t.cursor, t.first, t.loaded, t.asking = nil, nil, 0, 0, false, false
	t.marks, t.all = nil, false
	return t, []Request{t.load(0)}
}

func (t Tasks) key(env Env, k Key) (Page, []Request) {
	switch {
	case t.typing:
		return t.typed(k)
	case t.log.typing || t.logHasKeys(env) && k.Action != keys.Back && k.Action != keys.OtherAttempt && !writes(k.Action):
		t.log = t.log.key(k, t.logRows(env))
		return t, nil
	}
	if to, ok := move(k.Action, t.cursor, len(t.rows), t.listRows(env)); ok {
		return t.moveTo(env, to)
	}
	switch k.Action {
	case keys.Open:
		if t.selected() == nil || t.open {
			return t, nil
		}
		t.open = true
		return t.openDetail()
	case keys.OpenLog:
		if t.selected() == nil {
			return t, nil
		}
		was := t.open
		t.open, t.focus = true, true
		if was {
			return t, nil
		}
		return t.openDetail()
	case keys.Back:
		return t.back(env)
	case keys.OtherAttempt:
		return t.otherAttempt()
	case keys.Filter:
		t.input, t.typing = NewInput(t.filter.String()), true
	case keys.ClearFilter:
		return t.refilter(Filter{})
	case keys.Sort:
		return t.sortBy(env, (t.sort+1)%sortKeys, false)
	case keys.Reverse:
		return t.sortBy(env, t.sort, !t.reverse)
	case keys.Mark:
		return t.mark(env)
	case keys.MarkRange:
		return t.markRange(), nil
	case keys.MarkAll:
		t.all, t.marks, t.anchor = true, nil, ""
	case keys.Unmark:
		t.all, t.marks, t.anchor = false, nil, ""
	case keys.Cancel, keys.Retry, keys.Priority:
		return t.ask(k.Action)
	}
	return t, nil
}

func writes(a keys.Action) bool {
	return a == keys.Cancel || a == keys.Retry || a == keys.Priority
}

func (t Tasks) typed(k Key) (Page, []Request) {
	switch k.String() {
	case "esc", "ctrl+c":
		t.typing, t.fault = false, ""
		return t, nil
	case "enter":
		f, err := ParseFilter(t.input.Value())
		if err != nil {
			t.fault = err.Error()
			return t, nil
		}
		t.typing = false
		return t.refilter(f)
	}
	t.input, _ = t.input.Update(k.KeyMsg)
	t.fault = ""
	if _, err := ParseFilter(t.input.Value()); err != nil && k.String() == " " {
		t.fault = err.Error()
	}
	return t, nil
}

// back goes one step out: from the log to the list, from the detail to the list
// alone, then the marks and at last the filter are given up.
func (t Tasks) back(env Env) (Page, []Request) {
	switch {
	case t.focus && t.splits(env):
		t.focus = false
	case t.open:
		t.open, t.focus = false, false
		t.log = Log{Gen: t.log.Gen}
		return t, []Request{CloseLog{}}
	case t.all || len(t.marks) > 0:
		t.all, t.marks = false, nil
	case !t.filter.Empty():
		return t.refilter(Filter{})
	}
	return t, nil
}

func (t Tasks) mark(env Env) (Page, []Request) {
	id := t.selectedID()
	if id == "" {
		return t, nil
	}
	marks := maps.Clone(t.marks)
	if marks == nil {
		marks = map[string]bool{}
	}
	if t.all { // all but this one: the ones that are held
		t.all = false
		for i := range t.rows {
			marks[t.rows[i].TaskID] = true
		}
	}
	if marks[id] {
		delete(marks, id)
	} else {
		marks[id] = true
	}
	t.marks, t.anchor = marks, id
	return t.moveTo(env, min(t.cursor+1, len(t.rows)-1))
}

// markRange marks from the task that was marked last to the one under the cursor.
func (t Tasks) markRange() Tasks {
	id := t.selectedID()
	if id == "" || t.all {
		return t
	}
	from := slices.IndexFunc(t.rows, func(x models.Task) bool { return x.TaskID == t.anchor })
	if from < 0 {
		from = t.cursor
	}
	marks := maps.Clone(t.marks)
	if marks == nil {
		marks = map[string]bool{}
	}
	for i := min(from, t.cursor); i <= max(from, t.cursor); i++ {
		marks[t.rows[i].TaskID] = true
	}
	t.marks, t.anchor = marks, id
	return t
}

func (t Tasks) marked(id string) bool { return t.all || t.marks[id] }

// moveTo puts the cursor on a row. An open detail follows once the cursor rests.
func (t Tasks) moveTo(env Env, to int) (Page, []Request) {
	if to == t.cursor {
		return t, nil
	}
	t.cursor = to
	t.first = widget.Window(t.first, t.cursor, t.listRows(env), len(t.rows))
	p, reqs := t.more(env)
	t = p.(Tasks) //nolint:forcetypeassert // more gives the page that it is called on
	if t.open {
		t.wanted++
		reqs = append(reqs, After{detailDelay, detailDue{t.wanted}})
	}
	return t, reqs
}

type detailDue struct{ wanted int }

// openDetail asks for everything about the task under the cursor.
func (t Tasks) openDetail() (Page, []Request) {
	s := t.selected()
	if s == nil {
		return t, nil
	}
	t.detail, t.explain = *s, models.Explanation{}
	t.log = newLog(s.TaskID, 0, t.log.Gen+1)
	return t, []Request{LoadTask{ID: s.TaskID}, OpenLog{ID: s.TaskID, Gen: t.log.Gen}}
}

// detailLoaded takes the detail in; where the task has begun another attempt since
// the log ended, its log is followed.
func (t Tasks) detailLoaded(m TaskLoaded) (Page, []Request) {
	before := t.detail
	t.detail, t.explain = m.Task, m.Explanation
	begun := m.Task.StartedAt != nil && (before.StartedAt == nil || !m.Task.StartedAt.Equal(*before.StartedAt))
	if !t.open || !begun || !t.log.ended || t.log.Attempt != 0 {
		return t, nil
	}
	t.log = newLog(m.ID, 0, t.log.Gen+1)
	return t, []Request{OpenLog{ID: m.ID, Gen: t.log.Gen}}
}

func (t Tasks) otherAttempt() (Page, []Request) {
	last := t.detail.Attempt
	if !t.open || last < 2 {
		return t, nil
	}
	attempt := t.log.Attempt
	if attempt == 0 {
		attempt = last
	}
	attempt--
	if attempt < 1 {
		attempt = last
	}
	t.log = newLog(t.detail.TaskID, attempt, t.log.Gen+1)
	return t, []Request{OpenLog{ID: t.detail.TaskID, Attempt: attempt, Gen: t.log.Gen}}
}

func (t Tasks) wheel(env Env, m Wheel) (Page, []Request) {
	if m.Zone.Kind == "log" {
		t.log = t.log.scroll(3*m.Delta, t.logRows(env))
		return t, nil
	}
	return t.moveTo(env, max(0, min(t.cursor+3*m.Delta, len(t.rows)-1)))
}

func (t Tasks) click(env Env, m Click) (Page, []Request) {
	switch m.Zone.Kind {
	case "task":
		p, reqs := t.moveTo(env, m.Zone.Index)
		t = p.(Tasks) //nolint:forcetypeassert // moveTo gives the page that it is called on
		t.focus = false
		if m.Twice && !t.open {
			t.open = true
			p, more := t.openDetail()
			return p, append(reqs, more...)
		}
		return t, reqs
	case "log":
		t.focus = true
	case "column":
		if by, ok := columnSort(m.Zone.Index); ok {
			return t.sortBy(env, by, by == t.sort && !t.reverse)
		}
	case "filter":
		t.input, t.typing = NewInput(t.filter.String()), true
	}
	return t, nil
}

func actedText(m Acted) string {
	text := fmt.Sprintf("%s: %s", m.What, plural(len(m.Result.Changed), "task"))
	if n := len(m.Result.Refused); n > 0 {
		r := m.Result.Refused[0]
		text += fmt.Sprintf(", %d refused (%s: %s)", n, r.TaskID, r.Why)
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return widget.Count(n) + " " + what + "s"
}
