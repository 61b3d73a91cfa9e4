package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"loadstar/models"
	"loadstar/scheduler"
)

func TestADeposedSchedulerStepsDownAndAcknowledgesNothing(t *testing.T) {
	j := &memory{}
	s, err := scheduler.New(scheduler.Config{
		Journal: j, Agents: []scheduler.Agent{newHand("a", true)},
		Pools: []models.PoolSpec{{Name: "default", Kind: models.KindExec, Max: 1}},
		Sizer: func(p models.PoolSpec, _ models.DecisionInput) models.Decision { return models.Decision{Pool: p.Name} },
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- s.Run(ctx) }()
	<-s.Ready()
	j.set(fmt.Errorf("fenced: %w", models.ErrDeposed), false)
	spec := models.NewTaskSpec()
	spec.TaskID, spec.Run = "late", []string{"true"}
	if _, err := s.Submit(ctx, []models.TaskSpec{spec}, ""); !errors.Is(err, models.ErrUnavailable) {
		t.Errorf("a deposed scheduler answered %v", err)
	}
	if err := <-ended; !errors.Is(err, models.ErrDeposed) {
		t.Errorf("it ended with %v", err)
	}
	if _, err := s.Submit(ctx, []models.TaskSpec{spec}, ""); !errors.Is(err, models.ErrUnavailable) {
		t.Errorf("afterwards it answered %v", err)
	}
}
