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
				return a.pour(r, err, ids[0])
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the attempt ends")
	cmd.Flags().IntVar(&attempt, "attempt", 0, "of attempt `N`; 0 is the last")
	return cmd
}

func (a *program) poolLogsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "logs NAME",
		Short: "What a pool's workers have written to their standard error",
		Args:  args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				r, err := b.PoolLogs(ctx, names[0])
				return a.pour(r, err, "pool "+names[0])
			})
		},
	}
}

// pour writes what was opened to the output, as it stands.
func (a *program) pour(r io.ReadCloser, err error, whose string) error {
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if _, err := io.Copy(a.out, r); err != nil {
		return fmt.Errorf("logs of %s: %w", whose, err)
	}
	return nil
}
