package scheduler

import (
	"fmt"
	"slices"

	"loadstar/models"
)

// selected are the tasks of a selection, in its order or in that of submission.
// Those named that are not there are refused; where nothing else was named, that
// is an error.
func (c *Core) selected(sel *models.Selection) ([]*task, error) {
	if len(sel.IDs) == 0 && sel.Filter == nil {
		return nil, models.Invalid("ids", "no task is named: give ids or a filter")
	}
	if len(sel.IDs) > 0 && sel.Filter != nil {
		return nil, models.Invalid("filter", "give ids or a filter, not both")
	}
	var out []*task
	if sel.Filter != nil {
		m := c.matcher(sel.Filter)
		for seq := range c.nextSeq {
			if t := c.tasks[seq]; m.matches(t) {
				if out = append(out, t); sel.Filter.Limit > 0 && len(out) == sel.Filter.Limit {
					break
				}
			}
		}
		return out, nil
	}
	seen := make(map[string]bool, len(sel.IDs))
	for _, id := range sel.IDs {
		if seen[id] {
			continue
		}
		seen[id] = true
		t := c.find(id)
		if t == nil {
			if seq, e := c.shelvedTask(id); e != nil {
				c.refuse(id, "it is %s already", c.states[seq].model())
				continue
			}
			if len(sel.IDs) == 1 {
				return nil, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
			}
			c.refuse(id, "there is no such task")
			continue
		}
		out = append(out, t)
	}
	return out, nil
}

func (c *Core) refuse(id, format string, args ...any) {
	c.out.Bulk.Refused = append(c.out.Bulk.Refused, models.Refusal{TaskID: id, Why: fmt.Sprintf(format, args...)})
}

func (c *Core) changed(t *task) {
	c.out.Bulk.Changed = append(c.out.Bulk.Changed, t.id)
}

func (c *Core) cancel(sel *models.Selection) error {
	tasks, err := c.selected(sel)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		switch {
		case t.part != nil && t.state == stateCancelled && slices.Contains(c.out.Bulk.Changed, t.part.parent.id):
			c.changed(t) // with its parent, just now
		case t.state.final():
			c.refuse(t.id, "it is %s already", t.state.model())
		case t.shards != nil:
			c.cancelParent(t)
			c.changed(t)
		case t.state == statePending:
			c.conclude(t, stateCancelled, "cancelled by request")
			c.changed(t)
		default:
			if t.toCancel || c.emit(Record{Kind: recCancelWanted, Seq: t.seq}) {
				c.kill(t, false)
				c.changed(t)
			}
		}
	}
	return nil
}

func (c *Core) prioritize(call *PriorityCall) error {
	if call.Priority < 0 || call.Priority > 100 {
		return models.Invalid("priority", "%d is not between 0 and 100", call.Priority)
	}
	tasks, err := c.selected(&call.Selection)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if t.state.final() {
			c.refuse(t.id, "it is %s already", t.state.model())
			continue
		}
		if c.emit(Record{Kind: recPrioritized, Seq: t.seq, Priority: uint8(call.Priority)}) { //nolint:gosec // checked above
			c.changed(t)
			if t.state == stateAssigned && t.pool.exec() && t.pool.ahead > 0 && t.shards == nil { // where it waits, it waits by the old one
				c.askBack(c.agent(t.last.agent), t)
			}
			if t.shards != nil {
				c.prioritizeShards(t, uint8(call.Priority)) //nolint:gosec // checked above
			}
		}
	}
	return nil
}

// retry sends tasks round again, each after those it depends on.
func (c *Core) retry(call *RetryCall) error {
	c.bringBack(call.back)
	tasks, err := c.selected(&call.Selection)
	if err != nil {
		return err
	}
	chosen := make(map[*task]bool, len(tasks))
	for _, t := range tasks {
		chosen[t] = true
	}
	if call.WithDependents {
		for i := 0; i < len(tasks); i++ {
			if s := tasks[i].state; s != stateFailed && s != stateCancelled {
				continue
			}
			for _, d := range tasks[i].dependents() {
				if !chosen[d] && d.state == stateCancelled {
					chosen[d] = true
					tasks = append(tasks, d)
				}
			}
		}
	}
	for _, t := range dependenciesFirst(tasks, chosen) {
		if t.shards != nil && t.state == stateSuccess && t.shards.cut.bad.shards > 0 {
			c.retryShards(t)
			continue
		}
		if why := c.whyNoRetry(t); why != "" {
			c.refuse(t.id, "%s", why)
			continue
		}
		if c.emit(Record{Kind: recRetried, Seq: t.seq}) {
			c.told(t)
			c.changed(t)
		}
	}
	return nil
}

func (c *Core) whyNoRetry(t *task) string {
	switch {
	case t.state != stateFailed && t.state != stateCancelled:
		return fmt.Sprintf("it is %s: only what is FAILED or CANCELLED can be retried", t.state.model())
	case t.deadline != 0 && t.deadline <= c.now:
		return "its deadline has passed"
	}
	for _, d := range t.dependencies() {
		if t.rule == ruleCancel && (d.state == stateFailed || d.state == stateCancelled) {
			return fmt.Sprintf("its dependency %s is %s: retry that one, with its dependents", d.id, d.state.model())
		}
	}
	return ""
}

// dependenciesFirst orders tasks so that each follows those of them that it depends on.
func dependenciesFirst(tasks []*task, chosen map[*task]bool) []*task {
	out := make([]*task, 0, len(tasks))
	type step struct {
		t    *task
		next int
	}
	seen := make(map[*task]bool, len(tasks))
	for _, t := range tasks {
		if seen[t] {
			continue
		}
		seen[t] = true
		for path := []step{{t: t}}; len(path) > 0; {
			top := &path[len(path)-1]
			if d := top.t.dependencies(); top.next < len(d) {
				n := d[top.next]
				top.next++
				if chosen[n] && !seen[n] {
					seen[n] = true
					path = append(path, step{t: n})
				}
				continue
			}
			out = append(out, top.t)
			path = path[:len(path)-1]
		}
	}
	return out
}
