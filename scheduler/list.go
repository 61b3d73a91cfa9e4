package scheduler

import (
	"fmt"
	"strconv"
	"strings"

	"loadstar/models"
)

// Sizes of a page of a listing.
const (
	defaultPage = 100
	largestPage = 10_000
)

// matcher is a filter made ready to be held against many tasks: what is cheap to
// see comes first, and a document is read only where its text leaves a doubt.
type matcher struct {
	filter *models.TaskFilter
	states [stateCount]bool
	pool   *pool
	nobody bool     // the filter names a pool that is not there
	deep   bool     // labels or text: the document must be looked at
	marks  []string // must stand in the document, where that can be told
	text   string   // as marks, in any case
	parent *task    // its shards alone
}

func (c *Core) matcher(f *models.TaskFilter) *matcher {
	m := &matcher{filter: f, deep: len(f.Labels) > 0 || f.Text != "" || f.Parent != ""}
	if f.Parent != "" {
		m.parent = c.find(f.Parent)
	}
	for s := range m.states {
		m.states[s] = len(f.States) == 0
	}
	for _, s := range f.States {
		if code, ok := stateOf(s); ok {
			m.states[code] = true
		}
	}
	if f.Pool != "" {
		m.pool = c.pools[f.Pool]
		m.nobody = m.pool == nil
	}
	for k, v := range f.Labels {
		for _, s := range []string{k, v} {
			if s != "" && plain(s) {
				m.marks = append(m.marks, s)
			}
		}
	}
	if plain(f.Text) {
		m.text = strings.ToLower(f.Text)
	}
	return m
}

// plain reports whether a string stands in a document as it is, in one case or the
// other.
func plain(s string) bool {
	for i := range len(s) {
		if b := s[i]; b <= ' ' || b >= 0x7f || b == '"' || b == '\\' { // a space may join two arguments
			return false
		}
	}
	return true
}

// shelved reports whether an archived task may match; its document is not here.
func (m *matcher) shelved(state stateCode, p *pool) bool {
	return !m.nobody && m.filter.Parent == "" && m.states[state] && (m.pool == nil || m.pool == p)
}

func (m *matcher) matches(t *task) bool {
	if t == nil || m.nobody || !m.states[t.state] || m.pool != nil && t.pool != m.pool {
		return false
	}
	if !m.deep {
		return true
	}
	if f := m.filter; f.Parent != "" && (m.parent == nil || t.part == nil || t.part.parent != m.parent) {
		return false
	}
	if len(m.filter.Labels) == 0 && m.filter.Text == "" {
		return true
	}
	for _, s := range m.marks {
		if !strings.Contains(t.body, s) {
			return false
		}
	}
	if m.text != "" && !containsFold(t.body, m.text) {
		return false
	}
	view := models.Task{TaskSpec: t.document(), State: t.state.model(), Parent: m.filter.Parent}
	return m.filter.Matches(&view)
}

// containsFold reports whether s holds lower, in any case of the ASCII letters.
func containsFold(s, lower string) bool {
	for i := 0; i+len(lower) <= len(s); i++ {
		j := 0
		for j < len(lower) {
			b := s[i+j]
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
			}
			if b != lower[j] {
				break
			}
			j++
		}
		if j == len(lower) {
			return true
		}
	}
	return false
}

// Tasks is a page of a listing in the order of submission. Its cursor is a place
// in that order, so it stays right whatever happens meanwhile.
func (c *Core) Tasks(f models.TaskFilter) (models.TaskPage, error) {
	l, err := c.list(f)
	return l.page(), err
}

// listing is a page before its documents are read.
type listing struct {
	tasks []glance
	next  string
	total int
	deep  bool // archived tasks of it are there because they may match
}

func (l *listing) page() models.TaskPage {
	return models.TaskPage{Tasks: views(l.tasks), Next: l.next, Total: l.total}
}

func (c *Core) list(f models.TaskFilter) (listing, error) {
	limit := f.Limit
	switch {
	case limit < 0:
		return listing{}, models.Invalid("limit", "%d is negative", limit)
	case limit == 0:
		limit = defaultPage
	}
	limit = min(limit, largestPage)
	from, step, err := c.startOf(f)
	if err != nil {
		return listing{}, err
	}
	m := c.matcher(&f)
	var l listing
	for seq := from; seq >= 0 && seq < int64(len(c.tasks)); seq += step {
		if !m.states[c.states[seq]] {
			continue
		}
		if e := c.shelf.get(uint64(seq)); !m.matches(c.tasks[seq]) && (e == nil || !m.shelved(c.states[seq], c.numbered[e.pool])) {
			continue
		}
		if len(l.tasks) == limit {
			l.next = strconv.FormatInt(seq, 10)
			break
		}
		l.tasks = append(l.tasks, c.glanceAt(uint64(seq)))
	}
	l.total, l.deep = c.count(m), m.deep
	return l, nil
}

func (c *Core) startOf(f models.TaskFilter) (from, step int64, err error) {
	from, step = int64(len(c.tasks))-1, -1
	if f.Oldest {
		from, step = 0, 1
	}
	if f.Cursor != "" {
		if from, err = strconv.ParseInt(f.Cursor, 10, 64); err != nil || from < 0 {
			return 0, 0, models.Invalid("cursor", "%q is not one of a page before", f.Cursor)
		}
	}
	return from, step, nil
}

// count is how many tasks match, from the counters where they tell.
func (c *Core) count(m *matcher) int {
	n := 0
	if !m.deep {
		for _, p := range c.poolList {
			if m.nobody || m.pool != nil && m.pool != p {
				continue
			}
			for s, k := range p.counts {
				if m.states[s] {
					n += k
				}
			}
		}
		return n
	}
	for seq, t := range c.tasks {
		if m.states[c.states[seq]] && m.matches(t) {
			n++
		}
	}
	return n
}

// glanceOf is the task of an id, archived or not.
func (c *Core) glanceOf(id string) (glance, error) {
	if !c.knows(id) {
		return glance{}, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
	}
	return c.glanceAt(c.placeOf(id)), nil
}

// Task is one task.
func (c *Core) Task(id string) (models.Task, error) {
	t := c.find(id)
	if t == nil {
		return models.Task{}, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
	}
	return c.view(t), nil
}
