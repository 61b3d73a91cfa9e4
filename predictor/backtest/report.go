package backtest

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"

	"loadstar/models"
)

// Report is what came of a backtest; its JSON is stable.
type Report struct {
	Series      string        `json:"series"`
	StepS       float64       `json:"step_s"`
	Points      int           `json:"points"`
	MissingN    int           `json:"missing"` // steps of the grid without a value
	SeasonSteps int           `json:"season_steps"`
	Origins     int           `json:"origins"`
	Horizons    []int         `json:"horizons"`
	Champion    string        `json:"champion"` // the lowest weighted quantile loss
	Models      []ModelReport `json:"models"`
	// Live is what the service would have believed: at each origin whichever model
	// had been best by then.
	Live *ModelReport `json:"live"`

	drawn *drawing // the champion's forecasts, for Plot
}

// ModelReport is one model's measures over all horizons, and by horizon.
type ModelReport struct {
	Model string `json:"model"`
	Measures
	ByHorizon []HorizonReport `json:"by_horizon"`
	FitS      float64         `json:"fit_s"` // seconds to fit and forecast everything
	Fits      int             `json:"fits"`
}

// HorizonReport is a model's measures so many steps ahead.
type HorizonReport struct {
	H int `json:"h"`
	Measures
}

// Measures are nil where they are not defined.
type Measures struct {
	N          int      `json:"n"` // targets
	MASE       *float64 `json:"mase"`
	WAPE       *float64 `json:"wape"`
	SMAPE      *float64 `json:"smape"` // percent, 0 to 200
	RMSE       *float64 `json:"rmse"`
	MAPE       *float64 `json:"mape"` // percent; over the targets that are not 0
	WQL        *float64 `json:"wql"`
	Coverage80 *float64 `json:"coverage80"` // share within P10 to P90
	Skill      *float64 `json:"skill"`      // 1 - wql/wql of snaive on the same targets
}

// sums accumulate errors.
type sums struct {
	n, abs, square, y, pin, rival, inside float64
	smape, smapeN, mape, mapeN            float64
}

func (s *sums) add(y float64, p50, p10, p90, pin, rival float64) {
	e := math.Abs(y - p50)
	s.n++
	s.abs += e
	s.square += e * e
	s.y += math.Abs(y)
	s.pin += pin
	s.rival += rival
	if p10 <= y && y <= p90 {
		s.inside++
	}
	if d := math.Abs(y) + math.Abs(p50); d > 0 {
		s.smape += 200 * e / d
	}
	s.smapeN++
	if y != 0 {
		s.mape += 100 * e / math.Abs(y)
		s.mapeN++
	}
}

func (s *sums) measures(scale float64) Measures {
	m := Measures{N: int(s.n)}
	if s.n == 0 {
		return m
	}
	m.MASE = ratio(s.abs/s.n, scale)
	m.WAPE = ratio(s.abs, s.y)
	m.SMAPE = ratio(s.smape, s.smapeN)
	m.RMSE = ratio(math.Sqrt(s.square/s.n), 1)
	m.MAPE = ratio(s.mape, s.mapeN)
	m.WQL = ratio(2*s.pin, s.y)
	m.Coverage80 = ratio(s.inside, s.n)
	if r := ratio(s.pin, s.rival); r != nil {
		skill := 1 - *r
		m.Skill = &skill
	}
	return m
}

func ratio(a, b float64) *float64 {
	if r := a / b; b > 0 && !math.IsNaN(r) && !math.IsInf(r, 0) {
		return &r
	}
	return nil
}

// report scores every model. first is the number of values before the first origin.
func (r *run) report(first int) Report {
	out := Report{
		Series: r.cfg.Series, StepS: r.grid.step.Seconds(), Points: r.grid.points, SeasonSteps: r.season,
		Origins: len(r.origins) - r.counted, Models: []ModelReport{},
	}
	for _, v := range r.grid.values {
		if math.IsNaN(v) {
			out.MissingN++
		}
	}
	for h := range r.cfg.Horizon {
		out.Horizons = append(out.Horizons, h+1)
	}
	scale := naiveError(r.grid.values[:first], max(1, r.season))
	var rival *measured
	for i := range r.models {
		if r.models[i].name == models.ModelSNaive {
			rival = &r.models[i]
		}
	}
	best := math.Inf(1)
	for _, m := range r.models {
		row := r.score(m, rival, scale)
		if row.WQL != nil && *row.WQL < best {
			best, out.Champion = *row.WQL, m.name
			out.drawn = &drawing{start: r.grid.start, step: r.grid.step, values: r.grid.values, origins: r.origins[r.counted:], paths: m.paths[r.counted:]}
		}
		out.Models = append(out.Models, row)
	}
	live := r.score(r.live(), rival, scale)
	out.Live = &live
	return out
}

