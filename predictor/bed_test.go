package predictor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"loadstar/models"
	"loadstar/predictor/baseline"
)

// start is on every grid that the tests use.
var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// fakeHistory computes values on demand, up to the test's clock.
type fakeHistory struct {
	mu    sync.Mutex
	now   time.Time
	from  time.Time
	value map[string]func(step int64, at time.Time) float64 // NaN is missing
	steps []time.Duration
	since func() time.Time // of the first value, as Series tells it; nil is from
}

func (h *fakeHistory) set(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = now
}

func (h *fakeHistory) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *fakeHistory) Series() []models.SeriesInfo {
	var out []models.SeriesInfo
	from := h.from
	if h.since != nil {
		from = h.since()
	}
	for name := range h.value {
		for _, s := range h.steps {
			out = append(out, models.SeriesInfo{Name: name, StepS: s.Seconds(), From: from})
		}
	}
	return out
}

func (h *fakeHistory) Range(series string, step time.Duration, from, to time.Time) ([]models.Point, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.value[series]
	if !ok || !slices.Contains(h.steps, step) {
		return nil, models.ErrNotFound
	}
	var out []models.Point
	if from.Before(h.from) {
		from = h.from
	}
	for at := from.Truncate(step); at.Before(to) && !at.Add(step).After(h.now); at = at.Add(step) {
		if v := f(at.Sub(start).Milliseconds()/step.Milliseconds(), at); !math.IsNaN(v) && !at.Before(from) {
			out = append(out, models.Point{At: at, Value: v})
		}
	}
	return out, nil
}

// fakeLog is a side log in RAM.
type fakeLog struct {
	mu     sync.Mutex
	frames [][]byte
	err    error
}

func (l *fakeLog) Append(_ context.Context, frame []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.frames = append(l.frames, bytes.Clone(frame))
	return nil
}

func (l *fakeLog) Replay(_ context.Context, fn func(time.Time, []byte) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.frames {
		if err := fn(start, f); err != nil {
			return err
		}
	}
	return nil
}

// oracle learns nothing: it knows the series, plus an error.
type oracle struct {
	truth   func(step int64, at time.Time) float64
	off     float64
	err     error
	panics  bool
	trained []int // points of each training
	prevs   int   // trainings that went on from a model
	loads   int
}

func (o *oracle) Name() string { return models.ModelLSTM }

func (o *oracle) Train(ctx context.Context, spec Spec, data Sequence, prev Learned, hooks Hooks) (Learned, error) {
	o.trained = append(o.trained, len(data.Values))
	if prev != nil {
		o.prevs++
	}
	if o.panics {
		panic("tape machine")
	}
	for i := range 4 {
		hooks.Pace()
		hooks.Progress(float64(i+1)/4, 1)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if o.err != nil {
		return nil, o.err
	}
	end := data.Start.Add(time.Duration(len(data.Values)) * data.Step)
	return &oracleModel{oracle: o, horizon: spec.Horizon, step: data.Step, to: end, points: len(data.Values)}, nil
}

func (o *oracle) Load(path string) (Learned, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &oracleModel{oracle: o, points: 99, to: start}
	if _, err := fmt.Sscanf(string(b), "oracle %d %d", &m.horizon, &m.step); err != nil {
		return nil, errors.New("not an oracle")
	}
	o.loads++
	return m, nil
}

type oracleModel struct {
	oracle  *oracle
	horizon int
	step    time.Duration
	to      time.Time
	points  int
}

func (m *oracleModel) Forecast(tail Sequence) (baseline.Quantiles, []float64, [][]float64, error) {
	q := baseline.NewQuantiles(m.horizon)
	end := tail.Start.Add(time.Duration(len(tail.Values)) * tail.Step)
	var all [][]float64
	for i := range m.horizon {
		at := end.Add(time.Duration(i) * m.step)
		v := m.oracle.truth(at.Sub(start).Milliseconds()/m.step.Milliseconds(), at) + m.oracle.off
		// Out of order, as a careless model's: the service must put it right.
		q.P10[i], q.P50[i], q.P90[i] = v+1, v, v-1
		all = append(all, []float64{v - 1, v - 0.5, v, v + 0.5, v + 1})
	}
	return q, []float64{.1, .3, .5, .7, .9}, all, nil
}

func (m *oracleModel) Save(path string) error {
	return os.WriteFile(path, fmt.Appendf(nil, "oracle %d %d", m.horizon, m.step), 0o600)
}

func (m *oracleModel) Fits(spec Spec, step time.Duration) bool {
	return m.horizon == spec.Horizon && m.step == step
}

func (m *oracleModel) Trained() (time.Time, int) { return m.to, m.points }

// bed is a service on a clock of the test's own, driven step by step.
type bed struct {
	t      *testing.T
	s      *Service
	h      *fakeHistory
	events []models.Event
}

func diurnal(season int, seed uint64) func(int64, time.Time) float64 {
	return func(i int64, _ time.Time) float64 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		v := 30 + 20*math.Sin(2*math.Pi*float64(i)/float64(season)) + 2*r.NormFloat64()
		if r.IntN(50) == 0 {
			v += 15
		}
		return max(v, 0)
	}
}

func newBed(t *testing.T, value func(int64, time.Time) float64, change func(*Config)) *bed {
	t.Helper()
	b := &bed{t: t, h: &fakeHistory{
		now: start, from: start, value: map[string]func(int64, time.Time) float64{models.SeriesCPU: value},
		steps: []time.Duration{10 * time.Second},
	}}
	cfg := Config{
		History: b.h, Clock: b.h.clock, NoLearner: true, TrainShare: 1,
		Resolutions: []Resolution{{Step: 10 * time.Second, Horizon: 12, Context: 32}},
		OnEvent:     func(e models.Event) { b.events = append(b.events, e) },
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if b.s, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.s.replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// at moves the clock and lets the service do all that is due, trainings included.
func (b *bed) at(now time.Time) {
	b.h.set(now)
	b.s.tick(b.t.Context(), now)
	b.train()
}

func (b *bed) train() {
	for range 3 {
		b.s.nextTraining(b.t.Context())
		select {
		case j := <-b.s.train.jobs:
			b.s.train.do(j)
			b.s.trained(j)
		default:
			return
		}
	}
}

// run moves the clock from a step to another, one step and a bit at a time.
func (b *bed) run(from, to int) {
	for i := from; i < to; i++ {
		b.at(start.Add(time.Duration(i)*10*time.Second + 6*time.Second))
	}
}

func (b *bed) current() models.SeriesForecast {
	b.t.Helper()
	all, err := b.s.Current(models.SeriesCPU, 10)
	if err != nil || len(all) != 1 {
		b.t.Fatalf("current: %d, %v", len(all), err)
	}
	return all[0]
}

func (b *bed) history(q models.ForecastQuery) []models.ForecastRow {
	b.t.Helper()
	rows, err := b.s.History(q)
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

func (b *bed) told(kind models.EventKind) (out []string) {
	for _, e := range b.events {
		if e.Kind == kind {
			out = append(out, e.Message)
		}
	}
	return out
}
