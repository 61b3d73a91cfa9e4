package chart

import (
	"math"

	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// Gap is the value of a step of which nothing is known. It is negative because
// what small graphs show never is.
const Gap = -1.0

// PerCell is how many values of a small graph one cell holds.
func PerCell(l theme.Level) int {
	if l == theme.Braille {
		return 2
	}
	return 1
}

// Spark fills the canvas with a graph of values from zero to top, the newest at the
// right end. Negative values are gaps and stay blank; zero is a line at the foot.
// Cells are coloured by height where ramp is set, else with role.
func Spark(c *widget.Canvas, values []float64, top float64, role theme.Role, ramp bool) {
	w, h := c.Size()
	if w == 0 || h == 0 {
		return
	}
	if !(top > 0) {
		top = 1
	}
	per := PerCell(c.Theme().Level)
	if n := w * per; len(values) > n {
		values = values[len(values)-n:]
	}
	for col := range w {
		at := func(k int) float64 { // value of the k-th sub-column of this cell
			i := len(values) - w*per + col*per + k
			if i < 0 || !(values[i] >= 0) {
				return Gap
			}
			return math.Min(1, values[i]/top)
		}
		if per == 2 {
			brailleColumn(c, col, h, at(0), at(1), role, ramp)
		} else {
			blockColumn(c, col, h, at(0), role, ramp)
		}
	}
}

// levelOf is how many of n levels a share fills; a gap fills none, zero fills one.
func levelOf(v float64, n int) int {
	if v < 0 {
		return 0
	}
	return max(1, min(n, int(math.Round(v*float64(n)))))
}

func rampRole(row, h int, v float64, role theme.Role, ramp bool) theme.Role {
	if !ramp {
		return role
	}
	share := math.Min(v, float64(h-row)/float64(h))
	switch {
	case share >= 0.9:
		return theme.High
	case share >= 0.7:
		return theme.Middle
	}
	return theme.Low
}

func brailleColumn(c *widget.Canvas, col, h int, left, right float64, role theme.Role, ramp bool) {
	l, r := levelOf(left, 4*h), levelOf(right, 4*h)
	for row := range h {
		below := 4 * (h - 1 - row) // dots under this cell
		bits := fill(l-below, false) | fill(r-below, true)
		if bits != 0 {
			c.Text(col, row, theme.Fg(rampRole(row, h, math.Max(left, right), role, ramp)), string(rune(0x2800+int(bits))))
		}
	}
}

// fill is the dots of one half of a Braille cell with its lowest n set.
func fill(n int, right bool) uint8 {
	masks := [5]uint8{0, 0x40, 0x44, 0x46, 0x47}
	if right {
		masks = [5]uint8{0, 0x80, 0xa0, 0xb0, 0xb8}
	}
	return masks[max(0, min(4, n))]
}

func blockColumn(c *widget.Canvas, col, h int, v float64, role theme.Role, ramp bool) {
	levels := c.Glyphs().Levels
	n := levelOf(v, len(levels)*h)
	for row := range h {
		if k := min(len(levels), n-len(levels)*(h-1-row)); k > 0 {
			c.Text(col, row, theme.Fg(rampRole(row, h, v, role, ramp)), levels[k-1])
		}
	}
}

// Columns draws one vertical bar a value, each one cell wide: the cores of a host.
func Columns(c *widget.Canvas, values []float64, top float64) {
	for i, v := range values {
		if i >= c.W() {
			return
		}
		blockColumn(c.Sub(widget.Rect{X: i, Y: 0, W: 1, H: c.H()}), 0, c.H(), math.Max(0, math.Min(1, v/top)), theme.Low, true)
	}
}
