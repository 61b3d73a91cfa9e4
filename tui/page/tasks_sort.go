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
func (t Tasks) arrange(now time.Time) Tasks {
	n := 0
	for _, p := range t.parts {
		n += len(p.tasks)
	}
	rows := make([]models.Task, 0, n)
	for _, p := range t.parts {
		if !t.narrowed() {
			rows = append(rows, p.tasks...)
			continue
		}
		for i := range p.tasks {
			if k, ok := t.seen(&p.tasks[i], now); ok {
				rows = append(rows, k)
			}
		}
	}
	if t.sort != byAge {
		slices.SortStableFunc(rows, t.compare)
	}
	t.rows = rows
	return t
}

// seen is a task as it is shown, where it is: as it stood at the moment, where the
// filter selects it.
func (t *Tasks) seen(k *models.Task, now time.Time) (models.Task, bool) {
	then := *k
	if !t.at.IsZero() {
		var ok bool
		if then, ok = taskAt(k, t.at); !ok || len(t.filter.States) > 0 && !slices.Contains(t.filter.States, then.State) {
			return then, false
		}
	}
	return then, t.filter.Match(&then, now)
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

func (t Tasks) sortBy(env Env, by sortKey, reverse bool) (Page, []Request) {
	again := by == byAge || t.sort == byAge
	t.sort, t.reverse = by, reverse
	if again { // the daemon's order is another one
		return t.restart()
	}
	return t.arrange(env.Now), nil
}
