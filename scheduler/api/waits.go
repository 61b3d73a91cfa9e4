package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

// maxWait is the most tasks that one call waits for.
const maxWait = 100_000

func (a *API) addWaits() {
	register(a, huma.Operation{
		OperationID: "wait-task", Method: http.MethodGet, Path: "/v1/tasks/{id}/wait", Tags: []string{"tasks"},
		Summary: "Answer when the task is final", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *taskID) (*answer[models.Task], error) {
		tasks, err := a.wait(ctx, []string{in.ID})
		if err != nil {
			return nil, err
		}
		return reply(tasks[0], nil)
	})
	const path = "/v1/tasks/wait"
	register(a, huma.Operation{
		OperationID: "wait-tasks", Method: http.MethodPost, Path: path, Tags: []string{"tasks"},
		Summary: "Answer when all of the tasks are final", Errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge},
	}, func(ctx context.Context, in *bulkInput) (*answer[wire.TaskList], error) {
		var body wire.WaitRequest
		if err := in.decode(maxBatchBody, &body); err != nil {
			return nil, err
		}
		switch {
		case len(body.IDs) == 0:
			return nil, models.Invalid("ids", "none is given")
		case len(body.IDs) > maxWait:
			return nil, models.Invalid("ids", "%d is more than %d", len(body.IDs), maxWait)
		case slices.Contains(body.IDs, ""):
			return nil, models.Invalid("ids", "one is empty")
		}
		tasks, err := a.wait(ctx, body.IDs)
		return reply(wire.TaskList{Tasks: tasks}, err)
	})
	a.body(path, http.MethodPost, true, jsonOf[wire.WaitRequest](a))
}

// maxBatchBody holds the ids of maxWait tasks.
const maxBatchBody = 32 << 20

func (a *API) wait(ctx context.Context, ids []string) ([]models.Task, error) {
	ctx, cancel := untilStopping(ctx)
	defer cancel()
	tasks, err := a.cfg.Tasks.WaitFinal(ctx, ids)
	if err == nil && len(tasks) != len(ids) {
		err = wire.New(http.StatusInternalServerError, "the wait ended without all of its tasks")
	}
	if err != nil && ctx.Err() != nil {
		return nil, wire.New(http.StatusServiceUnavailable, "the daemon is stopping: wait again when it is back")
	}
	return tasks, err
}
