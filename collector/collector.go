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
	// Rewind forgets what is stamped later.
	Rewind(to time.Time)
	// BaseStep is the step that samples are taken for.
	BaseStep() time.Duration
}

// Config configures a Collector.
type Config struct {
	// Interval is the time between two samples, on whole multiples of it; the base
	// step of History. Default 1s.
	Interval time.Duration
	// Host reads the host; needed.
	Host HostProbe
	// Pools gives the pools' totals; nil samples no pools. It has half an interval
	// to answer.
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
	if step := c.interval(); c.History != nil && c.History.BaseStep() != step {
		return models.Invalid("interval", "%s is not the step of the history, %s", step, c.History.BaseStep())
	}
	return nil
}

func (c *Config) interval() time.Duration {
	if c.Interval == 0 {
		return time.Second
	}
	return c.Interval
}

// Collector samples. Host may be called from any goroutine; all else is Run's.
type Collector struct {
	cfg    Config
	latest atomic.Pointer[models.HostStatus]
	last   time.Time              // of the sample before
	pools  map[string]poolReading // by name
	host   trouble
	source trouble
}

// New makes a collector; Run starts it.
func New(cfg Config) (*Collector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Interval = cfg.interval()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Collector{
		cfg: cfg, pools: map[string]poolReading{},
		host: trouble{what: "the host"}, source: trouble{what: "the pools"},
	}, nil
}

// Host is the last snapshot; ok is false before the first, which is the first that
// has rates. A rate that is not known at a sample is that of the sample before.
// The snapshot's slices are shared and not to be changed.
func (c *Collector) Host() (h models.HostStatus, ok bool) {
	p := c.latest.Load()
	if p == nil {
		return h, false
	}
	return *p, true
}

// Run samples until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	if c.cfg.History != nil {
		c.cfg.History.Rewind(time.Now()) // an earlier run's clock may have been ahead
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		c.sample(ctx, time.Now())
		// The next whole interval: a late sample leaves a gap, it does not shift the grid.
		next := time.Now().Truncate(c.cfg.Interval).Add(c.cfg.Interval)
		timer.Reset(time.Until(next))
	}
}

// sample takes one sample. Rates are about the interval that ends now, so samples
// are stamped with its beginning.
func (c *Collector) sample(ctx context.Context, now time.Time) {
	steady := c.watchClock(now)
	reading, err := c.cfg.Host.Read(ctx, now)
	c.host.tell(ctx, c.cfg.Logger, err)
	if !steady {
		reading.Rates = host.Rates{}
	}
	c.publish(&reading)
	samples := append(reading.Samples(), c.readPools(ctx, steady)...)
	if c.cfg.History == nil || len(samples) == 0 || ctx.Err() != nil {
		return
	}
	begin := now.Round(c.cfg.Interval).Add(-c.cfg.Interval)
	for i := range samples {
		samples[i].At = begin
	}
	c.cfg.History.Append(begin, samples)
}

// watchClock says whether the time since the sample before is about one interval,
// by the clock on the wall and by the one that cannot be set: else what was counted
// meanwhile is no rate of one interval. What is stamped later than a clock that was
// set back is forgotten.
func (c *Collector) watchClock(now time.Time) (steady bool) {
	before := c.last
	c.last = now
	if before.IsZero() {
		return false
	}
	passed, wall := now.Sub(before), now.Round(0).Sub(before.Round(0))
	steady, back := judgeClock(passed, wall, c.cfg.Interval)
	if back && c.cfg.History != nil {
		c.cfg.Logger.Warn("the clock was set back: samples of the time that is ahead again are forgotten", "now", now.Round(0))
		c.cfg.History.Rewind(now.Round(c.cfg.Interval).Add(-c.cfg.Interval))
	}
	return steady
}

// judgeClock compares what passed by the clock that cannot be set with what passed
// on the wall: steady where both are about an interval, back where the wall's was
// set back by half an interval or more.
func judgeClock(passed, wall, interval time.Duration) (steady, back bool) {
	return about(passed, interval) && about(wall, interval), wall < passed-interval/2 || wall < -interval/2
}

// about holds from half an interval to one and a half.
func about(d, interval time.Duration) bool { return 2*d >= interval && 2*d <= 3*interval }

// publish makes the reading the latest snapshot. It keeps the rates of the one
// before where this one has none, and is left out where the memory was not read or
// no rate is known yet.
func (c *Collector) publish(r *host.Reading) {
	s := r.Status
	before := c.latest.Load()
	if s.MemoryTotal == 0 || before == nil && r.Rates.CPU == nil {
		return
	}
	if before != nil {
		keep := func(into *float64, rate *float64, old float64) {
			if rate == nil {
				*into = old
			}
		}
		keep(&s.CPU, r.Rates.CPU, before.CPU)
		keep(&s.DiskRead, r.Rates.DiskRead, before.DiskRead)
		keep(&s.DiskWrite, r.Rates.DiskWrite, before.DiskWrite)
		keep(&s.NetRx, r.Rates.NetRx, before.NetRx)
		keep(&s.NetTx, r.Rates.NetTx, before.NetTx)
		if r.Rates.Cores == nil {
			s.Cores = before.Cores
		}
	}
	c.latest.Store(&s)
}

// readPools is the pools' samples.
func (c *Collector) readPools(ctx context.Context, steady bool) []models.Sample {
	if c.cfg.Pools == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Interval/2)
	defer cancel()
	pools, err := c.cfg.Pools(ctx)
	if errors.Is(err, models.ErrUnavailable) { // not yet, or no more: its own owner tells why
		return nil
	}
	c.source.tell(ctx, c.cfg.Logger, err)
	if err != nil {
		return nil
	}
	return c.poolSamples(time.Now(), pools, steady)
}

// trouble logs an error when it begins and when it is over, not every second.
type trouble struct {
	what string
	told bool
}

func (t *trouble) tell(ctx context.Context, log *slog.Logger, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	if err != nil && !t.told {
		log.Warn("cannot read all of "+t.what, "err", err)
	}
	if err == nil && t.told {
		log.Info(t.what + " can be read again")
	}
	t.told = err != nil
}
