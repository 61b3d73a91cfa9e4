package history

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"loadstar/models"
)

// Log keeps frames durably and gives them back in order; *journal.Log implements it.
type Log interface {
	Append(ctx context.Context, frame []byte) error
	Replay(ctx context.Context, fn func(at time.Time, frame []byte) error) error
}

// Tier is one ring of every series.
type Tier struct {
	Step time.Duration // whole milliseconds; a multiple of the step of the tier before
	Len  int           // values kept, 2 to 1<<20; at least two steps of the next tier
}

// Reach is how far back the tier goes.
func (t Tier) Reach() time.Duration { return t.Step * time.Duration(t.Len) }

// DefaultTiers are the tiers of the package comment over a base step, which is
// the interval of the collector and at most 5 s: above 1 s it takes the place of 1 s.
func DefaultTiers(base time.Duration) []Tier {
	return []Tier{
		{Step: base, Len: max(int(time.Hour/max(base, time.Millisecond)), 60)},
		{Step: 10 * time.Second, Len: 8640},
		{Step: time.Minute, Len: 20160},
		{Step: 15 * time.Minute, Len: 38400},
	}
}

// Rule is what differs for some series.
type Rule struct {
	// BaseOnly keeps the series in the finest tier alone.
	BaseOnly bool
	// Sparse makes a coarser value from any one value, where others need half of them.
	Sparse bool
}

// DefaultRule keeps single cores in the finest tier, and takes a pool's waiting
// and running times as sparse: they have a value only when a task started or ended.
func DefaultRule(series string) Rule {
	_, what, _ := models.ParsePoolSeries(series)
	return Rule{
		BaseOnly: strings.HasPrefix(series, models.SeriesCPU+"."),
		Sparse:   what == models.PoolWait || what == models.PoolRun,
	}
}

// Config configures a Store.
type Config struct {
	// Tiers, finest first. Default: DefaultTiers(1s).
	Tiers []Tier
	// Store is one log for the frames of all tiers: it has to keep them for the
	// reach of the coarsest, and all of it is read at the start (some 12 MB a day
	// for 40 series). Default: none, nothing outlives the process.
	Store Log
	// Logs opens a log for each tier, named "history-1s", "history-10s" and so on,
	// which may forget what is older than age: 40 series come to less than 30 MB in
	// all, however long they run. Preferred to Store; default: none.
	Logs func(ctx context.Context, name string, age time.Duration) (Log, error)
	// FlushEvery is how often Run writes what is new, and what a crash may lose.
	// Default: 60s.
	FlushEvery time.Duration
	// Rule says which series are kept in another way. Default: DefaultRule.
	Rule func(series string) Rule
	// MaxSeries is how many series there may be; samples of more are dropped and
	// counted. Default: 4096.
	MaxSeries int
	// Logger is told of damage and of writes that fail. Default: discard.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if len(c.Tiers) == 0 {
		c.Tiers = DefaultTiers(time.Second)
	}
	if c.FlushEvery == 0 {
		c.FlushEvery = time.Minute
	}
	if c.Rule == nil {
		c.Rule = DefaultRule
	}
	if c.MaxSeries == 0 {
		c.MaxSeries = 4096
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate names the first field that is wrong; zero fields count as their defaults.
func (c Config) Validate() error {
	c = c.withDefaults()
	for i, t := range c.Tiers {
		field := func(name string) string { return fmt.Sprintf("history: Tiers[%d].%s", i, name) }
		switch {
		case t.Step < time.Millisecond || t.Step%time.Millisecond != 0:
			return fmt.Errorf("%s %s is not a positive whole number of milliseconds", field("Step"), t.Step)
		case t.Len < 2 || t.Len > maxTierLen:
			return fmt.Errorf("%s %d is not between 2 and %d", field("Len"), t.Len, maxTierLen)
		case i > 0 && (t.Step <= c.Tiers[i-1].Step || t.Step%c.Tiers[i-1].Step != 0):
			return fmt.Errorf("%s %s is not a multiple of the tier before, %s", field("Step"), t.Step, c.Tiers[i-1].Step)
		case i > 0 && c.Tiers[i-1].Reach() < 2*t.Step:
			return fmt.Errorf("%s %d is too short: it has to reach over two steps of the next tier, %s",
				fmt.Sprintf("history: Tiers[%d].Len", i-1), c.Tiers[i-1].Len, t.Step)
		}
	}
	switch {
	case c.FlushEvery < 0:
		return fmt.Errorf("history: FlushEvery %s is negative", c.FlushEvery)
	case c.MaxSeries < 1:
		return fmt.Errorf("history: MaxSeries %d is less than 1", c.MaxSeries)
	case c.Store != nil && c.Logs != nil:
		return fmt.Errorf("history: Store and Logs are both set")
	}
	return nil
}
