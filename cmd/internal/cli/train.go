package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) trainCmd() *cobra.Command {
	var series string
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train the forecasting models now, with a progress bar",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				_, tty := terminal(a.err)
				begun := a.deps.Now()
				var last models.TrainProgress
				err := b.Train(ctx, series, func(p models.TrainProgress) {
					same := p.Series == last.Series && p.StepS == last.StepS
					switch {
					case tty:
						const width = 30
						filled := int(min(1, max(0, p.Done)) * width)
						fmt.Fprintf(a.err, "\r\x1b[K[%-*s] %3.0f%% %s at %s", width, bar(filled), 100*p.Done, clean(p.Series), step(p.StepS))
						if p.Loss > 0 {
							fmt.Fprintf(a.err, ", loss %.4f", p.Loss)
						}
					case !same || p.Done >= last.Done+0.25 || p.Done >= 1 && last.Done < 1:
						fmt.Fprintf(a.err, "loadstar: training on %s at %s: %.0f%%\n", clean(p.Series), step(p.StepS), 100*p.Done)
					default:
						return
					}
					last = p
				})
				if tty && last.Series != "" {
					fmt.Fprintln(a.err)
				}
				if err != nil {
					return err
				}
				a.note("trained in %s", span(a.deps.Now().Sub(begun).Round(time.Millisecond)))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&series, "series", "", "on this `SERIES` only (default: every one that is forecast)")
	return cmd
}

func bar(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '#'
	}
	return string(b)
}
