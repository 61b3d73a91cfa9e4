package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"loadstar/models"
	"loadstar/scheduler/client"
)

// bench runs the phases of one benchmark.
type bench struct {
	o       BenchOptions
	client  *client.Client
	journal *countedJournal
	made    atomic.Int64 // tasks, so that each has another id
	result  BenchResult
}

func (b *bench) run(ctx context.Context) error {
	b.o.Progress(0, "warming up")
	if err := b.saturate(ctx, min(benchBatch, b.o.Tasks), &latencies{}); err != nil {
		return err
	}
	b.journal.count()
	if err := b.full(ctx); err != nil {
		return err
	}
	n := int(float64(b.o.PacedRate) * b.o.PacedFor.Seconds())
	if n == 0 {
		return nil
	}
	b.o.Progress(0.5, fmt.Sprintf("%d tasks at %d a second", n, b.o.PacedRate))
	paced, err := b.pace(ctx, n)
	b.result.Paced = &BenchPaced{RatePerS: b.o.PacedRate, BenchLatency: paced}
	return err
}

// full is the phase at full speed. With exec, it and xargs take turns, so that both
// meet the same machine.
func (b *bench) full(ctx context.Context) error {
	b.o.Progress(0.05, fmt.Sprintf("%d tasks as fast as they go", b.o.Tasks))
	var l latencies
	var took, cpu, xargs time.Duration
	left, cpus := b.o.Tasks, allowedCPUs()
	for round := range b.o.Rounds {
		n := left / (b.o.Rounds - round)
		left -= n
		if n == 0 {
			continue
		}
		used, began := benchCPU(), time.Now()
		if err := b.saturate(ctx, n, &l); err != nil {
			return err
		}
		took += time.Since(began)
		cpu += benchCPU() - used
		if !b.o.Exec {
			continue
		}
		b.o.Progress(0.05+0.45*float64(b.o.Tasks-left)/float64(b.o.Tasks), "taking turns with xargs")
		other, err := xargsTime(ctx, n, cpus)
		if err != nil {
			return err
		}
		xargs += other
	}
	written, commits := b.journal.count()
	all := l.summary()
	b.result = BenchResult{
		Kind: "noop", Tasks: b.o.Tasks, Batch: benchBatch, Slots: b.o.Slots,
		Seconds: took.Seconds(), TasksPerS: float64(b.o.Tasks) / took.Seconds(),
		Sampled: all.Tasks, SubmitToStart: all.SubmitToStart, SubmitToDone: all.SubmitToDone,
		Fsyncs: len(commits), JournalBytes: written, CommitMS: quantiles(commits),
		CPUSPerMillion: cpu.Seconds() * 1e6 / float64(b.o.Tasks), PeakRSSMB: float64(peakRSS()) / (1 << 20),
	}
	if b.o.Exec {
		b.result.Kind, b.result.Rounds = "exec", b.o.Rounds
	}
	if xargs > 0 {
		b.result.XargsSlots, b.result.XargsPerS = cpus, float64(b.o.Tasks)/xargs.Seconds()
		b.result.Ratio = xargs.Seconds() / took.Seconds()
	}
	return nil
}

// latencies gathers what the tasks of a phase took.
type latencies struct {
	mu          sync.Mutex
	start, done []time.Duration
}

