package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/autoscale"
	"loadstar/scheduler/journal"
)

// QueuedOptions are the flags of `loadstar bench --queued N`; a zero takes the default.
type QueuedOptions struct {
	Queued int    // tasks that wait, needed
	Few    int    // what the dispatch rate is held against, default 1000 waiting
	Moved  int    // tasks that are dispatched at each depth, default 100000
	Parent string // folder for the temporary state folder, default the system's own
	// Progress is told how far it is, 0 to 1; nil tells nobody.
	Progress func(done float64, status string)
}

func (o QueuedOptions) withDefaults() QueuedOptions {
	if o.Few == 0 {
		o.Few = 1000
	}
	if o.Moved == 0 {
		o.Moved = 100_000
	}
	if o.Parent == "" {
		o.Parent = os.TempDir()
	}
	if o.Progress == nil {
		o.Progress = func(float64, string) {}
	}
	return o
}

// Validate checks the options; the error is a *models.FieldError.
func (o QueuedOptions) Validate() error {
	switch {
	case o.Queued < 1 || o.Queued > 10_000_000:
		return models.Invalid("--queued", "%d is not between 1 and 10000000", o.Queued)
	case o.Few < 1 || o.Few > 10_000_000:
		return models.Invalid("few", "%d is not between 1 and 10000000", o.Few)
	case o.Moved < 1 || o.Moved > 10_000_000:
		return models.Invalid("moved", "%d is not between 1 and 10000000", o.Moved)
	}
	return nil
}

// QueuedResult is how the daemon's scheduler stands a long queue.
type QueuedResult struct {
	Queued         int     `json:"queued"`
	SubmitPerS     float64 `json:"submit_per_s"`     // tasks, while the queue was filled
	RSSMB          float64 `json:"rss_mb"`           // MiB, the larger of that with the queue filled and that after the restart
	FilledRSSMB    float64 `json:"filled_rss_mb"`    // MiB
	RestartedRSSMB float64 `json:"restarted_rss_mb"` // MiB
	LsPageMS       float64 `json:"ls_page_ms"`       // the slowest kind of page, its median
	RestartS       float64 `json:"restart_s"`        // from opening the journal to the first answer
	RestartCPUS    float64 `json:"restart_cpu_s"`    // of all cores
	FewQueued      int     `json:"few_queued"`
	FewPerS        float64 `json:"few_per_s"`      // tasks dispatched and ended with few queued
	ManyPerS       float64 `json:"many_per_s"`     // the same with all of them queued
	FewCPUUS       float64 `json:"few_cpu_us"`     // µs of CPU a task, as few_per_s
	ManyCPUUS      float64 `json:"many_cpu_us"`    // the same, as many_per_s
	DispatchRatio  float64 `json:"dispatch_ratio"` // the former by the latter; 1 is as fast
	PeakRSSMB      float64 `json:"peak_rss_mb"`    // MiB, of all the phases
	Filesystem     string  `json:"filesystem,omitempty"`
	CPUs           int     `json:"cpus"`
	Go             string  `json:"go"`
}

// queuedSlots is few, so that nearly all tasks wait.
const queuedSlots = 100

