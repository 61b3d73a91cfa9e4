package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
)

// History is what a CSV file holds of a series.
type History struct {
	Points []models.Point
	StepS  float64 // seconds from one point to the next
	Gaps   []models.Gap
}

func (a *program) importCmd() *cobra.Command {
	var series string
	var step time.Duration
	cmd := &cobra.Command{
		Use:     "import FILE.csv",
		Short:   "Bring a series' history along, from a timestamp,value file",
		Example: "  loadstar import load.csv --series pool.default.load",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			if series == "" {
				return usage("--series: it must say which series the file is of")
			}
			if step < 0 {
				return usage("--step: %s is negative", step)
			}
			f, err := os.Open(files[0])
			if err != nil {
				return usage("%w", err)
			}
			defer func() { _ = f.Close() }()
			h, err := a.deps.ReadCSV(f, files[0])
			if err != nil {
				return err
			}
			if step == 0 {
				step = time.Duration(h.StepS * float64(time.Second))
			}
			return a.ask(cmd, func(ctx context.Context, b Backend) error {
				if err := b.Import(ctx, series, step, h.Points); err != nil {
					return err
				}
				text := fmt.Sprintf("%s of %s at %s", plural(len(h.Points), "point"), series, round(step))
				if len(h.Gaps) > 0 {
					text += ", " + plural(len(h.Gaps), "gap")
				}
				a.note("imported %s", text)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&series, "series", "", "the `NAME` of the series, as host.cpu or pool.default.load (needed)")
	cmd.Flags().DurationVar(&step, "step", 0, "`STEP` from one point to the next (default: the file's)")
	return cmd
}
