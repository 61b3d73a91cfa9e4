package predictor

import (
	"math"
	"strconv"
	"testing"
	"time"

	"loadstar/models"
)

// full keeps about so many rows: four models, 30 steps, in one group.
func full(t testing.TB, rows int) *Service {
	h := &fakeHistory{now: start, from: start, value: map[string]func(int64, time.Time) float64{}}
	s, err := New(Config{History: h, Clock: h.clock, NoLearner: true})
	if err != nil {
		t.Fatal(err)
	}
	g := s.addGroup(key{models.SeriesCPU, 10 * time.Second}, s.cfg.Resolutions[0])
	values := map[string]float64{models.ModelLast: 1, models.ModelSNaive: 2, models.ModelHoltWinters: 3, models.ModelLSTM: 4}
	for i := range rows / 120 {
		is := flat(int64(i)*10, 30, 0, values)
		s.bytes += g.keep(is)
		s.evict()
	}
	return s
}

func TestAMillionRowsFitIntoTheCapAndALimitIsObeyed(t *testing.T) {
	s := full(t, 1_000_000)
	if got := len(s.order[0].kept); got != 1_000_000/120 || s.bytes > s.cfg.MaxBytes {
		t.Fatalf("%d issues kept in %d bytes", got, s.bytes)
	}
	rows, err := s.History(models.ForecastQuery{Limit: 50})
	if err != nil || len(rows) != 50 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].IssuedAt.After(rows[i-1].IssuedAt) {
			t.Fatal("not newest first")
		}
	}
	mid := rows[0].IssuedAt.Add(-time.Hour)
	rows, err = s.History(models.ForecastQuery{Series: models.SeriesCPU, StepS: 10, From: mid.Add(-20 * time.Second), To: mid, Model: models.ModelLSTM, Horizon: 7})
	if err != nil || len(rows) != 3 || !rows[0].IssuedAt.Equal(mid) || rows[0].Horizon != 7 || math.Abs(rows[0].P50-4) > 1e-3 {
		t.Errorf("%d rows, %v: %+v", len(rows), err, rows)
	}
}

func TestTheOldestGoWhenTheCapIsReached(t *testing.T) {
	h := &fakeHistory{now: start, from: start, value: map[string]func(int64, time.Time) float64{}, steps: []time.Duration{10 * time.Second}}
	for i := range 5 {
		h.value[models.PoolSeries(strconv.Itoa(i), models.PoolLoad)] = diurnal(96, uint64(i))
	}
	s, err := New(Config{History: h, Clock: h.clock, NoLearner: true, MaxBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		now := start.Add(time.Duration(i)*10*time.Second + 4*time.Second)
		h.set(now)
		s.tick(t.Context(), now)
	}
	least, most, sum := 1000, 0, 0
	for _, g := range s.order {
		least, most, sum = min(least, len(g.kept)), max(most, len(g.kept)), sum+g.bytes
	}
	if s.bytes > 1<<16 || s.bytes != sum || least < 10 || most > least+2 {
		t.Errorf("%d bytes (%d summed), %d to %d issues a group", s.bytes, sum, least, most)
	}
}

func BenchmarkLimitedQueryOfAMillionRows(b *testing.B) {
	s := full(b, 1_000_000)
	for b.Loop() {
		_, _ = s.History(models.ForecastQuery{Series: models.SeriesCPU, Limit: 100})
	}
}

// BenchmarkIdleTick is the work of ten seconds, refits included, of eight series
// at the three default resolutions, with a day of values.
func BenchmarkIdleTick(b *testing.B) {
	h := &fakeHistory{from: start, value: map[string]func(int64, time.Time) float64{}, steps: []time.Duration{10 * time.Second, time.Minute, 15 * time.Minute}}
	values := make([]float64, 20000)
	for i := range values {
		values[i] = diurnal(360, 1)(int64(i), start)
	}
	for i := range 8 {
		h.value[models.PoolSeries(strconv.Itoa(i), models.PoolLoad)] = func(i int64, _ time.Time) float64 { return values[i%20000] }
	}
	s, err := New(Config{History: h, Clock: h.clock, NoLearner: true})
	if err != nil {
		b.Fatal(err)
	}
	now := start.Add(24 * time.Hour)
	h.set(now)
	s.tick(b.Context(), now.Add(4*time.Second))
	for b.Loop() {
		now = now.Add(10 * time.Second)
		h.set(now.Add(4 * time.Second))
		s.tick(b.Context(), now.Add(4*time.Second))
	}
}
