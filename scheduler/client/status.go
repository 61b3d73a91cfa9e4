package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

func (c *Client) get(ctx context.Context, out any, query url.Values, path ...string) error {
	return c.call(ctx, request{method: http.MethodGet, path: append([]string{"v1"}, path...), query: query}, out)
}

// Info identifies the daemon. It answers while the journal is still being replayed.
func (c *Client) Info(ctx context.Context) (models.DaemonInfo, error) {
	var out models.DaemonInfo
	err := c.get(ctx, &out, nil, "info")
	return out, err
}

// Host is the host as it was sampled last.
func (c *Client) Host(ctx context.Context) (models.HostStatus, error) {
	var out models.HostStatus
	err := c.get(ctx, &out, nil, "host")
	return out, err
}

// Stats counts the tasks and says how fast they go.
func (c *Client) Stats(ctx context.Context) (models.Stats, error) {
	var out models.Stats
	err := c.get(ctx, &out, nil, "stats")
	return out, err
}

// Pools is every pool and how it stands.
func (c *Client) Pools(ctx context.Context) ([]models.PoolStatus, error) {
	var out []models.PoolStatus
	err := c.get(ctx, &out, nil, "pools")
	return out, err
}

// SetPool changes a pool, durably.
func (c *Client) SetPool(ctx context.Context, name string, patch models.PoolPatch) (models.PoolStatus, error) {
	var out models.PoolStatus
	if name == "" {
		return out, models.Invalid("pool", "it is empty")
	}
	err := c.call(ctx, request{method: http.MethodPatch, path: []string{"v1", "pools", name}, in: patch}, &out)
	return out, err
}

// Decisions is why a pool has its size: newest first, made at or before at (zero
// is now), at most limit (0 is the daemon's default).
func (c *Client) Decisions(ctx context.Context, pool string, at time.Time, limit int) ([]models.Decision, error) {
	if pool == "" {
		return nil, models.Invalid("pool", "it is empty")
	}
	q := url.Values{}
	setTime(q, "at", at)
	setInt(q, "limit", limit)
	var out []models.Decision
	err := c.get(ctx, &out, q, "pools", pool, "decisions")
	return out, err
}

// Plan is a pool's expected size in the next hour.
func (c *Client) Plan(ctx context.Context, pool string) ([]models.PlanStep, error) {
	if pool == "" {
		return nil, models.Invalid("pool", "it is empty")
	}
	var out []models.PlanStep
	err := c.get(ctx, &out, nil, "pools", pool, "plan")
	return out, err
}

// Queues is every pool's queue by priority.
func (c *Client) Queues(ctx context.Context) ([]models.QueueStatus, error) {
	var out []models.QueueStatus
	err := c.get(ctx, &out, nil, "queues")
	return out, err
}

// Agents is every agent that has joined.
func (c *Client) Agents(ctx context.Context) ([]models.Agent, error) {
	var out []models.Agent
	err := c.get(ctx, &out, nil, "agents")
	return out, err
}

// Series is every series known, once for each of its steps.
func (c *Client) Series(ctx context.Context) ([]models.SeriesInfo, error) {
	var out []models.SeriesInfo
	err := c.get(ctx, &out, nil, "series")
	return out, err
}

// Samples is a series' history at one step (seconds; 0 is its finest), from
// inclusive, to exclusive; zero times are open.
func (c *Client) Samples(ctx context.Context, series string, stepS float64, from, to time.Time) ([]models.Point, error) {
	if series == "" {
		return nil, models.Invalid("series", "it is empty")
	}
	q := url.Values{}
	setFloat(q, "step_s", stepS)
	setTime(q, "from", from)
	setTime(q, "to", to)
	var out wire.Samples
	err := c.get(ctx, &out, q, "series", series, "samples")
	return out.Points, err
}

// importBatch is how many points go into one request: some megabytes.
const importBatch = 100_000

// Import puts points into a series' history at the given step. They go over in
// batches, in order; those before a refused one stay.
func (c *Client) Import(ctx context.Context, series string, step time.Duration, points []models.Point) error {
	if series == "" {
		return models.Invalid("series", "it is empty")
	}
	for first := true; first || len(points) > 0; first = false {
		n := min(len(points), importBatch)
		in := wire.ImportRequest{StepS: step.Seconds(), Points: points[:n]}
		r := request{method: http.MethodPost, path: []string{"v1", "series", series, "samples"}, in: in}
		if err := c.call(ctx, r, nil); err != nil {
			return err
		}
		points = points[n:]
	}
	return nil
}

// Forecasts is what is known ahead of a series (empty is all) at a step (seconds; 0 is all).
func (c *Client) Forecasts(ctx context.Context, series string, stepS float64) ([]models.SeriesForecast, error) {
	q := url.Values{}
	setText(q, "series", series)
	setFloat(q, "step_s", stepS)
	var out []models.SeriesForecast
	err := c.get(ctx, &out, q, "forecasts")
	return out, err
}

// ForecastHistory is forecasts made and what came of them.
func (c *Client) ForecastHistory(ctx context.Context, f models.ForecastQuery) ([]models.ForecastRow, error) {
	q := url.Values{}
	setText(q, "series", f.Series)
	setText(q, "model", f.Model)
	setFloat(q, "step_s", f.StepS)
	setTime(q, "from", f.From)
	setTime(q, "to", f.To)
	setInt(q, "horizon", f.Horizon)
	setInt(q, "limit", f.Limit)
	var out []models.ForecastRow
	err := c.get(ctx, &out, q, "forecasts", "history")
	return out, err
}

// Train trains on a series now (empty is all that are forecast) and returns when
// it is done. progress is called from this goroutine; it may be nil.
func (c *Client) Train(ctx context.Context, series string, progress func(models.TrainProgress)) error {
	r := request{method: http.MethodPost, path: []string{"v1", "train"}, in: wire.TrainRequest{Series: series}, accept: "application/x-ndjson, application/problem+json"}
	body, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := json.NewDecoder(bufio.NewReader(body))
	for {
		var line wire.TrainLine
		if err := lines.Decode(&line); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // the last line says that it is the last
			}
			return c.explain(ctx, err)
		}
		switch {
		case line.Error != nil:
			return line.Error
		case line.End:
			return nil
		case line.Progress != nil && progress != nil:
			progress(*line.Progress)
		}
	}
}

// Ready asks whether the daemon has replayed its journal: nil, or an error that
// says why not. It does not wait.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.send(ctx, request{method: http.MethodGet, path: []string{"readyz"}})
	if err != nil {
		return c.explain(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return readProblem(resp)
	}
	if err := resp.Body.Close(); err != nil {
		return fmt.Errorf("ask %s: %w", c.where, err)
	}
	return nil
}
