package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

type oneInput struct {
	Request
	ID string `path:"id" maxLength:"200" doc:"The task's id"`
}

type bulkInput struct{ Request }

func (a *API) addBulk() {
	a.addCancel()
	a.addRetry()
	a.addPriority()
}

// bulkOperation describes a call that acts on one task (by its path) or on a selection.
func bulkOperation(id, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: http.MethodPost, Path: path, Tags: []string{"tasks"}, Summary: summary,
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge},
	}
}

func (a *API) addCancel() {
	const one, many = "/v1/tasks/{id}/cancel", "/v1/tasks/cancel"
	register(a, bulkOperation("cancel-task", one, "Cancel a task that is not final"),
		func(ctx context.Context, in *oneInput) (*answer[models.Task], error) {
			if err := in.decode(maxSmallBody, &struct{}{}); err != nil {
				return nil, err
			}
			return a.actOnOne(ctx, in.ID, func(sel models.Selection) (models.BulkResult, error) {
				return a.cfg.Tasks.Cancel(ctx, sel)
			})
		})
	register(a, bulkOperation("cancel-tasks", many, "Cancel the selected tasks"),
		func(ctx context.Context, in *bulkInput) (*answer[models.BulkResult], error) {
			var sel models.Selection
			if err := in.selection(&sel, &sel); err != nil {
				return nil, err
			}
			return bulkReply(a.cfg.Tasks.Cancel(ctx, sel))
		})
	a.body(many, http.MethodPost, true, jsonOf[models.Selection](a))
}

func (a *API) addRetry() {
	const one, many = "/v1/tasks/{id}/retry", "/v1/tasks/retry"
	register(a, bulkOperation("retry-task", one, "Send a FAILED or CANCELLED task round again"),
		func(ctx context.Context, in *oneInput) (*answer[models.Task], error) {
			var body wire.RetryOneRequest
			if err := in.decode(maxSmallBody, &body); err != nil {
				return nil, err
			}
			return a.actOnOne(ctx, in.ID, func(sel models.Selection) (models.BulkResult, error) {
				return a.cfg.Tasks.Retry(ctx, sel, body.WithDependents)
			})
		})
	register(a, bulkOperation("retry-tasks", many, "Send the selected tasks round again"),
		func(ctx context.Context, in *bulkInput) (*answer[models.BulkResult], error) {
			var body wire.RetryRequest
			if err := in.selection(&body, &body.Selection); err != nil {
				return nil, err
			}
			return bulkReply(a.cfg.Tasks.Retry(ctx, body.Selection, body.WithDependents))
		})
	a.body(one, http.MethodPost, false, jsonOf[wire.RetryOneRequest](a))
	a.body(many, http.MethodPost, true, jsonOf[wire.RetryRequest](a))
}

func (a *API) addPriority() {
	const one, many = "/v1/tasks/{id}/priority", "/v1/tasks/priority"
	register(a, bulkOperation("prioritize-task", one, "Give a waiting task another priority"),
		func(ctx context.Context, in *oneInput) (*answer[models.Task], error) {
			var body wire.PriorityOneRequest
			if err := in.decode(maxSmallBody, &body); err != nil {
				return nil, err
			}
			if body.Priority == nil {
				return nil, models.Invalid("priority", "it is missing")
			}
			return a.actOnOne(ctx, in.ID, func(sel models.Selection) (models.BulkResult, error) {
				return a.cfg.Tasks.Prioritize(ctx, sel, *body.Priority)
			})
		})
	register(a, bulkOperation("prioritize-tasks", many, "Give the selected waiting tasks another priority"),
		func(ctx context.Context, in *bulkInput) (*answer[models.BulkResult], error) {
			var body wire.PriorityRequest
			if err := in.selection(&body, &body.Selection); err != nil {
				return nil, err
			}
			if body.Priority == nil {
				return nil, models.Invalid("priority", "it is missing")
			}
			return bulkReply(a.cfg.Tasks.Prioritize(ctx, body.Selection, *body.Priority))
		})
	a.body(one, http.MethodPost, true, jsonOf[wire.PriorityOneRequest](a))
	a.body(many, http.MethodPost, true, jsonOf[wire.PriorityRequest](a))
}

// selection decodes the body and checks the selection that is a part of it.
func (in *bulkInput) selection(body any, sel *models.Selection) error {
	if err := in.decode(maxSmallBody, body); err != nil {
		return err
	}
	return checkSelection(sel)
}

// actOnOne is a bulk call on one task, where a refusal is an error, and the task
// as it then stands is the answer.
func (a *API) actOnOne(ctx context.Context, id string, act func(models.Selection) (models.BulkResult, error)) (*answer[models.Task], error) {
	if _, err := a.cfg.Tasks.Task(ctx, id); err != nil {
		return nil, err
	}
	result, err := act(models.Selection{IDs: []string{id}})
	if err != nil {
		return nil, err
	}
	for _, r := range result.Refused {
		if r.TaskID == id {
			return nil, fmt.Errorf("task %s: %w", id, refused(r.Why))
		}
	}
	return reply(a.cfg.Tasks.Task(ctx, id))
}

// refused is a bulk call's reason as an error that says it was the state's fault.
type refused string

func (r refused) Error() string        { return string(r) }
func (r refused) Is(target error) bool { return target == models.ErrInvalidTransition } //nolint:errorlint // as Is methods do

func bulkReply(r models.BulkResult, err error) (*answer[models.BulkResult], error) {
	if r.Changed == nil {
		r.Changed = []string{}
	}
	return reply(r, err)
}
