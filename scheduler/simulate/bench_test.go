package simulate

import (
	"context"
	"testing"
	"time"
)

// BenchmarkADayOfMinutes replays a day of about 8 busy workers under one policy.
func BenchmarkADayOfMinutes(b *testing.B) {
	counts := make([]float64, 1440)
	for i := range counts {
		counts[i] = 60
	}
	w, err := FromCounts(time.Unix(1e9, 0), time.Minute, counts, Service{}, 8, 1)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Run(context.Background(), Config{Policies: []string{Reactive}, Warmup: -1}, w); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(w.Jobs))*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
