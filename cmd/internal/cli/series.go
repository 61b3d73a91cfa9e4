package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"loadstar/models"
)

func (a *program) seriesCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "series",
		Short: "The series known: step, span, gaps, last value",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.show(cmd, o, func(ctx context.Context, b Backend) (view, error) {
				series, err := b.Series(ctx)
				if err != nil {
					return view{}, err
				}
				return seriesView(series), nil
			})
		},
	}
	o.flags(cmd, true)
	return cmd
}

func seriesView(series []models.SeriesInfo) view {
	if series == nil {
		series = []models.SeriesInfo{}
	}
	v := view{json: series, head: []string{"name", "unit", "step_s", "from", "to", "points", "gaps", "last"}}
	for i := range series {
		s := &series[i]
		v.rows = append(v.rows, []string{
			s.Name, s.Unit, exact(s.StepS), stamp(&s.From), stamp(&s.To), strconv.Itoa(s.Points), strconv.Itoa(len(s.Gaps)), exact(s.Last),
		})
	}
	v.table = func(p *page) {
		if len(series) == 0 {
			p.line("no series yet")
			return
		}
		rows := make([][]string, len(series))
		for i := range series {
			s := &series[i]
			var missing time.Duration
			for _, g := range s.Gaps {
				missing += g.To.Sub(g.From)
			}
			gaps := "-"
			if len(s.Gaps) > 0 {
				gaps = strconv.Itoa(len(s.Gaps)) + " (" + round(missing.Round(time.Second)) + ")"
			}
			rows[i] = []string{s.Name, step(s.StepS), p.clock(s.From), span(s.To.Sub(s.From)), strconv.Itoa(s.Points), gaps, withUnit(s.Last, s.Unit)}
		}
		p.table([]column{
			{name: "SERIES"},
			{name: "STEP", right: true},
			{name: "FROM", spare: 2},
			{name: "SPAN", right: true},
			{name: "POINTS", right: true, spare: 1},
			{name: "GAPS", right: true, spare: 3},
			{name: "LAST", right: true},
		}, rows)
	}
	return v
}

func withUnit(v float64, unit string) string {
	switch unit {
	case "":
		return figure(v)
	case "%":
		return figure(v) + "%"
	}
	return figure(v) + " " + unit
}
