package cli

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
	"loadstar/predictor/export"
)

// forecastFlags are the flags of forecast.
type forecastFlags struct {
	history        bool
	step           time.Duration
	limit, horizon int
	model          string
	from, to       string
}

func (a *program) forecastCmd() *cobra.Command {
	var o output
	var f forecastFlags
	cmd := &cobra.Command{
		Use:   "forecast [SERIES]",
		Short: "Forecasts now, or with --history those made and what came of them",
		Long: `Forecasts now, of one series or of all, with the models' recent scores; or with
--history those made and what came of them. -o csv is the export:
series,issued_at,target_at,step_s,horizon,model,champion,p10,p50,p90,actual,abs_error,ape`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			series := ""
			if len(words) > 0 {
				series = words[0]
			}
			q, err := a.forecastQuery(f, series)
			if err != nil {
				return err
			}
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				if f.history {
					rows, err := b.ForecastHistory(ctx, q)
					return historyView(rows), err
				}
				now, err := b.Forecasts(ctx, q.Series, q.StepS)
				if q.Model != "" {
					onlyModel(now, q.Model)
				}
				return forecastView(now, q), err
			})
		},
	}
	o.flags(cmd, true)
	fl := cmd.Flags()
	fl.BoolVar(&f.history, "history", false, "forecasts made, newest first, and what came of them")
	fl.DurationVar(&f.step, "step", 0, "at this `STEP`, as 10s or 1m (default: all; with --history the finest)")
	fl.IntVar(&f.limit, "limit", 0, "at most `N` rows (default: all; a table of --history 50)")
	fl.StringVar(&f.model, "model", "", "of this `MODEL` only: "+strings.Join(models.ForecastModels(), ", "))
	fl.IntVar(&f.horizon, "horizon", 0, "`N` steps ahead only")
	fl.StringVar(&f.from, "from", "", "issued at this `TIME` or later: RFC 3339, or back from now as 1h")
	fl.StringVar(&f.to, "to", "", "issued before this `TIME`")
	_ = cmd.RegisterFlagCompletionFunc("model", cobra.FixedCompletions(models.ForecastModels(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// onlyModel leaves one model's forecasts and scores.
func onlyModel(now []models.SeriesForecast, model string) {
	for i := range now {
		s := &now[i]
		s.Forecasts = slices.DeleteFunc(slices.Clone(s.Forecasts), func(f models.Forecast) bool { return f.Model != model })
		s.Models = slices.DeleteFunc(slices.Clone(s.Models), func(m models.ModelScore) bool { return m.Model != model })
	}
}

func (a *program) forecastQuery(f forecastFlags, series string) (models.ForecastQuery, error) {
	q := models.ForecastQuery{Series: series, StepS: f.step.Seconds(), Model: f.model, Horizon: f.horizon, Limit: f.limit}
	switch {
	case f.step < 0:
		return q, usage("--step: %s is negative", f.step)
	case f.limit < 0:
		return q, usage("--limit: %d is negative", f.limit)
	case f.horizon < 0:
		return q, usage("--horizon: %d is negative", f.horizon)
	case f.model != "" && !slices.Contains(models.ForecastModels(), f.model):
		return q, usage("--model: %q is not one of %s", f.model, strings.Join(models.ForecastModels(), ", "))
	case !f.history && (f.from != "" || f.to != ""):
		return q, usage("--from and --to go with --history")
	}
	for _, m := range []struct {
		flag, text string
		into       *time.Time
	}{{"--from", f.from, &q.From}, {"--to", f.to, &q.To}} {
		if m.text == "" {
			continue
		}
		var err error
		if *m.into, err = a.moment(m.flag, m.text, -1); err != nil {
			return q, err
		}
	}
	return q, nil
}

// forecastRows are the targets of the newest forecasts, as far as they are asked for.
func forecastRows(now []models.SeriesForecast, q models.ForecastQuery) []models.ForecastRow {
	rows := export.Rows(now)
	if q.Horizon > 0 {
		rows = slices.DeleteFunc(rows, func(r models.ForecastRow) bool { return r.Horizon != q.Horizon })
	}
	if q.Limit > 0 {
		rows = rows[:min(len(rows), q.Limit)]
	}
	return rows
}

func historyView(rows []models.ForecastRow) view {
	if rows == nil {
		rows = []models.ForecastRow{}
	}
	return view{json: rows, csv: func(w io.Writer) error { return export.WriteCSV(w, rows) }, table: func(p *page) {
		if len(rows) == 0 {
			p.line("no forecasts kept yet")
			return
		}
		const most = 50
		shown := rows[:min(len(rows), most)]
		cells := make([][]string, len(shown))
		for i := range shown {
			r := &shown[i]
			champion := ""
			if r.Champion {
				champion = "*"
			}
			ape := "-"
			if r.APE != nil {
				ape = figure(*r.APE) + "%"
			}
			cells[i] = []string{
				r.Series, step(r.StepS), p.clock(r.IssuedAt), p.clock(r.TargetAt), strconv.Itoa(r.Horizon), r.Model + champion,
				figure(r.P10), figure(r.P50), figure(r.P90), optional(r.Actual), optional(r.AbsError), ape,
			}
		}
		p.table([]column{
			{name: "SERIES"},
			{name: "STEP", right: true, spare: 4},
			{name: "ISSUED", spare: 2},
			{name: "TARGET"},
			{name: "AHEAD", right: true, spare: 3},
			{name: "MODEL"},
			{name: "P10", right: true, spare: 5},
			{name: "P50", right: true},
			{name: "P90", right: true, spare: 6},
			{name: "ACTUAL", right: true},
			{name: "ERROR", right: true},
			{name: "APE", right: true, spare: 1},
		}, cells)
		if len(rows) > most {
			p.line("%d of %d; -o csv has all", most, len(rows))
		}
	}}
}

func forecastView(now []models.SeriesForecast, q models.ForecastQuery) view {
	if now == nil {
		now = []models.SeriesForecast{}
	}
	return view{json: now, csv: func(w io.Writer) error { return export.WriteCSV(w, forecastRows(now, q)) }, table: func(p *page) {
		if len(now) == 0 {
			p.line("no forecasts yet: the series are too short")
			return
		}
		var cells [][]string
		for i := range now {
			cells = append(cells, nowRows(&now[i])...)
		}
		p.table([]column{
			{name: "SERIES"},
			{name: "STEP", right: true},
			{name: "MODEL"},
			{name: "NEXT", right: true},
			{name: "P10", right: true, spare: 4},
			{name: "P90", right: true, spare: 3},
			{name: "LAST STEP", right: true, spare: 5},
			{name: "MASE", right: true},
			{name: "WAPE", right: true, spare: 2},
			{name: "COVERAGE", right: true, spare: 1},
			{name: "SCORED", right: true, spare: 6},
		}, cells)
		p.line("")
		for i := range now {
			s := &now[i]
			text := orDash(s.Status)
			if s.Why != "" {
				text = s.Why + "; " + text
			}
			p.line("%s at %s: %s", clean(s.Series), step(s.StepS), clean(text))
		}
	}}
}

// nowRows are one series' newest forecasts: the first and the last step, and how
// each model did lately. The champion has a star.
func nowRows(s *models.SeriesForecast) [][]string {
	var rows [][]string
	for i := range s.Forecasts {
		f := &s.Forecasts[i]
		n := min(len(f.P10), len(f.P50), len(f.P90))
		if n == 0 {
			continue
		}
		name := f.Model
		if f.Champion || f.Model == s.Champion {
			name += "*"
		}
		row := []string{s.Series, step(s.StepS), name, withUnit(f.P50[0], s.Unit), figure(f.P10[0]), figure(f.P90[0]), figure(f.P50[n-1]), "-", "-", "-", "0"}
		for j := range s.Models {
			if m := &s.Models[j]; m.Model == f.Model {
				row[7], row[8], row[10] = optional(m.MASE), optional(m.WAPE), strconv.Itoa(m.N)
				if m.Coverage != nil {
					row[9] = percent(*m.Coverage)
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}
