package app

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"loadstar/models"
	"loadstar/scheduler/simulate"
)

// leastLate is where shares of late tasks down to none are drawn, in percent: the
// axis is logarithmic.
const leastLate = 0.01

// FrontierFormats are the endings that PlotFrontier writes.
func FrontierFormats() []string { return []string{".png", ".svg", ".pdf"} }

// PlotFrontier draws cost against late tasks, a line a policy, into a file whose
// ending says the format. Without a sweep each policy is a point.
func PlotFrontier(path string, r *simulate.Report) error {
	if !slices.Contains(FrontierFormats(), strings.ToLower(filepath.Ext(path))) {
		return models.Invalid("plot", "%q does not end in %s", path, strings.Join(FrontierFormats(), ", "))
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, cold start %gs", r.Trace, r.ColdStartS)
	p.X.Label.Text = fmt.Sprintf("tasks that wait more than %gs, %%", r.SLOS)
	p.Y.Label.Text = "worker-hours"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plainTicks{}, plainTicks{}
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	rows := r.Policies
	if len(r.Frontier) > 0 {
		rows = r.Frontier
	}
	low, high := math.Inf(1), 0.0
	for i, own := range r.Policies {
		points := curve(rows, own.Policy)
		for _, at := range points {
			low, high = math.Min(low, at.Y), math.Max(high, at.Y)
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return fmt.Errorf("draw %s: %w", own.Policy, err)
		}
		line.Color, line.Dashes, line.Width = plotutil.Color(i), plotutil.Dashes(i/7), vg.Points(1.2)
		marks.Color, marks.Shape, marks.Radius = line.Color, plotutil.Shape(i), vg.Points(2.5)
		if own.Policy == simulate.Predictive {
			line.Width = vg.Points(2.5)
		}
		p.Add(line, marks)
		p.Legend.Add(own.Policy, line, marks)
	}
	if !(high > 0) || math.IsInf(low, 0) {
		return models.Invalid("plot", "there is nothing to draw")
	}
	asked, err := plotter.NewLine(plotter.XYs{{X: math.Max(r.AtPct, leastLate), Y: low}, {X: math.Max(r.AtPct, leastLate), Y: high}})
	if err != nil {
		return fmt.Errorf("draw the share asked for: %w", err)
	}
	asked.LineStyle = draw.LineStyle{Color: color.Gray{Y: 120}, Width: vg.Points(1), Dashes: []vg.Length{vg.Points(4), vg.Points(3)}}
	p.Add(asked)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = leastLate, 100, low*0.95, high*1.05
	if err := p.Save(9*vg.Inch, 6*vg.Inch, path); err != nil {
		return fmt.Errorf("write the plot: %w", err)
	}
	return nil
}

// curve is a policy's runs by late share. Runs that cost nothing have no place on it.
func curve(rows []simulate.Result, policy string) plotter.XYs {
	points := plotter.XYs{}
	for i := range rows {
		if c := &rows[i]; c.Policy == policy && c.WorkerHours > 0 {
			points = append(points, plotter.XY{X: math.Max(c.ViolationsPct, leastLate), Y: c.WorkerHours})
		}
	}
	slices.SortFunc(points, func(a, b plotter.XY) int {
		switch {
		case a.X != b.X && a.X < b.X, a.X == b.X && a.Y < b.Y:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	return points
}

// plainTicks labels 1, 2 and 5 of each power of ten in plain numbers.
type plainTicks struct{}

// Ticks is as plot.Ticker says.
func (plainTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		for k := 1.0; k < 10; k++ {
			v := k * math.Pow(10, power)
			if v < low || v > high {
				continue
			}
			label := ""
			if k == 1 || k == 2 || k == 5 {
				label = fmt.Sprintf("%.12g", v)
			}
			ticks = append(ticks, plot.Tick{Value: v, Label: label})
		}
	}
	return ticks
}
