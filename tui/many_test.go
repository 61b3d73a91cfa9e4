package tui

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"loadstar/models"
	"loadstar/tui/internal/fake"
)

// many is a daemon with more of everything than any screen can show.
type many struct {
	*fake.Source
	now time.Time
}

const (
	manyTasks  = 1_000_000
	manyAgents = 1000
	manySeries = 200
)

func (s *many) Tasks(_ context.Context, f models.TaskFilter) (models.TaskPage, error) {
	from, _ := strconv.Atoi(f.Cursor)
	limit := max(f.Limit, 1)
	page := models.TaskPage{Total: manyTasks}
	for i := from; i < min(from+limit, manyTasks); i++ {
		k := models.Task{TaskSpec: models.NewTaskSpec(), State: models.States()[i%6], Attempt: 1, SubmittedAt: s.now.Add(-time.Duration(i) * time.Second)}
		k.TaskID, k.Description, k.Agent = fmt.Sprintf("task-%07d", manyTasks-i), "one of very many tasks", fmt.Sprintf("agent-%04d", i%manyAgents)
		page.Tasks = append(page.Tasks, k)
	}
	if from+limit < manyTasks {
		page.Next = strconv.Itoa(from + limit)
	}
	return page, nil
}

func (s *many) Agents(context.Context) ([]models.Agent, error) {
	out := make([]models.Agent, manyAgents)
	for i := range out {
		out[i] = models.Agent{ID: fmt.Sprintf("agent-%04d", i), Host: "host", Slots: 64, Busy: i % 65, LoadScore: float64(i%100) / 100, LastHeard: s.now, State: "ready", Capabilities: []string{"gpu"}}
	}
	return out, nil
}

func (s *many) Series(context.Context) ([]models.SeriesInfo, error) {
	out := make([]models.SeriesInfo, manySeries)
	for i := range out {
		out[i] = models.SeriesInfo{Name: fmt.Sprintf("pool.p%03d.load", i), StepS: 10, From: s.now.Add(-time.Hour), To: s.now, Points: 360, Last: float64(i)}
	}
	return out, nil
}

func (s *many) Forecasts(ctx context.Context, series string, stepS float64) ([]models.SeriesForecast, error) {
	one, err := s.Source.Forecasts(ctx, models.SeriesCPU, 10)
	if err != nil || len(one) == 0 {
		return nil, err
	}
	var out []models.SeriesForecast
	for i := range manySeries {
		f := one[0]
		f.Series = fmt.Sprintf("pool.p%03d.load", i)
		if (series == "" || series == f.Series) && (stepS == 0 || stepS == 10) {
			out = append(out, f)
		}
	}
	return out, nil
}

func (s *many) Events(context.Context) (<-chan models.Event, error) {
	out := make(chan models.Event, 2000)
	for i := range cap(out) {
		out <- models.Event{Seq: uint64(i), At: s.now, Kind: models.EventTask, TaskID: fmt.Sprintf("task-%d", i), State: models.Running} //nolint:gosec // small
	}
	return out, nil
}

func setupMany(tb testing.TB) *bench {
	tb.Helper()
	return setup(tb, 200, 50, func(c *Config) {
		c.Source = &many{Source: fake.New(func() time.Time { return epoch }, false), now: epoch}
	})
}

func manyViews() map[string][]string {
	views := map[string][]string{"1-overview": nil, "3-forecast": {"3", "G"}, "4-pools": {"4"}, "5-queues": {"5"}, "6-agents": {"6", "G"}, "7-events": {"7", "G"}}
	tasks := []string{"2"}
	for range 50 { // to the end of what is held, over and over
		tasks = append(tasks, "G")
	}
	views["2-tasks"] = tasks
	return views
}

func TestTheScreenHoldsABoundOfAMillionTasks(t *testing.T) {
	b := setupMany(t)
	b.press("2")
	for range 150 {
		b.press("G")
	}
	b.shows("20,000 of 1,000,000")
	b.press("6", "G")
	b.shows("1000 of 1000", "agent-0999")
	b.press("3", "G")
	b.shows("200 of 200")
}

// BenchmarkViewOfMany draws each page with 1,000,000 tasks, 1,000 agents and 200
// series behind the source.
func BenchmarkViewOfMany(b *testing.B) {
	for name, keys := range manyViews() {
		b.Run(name, func(b *testing.B) {
			s := setupMany(b)
			s.press(keys...)
			b.ReportAllocs()
			for b.Loop() {
				_ = s.m.View()
			}
		})
	}
}

// BenchmarkKeyOfMany is a key's way through Update and View, on a full list of tasks.
func BenchmarkKeyOfMany(b *testing.B) {
	s := setupMany(b)
	s.press(manyViews()["2-tasks"]...)
	for b.Loop() {
		s.m, _ = s.m.update(keyOf("k"))
		_ = s.m.View()
		s.m, _ = s.m.update(keyOf("j"))
	}
}
