package fake

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"loadstar/models"
)

// Source answers from made-up data. Its zero values are an empty daemon; use New.
type Source struct {
	Clock func() time.Time

	mu    sync.Mutex
	down  error // every call fails with it
	tasks []models.Task
	pools []models.PoolSpec
	calls []string
}

// New is a busy daemon whose clock is given; an empty one has no tasks and no pools.
func New(clock func() time.Time, empty bool) *Source {
	s := &Source{Clock: clock}
	if !empty {
		s.tasks = makeTasks(clock(), 1200)
		s.pools = makePools()
	}
	return s
}

// Break makes every call fail with err; nil mends it.
func (s *Source) Break(err error) { s.mu.Lock(); defer s.mu.Unlock(); s.down = err }

// Calls are the actions asked for so far.
func (s *Source) Calls() []string { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.calls) }

func (s *Source) enter(ctx context.Context, call string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if call != "" {
		s.calls = append(s.calls, call)
	}
	if s.down != nil {
		return s.down
	}
	return ctx.Err()
}

// noise is a number from 0 to 1 that depends on nothing but its arguments.
func noise(n int64, salt uint64) float64 {
	x := uint64(n)*0x9e3779b97f4a7c15 + salt*0xbf58476d1ce4e5b9
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	x ^= x >> 31
	return float64(x>>11) / (1 << 53)
}

// wave is a day and a few minutes of ups and downs around a level.
func wave(at time.Time, level, swing float64, salt uint64) float64 {
	t := float64(at.Unix())
	v := level + swing*math.Sin(t/97+float64(salt)) + swing*0.5*math.Sin(t/23+2*float64(salt)) + swing*0.35*(noise(at.Unix(), salt)-0.5)
	return math.Max(0, v)
}

// value is what a series was at a moment.
func value(series string, at time.Time) float64 {
	switch series {
	case models.SeriesCPU:
		return math.Min(100, wave(at, 46, 26, 1))
	case models.SeriesMemory:
		return wave(at, 61, 3, 2)
	case models.SeriesSwap:
		return wave(at, 4, 1, 3)
	case models.SeriesLoad:
		return wave(at, 3.4, 1, 4)
	case models.SeriesDiskRead:
		return wave(at, 3e6, 3e6, 5)
	case models.SeriesDiskWrite:
		return wave(at, 9e6, 8e6, 6)
	case models.SeriesIO:
		return value(models.SeriesDiskRead, at) + value(models.SeriesDiskWrite, at)
	case models.SeriesNetRx:
		return wave(at, 4e5, 4e5, 7)
	case models.SeriesNetTx:
		return wave(at, 9e4, 8e4, 8)
	case models.SeriesNetwork:
		return value(models.SeriesNetRx, at) + value(models.SeriesNetTx, at)
	}
	salt := uint64(len(series))
	if _, what, ok := models.ParsePoolSeries(series); ok {
		switch what {
		case models.PoolQueue:
			return math.Floor(wave(at, 2, 5, salt))
		case models.PoolArrivals:
			return wave(at, 1.4, 0.9, salt)
		case models.PoolBusy:
			return math.Floor(wave(at, 6, 3, salt))
		}
	}
	return wave(at, 6, 3, salt)
}

// Info answers for the daemon.
func (s *Source) Info(ctx context.Context) (models.DaemonInfo, error) {
	return models.DaemonInfo{
		Version: "0.1.0", PID: 4711, Hostname: "build-7", StateDir: "/var/lib/loadstar",
		StartedAt: s.Clock().Add(-51 * time.Hour), CPU: 0.4, RSS: 63 << 20,
	}, s.enter(ctx, "")
}

// Host answers for the host.
func (s *Source) Host(ctx context.Context) (models.HostStatus, error) {
	now := s.Clock()
	h := models.HostStatus{
		At: now, Hostname: "build-7", CPU: value(models.SeriesCPU, now), CPULimit: 8,
		MemoryTotal: 32 << 30, SwapTotal: 8 << 30, Load1: 3.42, Load5: 2.97, Load15: 2.51, PressureCPU: 1.8,
		DiskRead: value(models.SeriesDiskRead, now), DiskWrite: value(models.SeriesDiskWrite, now),
		NetRx: value(models.SeriesNetRx, now), NetTx: value(models.SeriesNetTx, now),
	}
	h.MemoryUsed = models.Bytes(value(models.SeriesMemory, now) / 100 * float64(h.MemoryTotal))
	h.SwapUsed = models.Bytes(value(models.SeriesSwap, now) / 100 * float64(h.SwapTotal))
	for i := range 8 {
		h.Cores = append(h.Cores, math.Min(100, wave(now, h.CPU, 30, uint64(20+i))))
	}
	return h, s.enter(ctx, "")
}

