package scheduler

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"loadstar/scheduler/telemetry"
)

// BenchmarkTelemetry takes tasks through all their states with the telemetry off,
// and on with its file.
func BenchmarkTelemetry(b *testing.B) {
	for name, on := range map[string]bool{"off": false, "on": true} {
		b.Run(name, func(b *testing.B) {
			c := lab(b, 1)
			c.cfg.Steps = on
			sink, err := telemetry.New(telemetry.Config{File: filepath.Join(b.TempDir(), "t.jsonl")})
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- sink.Run(ctx) }()
			now, made := time.Unix(1e9, 0), 0
			var batch batch
			for b.Loop() {
				sub := batchOf(b, made, 100)
				made += 100
				batch.reset(now.UnixNano())
				for i := range c.Step(now, Input{Submit: sub}).Records {
					batch.add(&c.out.Records[i])
				}
				for range 100 {
					now = now.Add(time.Microsecond)
					t := c.agents[0].tasks[0]
					for _, r := range []*Report{
						{Agent: "a", Started: &Started{TaskID: t.id, Lease: t.lease, At: now}},
						{Agent: "a", Finished: &Finished{TaskID: t.id, Lease: t.lease, At: now, Outcome: "SUCCESS"}},
					} {
						o := c.Step(now, Input{Report: r})
						for i := range o.Records {
							batch.add(&o.Records[i])
						}
					}
				}
				if on {
					sink.Offer(c.steps)
				}
				c.Commit()
			}
			stop()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "tasks/s")
			b.ReportMetric(float64(sink.Dropped())/float64(b.N)/100, "dropped/task")
		})
	}
}
