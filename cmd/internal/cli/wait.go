package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
	"loadstar/scheduler/client"
)

func (a *program) waitCmd() *cobra.Command {
	var o output
	var f filter
	var timeout time.Duration
	var progress bool
	cmd := &cobra.Command{
		Use:   "wait ID...",
		Short: "Wait until tasks are final; exit code 5 where one did not succeed",
		Args:  args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := o.check(); err != nil {
				return err
			}
			sel, err := f.selection(ids, models.Pending, models.Assigned, models.Running)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				if timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, timeout)
					defer cancel()
				}
				if sel.Filter != nil {
					page, err := allTasks(ctx, b, *sel.Filter)
					if err != nil {
						return err
					}
					for _, t := range page.Tasks {
						ids = append(ids, t.TaskID)
					}
				}
				tasks, err := a.await(ctx, b, ids, progress)
				if timeout > 0 && errors.Is(err, context.DeadlineExceeded) {
					return fmt.Errorf("not all are final after %s", timeout)
				}
				if err != nil {
					return err
				}
				if err := a.print(tasksView(tasks, len(tasks)), o, true); err != nil {
					return err
				}
				return verdict(tasks)
			})
		},
	}
	o.flags(cmd, false)
	f.flags(cmd, true)
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this `TIME`, exit code 1")
	cmd.Flags().BoolVar(&progress, "progress", false, "say on stderr how far it is")
	return cmd
}

// How tasks are waited for: so many in one call; where the daemon goes away on
// the way it is asked again for so long, as its tasks outlive it.
const (
	waitBatch    = 500
	waitPatience = time.Minute
	waitPause    = 500 * time.Millisecond
)

// await returns the tasks once all are final, in the order of their ids.
func (a *program) await(ctx context.Context, b Backend, ids []string, progress bool) ([]models.Task, error) {
	if progress && len(ids) == 1 {
		defer a.showItems(ctx, b, ids[0])()
	}
	meter := a.meter(progress, "final", len(ids))
	defer meter.end()
	tasks := make([]models.Task, 0, len(ids))
	for batch := range slices.Chunk(ids, waitBatch) {
		got, err := a.awaitBatch(ctx, b, batch, len(tasks) > 0)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, got...)
		meter.to(len(tasks))
	}
	return tasks, nil
}

func (a *program) awaitBatch(ctx context.Context, b Backend, ids []string, met bool) ([]models.Task, error) {
	if !met { // where there is no daemon in the first place, it is said at once
		if _, err := b.Info(ctx); err != nil {
			return nil, err
		}
	}
	var since time.Time
	for {
		begun := a.deps.Now()
		tasks, err := b.WaitFinal(ctx, ids)
		if !errors.Is(err, client.ErrNoDaemon) {
			return tasks, err
		}
		if since.IsZero() || a.deps.Now().Sub(begun) > waitPatience {
			since = a.deps.Now()
			a.note("the daemon went away; waiting for it to come back")
		}
		if a.deps.Now().Sub(since) > waitPatience {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(waitPause):
		}
	}
}

// verdict is the error where a task has not succeeded.
func verdict(tasks []models.Task) error {
	var first *models.Task
	bad := 0
	for i := range tasks {
		if tasks[i].State != models.Success {
			if bad++; first == nil {
				first = &tasks[i]
			}
		}
	}
	if first == nil {
		return nil
	}
	text := fmt.Sprintf("task %s is %s", first.TaskID, first.State)
	if first.ExitCode != nil {
		text += fmt.Sprintf(", exit code %d", *first.ExitCode)
	}
	if first.Error != "" {
		text += ": " + first.Error
	}
	if bad > 1 {
		text = fmt.Sprintf("%d of %d tasks did not succeed; the first: %s", bad, len(tasks), text)
	}
	return &taskFailedError{text: text}
}
