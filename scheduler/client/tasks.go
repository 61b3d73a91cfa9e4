package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

// Submit hands over tasks: all are accepted, durably, or none. A key that is not
// empty makes it safe to repeat: the same key with the same body is accepted once.
func (c *Client) Submit(ctx context.Context, specs []models.TaskSpec, key string) ([]models.Task, error) {
	body, err := json.Marshal(specs)
	if err != nil {
		return nil, fmt.Errorf("encode the tasks: %w", err)
	}
	if specs == nil {
		body = []byte("[]")
	}
	return c.SubmitRaw(ctx, body, "application/json", key)
}

// SubmitIDs is Submit for those who want to know no more than the ids: the answer
// costs a fraction, which counts for batches.
func (c *Client) SubmitIDs(ctx context.Context, specs []models.TaskSpec, key string) ([]string, error) {
	body, err := models.AppendTasks(nil, specs)
	if err != nil {
		return nil, fmt.Errorf("encode the tasks: %w", err)
	}
	var out wire.Accepted
	r := request{method: http.MethodPost, path: []string{"v1", "tasks"}, raw: body, contentType: "application/json", key: key, prefer: wire.Minimal}
	err = c.call(ctx, r, &out)
	return out.TaskIDs, err
}

// SubmitRaw is Submit for task documents as they were written: one JSON object,
// an array, or NDJSON. contentType may be empty. The line in an error is that of body.
func (c *Client) SubmitRaw(ctx context.Context, body []byte, contentType, key string) ([]models.Task, error) {
	if contentType == "" {
		contentType = "application/json"
	}
	if body == nil {
		body = []byte{}
	}
	var answer json.RawMessage
	r := request{method: http.MethodPost, path: []string{"v1", "tasks"}, raw: body, contentType: contentType, key: key}
	if err := c.call(ctx, r, &answer); err != nil {
		return nil, err
	}
	tasks := []models.Task{}
	if len(answer) > 0 && answer[0] == '{' { // one was sent, one comes back
		tasks = append(tasks, models.Task{})
		if err := json.Unmarshal(answer, &tasks[0]); err != nil {
			return nil, fmt.Errorf("the answer of %s is not what this version expects: %w", c.where, err)
		}
		return tasks, nil
	}
	if err := json.Unmarshal(answer, &tasks); err != nil {
		return nil, fmt.Errorf("the answer of %s is not what this version expects: %w", c.where, err)
	}
	return tasks, nil
}

// Task is one task.
func (c *Client) Task(ctx context.Context, id string) (models.Task, error) {
	var t models.Task
	err := c.task(ctx, id, nil, &t)
	return t, err
}

// Explain says why a task is where it is.
func (c *Client) Explain(ctx context.Context, id string) (models.Explanation, error) {
	var e models.Explanation
	err := c.task(ctx, id, []string{"explain"}, &e)
	return e, err
}

func (c *Client) task(ctx context.Context, id string, more []string, out any) error {
	if id == "" {
		return models.Invalid("task_id", "it is empty")
	}
	path := append([]string{"v1", "tasks", id}, more...)
	return c.call(ctx, request{method: http.MethodGet, path: path}, out)
}

// Tasks is one page of a listing.
func (c *Client) Tasks(ctx context.Context, f models.TaskFilter) (models.TaskPage, error) {
	var page models.TaskPage
	err := c.call(ctx, request{method: http.MethodGet, path: []string{"v1", "tasks"}, query: filterQuery(f)}, &page)
	return page, err
}

func filterQuery(f models.TaskFilter) url.Values {
	q := url.Values{}
	for _, s := range f.States {
		q.Add("state", string(s))
	}
	for _, k := range slices.Sorted(maps.Keys(f.Labels)) {
		q.Add("label", k+"="+f.Labels[k])
	}
	setText(q, "pool", f.Pool)
	setText(q, "text", f.Text)
	setText(q, "parent", f.Parent)
	setText(q, "cursor", f.Cursor)
	setInt(q, "limit", f.Limit)
	if f.Oldest {
		q.Set("oldest", "true")
	}
	return q
}

// Cancel cancels the selected tasks that are not final.
func (c *Client) Cancel(ctx context.Context, sel models.Selection) (models.BulkResult, error) {
	return c.bulk(ctx, "cancel", sel)
}

// Retry sends the selected FAILED and CANCELLED tasks round again; withDependents
// also revives what was cancelled because of them.
func (c *Client) Retry(ctx context.Context, sel models.Selection, withDependents bool) (models.BulkResult, error) {
	return c.bulk(ctx, "retry", wire.RetryRequest{Selection: sel, WithDependents: withDependents})
}

// Prioritize gives the selected waiting tasks another priority.
func (c *Client) Prioritize(ctx context.Context, sel models.Selection, p models.Priority) (models.BulkResult, error) {
	return c.bulk(ctx, "priority", wire.PriorityRequest{Selection: sel, Priority: &p})
}

func (c *Client) bulk(ctx context.Context, what string, in any) (models.BulkResult, error) {
	var out models.BulkResult
	err := c.call(ctx, request{method: http.MethodPost, path: []string{"v1", "tasks", what}, in: in}, &out)
	return out, err
}

// WaitFinal returns when all the tasks are final. It lasts as long as they do.
func (c *Client) WaitFinal(ctx context.Context, ids []string) ([]models.Task, error) {
	var out wire.TaskList
	r := request{method: http.MethodPost, path: []string{"v1", "tasks", "wait"}, in: wire.WaitRequest{IDs: ids}}
	err := c.exchange(ctx, r, &out)
	return out.Tasks, err
}

// Logs is what an attempt has written; attempt 0 is the last one. With follow it
// goes on until the attempt ends; a task that has not started is waited for.
func (c *Client) Logs(ctx context.Context, id string, attempt int, follow bool) (io.ReadCloser, error) {
	if id == "" {
		return nil, models.Invalid("task_id", "it is empty")
	}
	q := url.Values{}
	setInt(q, "attempt", attempt)
	if follow {
		q.Set("follow", "true")
	}
	return c.text(ctx, q, "tasks", id, "logs")
}

// PoolLogs is what a pool's workers have written to their standard error.
func (c *Client) PoolLogs(ctx context.Context, pool string) (io.ReadCloser, error) {
	if pool == "" {
		return nil, models.Invalid("pool", "it is empty")
	}
	return c.text(ctx, nil, "pools", pool, "logs")
}

// text opens an answer that is plain text.
func (c *Client) text(ctx context.Context, query url.Values, path ...string) (io.ReadCloser, error) {
	r := request{method: http.MethodGet, path: append([]string{"v1"}, path...), query: query, accept: "text/plain, application/problem+json"}
	body, err := c.open(ctx, r)
	if err != nil {
		return nil, err
	}
	return &stream{ReadCloser: body, ctx: ctx, client: c}, nil
}

// stream tells a broken connection in the client's words.
type stream struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // the call's own: the stream is the rest of that call
	client *Client
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF comes bare from a Reader
		err = s.client.explain(s.ctx, err)
	}
	return n, err
}

func setText(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setInt(q url.Values, name string, value int) {
	if value != 0 {
		q.Set(name, strconv.Itoa(value))
	}
}

func setFloat(q url.Values, name string, value float64) {
	if value != 0 {
		q.Set(name, strconv.FormatFloat(value, 'g', -1, 64))
	}
}

func setTime(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}
