package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"loadstar/models"
	"loadstar/predictor/export"
	"loadstar/scheduler"
	"loadstar/scheduler/agent"
	"loadstar/scheduler/api"
	"loadstar/scheduler/autoscale"
	"loadstar/scheduler/client"
	"loadstar/scheduler/journal"
	"loadstar/scheduler/telemetry"
	"loadstar/scheduler/worker"
)

// BenchOptions are the flags of `loadstar bench`; a zero takes the default.
type BenchOptions struct {
	Tasks     int           // default 100000, with Exec 2000
	Exec      bool          // /bin/true through the real agent, in the place of tasks that do nothing
	Telemetry bool          // write telemetry too, into the state folder
	Parent    string        // folder for the temporary state folder, default the system's own
	Slots     int           // tasks at once; default 1000, with Exec twice the CPUs that the cgroup allows
	Rounds    int           // with Exec: turns that it and xargs take; default 5
	PacedRate int           // tasks/s of the paced phase; default 1000, with Exec 100
	PacedFor  time.Duration // how long the paced phase lasts, default 3s
	// Progress is told how far it is, 0 to 1; nil tells nobody.
	Progress func(done float64, status string)
}

func (o BenchOptions) withDefaults() BenchOptions {
	tasks, slots, rate := 100_000, 1000, 1000
	if o.Exec {
		tasks, slots, rate = 2000, 2*allowedCPUs(), 100
	}
	if o.Tasks == 0 {
		o.Tasks = tasks
	}
	if o.Slots == 0 {
		o.Slots = slots
	}
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if !o.Exec {
		o.Rounds = 1
	}
	if o.PacedRate == 0 {
		o.PacedRate = rate
	}
	if o.PacedFor == 0 {
		o.PacedFor = 3 * time.Second
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
func (o BenchOptions) Validate() error {
	switch {
	case o.Tasks < 1 || o.Tasks > 10_000_000:
		return models.Invalid("--tasks", "%d is not between 1 and 10000000", o.Tasks)
	case o.Slots < 1 || o.Slots > 100_000:
		return models.Invalid("--slots", "%d is not between 1 and 100000", o.Slots)
	case o.Rounds < 1 || o.Rounds > 1000:
		return models.Invalid("--rounds", "%d is not between 1 and 1000", o.Rounds)
	case o.PacedRate < 1 || o.PacedRate > 100_000:
		return models.Invalid("--rate", "%d is not between 1 and 100000 tasks/s", o.PacedRate)
	case o.PacedFor < 0 || o.PacedFor > time.Hour:
		return models.Invalid("--paced", "%s is not between 0s and 1h", o.PacedFor)
	}
	return nil
}

// benchBatch is how many tasks are submitted at once.
const benchBatch = 500

// BenchLatency is one phase's time from the call of Submit. An end counts when
// whoever waits for the task has been told, so its record is on disk by then.
type BenchLatency struct {
	Tasks         int              `json:"tasks"` // measured
	SubmitToStart models.Quantiles `json:"submit_to_start_ms"`
	SubmitToDone  models.Quantiles `json:"submit_to_done_ms"`
}

// BenchPaced is the phase in which tasks come one by one at a steady rate. Their
// times count from when each was due.
type BenchPaced struct {
	RatePerS int `json:"rate_per_s"`
	BenchLatency
}

// BenchTelemetry is how many steps were written over all phases, and lost.
type BenchTelemetry struct {
	Written uint64 `json:"written"`
	Dropped uint64 `json:"dropped"`
}

// BenchResult is what a benchmark found.
type BenchResult struct {
	Kind           string           `json:"kind"` // noop or exec
	Tasks          int              `json:"tasks"`
	Batch          int              `json:"batch"` // tasks a call of Submit
	Slots          int              `json:"slots"` // tasks at once
	Seconds        float64          `json:"seconds"`
	TasksPerS      float64          `json:"tasks_per_s"` // first submit to last durable end
	Sampled        int              `json:"sampled"`     // tasks that the two below are taken over
	SubmitToStart  models.Quantiles `json:"submit_to_start_ms"`
	SubmitToDone   models.Quantiles `json:"submit_to_done_ms"`
	Fsyncs         int              `json:"fsyncs"` // commits to the journal, each synced before it counts
	JournalBytes   int64            `json:"journal_bytes"`
	CommitMS       models.Quantiles `json:"commit_ms"`
	CPUSPerMillion float64          `json:"cpu_s_per_million"` // of this process and what it started
	PeakRSSMB      float64          `json:"peak_rss_mb"`       // MiB, of this process
	Telemetry      *BenchTelemetry  `json:"telemetry,omitempty"`
	Paced          *BenchPaced      `json:"paced,omitempty"`
	Rounds         int              `json:"rounds,omitempty"`      // with exec: turns that it and xargs took
	XargsPerS      float64          `json:"xargs_per_s,omitempty"` // with exec: the same by xargs, where there is one
	XargsSlots     int              `json:"xargs_slots,omitempty"` // its -P
	Ratio          float64          `json:"ratio,omitempty"`       // tasks_per_s over xargs_per_s
	Filesystem     string           `json:"filesystem,omitempty"`  // of the state folder
	CPUs           int              `json:"cpus"`
	Go             string           `json:"go"`
}

// RunBench measures the durable task queue from end to end on this machine: the
// real journal, synced, the real scheduler, and either tasks that do nothing or
// the real agent. It works in a temporary state folder, which is gone afterwards.
func RunBench(ctx context.Context, o BenchOptions) (result BenchResult, err error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return BenchResult{}, err
	}
	dir, err := os.MkdirTemp(o.Parent, "loadstar-bench-")
	if err != nil {
		return BenchResult{}, fmt.Errorf("temporary state folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	j, err := journal.Open(ctx, journal.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		return BenchResult{}, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	logs, err := worker.NewLogStore(worker.LogConfig{Dir: filepath.Join(dir, "logs")})
	if err != nil {
		return BenchResult{}, err
	}
	hands, err := benchHands(o, logs)
	if err != nil {
		return BenchResult{}, err
	}
	counted := &countedJournal{Journal: j}
	var steps scheduler.Telemetry
	var sink *telemetry.Sink
	if o.Telemetry {
		if sink, err = telemetry.New(telemetry.Config{File: filepath.Join(dir, "telemetry.jsonl")}); err != nil {
			return BenchResult{}, err
		}
		steps = sink
	}
	service, err := scheduler.New(scheduler.Config{
		Telemetry: steps,
		Journal:   counted, Agents: []scheduler.Agent{hands}, Sizer: autoscale.Decide,
		Pools: []models.PoolSpec{models.PoolSpec{Name: models.DefaultPool, Max: o.Slots}.WithDefaults()},
	})
	if err != nil {
		return BenchResult{}, err
	}
	// The hands outlast the scheduler, as in the daemon.
	handsCtx, stopHands := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHands()
	var below errgroup.Group
	below.Go(func() error { return hands.Run(handsCtx) })
	if sink != nil {
		below.Go(func() error { return sink.Run(handsCtx) })
	}
	line, stopLine, err := benchLine(ctx, dir, service, logs)
	if err != nil {
		return BenchResult{}, err
	}
	below.Go(func() error { return line.serve(handsCtx) })
	group, inner := errgroup.WithContext(ctx)
	inner, stop := context.WithCancel(inner)
	group.Go(func() error { return service.Run(inner) })
	group.Go(func() error {
		defer stop()
		defer stopLine()
		b := bench{o: o, client: line.client, journal: counted}
		if err := b.run(inner); err != nil {
			return err
		}
		result = b.result
		return nil
	})
	err = group.Wait()
	stopHands()
	if err = errors.Join(err, below.Wait()); err != nil {
		return BenchResult{}, err
	}
	if sink != nil {
		result.Telemetry = &BenchTelemetry{Written: sink.Written(), Dropped: sink.Dropped()}
	}
	result.Filesystem, result.CPUs, result.Go = filesystem(dir), allowedCPUs(), runtime.Version()
	return result, nil
}

// runner is an agent that somebody has to run.
type runner interface {
	scheduler.Agent
	Run(ctx context.Context) error
}

func benchHands(o BenchOptions, logs *worker.LogStore) (runner, error) {
	if !o.Exec {
		return newNoopAgent(o.Slots), nil
	}
	return agent.New(agent.Config{ID: benchAgent, Slots: o.Slots, Logs: logs})
}

// line is the way of a client to the scheduler: the API on a unix socket.
type line struct {
	serve  func(context.Context) error
	client *client.Client
}

func benchLine(ctx context.Context, dir string, service *scheduler.Service, logs *worker.LogStore) (l *line, stop func(), err error) {
	rest, err := api.New(api.Config{
		Tasks: service, Logs: logs, Metrics: nothingSampled{}, Forecasts: nothingForecast{},
		Info: func() models.DaemonInfo { return models.DaemonInfo{} }, ForecastCSV: export.WriteCSV,
	})
	if err != nil {
		return nil, nil, err
	}
	path := filepath.Join(dir, "socket")
	listener, err := api.ListenUnix(path) //nolint:contextcheck // its probe has a limit of its own
	if err != nil {
		return nil, nil, err
	}
	c, err := client.New(client.Config{Socket: path})
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	l = &line{serve: func(ctx context.Context) error { return api.Serve(ctx, listener, rest.Handler()) }, client: c}
	return l, c.Close, ctx.Err()
}

// nothingSampled and nothingForecast stand for a host that is not looked at.
type nothingSampled struct{}

func (nothingSampled) Host() (h models.HostStatus, ok bool) { return h, false }
func (nothingSampled) Series() []models.SeriesInfo          { return nil }
func (nothingSampled) Range(string, time.Duration, time.Time, time.Time) ([]models.Point, error) {
	return nil, models.ErrNotFound
}

func (nothingSampled) Import(string, time.Duration, []models.Point) error {
	return models.ErrUnavailable
}

type nothingForecast struct{}

func (nothingForecast) Current(string, float64) ([]models.SeriesForecast, error) { return nil, nil }
func (nothingForecast) History(models.ForecastQuery) ([]models.ForecastRow, error) {
	return nil, nil
}

func (nothingForecast) Train(context.Context, string, func(models.TrainProgress)) error {
	return models.ErrUnavailable
}
