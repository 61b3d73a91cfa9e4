package scheduler

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"loadstar/models"
)

// call hands a request to the goroutine of Run and waits for its answer.
func (s *Service) call(ctx context.Context, in *Input, then func(o *Output)) error {
	return s.ask(ctx, request{input: in}, then)
}

// ask is call for a request of more than an input.
func (s *Service) ask(ctx context.Context, r request, then func(o *Output)) error {
	select {
	case <-s.ready:
	case <-s.ended:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	r.answer = func(o *Output, err error) {
		if err == nil {
			then(o)
		}
		done <- err
	}
	select {
	case s.inbox <- r:
	case <-s.ended:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		select {
		case err := <-done:
			return err
		default:
			return errStopped
		}
	}
}

// read answers from the goroutine of Run, when what it sees is on disk.
func read[T any](ctx context.Context, s *Service, f func(c *Core, now time.Time) (T, error)) (out T, err error) {
	type answer struct {
		value T
		err   error
	}
	got := make(chan answer, 1)
	if err := s.call(ctx, nil, func(*Output) {
		v, err := f(s.core, s.cfg.Clock())
		got <- answer{v, err}
	}); err != nil {
		return out, err
	}
	a := <-got
	return a.value, a.err
}

// Submit accepts tasks: all of them, durably, or none. Those without an id get
// one. A task that is there already with the same document is accepted once, and
// so is everything under an idempotency key that is not empty.
func (s *Service) Submit(ctx context.Context, specs []models.TaskSpec, idempotencyKey string) ([]models.Task, error) {
	sub, err := NewSubmission(specs, idempotencyKey, newID)
	if err != nil {
		return nil, err
	}
	got := make(chan []glance, 1)
	err = s.call(ctx, &Input{Submit: sub}, func(o *Output) { got <- s.glances(o.Tasks) })
	if err != nil {
		return nil, err
	}
	return s.views(ctx, <-got)
}

// SubmitIDs is Submit for those who want to know no more than the ids.
func (s *Service) SubmitIDs(ctx context.Context, specs []models.TaskSpec, idempotencyKey string) ([]string, error) {
	sub, err := NewSubmission(specs, idempotencyKey, newID)
	if err != nil {
		return nil, err
	}
	if idempotencyKey != "" { // those of the first time may be others
		got := make(chan []glance, 1)
		if err := s.call(ctx, &Input{Submit: sub}, func(o *Output) { got <- s.glances(o.Tasks) }); err != nil {
			return nil, err
		}
		tasks, err := s.views(ctx, <-got)
		ids := make([]string, len(tasks))
		for i := range tasks {
			ids[i] = tasks[i].TaskID
		}
		return ids, err
	}
	if err := s.call(ctx, &Input{Submit: sub}, func(*Output) {}); err != nil {
		return nil, err
	}
	ids := make([]string, len(sub.Specs))
	for i := range ids {
		ids[i] = sub.Specs[i].TaskID
	}
	return ids, nil
}

func (s *Service) glances(seqs []uint64) []glance {
	out := make([]glance, len(seqs))
	for i, seq := range seqs {
		out[i] = s.core.glanceAt(seq)
	}
	return out
}

// Task is one task, or models.ErrNotFound.
func (s *Service) Task(ctx context.Context, id string) (models.Task, error) {
	g, err := read(ctx, s, func(c *Core, _ time.Time) (glance, error) { return c.glanceOf(id) })
	if err != nil {
		return models.Task{}, err
	}
	tasks, err := s.views(ctx, []glance{g})
	if err != nil {
		return models.Task{}, fmt.Errorf("task %s: %w", id, err)
	}
	return tasks[0], nil
}

// Tasks is a page of a listing.
func (s *Service) Tasks(ctx context.Context, f models.TaskFilter) (models.TaskPage, error) {
	page := models.TaskPage{Tasks: []models.Task{}}
	archived := 0
	for {
		l, err := read(ctx, s, func(c *Core, _ time.Time) (listing, error) { return c.list(f) })
		if err != nil {
			return models.TaskPage{}, err
		}
		found, n, err := s.page(ctx, &f, &l)
		if err != nil {
			return models.TaskPage{}, err
		}
		more := len(l.tasks) - len(found) // of those that looked as if they matched
		archived += n
		page.Total = l.total + archived
		page.Tasks, page.Next = append(page.Tasks, found...), l.next
		if more == 0 || l.next == "" {
			return page, nil
		}
		f.Cursor, f.Limit = l.next, more
	}
}

// Cancel cancels what is selected and not final; what runs is killed first.
func (s *Service) Cancel(ctx context.Context, sel models.Selection) (models.BulkResult, error) {
	return s.bulk(ctx, &Input{Cancel: &sel})
}

// Retry sends what is selected and FAILED or CANCELLED round again; withDependents
// also revives what was cancelled because of it.
func (s *Service) Retry(ctx context.Context, sel models.Selection, withDependents bool) (models.BulkResult, error) {
	back, err := s.recallable(ctx, &sel)
	if err != nil {
		return models.BulkResult{}, err
	}
	return s.bulk(ctx, &Input{Retry: &RetryCall{Selection: sel, WithDependents: withDependents, back: back}})
}

// Prioritize gives what is selected and not final another priority.
func (s *Service) Prioritize(ctx context.Context, sel models.Selection, p models.Priority) (models.BulkResult, error) {
	return s.bulk(ctx, &Input{Prioritize: &PriorityCall{Selection: sel, Priority: p}})
}

func (s *Service) bulk(ctx context.Context, in *Input) (models.BulkResult, error) {
	got := make(chan models.BulkResult, 1)
	if err := s.call(ctx, in, func(o *Output) { got <- o.Bulk }); err != nil {
		return models.BulkResult{}, err
	}
	out := <-got
	if out.Changed == nil {
		out.Changed = []string{}
	}
	return out, nil
}

// Pools are the pools by name.
func (s *Service) Pools(ctx context.Context) ([]models.PoolStatus, error) {
	return read(ctx, s, func(c *Core, now time.Time) ([]models.PoolStatus, error) { return c.PoolStatuses(now), nil })
}

// SetPool changes a pool, durably.
func (s *Service) SetPool(ctx context.Context, name string, patch models.PoolPatch) (models.PoolStatus, error) {
	got := make(chan models.PoolStatus, 1)
	err := s.call(ctx, &Input{SetPool: &PoolCall{Name: name, Patch: patch}}, func(*Output) {
		status, _ := s.core.PoolStatus(name, s.cfg.Clock()) // it is there: it was just changed
		got <- status
	})
	if err != nil {
		return models.PoolStatus{}, err
	}
	return <-got, nil
}

// SetCaps changes the caps that hold over all pools. They are the configuration's:
// a restart begins with Config.Core.Caps.
func (s *Service) SetCaps(ctx context.Context, caps map[string]int) error {
	return s.call(ctx, &Input{SetCaps: &CapsCall{Caps: caps}}, func(*Output) {})
}

// Decisions are the decisions on a pool's size made at or before a time (zero is
// now), the newest first, at most limit (0 is all that are kept).
func (s *Service) Decisions(ctx context.Context, pool string, at time.Time, limit int) ([]models.Decision, error) {
	return read(ctx, s, func(c *Core, _ time.Time) ([]models.Decision, error) { return c.Decisions(pool, at, limit) })
}

// PlanEvery and planSteps make up the hour that is planned.
const (
	PlanEvery = time.Minute
	planSteps = 60
)

// Plan is what a pool's size is expected to be in the next hour, minute by minute.
func (s *Service) Plan(ctx context.Context, pool string) ([]models.PlanStep, error) {
	return read(ctx, s, func(*Core, time.Time) ([]models.PlanStep, error) {
		spec, in, ok := s.decisionInput(pool)
		switch {
		case !ok:
			return nil, fmt.Errorf("pool %q: %w", pool, models.ErrNotFound)
		case s.cfg.Planner == nil:
			return []models.PlanStep{}, nil
		}
		if f, ok := s.cfg.Forecasts.(interface {
			DemandOver(pool string, over time.Duration) (models.DemandForecast, bool)
		}); ok {
			if d, ok := f.DemandOver(pool, planSteps*PlanEvery); ok {
				in.Forecast = &d
			}
		}
		return s.cfg.Planner(spec, in, PlanEvery, planSteps), nil
	})
}

// Agents are the agents that have joined.
func (s *Service) Agents(ctx context.Context) ([]models.Agent, error) {
	return read(ctx, s, func(c *Core, _ time.Time) ([]models.Agent, error) { return c.Agents(), nil })
}

// Stats counts what there is and measures what was lately.
func (s *Service) Stats(ctx context.Context) (models.Stats, error) {
	return read(ctx, s, func(c *Core, now time.Time) (models.Stats, error) {
		st := c.Stats(now)
		st.UptimeS = max(0, now.Sub(s.started).Seconds())
		return st, nil
	})
}

// Explain says why a task is where it is.
func (s *Service) Explain(ctx context.Context, id string) (models.Explanation, error) {
	var archived glance
	e, err := read(ctx, s, func(c *Core, now time.Time) (models.Explanation, error) {
		if g, err := c.glanceOf(id); err == nil && g.shelved.frame != 0 {
			archived = g
			return models.Explanation{}, nil
		}
		return c.Explain(id, now)
	})
	if err != nil || archived.shelved.frame == 0 {
		return e, err
	}
	tasks, err := s.views(ctx, []glance{archived})
	if err != nil {
		return models.Explanation{}, fmt.Errorf("task %s: %w", id, err)
	}
	facts := append(outcomes(&tasks[0]), "is in the archive")
	return models.Explanation{TaskID: id, State: tasks[0].State, Text: ended(&tasks[0]), Facts: facts}, nil
}

// Subscribe delivers events until ctx ends or the service does; then the channel
// is closed. At most buffer events wait for the reader (at least 1): what comes
// beyond them is lost to it, and it is told how many were in an event of kind
// trouble once it reads again.
func (s *Service) Subscribe(ctx context.Context, buffer int) <-chan models.Event {
	return s.hub.subscribe(ctx, buffer)
}

// waiter waits until tasks are final.
type waiter struct {
	seqs []uint64
	left int
	done chan []glance
}

// WaitFinal returns the tasks when all of them are final.
func (s *Service) WaitFinal(ctx context.Context, ids []string) ([]models.Task, error) {
	w := &waiter{done: make(chan []glance, 1)}
	_, err := read(ctx, s, func(c *Core, _ time.Time) (struct{}, error) {
		for _, id := range ids {
			if !c.knows(id) {
				return struct{}{}, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
			}
			w.seqs = append(w.seqs, c.placeOf(id))
		}
		s.watch(w)
		return struct{}{}, nil
	})
	if err != nil {
		return nil, err
	}
	select {
	case tasks := <-w.done:
		return s.views(ctx, tasks)
	case <-ctx.Done():
		_ = s.call(context.WithoutCancel(ctx), nil, func(*Output) { s.unwatch(w) }) //nolint:contextcheck // the caller's has ended
		return nil, ctx.Err()
	case <-s.ended:
		return nil, errStopped
	}
}

// watch registers a waiter for its tasks that are not final, or answers it.
func (s *Service) watch(w *waiter) {
	w.left = 0
	for _, seq := range w.seqs {
		waiting := s.waiters[seq]
		if s.core.states[seq].final() || len(waiting) > 0 && waiting[len(waiting)-1] == w { // or named twice
			continue
		}
		w.left++
		s.waiters[seq] = append(waiting, w)
	}
	if w.left > 0 {
		return
	}
	w.done <- s.glances(w.seqs)
}

func (s *Service) unwatch(w *waiter) {
	for _, seq := range w.seqs {
		kept := s.waiters[seq][:0]
		for _, o := range s.waiters[seq] {
			if o != w {
				kept = append(kept, o)
			}
		}
		if len(kept) == 0 {
			delete(s.waiters, seq)
		} else {
			s.waiters[seq] = kept
		}
	}
}

func (s *Service) wakeWaiters(final []uint64) {
	if len(s.waiters) == 0 {
		return
	}
	for _, seq := range final {
		waiting := s.waiters[seq]
		delete(s.waiters, seq)
		for _, w := range waiting {
			if w.left--; w.left == 0 {
				s.watch(w) // one may have been retried meanwhile
			}
		}
	}
}

var idAlphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID makes a task's id: 9 characters of time and 7 of chance, so that ids sort
// in the order in which they were made, to the millisecond.
func newID() string {
	var raw [10]byte
	ms := uint64(time.Now().UnixMilli()) //nolint:gosec // after 1970
	binary.BigEndian.PutUint64(raw[:], ms<<19|rand.Uint64()>>45)
	binary.BigEndian.PutUint16(raw[8:], uint16(rand.Uint32())) //nolint:gosec // chance
	return idAlphabet.EncodeToString(raw[:])
}
