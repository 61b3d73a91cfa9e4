package scheduler

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"loadstar/models"
)

// lab is a core with one agent and a pool of so many slots.
func lab(tb testing.TB, slots int) *Core {
	c, err := NewCore(CoreConfig{}, []models.PoolSpec{{Name: "default", Kind: models.KindExec, Max: slots}})
	if err != nil {
		tb.Fatal(err)
	}
	c.Step(time.Unix(1e9, 0), Input{Join: &models.Agent{ID: "a"}})
	return c
}

func batchOf(tb testing.TB, from, n int) *Submission {
	specs := make([]models.TaskSpec, n)
	for i := range specs {
		specs[i] = models.NewTaskSpec()
		specs[i].TaskID, specs[i].Run = fmt.Sprintf("task-%09d", from+i), []string{"true"}
	}
	s, err := NewSubmission(specs, "", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// BenchmarkStepThroughATask takes tasks through all their states, with a backlog behind them.
func BenchmarkStepThroughATask(b *testing.B) {
	for name, backlog := range map[string]int{"1k": 1000, "100k": 100_000} {
		b.Run(name, func(b *testing.B) {
			c := lab(b, 1)
			now := time.Unix(1e9, 0)
			made := 0
			for ; made < backlog; made += 1000 {
				c.Step(now, Input{Submit: batchOf(b, made, 1000)})
				c.Commit()
			}
			var batch batch
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				b.StopTimer()
				sub := batchOf(b, made, 100)
				made += 100
				b.StartTimer()
				batch.reset(now.UnixNano())
				for i := range c.Step(now, Input{Submit: sub}).Records {
					batch.add(&c.out.Records[i])
				}
				for range 100 {
					now = now.Add(time.Microsecond)
					t := c.agents[0].tasks[0]
					started := Report{Agent: "a", Started: &Started{TaskID: t.id, Lease: t.lease, At: now}}
					finished := Report{Agent: "a", Finished: &Finished{TaskID: t.id, Lease: t.lease, At: now, Outcome: "SUCCESS"}}
					for _, r := range []*Report{&started, &finished} {
						o := c.Step(now, Input{Report: r})
						for i := range o.Records {
							batch.add(&o.Records[i])
						}
					}
				}
				c.Commit()
			}
			b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

// BenchmarkMemory says what a waiting and what a finished task take, and how long
// a snapshot of them takes to write and to restore.
func BenchmarkMemory(b *testing.B) {
	const n = 200_000
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		c := lab(b, 1)
		now := time.Unix(1e9, 0)
		for made := 0; made < n; made += 1000 {
			c.Step(now, Input{Submit: batchOf(b, made, 1000)})
			c.Commit()
		}
		b.ReportMetric((heap()-before)/n, "B/waiting")
		for c.pools["default"].busy() > 0 {
			t := c.agents[0].tasks[0]
			zero := 0
			c.Step(now, Input{Report: &Report{Agent: "a", Finished: &Finished{TaskID: t.id, Lease: t.lease, At: now, Outcome: "SUCCESS", ExitCode: &zero}}})
			c.Commit()
		}
		b.ReportMetric((heap()-before)/n, "B/finished")
		began := time.Now()
		chunks := c.snapshot(1, now.UnixNano())
		b.ReportMetric(n/time.Since(began).Seconds(), "snapshot-tasks/s")
		fresh, _ := NewCore(CoreConfig{}, []models.PoolSpec{{Name: "default", Kind: models.KindExec, Max: 1}})
		began = time.Now()
		restore := restorer{core: fresh}
		for _, k := range chunks {
			if err := restore.chunk(k); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(n/time.Since(began).Seconds(), "restore-tasks/s")
		runtime.KeepAlive(c)
	}
}
