package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
)

type logsInput struct {
	ID      string `path:"id" maxLength:"200" doc:"The task's id"`
	Attempt int    `query:"attempt" minimum:"0" maximum:"1000000" doc:"Which attempt, from 1; 0 is the last one"`
	Follow  bool   `query:"follow" doc:"Go on until the attempt ends; a task that has not started is waited for"`
}

func (a *API) addLogs() {
	register(a, huma.Operation{
		OperationID: "get-logs", Method: http.MethodGet, Path: "/v1/tasks/{id}/logs", Tags: []string{"tasks"},
		Summary: "What an attempt has written to its standard output and error", Errors: []int{http.StatusNotFound},
		Responses: answers("200", "The output, as it was written", text("text/plain", "")),
	}, a.logs)
}

func (a *API) logs(ctx context.Context, in *logsInput) (*huma.StreamResponse, error) {
	task, err := a.cfg.Tasks.Task(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if in.Attempt > task.Attempt {
		return nil, fmt.Errorf("task %s has no attempt %d, its last is %d: %w", in.ID, in.Attempt, task.Attempt, models.ErrNotFound)
	}
	if in.Follow {
		if task.State.Final() && len(task.Attempts) == 0 {
			return nil, noOutput(&task)
		}
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.followLogs(hc, in) }}, nil //nolint:contextcheck // hc holds it
	}
	log, attempt, err := a.openLog(&task, in.Attempt, a.cfg.Logs.Open)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // hc holds it
		defer func() { _ = log.Close() }()
		textHeaders(hc)
		hc.SetHeader("Loadstar-Attempt", strconv.Itoa(attempt))
		hc.SetStatus(http.StatusOK)
		if _, err := io.Copy(hc.BodyWriter(), log); err != nil {
			a.cutShort(hc.Context(), "logs", err)
		}
	}}, nil
}

// openLog opens the attempt that was asked for; where that is the last one, the
// newest of which there is output.
func (a *API) openLog(t *models.Task, attempt int, open func(string, int) (io.ReadCloser, error)) (io.ReadCloser, int, error) {
	candidates := []int{attempt}
	if attempt == 0 {
		candidates = candidates[:0]
		for i := len(t.Attempts) - 1; i >= 0; i-- {
			candidates = append(candidates, t.Attempts[i].Attempt)
		}
	}
	for _, n := range candidates {
		log, err := open(t.TaskID, n)
		if err == nil {
			return log, n, nil
		}
		if !errors.Is(err, models.ErrNotFound) {
			return nil, 0, err
		}
	}
	return nil, 0, noOutput(t)
}

func noOutput(t *models.Task) error {
	why := "of which no output is kept"
	switch {
	case len(t.Attempts) == 0 && t.State.Final():
		why = "which never ran"
	case len(t.Attempts) == 0:
		why = "which has not started yet"
	}
	return fmt.Errorf("task %s is %s, %s: %w", t.TaskID, t.State, why, models.ErrNotFound)
}

func textHeaders(hc huma.Context) { hc.SetHeader("Content-Type", "text/plain; charset=utf-8") }

// pollLog is how often a task that has not started is looked at again, in case
// the event that told of its start was lost.
const pollLog = time.Second

func (a *API) followLogs(hc huma.Context, in *logsInput) {
	ctx, cancel := untilStopping(hc.Context())
	defer cancel()
	textHeaders(hc)
	hc.SetStatus(http.StatusOK)
	if flush(hc) != nil {
		return
	}
	log := a.awaitLog(ctx, in)
	if log == nil {
		return
	}
	defer func() { _ = log.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := log.Read(buf)
		if n > 0 {
			if _, werr := hc.BodyWriter().Write(buf[:n]); werr != nil {
				return
			}
			if flush(hc) != nil {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				a.cutShort(ctx, "logs", err)
			}
			return
		}
	}
}

// awaitLog is the output to follow, as soon as there is one; nil where there will
// be none.
func (a *API) awaitLog(ctx context.Context, in *logsInput) io.ReadCloser {
	events := a.cfg.Tasks.Subscribe(ctx, 64) // before the first look: nothing is missed between
	again := time.NewTicker(pollLog)
	defer again.Stop()
	follow := func(id string, attempt int) (io.ReadCloser, error) { return a.cfg.Logs.Follow(ctx, id, attempt) }
	for {
		task, err := a.cfg.Tasks.Task(ctx, in.ID)
		if err != nil {
			return nil
		}
		attempt := in.Attempt
		if attempt == 0 && (task.State == models.Assigned || task.State == models.Running) {
			attempt = task.Attempt // the one that is under way, not what an earlier one has left
		}
		log, _, err := a.openLog(&task, attempt, follow)
		if err == nil {
			return log
		}
		if !errors.Is(err, models.ErrNotFound) {
			a.cutShort(ctx, "logs", err)
			return nil
		}
		if task.State.Final() || !a.nextEvent(ctx, events, again.C, in.ID) {
			return nil
		}
	}
}

// nextEvent waits for news of the task; false when there will be none.
func (a *API) nextEvent(ctx context.Context, events <-chan models.Event, again <-chan time.Time, id string) bool {
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return false
			}
			if e.TaskID == id {
				return true
			}
		case <-again:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// cutShort tells that an answer ended before its end, by our fault: the status
// has gone out, so the log is the only place left.
func (a *API) cutShort(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		a.cfg.Logger.WarnContext(ctx, "an answer was cut short", "what", what, "error", err)
	}
}
