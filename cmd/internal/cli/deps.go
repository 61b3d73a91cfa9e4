package cli

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"loadstar/cmd/internal/app"
	"loadstar/cmd/internal/config"
	"loadstar/models"
	"loadstar/scheduler/client"
)

// Backend is the daemon as the commands need it; *client.Client implements it.
type Backend interface {
	Info(ctx context.Context) (models.DaemonInfo, error)
	Ready(ctx context.Context) error
	Submit(ctx context.Context, specs []models.TaskSpec, key string) ([]models.Task, error)
	Task(ctx context.Context, id string) (models.Task, error)
	Tasks(ctx context.Context, f models.TaskFilter) (models.TaskPage, error)
	Logs(ctx context.Context, id string, attempt int, follow bool) (io.ReadCloser, error)
	WaitFinal(ctx context.Context, ids []string) ([]models.Task, error)
	Cancel(ctx context.Context, sel models.Selection) (models.BulkResult, error)
	Retry(ctx context.Context, sel models.Selection, withDependents bool) (models.BulkResult, error)
	Prioritize(ctx context.Context, sel models.Selection, p models.Priority) (models.BulkResult, error)
	Explain(ctx context.Context, id string) (models.Explanation, error)
	Events(ctx context.Context) (<-chan models.Event, error)
	Pools(ctx context.Context) ([]models.PoolStatus, error)
	SetPool(ctx context.Context, name string, patch models.PoolPatch) (models.PoolStatus, error)
	PoolLogs(ctx context.Context, name string) (io.ReadCloser, error)
	Plan(ctx context.Context, pool string) ([]models.PlanStep, error)
	Decisions(ctx context.Context, pool string, at time.Time, limit int) ([]models.Decision, error)
	Agents(ctx context.Context) ([]models.Agent, error)
	Stats(ctx context.Context) (models.Stats, error)
	Series(ctx context.Context) ([]models.SeriesInfo, error)
	Forecasts(ctx context.Context, series string, stepS float64) ([]models.SeriesForecast, error)
	ForecastHistory(ctx context.Context, q models.ForecastQuery) ([]models.ForecastRow, error)
	Train(ctx context.Context, series string, progress func(models.TrainProgress)) error
	Import(ctx context.Context, series string, step time.Duration, points []models.Point) error
	Where() string
	Close()
}

// Streams are where a command reads and writes.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
	// Color says whether Err is a terminal that may be coloured.
	Color bool
}

// ScreenOptions are the flags of the terminal screen.
type ScreenOptions struct {
	NoColor  bool
	ASCII    bool
	ReadOnly bool
	Theme    string // empty: the screen's own
	Plain    bool   // lines of text in the place of the screen
}

// DemoOptions are the flags of `loadstar demo`; a zero leaves the show its default.
type DemoOptions struct {
	For       time.Duration // how long tasks are submitted
	Speed     float64       // seconds of the day in a second of the show
	Headless  bool          // progress and a summary in the place of the screen
	JSON      bool          // the summary as JSON
	Trace     string        // a CSV file to replay; empty is a generated day
	MeanBusy  float64       // workers that a trace is scaled to
	ColdStart time.Duration // of a worker
	Policy    string        // of the pool
	Seed      uint64
	Screen    ScreenOptions
}

// Deps are what the commands stand on. A command whose part is nil is not there.
type Deps struct {
	Version string
	// NewClient makes the connection to a daemon; it does not connect yet.
	NewClient func(cfg config.Config) (Backend, error)
	// Daemon runs until ctx ends, and drains.
	// load reads the configuration again, for SIGHUP.
	Daemon func(ctx context.Context, cfg config.Config, load func() (config.Config, error), s Streams) error
	// Agent joins a daemon elsewhere until ctx ends, and drains.
	Agent func(ctx context.Context, cfg config.Config, o app.AgentOptions, s Streams) error
	// Demo runs the show.
	Demo func(ctx context.Context, cfg config.Config, o DemoOptions, s Streams) error
	// Screen opens the terminal screen on the daemon, or starts one inside.
	Screen func(ctx context.Context, cfg config.Config, o ScreenOptions, s Streams) error
	// ReadCSV reads a timestamp,value file for import.
	ReadCSV func(r io.Reader, name string) (History, error)
	// Bench measures the queue.
	Bench func(ctx context.Context, o app.BenchOptions) (app.BenchResult, error)
	// BenchQueued measures what a long queue costs.
	BenchQueued func(ctx context.Context, o app.QueuedOptions) (app.QueuedResult, error)
	// Commands are further commands, as `backtest`.
	Commands []*cobra.Command
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Getenv, Environ and Getwd are the caller's environment; default: the process's.
	Getenv  func(string) (string, bool)
	Environ func() []string
	Getwd   func() (string, error)
}

// newClient is Deps.NewClient over the real client.
func newClient(cfg config.Config) (Backend, error) {
	c := client.Config{Socket: cfg.SocketPath()}
	if cfg.URL != "" {
		c = client.Config{URL: cfg.URL, Token: cfg.Token}
	}
	return client.New(c)
}
