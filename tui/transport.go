package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"loadstar/models"
	"loadstar/tui/page"
)

// Bounds on what the screen waits for.
const (
	actTimeout    = 30 * time.Second       // an action may touch many tasks
	eventDebounce = 100 * time.Millisecond // events are shown together
	mostEvents    = 500                    // of one batch; more than a screen remembers
	logPace       = 60 * time.Millisecond  // between two reads of a log
	logChunk      = 64 << 10
)

// transport turns requests into commands. It is the only part that reads the
// clock or calls the Source.
type transport struct {
	source  Source
	clock   func() time.Time
	timeout time.Duration
	// root makes a context that ends with the program, and after the time where
	// that is not zero.
	root func(time.Duration) (context.Context, context.CancelFunc)
	// after gives a message once some time has passed.
	after func(time.Duration, func(time.Time) tea.Msg) tea.Cmd
	// gather is how long events are waited for to be shown together, pace the least
	// time between two reads of a log.
	gather, pace time.Duration
}

// answered is what came of some requests.
type answered struct {
	at      time.Time
	results []any
	lost    error // why the daemon could not be asked, nil where it could
	poll    bool
}

// do asks for everything, one after the other, in one command: one message, one
// redraw. It stops at the first sign of a lost daemon.
func (t transport) do(reqs []page.Request, poll bool) tea.Cmd {
	if len(reqs) == 0 && !poll {
		return nil
	}
	return func() (msg tea.Msg) {
		out := answered{poll: poll}
		defer func() {
			if r := recover(); r != nil { // a Source's mistake must not take the terminal away
				out.lost, out.at = fmt.Errorf("asking the daemon failed: %v", r), t.clock()
				msg = out
			}
		}()
		for _, r := range reqs {
			result, err := t.ask(r)
			if err != nil && contentError(err) {
				result = page.Failed{Request: r, Why: err.Error()}
			} else if err != nil {
				out.lost = err
				break
			}
			out.results = append(out.results, result)
		}
		out.at = t.clock()
		return out
	}
}

// contentError tells an answer that is a refusal from no answer.
func contentError(err error) bool {
	for _, known := range []error{models.ErrNotFound, models.ErrConflict, models.ErrInvalid, models.ErrUnavailable} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func (t transport) ask(r page.Request) (any, error) {
	timeout := t.timeout
	switch r.(type) {
	case page.Cancel, page.Retry, page.Prioritize, page.SetPool:
		timeout = actTimeout
	}
	ctx, cancel := t.root(timeout)
	defer cancel()
	switch r := r.(type) {
	case page.LoadInfo:
		v, err := t.source.Info(ctx)
		return page.InfoLoaded{Info: v}, err
	case page.LoadHost:
		v, err := t.source.Host(ctx)
		return page.HostLoaded{Host: v}, err
	case page.LoadStats:
		v, err := t.source.Stats(ctx)
		return page.StatsLoaded{Stats: v}, err
	case page.LoadPools:
		v, err := t.source.Pools(ctx)
		return page.PoolsLoaded{Pools: v}, err
	case page.LoadQueues:
		v, err := t.source.Queues(ctx)
		return page.QueuesLoaded{At: t.clock(), Queues: v}, err
	case page.LoadAgents:
		v, err := t.source.Agents(ctx)
		return page.AgentsLoaded{Agents: v}, err
	case page.LoadActive:
		v, err := t.source.Tasks(ctx, r.F)
		return page.ActiveLoaded{LoadActive: r, Page: v}, err
	case page.LoadTasks:
		v, err := t.source.Tasks(ctx, r.F)
		return page.TasksLoaded{LoadTasks: r, Page: v}, err
	case page.LoadMoment:
		return t.moment(ctx, r)
	case page.LoadDecisions:
		v, err := t.source.Decisions(ctx, r.Pool, r.At, r.Limit)
		return page.DecisionsLoaded{LoadDecisions: r, Decisions: v}, err
	case page.LoadSeries:
		v, err := t.source.Series(ctx)
		return page.SeriesLoaded{Series: v}, err
	case page.LoadForecasts:
		if !r.At.IsZero() {
			return t.forecastsAt(ctx, r)
		}
		v, err := t.source.Forecasts(ctx, r.Series, r.StepS)
		return page.ForecastsLoaded{LoadForecasts: r, Forecasts: v}, err
	case page.LoadTask:
		return t.task(ctx, r)
	case page.LoadChart:
		return t.chart(ctx, r)
	case page.LoadTrails:
		return t.trails(ctx, r)
	}
	return t.act(ctx, r)
}

func (t transport) act(ctx context.Context, r page.Request) (any, error) {
	switch r := r.(type) {
	case page.Cancel:
		v, err := t.source.Cancel(ctx, r.Selection)
		return page.Acted{What: "cancelled", Result: v}, err
	case page.Retry:
		v, err := t.source.Retry(ctx, r.Selection, r.WithDependents)
		return page.Acted{What: "to be retried", Result: v}, err
	case page.Prioritize:
		v, err := t.source.Prioritize(ctx, r.Selection, r.Priority)
		return page.Acted{What: "priority " + r.Priority.String(), Result: v}, err
	case page.SetPool:
		v, err := t.source.SetPool(ctx, r.Name, r.Patch)
		return page.PoolSet{Pool: v}, err
	}
	return nil, fmt.Errorf("%w: the screen asked for %T", models.ErrInvalid, r)
}

func (t transport) task(ctx context.Context, r page.LoadTask) (any, error) {
	task, err := t.source.Task(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	why, err := t.source.Explain(ctx, r.ID)
	if err != nil && !contentError(err) { // a task may be shown without its explanation
		return nil, err
	}
	return page.TaskLoaded{LoadTask: r, Task: task, Explanation: why}, nil
}

func (t transport) chart(ctx context.Context, r page.LoadChart) (any, error) {
	points, err := t.source.Samples(ctx, r.Series, r.StepS, r.From, r.To)
	if err != nil {
		return nil, err
	}
	out := page.ChartLoaded{LoadChart: r, Points: points}
	if r.Horizon > 0 {
		ahead := time.Duration(float64(r.Horizon) * r.RowStep() * float64(time.Second))
		out.Rows, err = t.source.ForecastHistory(ctx, models.ForecastQuery{
			Series: r.Series, StepS: r.RowStep(), From: r.From.Add(-ahead), To: r.To, Horizon: r.Horizon,
		})
		if err != nil && !contentError(err) {
			return nil, err
		}
	}
	return out, nil
}

// trails asks for the last minutes of what the small graphs show.
func (t transport) trails(ctx context.Context, r page.LoadTrails) (any, error) {
	out := page.TrailsLoaded{Points: map[string][]models.Point{}}
	infos, err := t.source.Series(ctx)
	if err != nil {
		return nil, err
	}
	for i := range infos {
		s := &infos[i]
		_, what, pool := models.ParsePoolSeries(s.Name)
		if s.StepS != 1 || pool && what != models.PoolQueue {
			continue
		}
		points, err := t.source.Samples(ctx, s.Name, s.StepS, r.Since, t.clock())
		if err != nil && !contentError(err) {
			return nil, err
		}
		out.Points[s.Name] = points
	}
	return out, nil
}

// Messages of the two streams.
type (
	eventsOpened struct {
		events <-chan models.Event
		err    error
	}
	eventsGot struct {
		from   <-chan models.Event
		events []models.Event
		closed bool
	}
	logOpened struct {
		of  page.OpenLog
		r   io.ReadCloser
		err error
	}
	logRead struct {
		page.LogChunk
		r io.ReadCloser
	}
)

func (t transport) openEvents() tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := t.root(0)
		events, err := t.source.Events(ctx)
		if err != nil {
			cancel()
			return eventsOpened{err: err}
		}
		return eventsOpened{events: events}
	}
}