// Stats answers with the counts.
func (s *Source) Stats(ctx context.Context) (models.Stats, error) {
	st := models.Stats{Tasks: map[models.State]int{}, UptimeS: 183_600}
	for _, state := range models.States() {
		st.Tasks[state] = 0
	}
	for i := range s.tasks {
		st.Tasks[s.tasks[i].State]++
	}
	if len(s.tasks) > 0 {
		st.Tasks[models.Success] += 128_340
		st.SubmitToStart = models.Quantiles{P50: 4.2, P95: 1840, P99: 6120}
		st.SubmitToDone = models.Quantiles{P50: 2310, P95: 14_800, P99: 41_000}
		st.TasksPerS = wave(s.Clock(), 3.1, 1.2, 9)
	}
	return st, s.enter(ctx, "")
}

// Agents answers with the daemon's own.
func (s *Source) Agents(ctx context.Context) ([]models.Agent, error) {
	now := s.Clock()
	agents := []models.Agent{
		{ID: "local", Host: "build-7", Slots: 8, Busy: 5, CPUs: 8, MemoryTotal: 30 << 30, LoadScore: 0.43, CPU: 0.46, Memory: 0.61, IO: 0.08, LastHeard: now, State: "ready"},
		{ID: "gpu-1", Host: "gpu-1.lab", Capabilities: []string{"gpu", "cuda12", "ffmpeg"}, Slots: 4, Busy: 4, LoadScore: 0.91, CPU: 0.97, Memory: 0.88, IO: 0.8, LastHeard: now.Add(-time.Second), State: "ready"},
		{ID: "gpu-2", Host: "gpu-2.lab", Capabilities: []string{"gpu", "cuda12"}, Slots: 4, LoadScore: 0.1, CPU: 0.05, Memory: 0.2, LastHeard: now.Add(-47 * time.Second), State: "lost"},
		{ID: "old-box", Host: "attic", Slots: 2, Busy: 1, LoadScore: 0.6, CPU: 0.7, Memory: 0.5, IO: 0.5, LastHeard: now.Add(-2 * time.Second), State: "draining"},
	}
	if len(s.tasks) == 0 {
		agents = nil
	}
	return agents, s.enter(ctx, "")
}

// Queues answers with what waits, by priority.
func (s *Source) Queues(ctx context.Context) ([]models.QueueStatus, error) {
	pools, err := s.Pools(ctx)
	if err != nil {
		return nil, err
	}
	var out []models.QueueStatus
	t := uint64(max(0, s.Clock().Unix()-1_773_000_000))
	for i := range pools {
		p := &pools[i]
		bands := models.PriorityBands()
		n := uint64(i + 1)
		for k := range bands {
			b := &bands[k]
			if b.Queued = (p.Queued + k) / 4; b.Queued > 0 {
				b.OldestWaitS = p.OldestWaitS * float64(k+1) / 4
			}
			b.Started = t * uint64(k+1) / n
			b.WaitMS = models.Quantiles{P50: 3 * float64(n) * float64(k+1), P95: 900 * float64(k+1), P99: 4000 * float64(k+1)}
		}
		bands[0].AtMost = bands[0].Queued > 0
		out = append(out, models.QueueStatus{
			Pool: p.Name, Queued: p.Queued, Waiting: 3 * i, OldestWaitS: p.OldestWaitS, Bands: bands[:],
			Counters: models.PoolTotals{Arrived: 12 * t / n, Started: 11 * t / n, Finished: 11 * t / n, WaitS: float64(9*t) / float64(n), RunS: 26 * float64(t) / float64(n)},
		})
	}
	return out, nil
}

