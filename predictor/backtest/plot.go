package backtest

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"loadstar/predictor/baseline"
)

const (
	plotWidth, plotHeight = 14 * vg.Inch, 5 * vg.Inch
	plotSteps             = 1500 // newest steps drawn: more than that is a smear
	plotHistory           = 60   // steps before the first forecast drawn
)

// Plot draws the champion's forecasts beside what happened into a PNG file, which
// it replaces only when the picture is whole: P10 to P90 as a band, P50 as a
// line, from every origin of the newest steps that does not overlap the one before.
func Plot(path string, r Report) error {
	if r.drawn == nil || r.Champion == "" {
		return fmt.Errorf("plot %s: there is no forecast to draw", path)
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: %s, %d steps of %s ahead", r.Series, r.Champion, len(r.Horizons), r.drawn.step)
	p.X.Tick.Marker = plot.TimeTicks{Format: "01-02\n15:04", Time: plot.UTCUnixTime}
	p.Legend.Top = true
	if err := r.drawn.on(p); err != nil {
		return fmt.Errorf("plot %s: %w", path, err)
	}
	c := vgimg.PngCanvas{Canvas: vgimg.New(plotWidth, plotHeight)}
	p.Draw(draw.New(c))
	f, err := os.CreateTemp(filepath.Dir(path), ".plot-*.png")
	if err != nil {
		return fmt.Errorf("plot %s: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already where all went well
	_, err = c.WriteTo(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644) //nolint:gosec // a picture is for everybody
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("plot %s: %w", path, err)
	}
	return nil
}

// drawing is what a plot shows: the series, and one model's forecasts of it.
type drawing struct {
	start   time.Time
	step    time.Duration
	values  []float64
	origins []int
	paths   []*baseline.Quantiles
}

func (d *drawing) x(i int) float64 {
	return float64(d.start.Add(time.Duration(i)*d.step).UnixMilli()) / 1000
}

func (d *drawing) on(p *plot.Plot) error {
	first := max(0, len(d.values)-plotSteps)
	if len(d.origins) > 0 {
		first = max(first, d.origins[0]-plotHistory)
	}
	band, line, free := color.NRGBA{R: 0, G: 114, B: 178, A: 60}, color.NRGBA{R: 0, G: 114, B: 178, A: 255}, first
	named := false
	for i, o := range d.origins {
		q := d.paths[i]
		if q == nil || o < free {
			continue
		}
		free = o + len(q.P50)
		var around, middle plotter.XYs
		for h := range q.P50 {
			middle = append(middle, plotter.XY{X: d.x(o + h), Y: q.P50[h]})
			around = append(around, plotter.XY{X: d.x(o + h), Y: q.P90[h]})
		}
		for h := len(q.P10) - 1; h >= 0; h-- {
			around = append(around, plotter.XY{X: d.x(o + h), Y: q.P10[h]})
		}
		area, err := plotter.NewPolygon(around)
		if err != nil {
			return err
		}
		area.Color, area.LineStyle.Width = band, 0
		p50, err := plotter.NewLine(middle)
		if err != nil {
			return err
		}
		p50.Color, p50.Width = line, vg.Points(1)
		p.Add(area, p50)
		if !named {
			p.Legend.Add("P10 to P90", area)
			p.Legend.Add("P50", p50)
			named = true
		}
	}
	return d.addActual(p, first)
}

// addActual draws the values, a line for each stretch without a gap.
func (d *drawing) addActual(p *plot.Plot, first int) error {
	var run plotter.XYs
	named := false
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		l, err := plotter.NewLine(run)
		if err != nil {
			return err
		}
		l.Color, l.Width = color.NRGBA{R: 40, G: 40, B: 40, A: 255}, vg.Points(0.8)
		p.Add(l)
		if !named {
			p.Legend.Add("what happened", l)
			named = true
		}
		run = nil
		return nil
	}
	for i := first; i < len(d.values); i++ {
		if math.IsNaN(d.values[i]) {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		run = append(run, plotter.XY{X: d.x(i), Y: d.values[i]})
	}
	return flush()
}