func (l *latencies) add(submitted, done time.Time, t *models.Task) error {
	if t.State != models.Success || t.StartedAt == nil {
		return fmt.Errorf("task %s ended %s: %s", t.TaskID, t.State, t.Error)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = append(l.start, t.StartedAt.Sub(submitted))
	l.done = append(l.done, done.Sub(submitted))
	return nil
}

func (l *latencies) summary() BenchLatency {
	l.mu.Lock()
	defer l.mu.Unlock()
	return BenchLatency{Tasks: len(l.done), SubmitToStart: quantiles(l.start), SubmitToDone: quantiles(l.done)}
}

// saturate submits n tasks in batches as fast as they are accepted, and returns
// when the last one's end is durable. Some tasks of each batch are waited for one by
// one, as a client would, and measured.
func (b *bench) saturate(ctx context.Context, n int, l *latencies) error {
	const submitters, mostSamples, enough = 4, 10, 1000
	samples := min(mostSamples, max(1, enough*benchBatch/n))
	var next atomic.Int64
	before, err := b.finished(ctx)
	if err != nil {
		return err
	}
	group, inner := errgroup.WithContext(ctx)
	for range submitters {
		group.Go(func() error {
			for {
				size := min(benchBatch, n-int(next.Add(benchBatch)-benchBatch))
				if size <= 0 {
					return nil
				}
				specs := b.specs(size)
				at := time.Now()
				if _, err := b.client.SubmitIDs(inner, specs, ""); err != nil {
					return err
				}
				for i := range min(samples, size) {
					id := specs[size-1-i*size/samples].TaskID
					group.Go(func() error { return b.wait(inner, id, at, l) })
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for { // tasks go in their order, so that next to nothing is left by now
		done, err := b.finished(ctx)
		if err != nil || done-before >= n {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// finished is how many tasks have succeeded, durably.
func (b *bench) finished(ctx context.Context) (int, error) {
	s, err := b.client.Stats(ctx)
	if err == nil && s.Tasks[models.Failed]+s.Tasks[models.Cancelled] > 0 {
		err = fmt.Errorf("%d tasks failed", s.Tasks[models.Failed]+s.Tasks[models.Cancelled])
	}
	return s.Tasks[models.Success], err
}

func (b *bench) specs(n int) []models.TaskSpec {
	specs := make([]models.TaskSpec, n)
	first := int(b.made.Add(int64(n))) - n
	for i := range specs {
		specs[i] = models.NewTaskSpec()
		specs[i].TaskID = fmt.Sprintf("bench-%09d", first+i)
		specs[i].Run = []string{"/bin/true"}
	}
	return specs
}

func (b *bench) wait(ctx context.Context, id string, submitted time.Time, l *latencies) error {
	tasks, err := b.client.WaitFinal(ctx, []string{id})
	if err != nil {
		return err
	}
	return l.add(submitted, time.Now(), &tasks[0])
}

// pace submits n tasks one by one, each when it is due, whatever became of those before.
func (b *bench) pace(ctx context.Context, n int) (BenchLatency, error) {
	var l latencies
	group, inner := errgroup.WithContext(ctx)
	specs := b.specs(n)
	timer := time.NewTimer(0)
	defer timer.Stop()
	began := time.Now()
	for i := range specs {
		due := began.Add(time.Duration(float64(i) / float64(b.o.PacedRate) * float64(time.Second)))
		if ahead := time.Until(due); ahead > 0 {
			timer.Reset(ahead)
			select {
			case <-timer.C:
			case <-inner.Done():
				return BenchLatency{}, errors.Join(group.Wait(), ctx.Err())
			}
		}
		group.Go(func() error {
			if _, err := b.client.SubmitIDs(inner, specs[i:i+1], ""); err != nil {
				return err
			}
			return b.wait(inner, specs[i].TaskID, due, &l)
		})
	}
	err := group.Wait()
	return l.summary(), err
}

// quantiles of durations, in ms, by nearest rank.
func quantiles(d []time.Duration) models.Quantiles {
	if len(d) == 0 {
		return models.Quantiles{}
	}
	s := slices.Sorted(slices.Values(d))
	at := func(q float64) float64 {
		return float64(s[max(0, int(math.Ceil(q*float64(len(s))))-1)]) / float64(time.Millisecond)
	}
	return models.Quantiles{P50: at(.50), P95: at(.95), P99: at(.99)}
}

// benchCPU is the CPU time of this process and of the children it has waited for.
func benchCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		return cpuTime()
	}
	return cpuTime() + time.Duration(u.Utime.Nano()+u.Stime.Nano())
}

// peakRSS is the largest resident set that this process has had, in bytes.
func peakRSS() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss) //nolint:unconvert // 32 bits on some machines
	}
	return int64(u.Maxrss) << 10 //nolint:unconvert // KiB everywhere else, 32 bits on some machines
}

// xargsTime is how long xargs takes to run /bin/true n times, slots at once; 0
// where there is no xargs.
func xargsTime(ctx context.Context, n, slots int) (time.Duration, error) {
	path, err := exec.LookPath("xargs")
	if err != nil {
		return 0, nil //nolint:nilerr // there is nothing to compare with
	}
	var lines bytes.Buffer
	for i := range n {
		lines.WriteString(strconv.Itoa(i))
		lines.WriteByte('\n')
	}
	cmd := exec.CommandContext(ctx, path, "-n1", "-P", strconv.Itoa(slots), "/bin/true") //nolint:gosec // fixed
	cmd.Stdin = &lines
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("xargs: %w", err)
	}
	return time.Since(began), nil
}
