package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"loadstar/cmd/internal/config"
	"loadstar/collector/host"
	"loadstar/models"
	"loadstar/predictor"
	"loadstar/predictor/export"
	"loadstar/scheduler"
	"loadstar/scheduler/agent"
	"loadstar/scheduler/api"
	"loadstar/scheduler/autoscale"
	"loadstar/scheduler/worker"
)

// room is what the tasks on this host may ask for together: the cores and the
// memory that it has, or that the cgroup allows. Zero is unknown, and no limit.
func (d *Daemon) room(ctx context.Context) (cpus float64, memory models.Bytes) {
	r, err := host.New().Read(ctx, time.Now())
	if err != nil {
		d.log.Warn("what the host has is not known in full", "err", err)
	}
	return allowed(&r.Status)
}

// allowed is what a host lets this process and its tasks have.
func allowed(s *models.HostStatus) (cpus float64, memory models.Bytes) {
	if s.MemoryLimit > 0 && s.MemoryLimit < s.MemoryTotal {
		return s.CPULimit, s.MemoryLimit
	}
	return s.CPULimit, s.MemoryTotal
}

func (d *Daemon) openWork(ctx context.Context) (err error) {
	if d.logs, err = worker.NewLogStore(worker.LogConfig{
		Dir: filepath.Join(d.cfg.StateDir, "logs"), Logger: d.log,
		MaxBytesPerAttempt: int64(d.cfg.TaskLogMaxBytes), MaxTotalBytes: int64(d.cfg.TaskLogsMaxBytes),
	}); err != nil {
		return err
	}
	pools, err := Pools(d.cfg)
	if err != nil {
		return err
	}
	slots := 0
	for _, p := range pools {
		slots += p.Max
	}
	cpus, memory := d.room(ctx)
	if d.agent, err = agent.New(agent.Config{
		CPUs: cpus, MemoryTotal: memory,
		ID: d.cfg.AgentID, Capabilities: d.cfg.Capabilities, Slots: slots, Logs: d.logs,
		Weight: d.cfg.AgentWeight, Weights: agent.Weights(d.cfg.LoadWeights),
		Load: d.load, Logger: d.log, KillGrace: d.cfg.KillGrace.Std(),
	}); err != nil {
		return err
	}
	var steps scheduler.Telemetry
	if d.telemetry, d.closeTelemetry, err = openTelemetry(d.cfg, d.log); err != nil {
		return err
	}
	if d.telemetry != nil {
		steps = d.telemetry
	}
	if d.alerter, err = d.openAlerts(); err != nil {
		return err
	}
	var alerts scheduler.Alerts
	if d.alerter != nil {
		alerts = d.alerter
	}
	sizer := autoscale.NewSizer()
	if d.scheduler, err = scheduler.New(scheduler.Config{
		Telemetry: steps, Alerts: alerts,
		Journal: d.journal, Agents: []scheduler.Agent{d.agent}, Forecasts: forecasts{d.predictor, d.opts.WorkersIdle}, Metrics: d.collector,
		Core: scheduler.CoreConfig{
			Caps: d.cfg.Caps, Balance: d.cfg.Rebalance.Balance(),
			ScaleInWindow: d.cfg.ScaleInWindow.Std(), KillGrace: d.cfg.KillGrace.Std(),
		},
		Archive: d.archive, KeepFinished: d.cfg.Archive.KeepInMemory,
		Sizer: sizer.Decide, Planner: sizer.Plan, DecisionInterval: d.cfg.DecisionInterval.Std(), Pools: pools, Logger: d.log,
		AgentTimeout: d.cfg.AgentTimeout.Std(), Fleet: d.cfg.NATS != "" || d.cfg.NATSListen != "",
	}); err != nil {
		return err
	}
	d.fleet, err = openFleet(d.cfg, d.scheduler, d.logs, d.log)
	return err
}

// forecasts is the predictor as the scheduler looks at it.
type forecasts struct {
	*predictor.Service
	workersIdle bool
}

// HostCPU is not told for workers that take none.
func (f forecasts) HostCPU(lead time.Duration) (share float64, ok bool) {
	if f.workersIdle {
		return 0, false
	}
	return f.Service.HostCPU(lead)
}

// load is the host's present use for the agent's load score, each 0 to 1.
func (d *Daemon) load() (cpu, memory, io float64) {
	h, ok := d.collector.Host()
	if !ok {
		return 0, 0, 0
	}
	if h.MemoryTotal > 0 {
		memory = float64(h.MemoryUsed) / float64(h.MemoryTotal)
	}
	return h.CPU / 100, memory, max(0, h.PressureIO) / 100 // the share of the time in which something waited for it
}

// metrics is what the API serves of the host: the collector's view and the history.
type metrics struct{ d *Daemon }

func (m metrics) Host() (models.HostStatus, bool) { return m.d.collector.Host() }
func (m metrics) Series() []models.SeriesInfo     { return m.d.history.Series() }
func (m metrics) Range(series string, step time.Duration, from, to time.Time) ([]models.Point, error) {
	return m.d.history.Range(series, step, from, to)
}

func (m metrics) Import(series string, step time.Duration, points []models.Point) error {
	return m.d.history.Import(series, step, points)
}

