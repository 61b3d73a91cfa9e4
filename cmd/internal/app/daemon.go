package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"loadstar/cmd/internal/config"
	"loadstar/collector"
	"loadstar/collector/cgroup"
	"loadstar/collector/history"
	"loadstar/collector/host"
	"loadstar/models"
	"loadstar/predictor"
	"loadstar/scheduler"
	"loadstar/scheduler/agent"
	"loadstar/scheduler/alert"
	"loadstar/scheduler/api"
	"loadstar/scheduler/journal"
	"loadstar/scheduler/telemetry"
	"loadstar/scheduler/worker"
)

// Options are what a caller may set beyond the configuration.
type Options struct {
	Version     string
	Resolutions []predictor.Resolution // default: the predictor's own
	Logger      *slog.Logger
	// Lost says why this daemon must stop at once: another one leads. Default: none.
	Lost <-chan error
	// WorkersIdle says that the pools' workers take no CPU, as the demo's do: a busy
	// host then holds none of them back.
	WorkersIdle bool
}

// Daemon is one running Loadstar: everything but the command line and the screen.
type Daemon struct {
	cfg     config.Config
	opts    Options
	log     *slog.Logger
	started time.Time
	self    self
	leads   atomic.Pointer[map[string]time.Duration] // by pool

	lock           *journal.Lock
	journal        *journal.Journal
	archive        *journal.Archive
	history        *history.Store
	collector      *collector.Collector
	predictor      *predictor.Service
	logs           *worker.LogStore
	agent          *agent.Local
	telemetry      *telemetry.Sink // nil where it is off
	closeTelemetry func() error
	fleet          *fleet         // nil where no agents of other hosts may join
	alerter        *alert.Alerter // likewise
	scheduler      *scheduler.Service
	api            *api.API
	listeners      []net.Listener
	keda           *kedaServer // nil where it is off
}

// Open takes the state folder and builds every part; nothing runs yet. The error
// names who holds the folder where somebody does.
func Open(ctx context.Context, cfg config.Config, opts Options) (d *Daemon, err error) {
	d = &Daemon{cfg: cfg, opts: opts, log: opts.Logger, started: time.Now()}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	defer func() {
		if err != nil {
			d.close()
			d = nil
		}
	}()
	if d.lock, err = journal.LockDir(cfg.StateDir); err != nil {
		return d, err
	}
	if err := d.openStores(ctx); err != nil {
		return d, err
	}
	if err := d.openWork(ctx); err != nil {
		return d, err
	}
	return d, d.openAPI(ctx)
}

// Pools is the configured pools in order of their names, the default one among them.
func Pools(cfg config.Config) ([]models.PoolSpec, error) {
	byName := maps.Clone(cfg.Pools)
	if byName == nil {
		byName = map[string]models.PoolSpec{}
	}
	if _, named := byName[models.DefaultPool]; !named {
		byName[models.DefaultPool] = models.PoolSpec{Name: models.DefaultPool}
	}
	var pools []models.PoolSpec
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p := byName[name].WithDefaults()
		if p.Kind == models.KindExec && p.Max == 0 {
			p.Max = allowedCPUs()
		}
		if err := p.Validate(); err != nil {
			return nil, err
		}
		pools = append(pools, p)
	}
	return pools, nil
}

// leastShare stands in for a share of 0, which trains nothing at all.
const leastShare = 0.01

// samplePools is the pools for the collector; on the way it notes how far ahead
// each pool's demand must be known: its cold start as measured, one decision and
// one sample.
func (d *Daemon) samplePools(ctx context.Context) ([]models.PoolStatus, error) {
	pools, err := d.scheduler.Pools(ctx)
	if err != nil {
		return nil, err
	}
	leads := make(map[string]time.Duration, len(pools))
	for i := range pools {
		leads[pools[i].Name] = time.Duration(pools[i].ColdStartS*float64(time.Second)) + d.cfg.DecisionInterval.Std() + d.cfg.SampleInterval.Std()
	}
	d.leads.Store(&leads)
	return pools, nil
}

// lead is what samplePools noted; 0 before it did. It is asked by the scheduler's
// own goroutine, so it must not ask that one.
func (d *Daemon) lead(pool string) time.Duration {
	if leads := d.leads.Load(); leads != nil {
		return (*leads)[pool]
	}
	return 0
}

// allowedCPUs is the whole cores that the cgroup allows, at least one.
func allowedCPUs() int {
	cpus := float64(runtime.NumCPU())
	if limit, _, err := cgroup.Limits(); err == nil && limit > 0 {
		cpus = min(cpus, limit)
	}
	return max(1, int(cpus))
}

// historyLog is a tier's own log, which forgets what the tier's ring has forgotten.
func (d *Daemon) historyLog(ctx context.Context, name string, age time.Duration) (history.Log, error) {
	return d.journal.Log(ctx, name, journal.LogOptions{MaxAge: age, MaxBytes: 128 << 20})
}

func (d *Daemon) openStores(ctx context.Context) (err error) {
	if d.journal, err = journal.Open(ctx, journal.Config{
		Dir: filepath.Join(d.cfg.StateDir, "journal"), URL: d.cfg.NATS, Creds: d.cfg.NATSCreds, Logger: d.log,
	}); err != nil {
		return err
	}
	if d.archive, err = d.journal.Archive(ctx, "archive", journal.LogOptions{
		MaxAge: d.cfg.Archive.MaxAge.Std(), MaxBytes: int64(d.cfg.Archive.MaxBytes),
	}); err != nil {
		return err
	}
	if d.history, err = history.Open(ctx, history.Config{Logger: d.log, Logs: d.historyLog}); err != nil {
		return err
	}
	forecasts, err := d.journal.Log(ctx, "forecasts", journal.LogOptions{MaxAge: 30 * 24 * time.Hour, MaxBytes: 256 << 20})
	if err != nil {
		return err
	}
	if d.collector, err = collector.New(collector.Config{
		Host: host.New(), History: d.history, Logger: d.log,
		Pools: d.samplePools,
	}); err != nil {
		return err
	}
	d.predictor, err = predictor.New(predictor.Config{
		History: d.history, Store: forecasts, Logger: d.log,
		CheckpointDir: filepath.Join(d.cfg.StateDir, "models"),
		Resolutions:   d.opts.Resolutions, TrainShare: max(d.cfg.TrainShare, leastShare), NoLearner: d.cfg.TrainShare == 0,
		Lead:    d.lead,
		OnEvent: func(e models.Event) { d.scheduler.Announce(e) },
	})
	return err
}
