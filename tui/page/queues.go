package page

import (
	"time"

	"loadstar/models"
	"loadstar/tui/keys"
)

// queueSpan is what the charts of a queue show at first.
const queueSpan = 5 * time.Minute

// Queues shows what waits: how deep, how long, how fast it moves, and who.
type Queues struct {
	cursor int
	span   time.Duration // 0 is queueSpan
	depth  ChartLoaded
	waits  ChartLoaded
	drawn  time.Time
}

// Name stands in the tabs.
func (Queues) Name() string { return "Queues" }

// Typing reports whether keys are text.
func (Queues) Typing() bool { return false }

// Scopes are where keys are looked up.
func (Queues) Scopes(Env) []keys.Scope { return []keys.Scope{keys.Queues, keys.List} }

// Poll is what is wanted every second; the charts change with their step.
func (q Queues) Poll(env Env) []Request {
	reqs := []Request{LoadQueues{}, LoadPools{}}
	if env.Now.Sub(q.drawn) >= forecastEvery {
		reqs = append(reqs, q.charts(env)...)
	}
	return reqs
}

func (q Queues) shown() time.Duration {
	if q.span <= 0 {
		return queueSpan
	}
	return q.span
}

func (q Queues) queue(env Env) *models.QueueStatus {
	if q.cursor < 0 || q.cursor >= len(env.Data.Queues) {
		return nil
	}
	return &env.Data.Queues[q.cursor]
}

func (q Queues) charts(env Env) []Request {
	queue := q.queue(env)
	if queue == nil {
		return nil
	}
	stepS := stepFor(q.shown(), tiers())
	from := env.Now.Add(-q.shown()).Truncate(seconds(stepS))
	var reqs []Request
	for _, what := range []string{models.PoolQueue, models.PoolWait} {
		reqs = append(reqs, LoadChart{Series: models.PoolSeries(queue.Pool, what), StepS: stepS, From: from, To: env.Now, At: env.At})
	}
	return reqs
}

// Update is the page after a message.
func (q Queues) Update(env Env, msg any) (Page, []Request) {
	switch m := msg.(type) {
	case Shown:
		q.drawn = time.Time{}
		return q, append([]Request{LoadQueues{}, LoadPools{}}, q.charts(env)...)
	case QueuesLoaded:
		q.cursor = max(0, min(q.cursor, len(m.Queues)-1))
		if q.depth.Series == "" {
			return q, q.charts(env)
		}
	case ChartLoaded:
		if queue := q.queue(env); queue != nil {
			switch m.Series {
			case models.PoolSeries(queue.Pool, models.PoolQueue):
				q.depth, q.drawn = m, env.Now
			case models.PoolSeries(queue.Pool, models.PoolWait):
				q.waits = m
			}
		}
	case Failed:
		if _, ok := m.Request.(LoadChart); ok {
			q.drawn = env.Now
		}
	case Wheel:
		to, _ := move(wheelAction(m.Delta), q.cursor, len(env.Data.Queues), 5)
		return q.moveTo(env, to)
	case Click:
		if m.Zone.Kind == "queue" {
			if m.Twice {
				return q, q.open(env)
			}
			return q.moveTo(env, m.Zone.Index)
		}
	case Key:
		return q.key(env, m)
	}
	return q, nil
}

func (q Queues) key(env Env, k Key) (Page, []Request) {
	if to, ok := move(k.Action, q.cursor, len(env.Data.Queues), 5); ok {
		return q.moveTo(env, to)
	}
	switch k.Action {
	case keys.Open:
		return q, q.open(env)
	case keys.ZoomIn, keys.ZoomOut:
		q.span = zoomed(q.shown(), k.Action == keys.ZoomIn)
		return q, q.charts(env)
	}
	return q, nil
}

// open turns to the tasks that wait in the queue.
func (q Queues) open(env Env) []Request {
	queue := q.queue(env)
	if queue == nil {
		return nil
	}
	return []Request{Show{Page: AtTasks}, showTasks{models.TaskFilter{Pool: queue.Pool, States: []models.State{models.Pending}}}}
}

func (q Queues) moveTo(env Env, to int) (Page, []Request) {
	if to == q.cursor || to < 0 || to >= len(env.Data.Queues) {
		return q, nil
	}
	q.cursor = to
	q.depth, q.waits = ChartLoaded{}, ChartLoaded{}
	return q, q.charts(env)
}
