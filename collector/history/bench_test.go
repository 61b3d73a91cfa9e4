package history_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"loadstar/collector/history"
	"loadstar/models"
)

func tick(n int) []models.Sample {
	var samples []models.Sample
	for k := range n {
		samples = append(samples, models.Sample{Series: fmt.Sprintf("pool.p%02d.load", k), Value: float64(k) * 1.37})
	}
	return samples
}

// BenchmarkAppend is one second of 40 series, coarser tiers included.
func BenchmarkAppend(b *testing.B) {
	s := open(b, history.Config{})
	samples := tick(40)
	i := 0
	for b.Loop() {
		s.Append(second(i), samples)
		i++
	}
}

// BenchmarkRange reads the hour at 1 s.
func BenchmarkRange(b *testing.B) {
	s := open(b, history.Config{})
	for i := range 3600 {
		s.Append(second(i), tick(1))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Range("pool.p00.load", time.Second, second(0), second(3600)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSeries lists 40 series after each second, as a reader that polls does.
func BenchmarkSeries(b *testing.B) {
	s := open(b, history.Config{})
	samples := tick(40)
	i := 0
	for ; i < 90000; i++ {
		s.Append(second(i), samples)
	}
	for b.Loop() {
		s.Append(second(i), samples)
		i++
		if len(s.Series()) == 0 {
			b.Fatal("nothing")
		}
	}
}

// BenchmarkFullRings is the memory of 40 series whose rings are all full.
func BenchmarkFullRings(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := open(b, history.Config{})
	var points []models.Point
	for i := range 38400 {
		points = append(points, models.Point{At: epoch.Add(time.Duration(i) * 15 * time.Minute), Value: 1})
	}
	for k := range 40 {
		name := fmt.Sprintf("pool.p%02d.load", k)
		if err := s.Import(name, 15*time.Minute, points); err != nil {
			b.Fatal(err)
		}
		for i, step := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
			n := []int{3600, 8640, 20160}[i]
			part := make([]models.Point, n)
			for j := range part {
				part[j] = models.Point{At: points[len(points)-1].At.Add(-time.Duration(n-j) * step), Value: 1}
			}
			if err := s.Import(name, step, part); err != nil {
				b.Fatal(err)
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for b.Loop() { // only the figure counts
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/40, "B/series")
	runtime.KeepAlive(s)
}

// BenchmarkReplay is the start over a day of 40 series at 1 s: what a daemon reads at most.
func BenchmarkReplay(b *testing.B) {
	logs := memLogs{}
	s := open(b, history.Config{Logs: logs.open})
	random := rand.New(rand.NewPCG(5, 6))
	samples := tick(40)
	for i := range 24 * 3600 {
		for k := range samples {
			samples[k].Value = random.Float64()
		}
		s.Append(second(i), samples)
		if i%60 == 59 {
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		open(b, history.Config{Logs: logs.open})
	}
}
