package page

import (
	"cmp"
	"slices"
	"time"

	"loadstar/models"
)

// sortKey is what the tasks are ordered by. By age the daemon orders them all; by
// the others the screen orders those that it has.
type sortKey int

const (
	byAge sortKey = iota
	byState
	byID
	byPool
	byPriority
	byWait
	byRun
	sortKeys
)

// arrange puts the parts' tasks into the order shown.
func (t Tasks) arrange() Tasks {
	n := 0
	for _, p := range t.parts {
		n += len(p.tasks)
	}
	rows := make([]models.Task, 0, n)
	for _, p := range t.parts {
		rows = append(rows, p.tasks...)
	}
	if t.sort != byAge {
		slices.SortStableFunc(rows, t.compare)
	}
	t.rows = rows
	return t
}

func (t Tasks) compare(a, b models.Task) int {
	c := 0
	switch t.sort {
	case byState:
		c = cmp.Compare(slices.Index(models.States(), a.State), slices.Index(models.States(), b.State))
	case byID:
		c = cmp.Compare(a.TaskID, b.TaskID)
	case byPool:
		c = cmp.Compare(a.Pool, b.Pool)
	case byPriority:
		c = cmp.Compare(b.Priority, a.Priority)
	case byWait:
		c = cmp.Compare(waited(&b), waited(&a))
	case byRun:
		c = cmp.Compare(ran(&b), ran(&a))
	case byAge, sortKeys:
	}
	if t.reverse {
		c = -c
	}
	return cmp.Or(c, cmp.Compare(a.TaskID, b.TaskID))
}

func waited(t *models.Task) time.Duration { d, _ := t.Wait(); return d }

func ran(t *models.Task) time.Duration { d, _ := t.RunTime(); return d }

func (t Tasks) sortBy(by sortKey, reverse bool) (Page, []Request) {
	again := by == byAge || t.sort == byAge
	t.sort, t.reverse = by, reverse
	if again { // the daemon's order is another one
		return t.restart()
	}
	return t.arrange(), nil
}
