package cli

import (
	"context"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) retryCmd() *cobra.Command {
	var o output
	var f filter
	var dependents bool
	cmd := &cobra.Command{
		Use:     "retry ID...",
		Short:   "Run FAILED and CANCELLED tasks again, by id or by filter; prints their ids",
		Example: "  loadstar retry task-001 --with-dependents\n  loadstar retry --dead --pool gpu",
		Args:    args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := o.check(); err != nil {
				return err
			}
			sel, err := f.selection(ids, models.Failed, models.Cancelled)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				r, err := b.Retry(ctx, sel, dependents)
				if err != nil {
					return err
				}
				return a.acted(o, sel, r, "retrying")
			})
		},
	}
	o.flags(cmd, false)
	f.flags(cmd, true)
	cmd.Flags().BoolVar(&dependents, "with-dependents", false, "also the tasks that were cancelled because of them")
	return cmd
}
