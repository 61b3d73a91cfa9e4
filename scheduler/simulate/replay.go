package simulate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"loadstar/models"
	"loadstar/scheduler/autoscale"
)

// metricLag is how old what a decision sees may be, as live.
const metricLag = time.Second

// Forecaster forecasts a pool's offered load from what it has been shown.
type Forecaster interface {
	// Observe takes the load, in busy workers, of the bin that ended at a time.
	// Bins come in order, each once.
	Observe(end time.Time, load float64)
	// Demand is the forecast from what was observed so far; nil where there is none.
	Demand() *models.DemandForecast
}

// Config says what to replay. The zero value of a field is its default.
type Config struct {
	Trace        string        // its name in the report
	Policies     []string      // default all
	ColdStart    time.Duration // of a worker: drawn from 0.8 to 1.2 times that; default 180s
	SLO          time.Duration // the wait aimed at; default 10s
	Violations   float64       // the share of tasks that may wait longer, 0 to 1; default 0.01
	Warmup       float64       // share of the trace that is only learnt from, 0 to below 1; default 0.5, negative is none
	Interval     time.Duration // between decisions; default 15s
	Min, Max     int           // of the pool; default 0 and four times what the busiest bin needs
	Seed         uint64        // default 1
	Sweep        bool          // look for each policy's cheapest setting within AtViolations
	AtViolations float64       // percent; default 1
	SweepRuns    int           // settings tried of a policy in a sweep, about; default 8
	Parallel     int           // runs at once; default 1
	// NewForecaster makes the forecaster, for so many bins ahead; nil is none.
	NewForecaster func(bin time.Duration, horizon int) Forecaster
	// Progress is told what is done; may be nil. It is called by one goroutine at a time.
	Progress func(done, all int, policy string)
}

func (c Config) withDefaults() Config {
	if len(c.Policies) == 0 {
		c.Policies = Policies()
	}
	setDefault(&c.ColdStart, 180*time.Second)
	setDefault(&c.SLO, 10*time.Second)
	setDefault(&c.Violations, 0.01)
	setDefault(&c.Warmup, 0.5)
	setDefault(&c.Interval, 15*time.Second)
	setDefault(&c.Seed, 1)
	setDefault(&c.AtViolations, 1)
	setDefault(&c.SweepRuns, 8)
	setDefault(&c.Parallel, 1)
	c.Warmup = math.Max(c.Warmup, 0)
	return c
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Validate names the first field that is wrong; the error wraps models.ErrInvalid.
func (c Config) Validate() error {
	c = c.withDefaults()
	for _, name := range c.Policies {
		if !slices.Contains(Policies(), name) {
			return models.Invalid("policies", "%q is not one of %v", name, Policies())
		}
	}
	switch {
	case c.ColdStart < 0 || c.ColdStart > 24*time.Hour:
		return models.Invalid("cold_start", "%s is not between 0s and 24h", c.ColdStart)
	case c.SLO < 0:
		return models.Invalid("slo", "%s is negative", c.SLO)
	case !(c.Violations > 0 && c.Violations < 1):
		return models.Invalid("violations", "%v is not between 0 and 1", c.Violations)
	case !(c.Warmup < 1):
		return models.Invalid("warmup", "%v is not below 1", c.Warmup)
	case c.Interval < time.Second:
		return models.Invalid("interval", "%s is shorter than 1s", c.Interval)
	case c.Min < 0 || c.Max < 0 || c.Max > 0 && c.Max < c.Min:
		return models.Invalid("min, max", "%d and %d are no bounds of a pool", c.Min, c.Max)
	case !(c.AtViolations > 0 && c.AtViolations < 100):
		return models.Invalid("at_violations", "%v is not between 0 and 100 percent", c.AtViolations)
	case c.SweepRuns < 1 || c.Parallel < 1:
		return models.Invalid("sweep_runs, parallel", "%d and %d must be positive", c.SweepRuns, c.Parallel)
	}
	return nil
}

// from is when measuring begins.
func (c *Config) from(w *Workload) time.Duration {
	return time.Duration(c.Warmup*float64(len(w.Load))) * w.Bin
}

// Report is what came out.
type Report struct {
	Trace      string   `json:"trace"`
	ColdStartS float64  `json:"cold_start_s"`
	SLOS       float64  `json:"slo_s"`
	BinS       float64  `json:"bin_s"`
	WarmupS    float64  `json:"warmup_s"`   // of the trace, before anything counts
	ReplayedS  float64  `json:"replayed_s"` // of the trace, after it
	MeanBusy   float64  `json:"mean_busy"`  // workers, of what was replayed
	PeakBusy   float64  `json:"peak_busy"`  // workers, of its busiest bin
	ServiceS   float64  `json:"service_s"`  // mean run time
	Seed       uint64   `json:"seed"`
	AtPct      float64  `json:"at_violations_pct"`
	Swept      bool     `json:"swept"`
	Verdict    Verdict  `json:"verdict"`
	Policies   []Result `json:"policies"`
	// Frontier is every run of a sweep, by policy and cost.
	Frontier []Result `json:"frontier,omitempty"`
}

// problem is a workload with what every policy shares.
type problem struct {
	cfg       *Config
	w         *Workload
	forecasts []*models.DemandForecast // by the number of bins that have ended
	mean, cv2 float64                  // of the run times, s
	need      []int                    // by bin, by Erlang-C for the true rate
	peak      int                      // the largest after the warm-up
	busy      float64                  // mean offered load after the warm-up
	once      sync.Once
	learned   *autoscale.Advisor // what the warm-up teaches
}

// Run replays the workload under each policy.
func Run(ctx context.Context, cfg Config, w *Workload) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	cfg = cfg.withDefaults()
	p, err := newProblem(ctx, cfg, w)
	if err != nil {
		return Report{}, err
	}
	r := p.report()
	results, frontier, err := p.runAll(ctx)
	if err != nil {
		return Report{}, err
	}
	r.Policies, r.Frontier = results, frontier
	return r, nil
}

