package demo

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"loadstar/models"
)

// Summary is what really happened; its JSON is the closing document of
// `loadstar demo --headless -o json`.
type Summary struct {
	Trace    string               `json:"trace"`
	DayS     int                  `json:"day_s"`
	Tasks    map[models.State]int `json:"tasks"`
	WaitMS   models.Quantiles     `json:"wait_ms"`
	Forecast []ForecastSummary    `json:"forecast"`
	Pools    []PoolSummary        `json:"pools"`
}

// ForecastSummary is how each model did on one series during the show.
type ForecastSummary struct {
	Series   string              `json:"series"`
	StepS    float64             `json:"step_s"`
	Champion string              `json:"champion"`
	Models   []models.ModelScore `json:"models"`
}

// PoolSummary is what the pool's size did.
type PoolSummary struct {
	Name       string  `json:"name"`
	Prestarted int     `json:"prestarted"`   // workers started ahead of any reactive need
	ColdStartS float64 `json:"cold_start_s"` // P90 of those measured
	ColdStarts int     `json:"cold_starts"`
	ServiceS   float64 `json:"service_s"`

	Policy models.PoolPolicy `json:"policy"`
}

// Summarise asks the daemon what happened.
func (s *Show) Summarise(ctx context.Context) (Summary, error) {
	sum := Summary{Trace: s.cfg.Trace.Name, DayS: s.cfg.Trace.Day, Forecast: []ForecastSummary{}, Pools: []PoolSummary{}}
	st, err := s.daemon.Stats(ctx)
	if err != nil {
		return sum, err
	}
	sum.Tasks, sum.WaitMS = st.Tasks, st.SubmitToStart
	arrivals, load := demoSeries()
	for _, series := range []string{load, arrivals} {
		found, err := s.daemon.Forecasts(ctx, series, 1)
		if err != nil {
			return sum, err
		}
		for _, f := range found {
			sum.Forecast = append(sum.Forecast, ForecastSummary{Series: f.Series, StepS: f.StepS, Champion: f.Champion, Models: f.Models})
		}
	}
	pools, err := s.daemon.Pools(ctx)
	if err != nil {
		return sum, err
	}
	for _, p := range pools {
		if p.Name == PoolName {
			sum.Pools = append(sum.Pools, PoolSummary{Name: p.Name, Prestarted: p.Prestarted, ColdStartS: p.ColdStartS, ColdStarts: p.ColdStarts, ServiceS: p.ServiceS, Policy: p.Policy})
		}
	}
	return sum, nil
}

// Failed reports whether some task did not end SUCCESS.
func (s Summary) Failed() bool {
	for state, n := range s.Tasks {
		if state != models.Success && n > 0 {
			return true
		}
	}
	return false
}

// Write prints the summary for a person.
func (s Summary) Write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s, a day in %d s\n", s.Trace, s.DayS)
	fmt.Fprintf(w, "tasks     ")
	for _, state := range models.States() {
		if n := s.Tasks[state]; n > 0 || state == models.Success {
			fmt.Fprintf(w, "%d %s  ", n, state)
		}
	}
	fmt.Fprintf(w, "\nwait      p50 %.0f ms, p95 %.0f ms, p99 %.0f ms from submitted to started\n", s.WaitMS.P50, s.WaitMS.P95, s.WaitMS.P99)
	for _, p := range s.Pools {
		fmt.Fprintf(w, "workers   %d came up (%.1f s each, P90) and %d were started ahead of need; %s, a task takes %.2f s\n", p.ColdStarts, p.ColdStartS, p.Prestarted, p.Policy, p.ServiceS)
	}
	for _, f := range s.Forecast {
		fmt.Fprintf(w, "\nforecast of %s, %g s a step; champion %s\n", f.Series, f.StepS, f.Champion)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(tw, "model\tscored\tMASE\tWAPE\tWQL\tP10-P90 coverage\tskill\t")
		for _, m := range f.Models {
			fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", m.Model, m.N, figure(m.MASE), figure(m.WAPE), figure(m.WQL), figure(m.Coverage), figure(m.Skill))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func figure(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}
