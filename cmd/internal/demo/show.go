package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"loadstar/models"
)

// PoolName is the pool of the show.
const PoolName = "workers"

// Daemon is what the show needs of the daemon it drives; *client.Client is one.
type Daemon interface {
	Import(ctx context.Context, series string, step time.Duration, points []models.Point) error
	Train(ctx context.Context, series string, progress func(models.TrainProgress)) error
	Submit(ctx context.Context, specs []models.TaskSpec, key string) ([]models.Task, error)
	Stats(ctx context.Context) (models.Stats, error)
	Pools(ctx context.Context) ([]models.PoolStatus, error)
	Forecasts(ctx context.Context, series string, stepS float64) ([]models.SeriesForecast, error)
}

// Config says what is shown.
type Config struct {
	Trace  Trace
	Length time.Duration // of submitting; the tasks under way are then waited for
	Seed   uint64
	Settle time.Duration // how long after Length the last tasks may take, default 60 s
}

// Show drives one demonstration.
type Show struct {
	cfg      Config
	daemon   Daemon
	progress func(string)
	origin   atomic.Int64 // the trace's second 0, unix nanoseconds; 0 before Prepare
}

// New makes a show; progress takes one line at a time.
func New(cfg Config, daemon Daemon, progress func(string)) *Show {
	if cfg.Settle == 0 {
		cfg.Settle = time.Minute
	}
	return &Show{cfg: cfg, daemon: daemon, progress: progress}
}

// Series that the show puts history into and reports on.
func demoSeries() (arrivals, load string) {
	return models.PoolSeries(PoolName, models.PoolArrivals), models.PoolSeries(PoolName, models.PoolLoad)
}

// Prepare puts the past days into the daemon's history and trains on them.
func (s *Show) Prepare(ctx context.Context) error {
	arrivals, load := demoSeries()
	// The day goes on from here, whatever the training takes: a past that ended
	// later than the show begins would be out of step with it.
	origin := time.Now().Truncate(time.Second)
	s.origin.Store(origin.UnixNano())
	pastArrivals, pastLoad := s.cfg.Trace.History(origin)
	if err := s.daemon.Import(ctx, arrivals, time.Second, pastArrivals); err != nil {
		return fmt.Errorf("import %s: %w", arrivals, err)
	}
	if err := s.daemon.Import(ctx, load, time.Second, pastLoad); err != nil {
		return fmt.Errorf("import %s: %w", load, err)
	}
	s.progress(fmt.Sprintf("%s: %d past days of %d s in history, at 1 s a step", s.cfg.Trace.Name, len(pastLoad)/s.cfg.Trace.Day, s.cfg.Trace.Day))
	for _, series := range []string{load, arrivals} {
		begun, shown := time.Now(), 0.0
		err := s.daemon.Train(ctx, series, func(p models.TrainProgress) {
			if p.Done >= shown+0.25 {
				shown = p.Done
				s.progress(fmt.Sprintf("training the LSTM on %s: %3.0f %%", series, 100*p.Done))
			}
		})
		if err != nil {
			return fmt.Errorf("train on %s: %w", series, err)
		}
		s.progress(fmt.Sprintf("trained the LSTM on %s in %.1f s", series, time.Since(begun).Seconds()))
	}
	return nil
}

// Run submits the trace's tasks at their moments and waits until all are final.
// Those that would have come while Prepare was at work are left out.
func (s *Show) Run(ctx context.Context) error {
	begin := s.elapsed()
	all := s.cfg.Trace.Arrivals(s.cfg.Seed)
	all = slices.DeleteFunc(all, func(a Arrival) bool { return a.At < begin || a.At >= begin+s.cfg.Length })
	const tick = 50 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	report := time.NewTicker(5 * time.Second)
	defer report.Stop()
	sent := 0
	for s.elapsed() < begin+s.cfg.Length || sent < len(all) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-report.C:
			s.report(ctx)
		case <-ticker.C:
			elapsed := s.elapsed()
			upTo := sent
			for upTo < len(all) && all[upTo].At <= elapsed {
				upTo++
			}
			if err := s.submit(ctx, all[sent:upTo], sent); err != nil {
				return err
			}
			sent = upTo
		}
	}
	s.progress(fmt.Sprintf("all %d tasks submitted; waiting for the last ones", sent))
	return s.settle(ctx, sent)
}

func (s *Show) submit(ctx context.Context, arrivals []Arrival, first int) error {
	if len(arrivals) == 0 {
		return nil
	}
	specs := make([]models.TaskSpec, len(arrivals))
	for i, a := range arrivals {
		spec := models.NewTaskSpec()
		spec.TaskID = fmt.Sprintf("demo-%05d", first+i)
		spec.Pool = PoolName
		spec.Description = fmt.Sprintf("render frame %d", first+i)
		input, err := json.Marshal(Input{ServiceMS: float64(a.Service) / float64(time.Millisecond)})
		if err != nil {
			return err
		}
		spec.Input = input
		spec.Labels = map[string]string{"demo": "day"}
		specs[i] = spec
	}
	_, err := s.daemon.Submit(ctx, specs, "")
	return err
}

func (s *Show) settle(ctx context.Context, sent int) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Settle)
	defer cancel()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		st, err := s.daemon.Stats(ctx)
		if err != nil {
			return err
		}
		if st.Tasks[models.Success]+st.Tasks[models.Failed]+st.Tasks[models.Cancelled] >= sent {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d tasks were done %s after the last one came", st.Tasks[models.Success], sent, s.cfg.Settle)
		case <-ticker.C:
		}
	}
}

// elapsed is the time since the trace's second 0.
func (s *Show) elapsed() time.Duration { return time.Since(time.Unix(0, s.origin.Load())) }

// Banner is the line that tells what the show is doing, for the screen's header.
func (s *Show) Banner() string {
	if s.origin.Load() == 0 {
		return "demo: getting ready"
	}
	elapsed := s.elapsed()
	return fmt.Sprintf("demo: %s, a day takes %d s", s.cfg.Trace.Clock(elapsed), s.cfg.Trace.Day)
}

// report writes one progress line.
func (s *Show) report(ctx context.Context) {
	st, err := s.daemon.Stats(ctx)
	if err != nil {
		s.progress("no answer from the daemon: " + err.Error())
		return
	}
	pools, err := s.daemon.Pools(ctx)
	if err != nil {
		s.progress("no answer from the daemon: " + err.Error())
		return
	}
	elapsed := s.elapsed()
	line := fmt.Sprintf("%4.0f s  %s  done %d, queued %d", elapsed.Seconds(), s.cfg.Trace.Clock(elapsed), st.Tasks[models.Success], st.Tasks[models.Pending])
	if i := slices.IndexFunc(pools, func(p models.PoolStatus) bool { return p.Name == PoolName }); i >= 0 {
		p := pools[i]
		line += fmt.Sprintf("  workers %d busy of %d ready, %d starting, %d wanted, %d prestarted", p.Busy, p.Ready, p.Starting, p.Wanted, p.Prestarted)
		if d := p.Decision; d != nil {
			line += "  [reactive " + strconv.Itoa(d.Reactive)
			if d.Gate {
				line += ", forecast " + strconv.Itoa(d.Predicted)
			} else {
				line += ", forecast not used: " + d.GateWhy
			}
			line += "]"
		}
	}
	s.progress(line)
}
