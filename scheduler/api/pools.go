package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"loadstar/models"
)

type poolInput struct {
	Request
	Name string `path:"name" maxLength:"63" doc:"The pool's name"`
}

type planInput struct {
	Name string `path:"name" maxLength:"63" doc:"The pool's name"`
}

type decisionsInput struct {
	Name  string `path:"name" maxLength:"63" doc:"The pool's name"`
	At    string `query:"at" doc:"Made at this time or before it (RFC 3339, or seconds since 1970); now where it is left out"`
	Limit int    `query:"limit" minimum:"0" maximum:"10000" doc:"At most so many, newest first; 0 is the daemon's own number"`
}

func (a *API) addPools() {
	register(a, huma.Operation{
		OperationID: "list-pools", Method: http.MethodGet, Path: "/v1/pools", Tags: []string{"pools"},
		Summary: "Every pool and how it stands",
	}, func(ctx context.Context, _ *struct{}) (*answer[[]models.PoolStatus], error) {
		return list(a.cfg.Tasks.Pools(ctx))
	})
	const path = "/v1/pools/{name}"
	register(a, huma.Operation{
		OperationID: "set-pool", Method: http.MethodPatch, Path: path, Tags: []string{"pools"},
		Summary: "Change a pool, durably; what is left out stays", Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *poolInput) (*answer[models.PoolStatus], error) {
		var patch models.PoolPatch
		if err := in.decode(maxSmallBody, &patch); err != nil {
			return nil, err
		}
		if patch.Empty() {
			return nil, models.Invalid("", "nothing to change: the body has none of min, max, policy, dispatch, caps and paused")
		}
		return reply(a.cfg.Tasks.SetPool(ctx, in.Name, patch))
	})
	a.body(path, http.MethodPatch, true, jsonOf[models.PoolPatch](a))
	register(a, huma.Operation{
		OperationID: "list-decisions", Method: http.MethodGet, Path: "/v1/pools/{name}/decisions", Tags: []string{"pools"},
		Summary: "Why the pool has its size: each decision with its inputs, newest first", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *decisionsInput) (*answer[[]models.Decision], error) {
		at, err := parseTime("at", in.At)
		if err != nil {
			return nil, err
		}
		return list(a.cfg.Tasks.Decisions(ctx, in.Name, at, in.Limit))
	})
	register(a, huma.Operation{
		OperationID: "plan-pool", Method: http.MethodGet, Path: "/v1/pools/{name}/plan", Tags: []string{"pools"},
		Summary: "What the pool's size is expected to be in the next hour, and why", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *planInput) (*answer[[]models.PlanStep], error) {
		return list(a.cfg.Tasks.Plan(ctx, in.Name))
	})
}

type poolLogsInput struct {
	Name string `path:"name" maxLength:"63" doc:"The pool's name"`
}

func (a *API) addPoolLogs() {
	register(a, huma.Operation{
		OperationID: "get-pool-logs", Method: http.MethodGet, Path: "/v1/pools/{name}/logs", Tags: []string{"pools"},
		Summary: "What a pool's workers have written to their standard error, a line each with its time and its worker", Errors: []int{http.StatusNotFound},
		Responses: answers("200", "The newest lines that are kept, oldest first", text("text/plain", "")),
	}, a.poolLogs)
}

func (a *API) poolLogs(ctx context.Context, in *poolLogsInput) (*huma.StreamResponse, error) {
	pools, err := a.cfg.Tasks.Pools(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(pools, func(p models.PoolStatus) bool { return p.Name == in.Name })
	if i < 0 {
		return nil, fmt.Errorf("pool %q: %w", in.Name, models.ErrNotFound)
	}
	log, err := a.cfg.Logs.OpenPool(in.Name)
	switch {
	case errors.Is(err, models.ErrNotFound) && pools[i].Kind.Slots():
		return nil, fmt.Errorf("pool %s has no workers that could say something, only its tasks have logs: %w", in.Name, models.ErrNotFound)
	case errors.Is(err, models.ErrNotFound):
		return nil, fmt.Errorf("the workers of pool %s have said nothing so far: %w", in.Name, models.ErrNotFound)
	case err != nil:
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { //nolint:contextcheck // hc holds it
		defer func() { _ = log.Close() }()
		textHeaders(hc)
		hc.SetStatus(http.StatusOK)
		if _, err := io.Copy(hc.BodyWriter(), log); err != nil {
			a.cutShort(hc.Context(), "a pool's logs", err)
		}
	}}, nil
}

func (a *API) addStatus() {
	register(a, huma.Operation{
		OperationID: "list-agents", Method: http.MethodGet, Path: "/v1/agents", Tags: []string{"status"},
		Summary: "Every agent that has joined",
	}, func(ctx context.Context, _ *struct{}) (*answer[[]models.Agent], error) {
		return list(a.cfg.Tasks.Agents(ctx))
	})
	register(a, huma.Operation{
		OperationID: "list-queues", Method: http.MethodGet, Path: "/v1/queues", Tags: []string{"status"},
		Summary: "Every pool's queue by priority: depth, oldest wait, and the waits of what started lately",
	}, func(ctx context.Context, _ *struct{}) (*answer[[]models.QueueStatus], error) {
		return list(a.cfg.Tasks.Queues(ctx))
	})
	register(a, huma.Operation{
		OperationID: "stats", Method: http.MethodGet, Path: "/v1/stats", Tags: []string{"status"},
		Summary: "Counts by state and pool, rates and latencies",
	}, func(ctx context.Context, _ *struct{}) (*answer[models.Stats], error) {
		s, err := a.cfg.Tasks.Stats(ctx)
		if s.Pools == nil {
			s.Pools = []models.PoolCount{}
		}
		return reply(s, err)
	})
	register(a, huma.Operation{
		OperationID: "host", Method: http.MethodGet, Path: "/v1/host", Tags: []string{"status"},
		Summary: "The host as it was sampled last",
	}, func(context.Context, *struct{}) (*answer[models.HostStatus], error) {
		h, ok := a.cfg.Metrics.Host()
		if !ok {
			return nil, unavailable("the host has not been sampled yet")
		}
		return reply(h, nil)
	})
}
