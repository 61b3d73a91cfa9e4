package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"loadstar/scheduler/worker"
)

// Input is a task of the show: how long its work takes.
type Input struct {
	ServiceMS float64 `json:"service_ms"`
}

// RunWorker is the worker process of the show: it takes about coldStart to come up
// (a fifth more or less, as a model that is loaded does), then serves tasks that
// take the time that they say.
func RunWorker(ctx context.Context, in io.Reader, out io.Writer, coldStart time.Duration) error {
	return worker.ServeStdio(ctx, in, out, sleeper{coldStart})
}

type sleeper struct{ coldStart time.Duration }

// Initialize waits for the cold start.
func (s sleeper) Initialize(ctx context.Context, _ worker.InitializeParams) error {
	return pause(ctx, time.Duration((0.8+0.4*rand.Float64())*float64(s.coldStart)))
}

// Run waits for the task's time.
func (s sleeper) Run(ctx context.Context, p worker.RunParams, say worker.Say) (any, error) {
	var in Input
	if err := json.Unmarshal(p.Input, &in); err != nil {
		return nil, &worker.TaskError{Message: fmt.Sprintf("input: %v", err), ExitCode: 2}
	}
	if err := pause(ctx, time.Duration(in.ServiceMS*float64(time.Millisecond))); err != nil {
		return nil, err
	}
	return map[string]any{"served_ms": in.ServiceMS}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
