package cli

import (
	"context"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) prioritizeCmd() *cobra.Command {
	var o output
	var f filter
	cmd := &cobra.Command{
		Use:     "prioritize ID... PRIORITY",
		Short:   "Give waiting tasks another priority, by id or by filter; prints their ids",
		Example: "  loadstar prioritize task-001 high\n  loadstar prioritize --label team=a 80",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			if err := o.check(); err != nil {
				return err
			}
			last := len(words) - 1
			priority, err := models.ParsePriority(words[last])
			if err != nil {
				return usage("PRIORITY (the last word): %w", err)
			}
			sel, err := f.selection(words[:last], models.Pending)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				r, err := b.Prioritize(ctx, sel, priority)
				if err != nil {
					return err
				}
				return a.acted(o, sel, r, "prioritized")
			})
		},
	}
	o.flags(cmd, false)
	f.flags(cmd, true)
	return cmd
}
