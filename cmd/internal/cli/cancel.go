package cli

import (
	"context"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) cancelCmd() *cobra.Command {
	var o output
	var f filter
	cmd := &cobra.Command{
		Use:     "cancel ID...",
		Short:   "Cancel tasks, by id or by filter; prints the ids of those cancelled",
		Example: "  loadstar cancel task-001\n  loadstar cancel --state PENDING --label team=a",
		Args:    args(cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := o.check(); err != nil {
				return err
			}
			sel, err := f.selection(ids, models.Pending, models.Assigned, models.Running)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				r, err := b.Cancel(ctx, sel)
				if err != nil {
					return err
				}
				return a.acted(o, sel, r, "cancelled")
			})
		},
	}
	o.flags(cmd, false)
	f.flags(cmd, true)
	return cmd
}
