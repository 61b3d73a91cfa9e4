package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"loadstar/cmd/internal/config"
	"loadstar/cmd/internal/demo"
	"loadstar/collector/ingest"
	"loadstar/models"
	"loadstar/predictor"
	"loadstar/scheduler/client"
)

// DemoOptions are the flags of `loadstar demo`.
type DemoOptions struct {
	For       time.Duration     // of submitting, default 2 min on screen and 60 s without
	Speed     float64           // seconds of the day in a second of the show, default 900
	Headless  bool              // progress lines and a summary in place of the screen
	JSON      bool              // the summary as one JSON document
	Trace     string            // a timestamp,value file in place of the generated day
	MeanBusy  float64           // mean offered load that a trace is scaled to, default 2.5 workers
	Seed      uint64            // of arrivals and service times, default 1
	ColdStart time.Duration     // of a worker, default 4 s
	Policy    models.PoolPolicy // of the pool, default predictive
	Version   string
	Screen    ScreenOptions
	Stdout    io.Writer
	Stderr    io.Writer
}

const (
	demoPastDays = 7
	demoPrepare  = time.Minute // of the trace, for the training that precedes the show
)

func (o DemoOptions) withDefaults() DemoOptions {
	if o.For == 0 {
		o.For = 2 * time.Minute
		if o.Headless {
			o.For = time.Minute
		}
	}
	if o.Speed == 0 {
		o.Speed = 900
	}
	if o.MeanBusy == 0 {
		o.MeanBusy = 2.5
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.ColdStart == 0 {
		o.ColdStart = 4 * time.Second
	}
	if o.Policy == "" {
		o.Policy = models.PolicyPredictive
	}
	return o
}

// Validate checks the options; the error is a *models.FieldError.
func (o DemoOptions) Validate() error {
	switch {
	case o.For < time.Second || o.For > 24*time.Hour:
		return models.Invalid("--for", "%s is not between 1s and 24h", o.For)
	case !(o.Speed >= 24 && o.Speed <= 3600):
		return models.Invalid("--speed", "%g is not between 24 (a day in an hour) and 3600 (a day in 24 s)", o.Speed)
	case !(o.MeanBusy > 0 && o.MeanBusy <= 8):
		return models.Invalid("--mean-busy", "%g is not above 0 and at most 8 workers", o.MeanBusy)
	case !slices.Contains(models.PoolPolicies(), o.Policy):
		return models.Invalid("--policy", "%q is not predictive, reactive, static or recommend", o.Policy)
	case o.ColdStart < 0 || o.ColdStart > time.Minute:
		return models.Invalid("--cold-start", "%s is not between 0s and 1m", o.ColdStart)
	}
	return nil
}

// RunDemo shows the whole of Loadstar in a temporary state folder, which is gone
// afterwards.
func RunDemo(ctx context.Context, o DemoOptions) error {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return err
	}
	if !o.Headless && !o.Screen.HasTerminal() {
		return errors.New("no terminal to show the demo on: add --headless")
	}
	trace, err := demoTrace(o)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "loadstar-demo-")
	if err != nil {
		return fmt.Errorf("temporary state folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg, err := demoConfig(o, dir)
	if err != nil {
		return err
	}
	diagnostics := o.Stderr
	if !o.Headless { // a line among the screen's would tear it
		diagnostics = io.Discard
	}
	return withDaemon(ctx, cfg, demoDaemon(o, NewLogger(cfg, diagnostics, false)), func(ctx context.Context, c *client.Client) error {
		show := func(line string) {
			if o.Headless {
				fmt.Fprintln(o.Stderr, line)
			}
		}
		s := demo.New(demo.Config{Trace: trace, Length: o.For, Seed: o.Seed}, c, show)
		if o.Headless {
			return runHeadless(ctx, o, s)
		}
		return runOnScreen(ctx, o, s, c)
	})
}

func demoTrace(o DemoOptions) (demo.Trace, error) {
	if o.Trace == "" {
		return demo.Generate(o.Speed, demoPastDays, o.For+demoPrepare, o.Seed), nil
	}
	f, err := os.Open(o.Trace)
	if err != nil {
		return demo.Trace{}, models.Invalid("--trace", "%v", err)
	}
	defer f.Close()
	table, err := ingest.ReadCSV(f, o.Trace)
	if err != nil {
		return demo.Trace{}, err
	}
	return demo.FromSeries(filepath.Base(o.Trace), table.Points, table.StepS, o.Speed, o.For+demoPrepare, o.MeanBusy)
}

// demoConfig is a host of its own in dir, with one pool of the program's own
// worker role.
func demoConfig(o DemoOptions, dir string) (config.Config, error) {
	self, err := os.Executable()
	if err != nil {
		return config.Config{}, fmt.Errorf("find the program itself: %w", err)
	}
	cfg := config.Default()
	cfg.StateDir = dir
	cfg.LogLevel = "warn"
	cfg.Drain = models.Duration(time.Second)
	cfg.KillGrace = models.Duration(time.Second)
	cfg.DecisionInterval = models.Duration(500 * time.Millisecond)
	cfg.ScaleInWindow = models.Duration(4 * time.Second) // an hour of the compressed day
	cfg.TrainShare = 0.5
	cfg.Pools = map[string]models.PoolSpec{demo.PoolName: {
		Name: demo.PoolName, Kind: models.KindStdio,
		Command: []string{self, "demo-worker", "--cold-start", o.ColdStart.String()},
		Min:     1, Max: 16, Policy: o.Policy,
		SLO: models.Duration(time.Second), Violations: 0.05,
		ColdStart: models.Duration(o.ColdStart), IdleTimeout: models.Duration(3 * time.Second),
	}}
	return cfg, nil
}

func demoDaemon(o DemoOptions, log *slog.Logger) Options {
	return Options{
		Version: o.Version, Logger: log, WorkersIdle: true,
		// A day of the show is a minute or two, so the show is forecast by the second.
		Resolutions: []predictor.Resolution{{Step: time.Second, Horizon: 30, Context: 64, Every: time.Second}},
	}
}

func runHeadless(ctx context.Context, o DemoOptions, s *demo.Show) error {
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	if err := s.Run(ctx); err != nil {
		return err
	}
	sum, err := s.Summarise(ctx)
	if err != nil {
		return err
	}
	if o.JSON {
		enc := json.NewEncoder(o.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(sum)
	} else {
		err = sum.Write(o.Stdout)
	}
	if err == nil && sum.Failed() {
		err = errors.New("some task did not end SUCCESS")
	}
	return err
}

// runOnScreen shows the screen while the show runs behind it; quitting the screen
// ends the show.
func runOnScreen(ctx context.Context, o DemoOptions, s *demo.Show, c *client.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		err := s.Prepare(ctx)
		if err == nil {
			err = s.Run(ctx)
		}
		done <- err
	}()
	o.Screen.Banner = s.Banner
	err := showScreen(ctx, o.Screen, c)
	cancel()
	shown := <-done
	if err != nil || errors.Is(shown, context.Canceled) {
		return err
	}
	return shown
}

// withDaemon runs a daemon in this process for as long as use takes.
func withDaemon(ctx context.Context, cfg config.Config, opts Options, use func(context.Context, *client.Client) error) error {
	d, err := Open(ctx, cfg, opts)
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{Socket: cfg.SocketPath()})
	if err != nil {
		d.close()
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		err := d.Run(ctx)
		cancel() // a daemon that fails takes its user along
		ended <- err
	}()
	select {
	case <-d.Ready():
		err = use(ctx, c)
	case <-ctx.Done():
	}
	cancel()
	if failed := <-ended; failed != nil {
		return failed
	}
	return err
}
