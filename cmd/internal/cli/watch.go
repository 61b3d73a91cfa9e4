package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"loadstar/models"
	"loadstar/scheduler/client"
)

func (a *program) watchCmd() *cobra.Command {
	var o output
	var kinds []string
	var pool, task string
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "What happens from now on, as it happens; JSON is one line an event",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			known := []string{string(models.EventTask), string(models.EventPool), string(models.EventWorker), string(models.EventAgent), string(models.EventForecast), string(models.EventTrouble)}
			for _, k := range kinds {
				if !slices.Contains(known, k) {
					return usage("--kind: %q is not one of %s", k, strings.Join(known, ", "))
				}
			}
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				events, err := b.Events(ctx)
				if err != nil {
					return err
				}
				first := true
				for e := range events {
					if len(kinds) > 0 && !slices.Contains(kinds, string(e.Kind)) || pool != "" && e.Pool != pool || task != "" && e.TaskID != task {
						continue
					}
					if err := a.event(o, e, first); err != nil {
						return err
					}
					first = false
				}
				if ctx.Err() != nil {
					return nil //nolint:nilerr // ended as asked
				}
				return fmt.Errorf("%w any more: the stream of events has ended", client.ErrNoDaemon)
			})
		},
	}
	o.flags(cmd, false)
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "only this `KIND`: task, pool, worker, forecast or trouble (several: commas)")
	cmd.Flags().StringVar(&pool, "pool", "", "only of this `POOL`")
	cmd.Flags().StringVar(&task, "task", "", "only of this task, `ID`")
	return cmd
}

func (a *program) event(o output, e models.Event, first bool) error {
	switch o.format {
	case "json":
		return writeJSON(a.out, e, false)
	case "csv":
		return writeCSV(a.out,
			[]string{"seq", "at", "kind", "task_id", "state", "attempt", "pool", "worker", "message"},
			[][]string{{strconv.FormatUint(e.Seq, 10), stamp(&e.At), string(e.Kind), e.TaskID, string(e.State), strconv.Itoa(e.Attempt), e.Pool, e.Worker, e.Message}}, first)
	}
	p := a.page()
	parts := []string{e.At.In(p.now.Location()).Format("15:04:05.000"), fmt.Sprintf("%-8s", e.Kind)}
	for _, s := range []string{e.TaskID, string(e.State), e.Pool, e.Worker, e.Message} {
		if s != "" {
			parts = append(parts, clean(s))
		}
	}
	if e.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("(attempt %d)", e.Attempt))
	}
	_, err := fmt.Fprintln(a.out, strings.Join(parts, "  "))
	return err
}