// RunQueuedBench fills the queue of a paused pool and measures what a long queue
// costs: memory, a page of a listing, a restart, and the rate of dispatch held
// against that of a short one.
func RunQueuedBench(ctx context.Context, o QueuedOptions) (r QueuedResult, err error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return QueuedResult{}, err
	}
	dir, err := os.MkdirTemp(o.Parent, "loadstar-bench-")
	if err != nil {
		return QueuedResult{}, fmt.Errorf("temporary state folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r = QueuedResult{Queued: o.Queued, FewQueued: o.Few, Filesystem: filesystem(dir), CPUs: allowedCPUs(), Go: runtime.Version()}

	o.Progress(0.02, fmt.Sprintf("dispatch with %d queued", o.Few))
	if err := withQueue(ctx, filepath.Join(dir, "few"), nil, func(ctx context.Context, q *queueBench) error {
		if err := q.fill(ctx, o.Few); err != nil {
			return err
		}
		r.FewPerS, r.FewCPUUS, err = q.move(ctx, o.Moved)
		return err
	}); err != nil {
		return QueuedResult{}, err
	}
	debug.FreeOSMemory()
	many := filepath.Join(dir, "many")
	o.Progress(0.15, fmt.Sprintf("submitting %d tasks", o.Queued))
	if err := withQueue(ctx, many, nil, func(ctx context.Context, q *queueBench) error {
		began := time.Now()
		if err := q.fill(ctx, o.Queued); err != nil {
			return err
		}
		r.SubmitPerS = float64(o.Queued) / time.Since(began).Seconds()
		r.FilledRSSMB = float64(residentSet()) / (1 << 20)
		return nil
	}); err != nil {
		return QueuedResult{}, err
	}
	debug.FreeOSMemory() // the process of a restart begins empty
	o.Progress(0.5, "restart")
	cpu, began := benchCPU(), time.Now()
	if err := withQueue(ctx, many, func() { r.RestartS = time.Since(began).Seconds() }, func(ctx context.Context, q *queueBench) error {
		r.RestartCPUS = (benchCPU() - cpu).Seconds()
		q.made = o.Queued
		if r.LsPageMS, err = q.pages(ctx); err != nil {
			return err
		}
		r.RestartedRSSMB = float64(residentSet()) / (1 << 20)
		o.Progress(0.7, fmt.Sprintf("dispatch with %d queued", o.Queued))
		r.ManyPerS, r.ManyCPUUS, err = q.move(ctx, o.Moved)
		return err
	}); err != nil {
		return QueuedResult{}, err
	}
	r.PeakRSSMB = float64(peakRSS()) / (1 << 20)
	r.RSSMB = max(r.FilledRSSMB, r.RestartedRSSMB)
	r.DispatchRatio = r.FewPerS / r.ManyPerS
	return r, nil
}

// queueBench drives a scheduler with a paused pool.
type queueBench struct {
	service *scheduler.Service
	made    int
}

// withQueue runs a scheduler over a state folder for as long as work takes; ready
// is called when it has answered for the first time.
func withQueue(ctx context.Context, dir string, ready func(), work func(context.Context, *queueBench) error) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("temporary state folder: %w", err)
	}
	j, err := journal.Open(ctx, journal.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	hands := newNoopAgent(queuedSlots)
	service, err := scheduler.New(scheduler.Config{
		Journal: j, Agents: []scheduler.Agent{hands}, Sizer: autoscale.Decide,
		Pools: []models.PoolSpec{models.PoolSpec{Name: models.DefaultPool, Max: queuedSlots}.WithDefaults()},
	})
	if err != nil {
		return err
	}
	handsCtx, stopHands := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHands()
	var below errgroup.Group
	below.Go(func() error { return hands.Run(handsCtx) })
	group, inner := errgroup.WithContext(ctx)
	inner, stop := context.WithCancel(inner)
	group.Go(func() error { return service.Run(inner) })
	group.Go(func() error { return paceGC(inner, service.Ready()) }) // as in the daemon
	group.Go(func() error {
		defer stop()
		if _, err := service.Stats(inner); err != nil {
			return err
		}
		if ready != nil {
			ready()
		}
		q := &queueBench{service: service}
		if err := q.pause(inner, true); err != nil {
			return err
		}
		return work(inner, q)
	})
	err = group.Wait()
	stopHands()
	return errors.Join(err, below.Wait())
}

func (q *queueBench) pause(ctx context.Context, paused bool) error {
	_, err := q.service.SetPool(ctx, models.DefaultPool, models.PoolPatch{Paused: &paused})
	return err
}

// fill submits n tasks of two kinds, in batches.
func (q *queueBench) fill(ctx context.Context, n int) error {
	for n > 0 {
		specs := make([]models.TaskSpec, min(n, benchBatch))
		for i := range specs {
			specs[i] = models.NewTaskSpec()
			specs[i].TaskID = fmt.Sprintf("queued-%09d", q.made)
			specs[i].Run = []string{"/bin/true"}
			specs[i].Labels = map[string]string{"team": strconv.Itoa(q.made % 10)}
			q.made++
		}
		if _, err := q.service.Submit(ctx, specs, ""); err != nil {
			return err
		}
		n -= len(specs)
	}
	return nil
}

// move lets the pool run until n tasks have ended, and puts as many new ones in
// the queue meanwhile. It returns the rate at which they ended, a second,
// and the CPU time that each took, in µs.
func (q *queueBench) move(ctx context.Context, n int) (rate, us float64, err error) {
	ended := func() (int, error) {
		s, err := q.service.Stats(ctx)
		return s.Tasks[models.Success], err
	}
	before, err := ended()
	if err != nil {
		return 0, 0, err
	}
	if err := q.pause(ctx, false); err != nil {
		return 0, 0, err
	}
	cpu, began := benchCPU(), time.Now()
	for added := 0; ; {
		now, err := ended()
		if err != nil {
			return 0, 0, err
		}
		done := now - before
		if done >= n {
			rate, us = float64(done)/time.Since(began).Seconds(), (benchCPU()-cpu).Seconds()*1e6/float64(done)
			return rate, us, q.pause(ctx, true)
		}
		if added-done < benchBatch/2 {
			if err := q.fill(ctx, benchBatch); err != nil {
				return 0, 0, err
			}
			added += benchBatch
			continue
		}
		time.Sleep(time.Millisecond)
	}
}

// pages is the median time of a page in ms, of the slowest kind.
func (q *queueBench) pages(ctx context.Context) (float64, error) {
	slowest := 0.0
	for _, f := range []models.TaskFilter{
		{},
		{States: []models.State{models.Pending}, Pool: models.DefaultPool, Oldest: true},
		{States: []models.State{models.Failed}},
		{Cursor: strconv.Itoa(q.made / 2)},
	} {
		var took []time.Duration
		for range 21 {
			began := time.Now()
			if _, err := q.service.Tasks(ctx, f); err != nil {
				return 0, err
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		slowest = max(slowest, float64(took[len(took)/2])/float64(time.Millisecond))
	}
	return slowest, nil
}

// residentSet is what this process has in memory now, in bytes; where the system
// does not tell, the most that it has had.
func residentSet() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 {
		if pages, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			return pages * int64(os.Getpagesize())
		}
	}
	return peakRSS()
}
