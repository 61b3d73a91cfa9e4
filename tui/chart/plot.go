package chart

import (
	"math"
	"strconv"
	"time"

	"loadstar/models"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// Stroke is how a line is drawn, so that lines differ without colour.
type Stroke uint8

// The strokes.
const (
	Solid Stroke = iota
	Dashed
	Dotted
)

// Line is one series of a plot. Points are ascending in time; two that lie more
// than a step and a half apart are not joined.
type Line struct {
	Name   string
	Points []models.Point
	Step   time.Duration
	Role   theme.Role
	Stroke Stroke
}

// Band is the room between two quantiles, one pair a step.
type Band struct {
	Name   string
	At     []time.Time
	Lo, Hi []float64
	Step   time.Duration
}

// Plot is a chart over time. Lines named first are drawn over those named later.
type Plot struct {
	From, To time.Time
	Now      time.Time // a line is drawn there; zero is none
	Zone     *time.Location
	Unit     string
	Lines    []Line
	Band     *Band
	FromZero bool // the axis begins at zero, whatever the values
}

// axisRows is what the time axis takes below the plot.
const axisRows = 2

// largest is the largest value that is drawn: beyond it differences overflow.
const largest = 1e300

func usable(v float64) (float64, bool) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	return max(-largest, min(largest, v)), true
}

// Range is the values' axis: what is seen, to round numbers, from zero where that
// does not hide the detail.
func (p *Plot) valueRange() (lo, hi float64, any bool) {
	lo, hi = math.Inf(1), math.Inf(-1)
	see := func(at time.Time, v float64, step time.Duration) {
		v, ok := usable(v)
		if !ok || at.Add(step).Before(p.From) || at.After(p.To) {
			return
		}
		lo, hi = math.Min(lo, v), math.Max(hi, v)
	}
	for _, l := range p.Lines {
		for _, pt := range l.Points {
			see(pt.At, pt.Value, l.Step)
		}
	}
	if b := p.Band; b != nil {
		for i, at := range b.At {
			if i < len(b.Lo) && i < len(b.Hi) {
				see(at, b.Lo[i], b.Step)
				see(at, b.Hi[i], b.Step)
			}
		}
	}
	if hi < lo {
		return 0, 1, false
	}
	if lo >= 0 && (p.FromZero || lo <= 0.6*hi) {
		lo = 0
	}
	if hi-lo < 1e-9*math.Max(1, math.Abs(hi)) { // flat: some room on both sides
		pad := math.Max(0.5, math.Abs(hi)*0.1)
		if lo != 0 {
			lo -= pad
		}
		hi += pad
	}
	return lo, hi, true
}

// roundOut widens a range to round values where that leaves little of it empty.
func roundOut(lo, hi, step float64) (float64, float64) {
	room := (hi - lo) * 0.2
	if up := math.Ceil(hi/step-1e-9) * step; up-hi <= room {
		hi = math.Min(largest, up)
	} else {
		hi = math.Min(largest, hi+room/4)
	}
	if down := math.Floor(lo/step+1e-9) * step; lo != 0 && lo-down <= room {
		lo = math.Max(-largest, down)
	}
	return lo, hi
}

// area is where a plot's values go: the mapping from time and value to dots.
type area struct {
	w, h   int // dots
	from   time.Time
	span   float64 // seconds
	lo, hi float64
}

func (a *area) x(t time.Time) float64 {
	return t.Sub(a.from).Seconds() / a.span * float64(a.w-1)
}

// y is never far outside: what lies beyond the range ends a row beyond the edge.
func (a *area) y(v float64) float64 {
	v = max(-largest, min(largest, v))
	y := float64(a.h-1) * (1 - (v-a.lo)/(a.hi-a.lo))
	if math.IsNaN(y) {
		return 0
	}
	return max(-1, min(float64(a.h), y))
}

// Draw draws the plot over the whole canvas.
func (p *Plot) Draw(c *widget.Canvas) {
	w, h := c.Size()
	span := p.To.Sub(p.From).Seconds()
	if w < 8 || h < 3 || !(span > 0) {
		return
	}
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	lo, hi, any := p.valueRange()
	rows := h
	if h >= 5 {
		rows = h - axisRows
	}
	bytes := p.Unit == "B/s"
	n := max(2, rows/3)
	step := niceStep((hi-lo)/float64(n), bytes)
	if any && step > 0 {
		lo, hi = roundOut(lo, hi, step)
	}
	marks := ticks(lo, hi, step)
	texts, unit := labels(marks, p.Unit)
	left := widget.Width(unit)
	for _, t := range texts {
		left = max(left, widget.Width(t))
	}
	left = min(left, w/2)
	plot := c.Sub(widget.Rect{X: left + 1, Y: 0, W: w - left - 1, H: rows})
	pw := plot.W()
	p.valueAxis(c, left, rows, lo, hi, marks, texts, unit)
	if rows < h {
		p.timeAxis(c.Sub(widget.Rect{X: left, Y: rows, W: w - left, H: axisRows}), pw)
	}
	a := area{w: pw, h: rows, from: p.From, span: span, lo: lo, hi: hi}
	p.drawNow(plot, a)
	p.drawBand(plot, a)
	if c.Theme().Level == theme.Braille {
		a.w, a.h = pw*2, rows*4
		p.drawDots(plot, a)
	} else {
		p.drawCells(plot, a)
	}
}

