package api

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loadstar/models"
)

// Tasks is the scheduler as the API needs it; *scheduler.Service implements it.
type Tasks interface {
	Submit(ctx context.Context, specs []models.TaskSpec, idempotencyKey string) ([]models.Task, error)
	Task(ctx context.Context, id string) (models.Task, error)
	Tasks(ctx context.Context, f models.TaskFilter) (models.TaskPage, error)
	Cancel(ctx context.Context, sel models.Selection) (models.BulkResult, error)
	Retry(ctx context.Context, sel models.Selection, withDependents bool) (models.BulkResult, error)
	Prioritize(ctx context.Context, sel models.Selection, p models.Priority) (models.BulkResult, error)
	// WaitFinal returns when all of the tasks are final.
	WaitFinal(ctx context.Context, ids []string) ([]models.Task, error)
	Explain(ctx context.Context, id string) (models.Explanation, error)
	Pools(ctx context.Context) ([]models.PoolStatus, error)
	SetPool(ctx context.Context, name string, patch models.PoolPatch) (models.PoolStatus, error)
	// Plan is a pool's expected size in the next hour.
	Plan(ctx context.Context, pool string) ([]models.PlanStep, error)
	// Decisions is newest first, made at or before at; zero is now.
	Decisions(ctx context.Context, pool string, at time.Time, limit int) ([]models.Decision, error)
	Agents(ctx context.Context) ([]models.Agent, error)
	Queues(ctx context.Context) ([]models.QueueStatus, error)
	Stats(ctx context.Context) (models.Stats, error)
	// Subscribe delivers events until ctx ends; one that is not read in time is lost.
	Subscribe(ctx context.Context, buffer int) <-chan models.Event
}

// Logs is the output of attempts and of pools; *worker.LogStore implements it.
// Where nothing is kept of one the error wraps models.ErrNotFound.
type Logs interface {
	Open(taskID string, attempt int) (io.ReadCloser, error)
	// Follow ends (io.EOF) when the attempt has ended, or when ctx does.
	Follow(ctx context.Context, taskID string, attempt int) (io.ReadCloser, error)
	// OpenPool is what a pool's workers have said outside of any task.
	OpenPool(pool string) (io.ReadCloser, error)
}

// Metrics is the host and its history, as the collector keeps them.
type Metrics interface {
	Host() (h models.HostStatus, ok bool)
	Series() []models.SeriesInfo
	Range(series string, step time.Duration, from, to time.Time) ([]models.Point, error)
	Import(series string, step time.Duration, points []models.Point) error
}

// Forecasts is the forecasting service; *predictor.Service implements it.
type Forecasts interface {
	// Current is what is known ahead of a series (empty is all) at a step (0 is all).
	Current(series string, stepS float64) ([]models.SeriesForecast, error)
	History(q models.ForecastQuery) ([]models.ForecastRow, error)
	// Train calls progress while it works, from any goroutine.
	Train(ctx context.Context, series string, progress func(models.TrainProgress)) error
}

// Config says what the API serves.
type Config struct {
	// Tasks, Logs, Metrics and Forecasts are what it serves; all are needed.
	Tasks     Tasks
	Logs      Logs
	Metrics   Metrics
	Forecasts Forecasts
	// Info identifies the daemon; needed.
	Info func() models.DaemonInfo
	// Ready reports whether the journal has been replayed. Until then /readyz and
	// everything under /v1 but /v1/info answer 503. Default: always.
	Ready func() bool
	// ForecastCSV writes rows as the forecast CSV, with its header; needed.
	ForecastCSV func(w io.Writer, rows []models.ForecastRow) error
	// Token is asked for over TCP. Empty: nothing is served over TCP but /healthz
	// and /readyz. The unix socket never asks.
	Token string
	// Registry is where the metrics are registered. Default: one of its own.
	Registry *prometheus.Registry
	// Logger takes what went wrong. Default: none.
	Logger *slog.Logger
	// Version is told in the OpenAPI document. Default "dev".
	Version string
	// MaxBody is the largest body of a request. Default 64 MiB.
	MaxBody models.Bytes
	// Heartbeat is the time between two signs of life on an event stream. Default 15 s.
	Heartbeat time.Duration
	// ReadTimeout is the longest pause within a request's body. Default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout is how long one write may take. Default 30 s.
	WriteTimeout time.Duration
}

// Validate checks the configuration; the error is a *models.FieldError.
func (c *Config) Validate() error {
	for _, need := range []struct {
		field string
		there bool
	}{
		{"tasks", c.Tasks != nil},
		{"logs", c.Logs != nil},
		{"metrics", c.Metrics != nil},
		{"forecasts", c.Forecasts != nil},
		{"info", c.Info != nil},
		{"forecast_csv", c.ForecastCSV != nil},
	} {
		if !need.there {
			return models.Invalid(need.field, "it is missing")
		}
	}
	switch {
	case c.MaxBody < 0:
		return models.Invalid("max_body", "%s is negative", c.MaxBody)
	case c.Heartbeat < 0, c.ReadTimeout < 0, c.WriteTimeout < 0:
		return models.Invalid("heartbeat, read_timeout, write_timeout", "none may be negative")
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Ready == nil {
		c.Ready = func() bool { return true }
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.MaxBody == 0 {
		c.MaxBody = 64 << 20
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{{&c.Heartbeat, 15 * time.Second}, {&c.ReadTimeout, 30 * time.Second}, {&c.WriteTimeout, 30 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	return c
}
