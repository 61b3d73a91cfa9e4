package tui

import (
	"context"
	"io"
	"time"

	"loadstar/models"
)

// Source is where the screen's data come from and what its actions go to. The
// methods may block; the screen calls each from a command of its own, with a
// context that ends.
type Source interface {
	Info(ctx context.Context) (models.DaemonInfo, error)
	Host(ctx context.Context) (models.HostStatus, error)
	Stats(ctx context.Context) (models.Stats, error)
	Pools(ctx context.Context) ([]models.PoolStatus, error)
	// Decisions gives a pool's, newest first; at zero is now.
	Decisions(ctx context.Context, pool string, at time.Time, limit int) ([]models.Decision, error)
	Queues(ctx context.Context) ([]models.QueueStatus, error)
	Agents(ctx context.Context) ([]models.Agent, error)
	Tasks(ctx context.Context, f models.TaskFilter) (models.TaskPage, error)
	Task(ctx context.Context, id string) (models.Task, error)
	// Logs is the output of an attempt, 0 the last; with follow it ends with the attempt.
	Logs(ctx context.Context, id string, attempt int, follow bool) (io.ReadCloser, error)
	Cancel(ctx context.Context, sel models.Selection) (models.BulkResult, error)
	Retry(ctx context.Context, sel models.Selection, withDependents bool) (models.BulkResult, error)
	Prioritize(ctx context.Context, sel models.Selection, p models.Priority) (models.BulkResult, error)
	SetPool(ctx context.Context, name string, patch models.PoolPatch) (models.PoolStatus, error)
	Explain(ctx context.Context, id string) (models.Explanation, error)
	Series(ctx context.Context) ([]models.SeriesInfo, error)
	Samples(ctx context.Context, series string, stepS float64, from, to time.Time) ([]models.Point, error)
	Forecasts(ctx context.Context, series string, stepS float64) ([]models.SeriesForecast, error)
	ForecastHistory(ctx context.Context, q models.ForecastQuery) ([]models.ForecastRow, error)
	// Events is closed when the stream breaks off or the context ends.
	Events(ctx context.Context) (<-chan models.Event, error)
}
