package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loadstar/collector/ingest"
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
			return a.bring(cmd, series, step, h)
		},
	}
	cmd.Flags().StringVar(&series, "series", "", "the `NAME` of the series, as host.cpu or pool.default.load (needed)")
	cmd.Flags().DurationVar(&step, "step", 0, "`STEP` from one point to the next (default: the file's)")
	cmd.AddCommand(a.importPrometheusCmd())
	return cmd
}

// bring hands a history to the daemon.
func (a *program) bring(cmd *cobra.Command, series string, step time.Duration, h History) error {
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
}

func (a *program) importPrometheusCmd() *cobra.Command {
	var series, from, to, bearer string
	var since time.Duration
	cfg := ingest.PrometheusConfig{}
	cmd := &cobra.Command{
		Use:   "prometheus",
		Short: "Bring a series' history along from a Prometheus server, by query_range",
		Long: `Bring a series' history along from a Prometheus server, by query_range. The query
must give one series. Values that are not finite are gaps; a gap of up to five
minutes is none, for Prometheus carries the last value on so long.`,
		Example: `  loadstar import prometheus --url http://localhost:9090 --series pool.default.arrivals \
    --query 'sum(rate(http_requests_total{app="shop"}[5m]))' --since 336h --step 1m`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if series == "" {
				return usage("--series: it must say which series the query is of")
			}
			if err := period(&cfg, a.deps.Now(), from, to, since); err != nil {
				return err
			}
			if bearer != "" {
				b, err := os.ReadFile(bearer)
				if err != nil {
					return usage("--bearer-file: %w", err)
				}
				cfg.Bearer = strings.TrimSpace(string(b))
			}
			t, err := ingest.ReadPrometheus(cmd.Context(), cfg)
			var bad *models.FieldError
			if errors.As(err, &bad) {
				return usage("--%s: %s", bad.Field, bad.Problem)
			}
			if err != nil {
				return err
			}
			return a.bring(cmd, series, t.Step(), History{Points: t.Points, StepS: t.StepS, Gaps: t.Gaps})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&cfg.URL, "url", "", "`URL` of the server, as http://localhost:9090 (needed)")
	fl.StringVar(&cfg.Query, "query", "", "PromQL `QUERY` (needed)")
	fl.StringVar(&series, "series", "", "the `NAME` of the series, as host.cpu or pool.default.load (needed)")
	fl.DurationVar(&cfg.Step, "step", time.Minute, "`STEP` from one point to the next")
	fl.DurationVar(&since, "since", 14*24*time.Hour, "this `LONG` before now")
	fl.StringVar(&from, "from", "", "from this `TIME` on (RFC 3339), in the place of --since")
	fl.StringVar(&to, "to", "", "up to this `TIME` (RFC 3339; default now)")
	fl.StringVar(&bearer, "bearer-file", "", "a `FILE` with the token that the server wants")
	return cmd
}

// period sets what part of the history is asked for.
func period(cfg *ingest.PrometheusConfig, now time.Time, from, to string, since time.Duration) error {
	cfg.To = now
	for _, f := range []struct {
		flag, text string
		at         *time.Time
	}{{"from", from, &cfg.From}, {"to", to, &cfg.To}} {
		if f.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, f.text)
		if err != nil {
			return usage("--%s: %q is not a time as 2026-01-31T08:00:00Z", f.flag, f.text)
		}
		*f.at = at
	}
	if since <= 0 {
		return usage("--since: %s is not positive", since)
	}
	if from == "" {
		cfg.From = cfg.To.Add(-since)
	}
	return nil
}