func (p *Plot) valueAxis(c *widget.Canvas, left, rows int, lo, hi float64, marks []float64, texts []string, unit string) {
	axis := theme.Fg(theme.Border)
	a := area{h: rows, lo: lo, hi: hi}
	for y := range rows {
		c.Text(left, y, axis, c.Glyphs().Vertical)
	}
	last := -2
	for i := len(marks) - 1; i >= 0; i-- {
		y := int(math.Round(a.y(marks[i])))
		if y < 0 || y >= rows || last >= 0 && y-last < 2 {
			continue
		}
		last = y
		c.Text(left, y, axis, c.Glyphs().AxisY)
		c.TextRight(0, y, left, theme.Fg(theme.Muted), texts[i])
	}
	if rows < c.H() { // beside the times
		c.TextRight(0, c.H()-1, left, theme.Fg(theme.Border), unit)
	}
}

// timeAxis draws the axis and its labels; column 0 is the value axis.
func (p *Plot) timeAxis(c *widget.Canvas, pw int) {
	axis, g := theme.Fg(theme.Border), c.Glyphs()
	c.Text(0, 0, axis, g.AxisCorner)
	for x := 1; x <= pw; x++ {
		c.Text(x, 0, axis, g.Horizontal)
	}
	a := area{w: pw, from: p.From, span: p.To.Sub(p.From).Seconds()}
	free := 0
	for _, t := range timeTicks(p.From, p.To, pw, 11, p.Zone) {
		x := 1 + int(math.Round(a.x(t.at)))
		c.Text(x, 0, axis, g.AxisTick)
		n := widget.Width(t.label)
		at := max(0, min(x-n/2, c.W()-n))
		if at < free {
			continue
		}
		c.Text(at, 1, theme.Fg(theme.Muted), t.label)
		free = at + n + 1
	}
}

func (p *Plot) drawNow(c *widget.Canvas, a area) {
	if p.Now.IsZero() || p.Now.Before(p.From) || p.Now.After(p.To) {
		return
	}
	x := int(math.Round(a.x(p.Now)))
	for y := range c.H() {
		c.Text(x, y, theme.Fg(theme.Muted), c.Glyphs().Now)
	}
}

// drawBand shades what lies between the quantiles, a column at a time.
func (p *Plot) drawBand(c *widget.Canvas, a area) {
	b := p.Band
	if b == nil || len(b.At) == 0 || len(b.Lo) < len(b.At) || len(b.Hi) < len(b.At) {
		return
	}
	shades := c.Theme().Shades
	i := 0
	for x := range a.w {
		at := p.From.Add(time.Duration(float64(x) / float64(max(1, a.w-1)) * a.span * float64(time.Second)))
		for i < len(b.At)-1 && !b.At[i+1].After(at) {
			i++
		}
		if at.Before(b.At[i]) || at.After(b.At[i].Add(b.Step)) {
			continue
		}
		lo, hi, ok := b.at(i, at)
		if !ok {
			continue
		}
		top := max(0, int(math.Round(a.y(math.Max(lo, hi)))))
		bottom := min(a.h-1, int(math.Round(a.y(math.Min(lo, hi)))))
		for y := top; y <= bottom; y++ {
			if shades {
				c.Shade(widget.Rect{X: x, Y: y, W: 1, H: 1}, theme.Plain, theme.BandBG)
			} else {
				c.Text(x, y, theme.Fg(theme.Band), c.Glyphs().Empty)
			}
		}
	}
}

// at is the band at a time within step i, on straight lines between the middles of the steps.
func (b *Band) at(i int, at time.Time) (lo, hi float64, ok bool) {
	j := i + 1
	if at.Before(b.At[i].Add(b.Step / 2)) {
		j = i - 1
	}
	lo, okLo := usable(b.Lo[i])
	hi, okHi := usable(b.Hi[i])
	if !okLo || !okHi || j < 0 || j >= len(b.At) {
		return lo, hi, okLo && okHi
	}
	nextLo, okLo := usable(b.Lo[j])
	nextHi, okHi := usable(b.Hi[j])
	if far := b.At[j].Sub(b.At[i]).Abs(); !okLo || !okHi || far == 0 || far > b.Step+b.Step/2 {
		return lo, hi, true
	}
	share := min(1, math.Abs(at.Sub(b.At[i].Add(b.Step/2)).Seconds())/b.Step.Seconds())
	return lo + (nextLo-lo)*share, hi + (nextHi-hi)*share, true
}