func (r *run) score(m measured, rival *measured, scale float64) ModelReport {
	all, by := sums{}, make([]sums, r.cfg.Horizon)
	for i, o := range r.origins {
		p := m.paths[i]
		if p == nil || i < r.counted {
			continue
		}
		for h := range by {
			y := r.grid.values[o+h]
			if math.IsNaN(y) {
				continue
			}
			pin, other := pinball(y, p, h), 0.0
			if rival != nil && rival.paths[i] != nil {
				other = pinball(y, rival.paths[i], h)
			}
			all.add(y, p.P50[h], p.P10[h], p.P90[h], pin, other)
			by[h].add(y, p.P50[h], p.P10[h], p.P90[h], pin, other)
		}
	}
	row := ModelReport{Model: m.name, Measures: all.measures(scale), FitS: m.took.Seconds(), Fits: m.fits}
	for h := range by {
		row.ByHorizon = append(row.ByHorizon, HorizonReport{H: h + 1, Measures: by[h].measures(scale)})
	}
	return row
}

func naiveError(values []float64, m int) float64 {
	sum, n := 0.0, 0.0
	for i := m; i < len(values); i++ {
		if d := math.Abs(values[i] - values[i-m]); !math.IsNaN(d) {
			sum += d
			n++
		}
	}
	return sum / max(n, 1)
}

// WriteTable writes the report for people: one line a model, with the weighted
// quantile loss at some horizons too; the last is what the service would have
// believed, whichever model was best by then.
func WriteTable(w io.Writer, r Report) error {
	fmt.Fprintf(w, "%s: %d points of %g s, %d steps missing, ", r.Series, r.Points, r.StepS, r.MissingN)
	if r.SeasonSteps > 0 {
		fmt.Fprintf(w, "season of %d steps", r.SeasonSteps)
	} else {
		fmt.Fprint(w, "no season found")
	}
	fmt.Fprintf(w, "; %d origins, %d steps ahead; best: %s\n\n", r.Origins, len(r.Horizons), r.Champion)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "model\tMASE\tWAPE\tsMAPE\tRMSE\tMAPE\tWQL\tcover80\tskill\tfit s\t")
	some := someHorizons(len(r.Horizons))
	for _, h := range some {
		fmt.Fprintf(t, "WQL@%d\t", h)
	}
	fmt.Fprintln(t)
	for _, m := range r.rows() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f\t", m.Model, cell(m.MASE), cell(m.WAPE), cell(m.SMAPE), cell(m.RMSE),
			cell(m.MAPE), cell(m.WQL), cell(m.Coverage80), cell(m.Skill), m.FitS)
		for _, h := range some {
			fmt.Fprintf(t, "%s\t", cell(m.ByHorizon[h-1].WQL))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// WriteCSV writes one line a model for all horizons together, where horizon is
// "all", and one for each horizon. A measure that is not defined is empty.
func WriteCSV(w io.Writer, r Report) error {
	c := csv.NewWriter(w)
	head := []string{"series", "step_s", "model", "horizon", "n", "mase", "wape", "smape", "rmse", "mape", "wql", "coverage80", "skill", "fit_s"}
	if err := c.Write(head); err != nil {
		return fmt.Errorf("write backtest csv: %w", err)
	}
	for _, m := range r.rows() {
		line := func(horizon string, of Measures, took string) {
			row := []string{r.Series, number(r.StepS), m.Model, horizon, strconv.Itoa(of.N)}
			for _, v := range []*float64{of.MASE, of.WAPE, of.SMAPE, of.RMSE, of.MAPE, of.WQL, of.Coverage80, of.Skill} {
				text := ""
				if v != nil {
					text = number(*v)
				}
				row = append(row, text)
			}
			_ = c.Write(append(row, took)) // told by Error
		}
		line("all", m.Measures, number(m.FitS))
		for _, h := range m.ByHorizon {
			line(strconv.Itoa(h.H), h.Measures, "")
		}
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("write backtest csv: %w", err)
	}
	return nil
}

// rows are the models, and what would have been believed.
func (r *Report) rows() []ModelReport {
	if r.Live == nil {
		return r.Models
	}
	return append(slices.Clone(r.Models), *r.Live)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// someHorizons is the first, the middle and the last.
func someHorizons(h int) []int {
	return slices.Compact([]int{1, max(1, h/2), h})
}

func cell(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *v)
}
