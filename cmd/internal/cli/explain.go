package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *program) explainCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "explain ID",
		Short: "Why a task is where it is, or what it waits for",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				e, err := b.Explain(ctx, ids[0])
				if err != nil {
					return view{}, err
				}
				return view{
					json: e,
					head: []string{"task_id", "state", "reason", "text"},
					rows: [][]string{{e.TaskID, string(e.State), string(e.Reason), e.Text}},
					table: func(p *page) {
						state := string(e.State)
						if e.Reason != "" {
							state += ", " + string(e.Reason)
						}
						p.line("%s is %s", clean(e.TaskID), state)
						p.line("%s", clean(e.Text))
						for _, f := range e.Facts {
							p.line("  %s", clean(f))
						}
					},
				}, nil
			})
		},
	}
	o.flags(cmd, true)
	return cmd
}
