package collector

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"loadstar/collector/host"
	"loadstar/models"
)

// HostProbe reads the host; *host.Probe is one.
type HostProbe interface {
	Read(ctx context.Context, now time.Time) (host.Reading, error)
}

// History takes samples; *history.Store is one.
type History interface {
	Append(at time.Time, samples []models.Sample)
}

// Config configures a Collector.
type Config struct {
	// Interval is the time between two samples, on whole multiples of it. Default 1s.
	Interval time.Duration
	// Host reads the host; needed.
	Host HostProbe
	// Pools gives the pools' totals; nil samples no pools.
	Pools func(ctx context.Context) ([]models.PoolStatus, error)
	// History takes the samples; nil keeps none.
	History History
	// Logger is told, once, of what cannot be read. Default: discard.
	Logger *slog.Logger
}

// Validate names the first field that is wrong.
func (c *Config) Validate() error {
	switch {
	case c.Host == nil:
		return errors.New("collector: Host is missing")
	case c.Interval < 0:
		return models.Invalid("interval", "%s is negative", c.Interval)
	}
	return nil
}

// Collector samples. Host may be called from any goroutine.
type Collector struct {
	cfg      Config
	latest   atomic.Pointer[models.HostStatus]
	pools    map[string]poolReading // by name; owned by Run
	troubled bool                   // the last reading had an error that was logged
}

// New makes a collector; Run starts it.
func New(cfg Config) (*Collector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Interval == 0 {
		cfg.Interval = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Collector{cfg: cfg, pools: map[string]poolReading{}}, nil
}

// Host is the last snapshot; ok is false before the first.
func (c *Collector) Host() (h models.HostStatus, ok bool) {
	p := c.latest.Load()
	if p == nil {
		return h, false
	}
	return *p, true
}

// Run samples until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		now := time.Now()
		c.sample(ctx, now)
		// The next whole interval: a late sample leaves a gap, it does not shift the grid.
		next := time.Now().Truncate(c.cfg.Interval).Add(c.cfg.Interval)
		timer.Reset(time.Until(next))
	}
}

// sample takes one sample. Rates are about the interval that ends now, so samples
// are stamped with its beginning.
func (c *Collector) sample(ctx context.Context, now time.Time) {
	reading, err := c.cfg.Host.Read(ctx, now)
	c.tell(ctx, err)
	status := reading.Status
	c.latest.Store(&status)
	samples := reading.Samples()
	if c.cfg.Pools != nil {
		pools, err := c.cfg.Pools(ctx)
		if err == nil {
			samples = append(samples, c.poolSamples(now, pools)...)
		}
	}
	if c.cfg.History == nil || len(samples) == 0 {
		return
	}
	begin := now.Round(c.cfg.Interval).Add(-c.cfg.Interval)
	for i := range samples {
		samples[i].At = begin
	}
	c.cfg.History.Append(begin, samples)
}

// tell logs an error when it begins and when it is over, not every second.
func (c *Collector) tell(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && !c.troubled {
		c.cfg.Logger.Warn("cannot read all of the host", "err", err)
	}
	if err == nil && c.troubled {
		c.cfg.Logger.Info("the host can be read again")
	}
	c.troubled = err != nil
}