func newProblem(ctx context.Context, cfg Config, w *Workload) (*problem, error) {
	p := &problem{cfg: &cfg, w: w}
	if len(w.Load) == 0 || len(w.Jobs) == 0 || cfg.from(w) >= w.End() {
		return nil, models.Invalid("trace", "nothing is left of it after the warm-up")
	}
	n := float64(len(w.Jobs))
	sum, sq := 0.0, 0.0
	for _, j := range w.Jobs {
		sum += j.Run.Seconds()
	}
	p.mean = sum / n
	for _, j := range w.Jobs {
		sq += (j.Run.Seconds() - p.mean) * (j.Run.Seconds() - p.mean)
	}
	p.cv2 = finite(sq / n / (p.mean * p.mean))
	unlimited := cfg
	unlimited.Max = 100_000
	p.need = needs(&unlimited, w, p.mean, p.cv2)
	p.peak = max(1, slices.Max(p.need[cfg.from(w)/w.Bin:]))
	p.busy = mean(w.Rate[cfg.from(w)/w.Bin:])
	if cfg.Max == 0 {
		p.cfg.Max = max(4*slices.Max(p.need), cfg.Min, 4)
	}
	return p, p.foresee(ctx)
}

// foresee makes every forecast, each from what had been seen by then. They are the
// same for all policies: the offered load does not depend on the pool's size.
func (p *problem) foresee(ctx context.Context) error {
	if p.cfg.NewForecaster == nil {
		return nil
	}
	reach := 2*(p.cfg.ColdStart.Seconds()*1.2+p.cfg.Interval.Seconds()+metricLag.Seconds()) + p.cfg.Interval.Seconds()
	f := p.cfg.NewForecaster(p.w.Bin, int(math.Ceil(reach/p.w.Bin.Seconds()))+2)
	p.forecasts = make([]*models.DemandForecast, len(p.w.Load)+1)
	for i, load := range p.w.Load {
		if err := ctx.Err(); err != nil {
			return err
		}
		f.Observe(p.w.Start.Add(time.Duration(i+1)*p.w.Bin), load)
		p.forecasts[i+1] = f.Demand()
	}
	return nil
}

func (p *problem) report() Report {
	from := int(p.cfg.from(p.w) / p.w.Bin)
	return Report{
		Trace: p.cfg.Trace, ColdStartS: p.cfg.ColdStart.Seconds(), SLOS: p.cfg.SLO.Seconds(), BinS: p.w.Bin.Seconds(),
		WarmupS: p.cfg.from(p.w).Seconds(), ReplayedS: (p.w.End() - p.cfg.from(p.w)).Seconds(),
		MeanBusy: mean(p.w.Rate[from:]), PeakBusy: slices.Max(p.w.Rate[from:]), ServiceS: p.mean,
		Seed: p.cfg.Seed, AtPct: p.cfg.AtViolations, Swept: p.cfg.Sweep, Verdict: p.verdict(),
	}
}

// runAll runs the policies, Parallel at once, and returns them in their order.
func (p *problem) runAll(ctx context.Context) (results, frontier []Result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results = make([]Result, len(p.cfg.Policies))
	points := make([][]Result, len(results))
	errs := make([]error, len(results))
	all := len(results)
	if p.cfg.Sweep {
		all *= p.cfg.SweepRuns + 1
	}
	var mu sync.Mutex
	done := 0
	tell := func(policy string) {
		mu.Lock()
		defer mu.Unlock()
		done++
		if p.cfg.Progress != nil {
			p.cfg.Progress(done, all, policy)
		}
	}
	var group sync.WaitGroup
	slots := make(chan struct{}, p.cfg.Parallel)
	for i, policy := range p.cfg.Policies {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			results[i], points[i], errs[i] = p.try(ctx, policy, tell)
			if errs[i] != nil {
				cancel()
			}
		})
	}
	group.Wait()
	for i, e := range errs {
		if e != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = fmt.Errorf("%s: %w", p.cfg.Policies[i], e)
		}
	}
	return results, slices.Concat(points...), err
}