// trace calls plot for every dot of a line.
func (l *Line) trace(a area, plot func(x, y int)) {
	var px, py float64
	var last time.Time
	joined := false
	for _, pt := range l.Points {
		v, ok := usable(pt.Value)
		mid := pt.At.Add(l.Step / 2)
		x := a.x(mid)
		if !ok || x < -float64(a.w) || x > 2*float64(a.w) {
			joined = false
			continue
		}
		y := a.y(v)
		if joined && pt.At.Sub(last) <= l.Step+l.Step/2 {
			segment(px, py, x, y, a.w, plot)
		} else {
			plot(int(math.Round(x)), int(math.Round(y)))
		}
		px, py, last, joined = x, y, pt.At, true
	}
}

// segment joins two dots: every column between them, and every row where it is steep.
func segment(x0, y0, x1, y1 float64, w int, plot func(x, y int)) {
	a, b := int(math.Round(x0)), int(math.Round(x1))
	from := int(math.Round(y0))
	for x := a; x <= b; x++ {
		if x < -1 || x > w {
			continue
		}
		to := int(math.Round(y1))
		if b > a {
			to = int(math.Round(y0 + (y1-y0)*float64(x-a)/float64(b-a)))
		}
		step := 1
		if to < from {
			step = -1
		}
		for y := from; y != to; y += step {
			if y != from || x == a {
				plot(x, y)
			}
		}
		plot(x, to)
		from = to
	}
}

// on says whether a stroke is drawn at dot column x.
func (s Stroke) on(x int) bool {
	switch s {
	case Dashed:
		return x%6 < 4
	case Dotted:
		return x%3 == 0
	case Solid:
	}
	return true
}

// drawDots draws the lines in Braille.
func (p *Plot) drawDots(c *widget.Canvas, a area) {
	w, h := c.Size()
	bits := make([]uint8, w*h)
	role := make([]theme.Role, w*h)
	for i := len(p.Lines) - 1; i >= 0; i-- {
		l := &p.Lines[i]
		l.trace(a, func(x, y int) {
			if x < 0 || y < 0 || x >= a.w || y >= a.h || !l.Stroke.on(x) {
				return
			}
			k := y/4*w + x/2
			bits[k] |= dotBit(x%2, y%4)
			role[k] = l.Role
		})
	}
	for k, b := range bits {
		if b != 0 {
			c.Text(k%w, k/w, theme.Fg(role[k]), string(rune(0x2800+int(b))))
		}
	}
}

func dotBit(x, y int) uint8 {
	return [2][4]uint8{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}[x][y]
}

// drawCells draws the lines with one sign a cell.
func (p *Plot) drawCells(c *widget.Canvas, a area) {
	for i := len(p.Lines) - 1; i >= 0; i-- {
		l := &p.Lines[i]
		sign := l.Stroke.sign(c.Theme().Level)
		l.trace(a, func(x, y int) {
			if x >= 0 && y >= 0 && x < a.w && y < a.h {
				c.Text(x, y, theme.Fg(l.Role), sign)
			}
		})
	}
}

func (s Stroke) sign(l theme.Level) string {
	if l == theme.ASCII {
		return [...]string{"*", "+", "."}[s]
	}
	return [...]string{"■", "+", "·"}[s]
}

// sample is a stroke as the legend shows it.
func (s Stroke) sample(l theme.Level) string {
	if l == theme.Braille {
		return [...]string{"⠒⠒⠒", "⠒⠂⠒", "⠂⠄⠁"}[s]
	}
	return s.sign(l) + s.sign(l) + s.sign(l)
}

// Legend says at line y what the strokes mean, as far as there is room, and gives the x after it.
func (p *Plot) Legend(c *widget.Canvas, x, y int) int {
	th := c.Theme()
	for _, l := range p.Lines {
		if l.Name == "" || x+5+widget.Width(l.Name) > c.W() {
			continue
		}
		x = c.Text(x, y, theme.Fg(l.Role), l.Stroke.sample(th.Level))
		x = c.Text(x+1, y, theme.Fg(theme.Muted), l.Name) + 2
	}
	if b := p.Band; b != nil && x+5+widget.Width(b.Name) <= c.W() {
		if th.Shades {
			c.Shade(widget.Rect{X: x, Y: y, W: 3, H: 1}, theme.Plain, theme.BandBG)
		} else {
			c.Text(x, y, theme.Fg(theme.Band), th.Glyphs.Empty+th.Glyphs.Empty+th.Glyphs.Empty)
		}
		x = c.Text(x+4, y, theme.Fg(theme.Muted), b.Name) + 2
	}
	return x
}

func formatFixed(v float64, decimals int) string {
	if v == 0 {
		v = 0 // no minus zero
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