// nextEvents waits for an event and gathers those that come right after it.
func (t transport) nextEvents(from <-chan models.Event) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := t.root(0)
		defer cancel()
		got := eventsGot{from: from}
		select {
		case e, ok := <-from:
			if !ok {
				got.closed = true
				return got
			}
			got.events = append(got.events, e)
		case <-ctx.Done():
			return nil
		}
		wait := time.NewTimer(t.gather)
		defer wait.Stop()
		for {
			select {
			case e, ok := <-from:
				if !ok {
					got.closed = true
					return got
				}
				got.events = append(got.events, e)
				if len(got.events) > 2*mostEvents { // a flood: the newest are enough
					got.events = append(got.events[:0], got.events[len(got.events)-mostEvents:]...)
				}
			case <-wait.C:
				return got
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (t transport) openLog(ctx context.Context, of page.OpenLog) tea.Cmd {
	return func() tea.Msg {
		r, err := t.source.Logs(ctx, of.ID, of.Attempt, true)
		return logOpened{of: of, r: r, err: err}
	}
}

// readLog reads what has come of a log; it ends with the stream's context.
func (t transport) readLog(ctx context.Context, of page.OpenLog, r io.ReadCloser, pace bool) tea.Cmd {
	return func() tea.Msg {
		if pace {
			select {
			case <-time.After(t.pace):
			case <-ctx.Done():
			}
		}
		buf := make([]byte, logChunk)
		n, err := r.Read(buf)
		out := logRead{LogChunk: page.LogChunk{OpenLog: of, Data: buf[:n]}, r: r}
		if err != nil || ctx.Err() != nil {
			_ = r.Close()
			out.EOF = true
			if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
				out.Err = "the log broke off: " + err.Error()
			}
		}
		return out
	}
}

func closeLog(r io.ReadCloser) tea.Cmd {
	return func() tea.Msg {
		_ = r.Close()
		return nil
	}
}

// saved is what came of an export.
type saved struct {
	path string
	rows int
	err  error
}

func (transport) save(r page.Save, write func(string, []byte) (string, error), rows int) tea.Cmd {
	return func() tea.Msg {
		path, err := write(r.Name, r.Data)
		return saved{path: path, rows: rows, err: err}
	}
}

func (m Model) saved(s saved) Model {
	if s.err != nil {
		return m.say("the export failed: "+s.err.Error(), true)
	}
	return m.say(fmt.Sprintf("%d rows written to %s", s.rows, s.path), false)
}