// Tasks answers with a page.
func (s *Source) Tasks(ctx context.Context, f models.TaskFilter) (models.TaskPage, error) {
	if err := s.enter(ctx, ""); err != nil {
		return models.TaskPage{}, err
	}
	var match []models.Task
	for i := range s.tasks {
		if f.Matches(&s.tasks[i]) {
			match = append(match, s.tasks[i])
		}
	}
	if f.Oldest {
		slices.Reverse(match)
	}
	page := models.TaskPage{Total: len(match)}
	start := 0
	if f.Cursor != "" {
		start = 1 + slices.IndexFunc(match, func(t models.Task) bool { return t.TaskID == f.Cursor })
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	page.Tasks = slices.Clone(match[start:min(start+limit, len(match))])
	if start+limit < len(match) {
		page.Next = page.Tasks[len(page.Tasks)-1].TaskID
	}
	return page, nil
}

// Task answers with one.
func (s *Source) Task(ctx context.Context, id string) (models.Task, error) {
	if err := s.enter(ctx, ""); err != nil {
		return models.Task{}, err
	}
	for i := range s.tasks {
		if s.tasks[i].TaskID == id {
			return s.tasks[i], nil
		}
	}
	return models.Task{}, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
}

// Explain answers with a sentence.
func (s *Source) Explain(ctx context.Context, id string) (models.Explanation, error) {
	t, err := s.Task(ctx, id)
	if err != nil {
		return models.Explanation{}, err
	}
	e := models.Explanation{TaskID: id, State: t.State, Reason: t.Reason}
	switch t.State {
	case models.Pending:
		e.Text = "It waits for a free worker of pool " + t.Pool + "; 3 tasks with a higher priority are before it."
		e.Facts = []string{"6 of 6 workers are busy", "2 workers are starting, ready in about 4 s"}
	case models.Failed:
		e.Text = "All 3 attempts failed, the last with exit code 2; nothing retries it by itself."
	default:
		e.Text = "It ran on agent local, which had the least load (0.31) of those with what it asks for."
	}
	return e, nil
}

// Logs answers with some lines, colours and nonsense among them.
func (s *Source) Logs(ctx context.Context, id string, attempt int, _ bool) (io.ReadCloser, error) {
	if err := s.enter(ctx, ""); err != nil {
		return nil, err
	}
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "frame %03d of 060\t\x1b[32mdone\x1b[0m in %.2f s\n", i, 0.2+noise(int64(i), 3))
		if i == 20 {
			b.WriteString("\x1b]0;owned\x07\x1b[2J\x1b[Hwarning: \x1b[33m日本語のパス\x1b[0m /データ/入力.exr 👩‍🚀 missing\n")
		}
	}
	_ = attempt
	fmt.Fprintf(&b, "progress 10%%\rprogress 100%%\nresult of %s written\n", id)
	return io.NopCloser(strings.NewReader(b.String())), nil
}

func (s *Source) act(ctx context.Context, what string, sel models.Selection) (models.BulkResult, error) {
	ids := sel.IDs
	if sel.Filter != nil {
		for i := range s.tasks {
			if sel.Filter.Matches(&s.tasks[i]) {
				ids = append(ids, s.tasks[i].TaskID)
			}
		}
	}
	return models.BulkResult{Changed: ids}, s.enter(ctx, fmt.Sprintf("%s %d", what, len(ids)))
}

// Cancel notes that it was asked.
func (s *Source) Cancel(ctx context.Context, sel models.Selection) (models.BulkResult, error) {
	return s.act(ctx, "cancel", sel)
}

// Retry notes that it was asked.
func (s *Source) Retry(ctx context.Context, sel models.Selection, with bool) (models.BulkResult, error) {
	return s.act(ctx, fmt.Sprintf("retry (dependents %t)", with), sel)
}

// Prioritize notes that it was asked.
func (s *Source) Prioritize(ctx context.Context, sel models.Selection, p models.Priority) (models.BulkResult, error) {
	return s.act(ctx, "priority "+p.String(), sel)
}

// Events tells a little of everything.
func (s *Source) Events(ctx context.Context) (<-chan models.Event, error) {
	if err := s.enter(ctx, ""); err != nil {
		return nil, err
	}
	out := make(chan models.Event, 64)
	for _, e := range makeEvents(s.Clock(), s.tasks) {
		out <- e
	}
	if len(s.tasks) == 0 {
		close(out)
	}
	return out, nil
}
