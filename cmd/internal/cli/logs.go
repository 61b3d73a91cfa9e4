package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (a *program) logsCmd() *cobra.Command {
	var follow bool
	var attempt int
	cmd := &cobra.Command{
		Use:   "logs ID",
		Short: "What a task has written",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if attempt < 0 {
				return usage("--attempt: %d is negative", attempt)
			}
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				r, err := b.Logs(ctx, ids[0], attempt, follow)
				if err != nil {
					return err
				}
				defer func() { _ = r.Close() }()
				if _, err := io.Copy(a.out, r); err != nil {
					return fmt.Errorf("logs of %s: %w", ids[0], err)
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the attempt ends")
	cmd.Flags().IntVar(&attempt, "attempt", 0, "of attempt `N`; 0 is the last")
	return cmd
}