func (d *Daemon) openAPI(ctx context.Context) (err error) {
	registry, err := telemetryMetrics(d.telemetry)
	if err != nil {
		return err
	}
	if err := alertMetrics(registry, d.alerter); err != nil {
		return err
	}
	if d.api, err = api.New(api.Config{
		Tasks: d.scheduler, Logs: d.logs, Metrics: metrics{d}, Forecasts: d.predictor, Info: d.info,
		Ready: d.ready, ForecastCSV: export.WriteCSV, Registry: registry, Token: d.cfg.Token, Version: d.opts.Version, Logger: d.log,
	}); err != nil {
		return err
	}
	unix, err := api.ListenUnix(d.cfg.SocketPath()) //nolint:contextcheck // its probe has a limit of its own
	if err != nil {
		return err
	}
	d.listeners = append(d.listeners, unix)
	if d.keda, err = d.openKEDA(ctx); err != nil {
		return err
	}
	if d.cfg.Listen == "" {
		return nil
	}
	tcp, err := listenTCP(ctx, d.cfg)
	if err != nil {
		return err
	}
	d.listeners = append(d.listeners, tcp)
	return nil
}

// listenTCP listens where the configuration says, with its certificate.
func listenTCP(ctx context.Context, cfg config.Config) (net.Listener, error) {
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	certificate, err := serverTLS(cfg)
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	if certificate != nil {
		tcp = tls.NewListener(tcp, certificate)
	}
	return tcp, nil
}

func (d *Daemon) info() models.DaemonInfo {
	hostname, _ := os.Hostname() //nolint:errcheck // an empty name is shown as such
	cpu, rss := d.self.read(time.Now())
	return models.DaemonInfo{
		Version: d.opts.Version, PID: os.Getpid(), Hostname: hostname, StateDir: d.cfg.StateDir,
		StartedAt: d.started, CPU: cpu, RSS: rss,
	}
}

func (d *Daemon) ready() bool {
	select {
	case <-d.scheduler.Ready():
		return true
	default:
		return false
	}
}

// Ready is closed once the journal has been replayed and the API serves all of it.
func (d *Daemon) Ready() <-chan struct{} { return d.scheduler.Ready() }

// Run serves until ctx ends, then drains and stops, the last part started first.
// It may be called once, and closes what Open opened.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.close()
	// Each layer has a context of its own, so that they can be ended in order.
	base := context.WithoutCancel(ctx)
	front, stopFront := context.WithCancel(base) // the API
	core, stopCore := context.WithCancel(base)   // scheduler, collector, predictor
	hands, stopHands := context.WithCancel(base) // the agent and its processes
	defer stopFront()
	defer stopCore()
	defer stopHands()

	failed := make(chan error, 3)
	layer := func(ctx context.Context, stop context.CancelFunc, parts ...func(context.Context) error) <-chan struct{} {
		group, ctx := errgroup.WithContext(ctx)
		for _, run := range parts {
			group.Go(func() error { return run(ctx) })
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			err := group.Wait()
			if err != nil && !errors.Is(err, context.Canceled) {
				failed <- err
			}
			stop()
		}()
		return done
	}
	below := []func(context.Context) error{d.agent.Run}
	if d.telemetry != nil {
		below = append(below, d.telemetry.Run)
	}
	handsDone := layer(hands, stopHands, below...)
	middle := []func(context.Context) error{d.scheduler.Run, d.history.Run, d.collector.Run, d.predictor.Run, trimMemory, d.paceGC}
	if d.fleet != nil {
		middle = append(middle, d.fleet.hub.Run)
	}
	if d.alerter != nil {
		middle = append(middle, d.alerter.Run)
	}
	coreDone := layer(core, stopCore, middle...)
	var serve []func(context.Context) error
	for _, l := range d.listeners {
		handler := d.api.Handler()
		serve = append(serve, func(ctx context.Context) error { return api.Serve(ctx, l, handler) })
	}
	if d.keda != nil {
		serve = append(serve, d.keda.Run)
	}
	frontDone := layer(front, stopFront, serve...)
	d.log.Info("serving", "socket", d.cfg.SocketPath(), "listen", d.cfg.Listen, "version", d.opts.Version)

	var cause error
	select {
	case <-ctx.Done():
		d.log.Info("draining", "for", d.cfg.Drain)
		drain, cancel := context.WithTimeout(base, d.cfg.Drain.Std())
		if err := d.scheduler.Drain(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			d.log.Warn("the drain was cut short", "err", err)
		}
		cancel()
	case cause = <-failed:
	case cause = <-d.opts.Lost:
	}
	stopFront()
	<-frontDone
	stopCore()
	<-coreDone
	stopHands()
	<-handsDone
	select {
	case err := <-failed:
		cause = errors.Join(cause, err)
	default:
	}
	d.log.Info("stopped")
	return cause
}

// close releases what Open took, in the opposite order; it may be called twice.
func (d *Daemon) close() {
	for _, l := range d.listeners {
		_ = l.Close()
	}
	closers := []func() error{}
	if d.keda != nil {
		_ = d.keda.listener.Close()
	}
	if d.closeTelemetry != nil {
		closers = append(closers, d.closeTelemetry)
		d.closeTelemetry = nil
	}
	if d.fleet != nil {
		closers = append(closers, d.fleet.close)
		d.fleet = nil
	}
	if d.history != nil {
		closers = append(closers, d.history.Close)
	}
	if d.journal != nil {
		closers = append(closers, d.journal.Close)
	}
	if d.lock != nil {
		closers = append(closers, d.lock.Release)
	}
	for _, c := range closers {
		if err := c(); err != nil {
			d.log.Warn("while stopping", "err", err)
		}
	}
	d.listeners, d.history, d.journal, d.lock = nil, nil, nil, nil
}
