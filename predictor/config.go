package predictor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"loadstar/models"
)

// History is where values come from; *history.Store implements it.
type History interface {
	// Series lists what there is: one entry for a name and step.
	Series() []models.SeriesInfo
	// Range returns the points with from <= At < to, ascending, of the tier with
	// that step; models.ErrNotFound where there is none.
	Range(series string, step time.Duration, from, to time.Time) ([]models.Point, error)
}

// Log keeps issued forecasts over restarts; *journal.Log implements it.
type Log interface {
	Append(ctx context.Context, frame []byte) error
	Replay(ctx context.Context, fn func(at time.Time, frame []byte) error) error
}

// Resolution is one step at which series are forecast.
type Resolution struct {
	Step    time.Duration // of the history tier; a whole number of milliseconds
	Horizon int           // steps ahead, 1 to 512
	Context int           // steps that the LSTM reads, 4 to 1024
	Every   time.Duration // a forecast is issued so often; a multiple of Step, default Step
}

// Config sets a Service up. The zero value of a field is its default.
type Config struct {
	History       History // required
	Store         Log     // nil keeps forecasts in RAM only
	CheckpointDir string  // folder of the trained models; empty keeps none

	Resolutions  []Resolution             // default 10s x 30, 1m x 60, 15m x 96
	Select       func(series string) bool // default: host cpu, memory, io, network; pools' arrivals and load
	Learner      Learner                  // the learned model; default the LSTM
	NoLearner    bool                     // baselines only
	TrainShare   float64                  // of one core for background training, above 0 to 1; default 0.25
	MinTrain     int                      // points before the learner is trained first; default 40
	RetrainEvery time.Duration            // after the last training at the latest; default 6h, and 96 steps at least
	Preempt      func() bool              // while true, background training waits (at most a minute at a time); nil is never
	Lead         func(pool string) time.Duration
	// Lead is how far Demand must look for a pool (its cold start and more); nil
	// is not at all, so that the finest step serves.

	MaxBytes    int           // RAM for kept forecasts; default 16 MiB
	MaxPoints   int           // steps of each series held for fitting; default 20160, two weeks of minutes
	ScoreWindow int           // newest scored steps that scores rest on; default 288
	Settle      time.Duration // after a step ends, before its value is read; default a fifth of the step, 1s at most
	Poll        time.Duration // real time between looks at the clock; default 250ms

	Clock   func() time.Time   // default time.Now
	OnEvent func(models.Event) // told of trainings, changes of champion, drift and trouble; must not block; may be nil
	Seed    uint64             // of the learner
	Logger  *slog.Logger       // default discards
}

// DefaultResolutions are seconds for cold starts, minutes for the hour and
// quarters of an hour for the day.
func DefaultResolutions() []Resolution {
	return []Resolution{
		{Step: 10 * time.Second, Horizon: 30, Context: 60, Every: 10 * time.Second},
		{Step: time.Minute, Horizon: 60, Context: 60, Every: time.Minute},
		{Step: 15 * time.Minute, Horizon: 96, Context: 96, Every: 15 * time.Minute},
	}
}

// DefaultSelect takes the host's cpu, memory, io and network, and each pool's
// arrivals and offered load.
func DefaultSelect(series string) bool {
	switch series {
	case models.SeriesCPU, models.SeriesMemory, models.SeriesIO, models.SeriesNetwork:
		return true
	}
	_, what, ok := models.ParsePoolSeries(series)
	return ok && (what == models.PoolArrivals || what == models.PoolLoad)
}

// WithDefaults fills the zero fields.
func (c Config) WithDefaults() Config {
	if len(c.Resolutions) == 0 {
		c.Resolutions = DefaultResolutions()
	}
	c.Resolutions = append([]Resolution(nil), c.Resolutions...)
	for i := range c.Resolutions {
		r := &c.Resolutions[i]
		r.Every = or(r.Every, r.Step)
		r.Context = or(r.Context, 64)
	}
	if c.Select == nil {
		c.Select = DefaultSelect
	}
	if c.Learner == nil && !c.NoLearner {
		c.Learner = LSTM{}
	}
	if c.NoLearner {
		c.Learner = nil
	}
	c.TrainShare = or(c.TrainShare, 0.25)
	c.MinTrain = or(c.MinTrain, 40)
	c.RetrainEvery = or(c.RetrainEvery, 6*time.Hour)
	c.MaxBytes = or(c.MaxBytes, 16<<20)
	c.MaxPoints = or(c.MaxPoints, 20160)
	c.ScoreWindow = or(c.ScoreWindow, 288)
	c.Poll = or(c.Poll, 250*time.Millisecond)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.OnEvent == nil {
		c.OnEvent = func(models.Event) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// Validate names the first field that is wrong; zero fields count as their defaults.
func (c Config) Validate() error {
	c = c.WithDefaults()
	if c.History == nil {
		return errors.New("predictor: History is required")
	}
	seen := map[time.Duration]bool{}
	for i, r := range c.Resolutions {
		field := func(name string) string { return fmt.Sprintf("predictor: Resolutions[%d].%s", i, name) }
		switch {
		case r.Step < time.Millisecond || r.Step%time.Millisecond != 0:
			return fmt.Errorf("%s %s is not a positive whole number of milliseconds", field("Step"), r.Step)
		case seen[r.Step]:
			return fmt.Errorf("%s %s is there twice", field("Step"), r.Step)
		case r.Horizon < 1 || r.Horizon > maxHorizon:
			return fmt.Errorf("%s %d is not between 1 and %d", field("Horizon"), r.Horizon, maxHorizon)
		case r.Context < 4 || r.Context > 1024:
			return fmt.Errorf("%s %d is not between 4 and 1024", field("Context"), r.Context)
		case r.Every < r.Step || r.Every%r.Step != 0:
			return fmt.Errorf("%s %s is not a multiple of the step %s", field("Every"), r.Every, r.Step)
		}
		seen[r.Step] = true
	}
	switch {
	case !(c.TrainShare > 0 && c.TrainShare <= 1):
		return fmt.Errorf("predictor: TrainShare %v is not above 0 and at most 1", c.TrainShare)
	case c.MinTrain < 2:
		return fmt.Errorf("predictor: MinTrain %d is less than 2", c.MinTrain)
	case c.RetrainEvery < 0 || c.Settle < 0 || c.Poll < 0:
		return errors.New("predictor: RetrainEvery, Settle, Poll: none may be negative")
	case c.MaxBytes < 1<<16:
		return fmt.Errorf("predictor: MaxBytes %d is less than 65536", c.MaxBytes)
	case c.MaxPoints < 64 || c.MaxPoints > 1<<22:
		return fmt.Errorf("predictor: MaxPoints %d is not between 64 and 4194304", c.MaxPoints)
	case c.ScoreWindow < 8 || c.ScoreWindow > 1<<16:
		return fmt.Errorf("predictor: ScoreWindow %d is not between 8 and 65536", c.ScoreWindow)
	}
	return nil
}
