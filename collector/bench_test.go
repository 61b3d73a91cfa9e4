package collector_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"loadstar/collector"
	"loadstar/collector/history"
	"loadstar/collector/host"
	"loadstar/models"
)

// BenchmarkTick is all that the collector does in one second: this host, four
// pools, and the history. At 1 Hz, 1 ms is 0.1 % of a core.
func BenchmarkTick(b *testing.B) {
	store, err := history.Open(context.Background(), history.Config{})
	if err != nil {
		b.Fatal(err)
	}
	pools := make([]models.PoolStatus, 4)
	for i := range pools {
		pools[i].Name = fmt.Sprintf("pool-%d", i)
	}
	c, err := collector.New(collector.Config{
		Host: host.New(), History: store,
		Pools: func(context.Context) ([]models.PoolStatus, error) { return pools, nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		now = now.Add(time.Second)
		collector.Sample(c, now)
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpuTime is what this process has used, which a busy machine does not stretch.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
