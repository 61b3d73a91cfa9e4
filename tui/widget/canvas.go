package widget

import (
	"unicode/utf8"

	"loadstar/tui/theme"
)

// Rect is a rectangle of cells.
type Rect struct{ X, Y, W, H int }

// Contains reports whether the cell lies within.
func (r Rect) Contains(x, y int) bool {
	return x >= r.X && y >= r.Y && x < r.X+r.W && y < r.Y+r.H
}

// Inset is the rectangle without n cells on each side.
func (r Rect) Inset(n int) Rect { return Rect{r.X + n, r.Y + n, max(0, r.W-2*n), max(0, r.H-2*n)} }

// Zone is a part of the screen that the mouse can act on: what it is, and which of them.
type Zone struct {
	Rect
	Kind  string
	Index int
}

type cell struct {
	text string // empty is a blank; tail is the right half of what stands left of it
	st   theme.Style
}

const tail = "\x00"

type grid struct {
	w, h  int
	cells []cell
	zones []Zone
	theme *theme.Theme
}

// Canvas is a rectangle of cells that is drawn on. A canvas made by Sub is a
// window onto its parent: what would fall outside is cut off, so that a panel can
// neither grow nor spill over its neighbour.
type Canvas struct {
	g *grid
	r Rect
}

// NewCanvas is an empty canvas.
func NewCanvas(w, h int, th *theme.Theme) *Canvas {
	w, h = max(0, w), max(0, h)
	return &Canvas{g: &grid{w: w, h: h, cells: make([]cell, w*h), theme: th}, r: Rect{0, 0, w, h}}
}

// Sub is the part r of the canvas, clipped to it.
func (c *Canvas) Sub(r Rect) *Canvas {
	x0, y0 := max(0, r.X), max(0, r.Y)
	x1, y1 := min(c.r.W, r.X+r.W), min(c.r.H, r.Y+r.H)
	return &Canvas{g: c.g, r: Rect{c.r.X + x0, c.r.Y + y0, max(0, x1-x0), max(0, y1-y0)}}
}

// Size is the canvas's width and height in cells.
func (c *Canvas) Size() (w, h int) { return c.r.W, c.r.H }

// W is the width in cells.
func (c *Canvas) W() int { return c.r.W }

// H is the height in cells.
func (c *Canvas) H() int { return c.r.H }

// Theme is what the canvas is drawn in.
func (c *Canvas) Theme() *theme.Theme { return c.g.theme }

// Glyphs are the theme's.
func (c *Canvas) Glyphs() *theme.Glyphs { return &c.g.theme.Glyphs }

func (c *Canvas) at(x, y int) *cell {
	if x < 0 || y < 0 || x >= c.r.W || y >= c.r.H {
		return nil
	}
	return &c.g.cells[(c.r.Y+y)*c.g.w+c.r.X+x]
}

// set writes one cell and repairs a wide glyph of which it takes a half.
func (c *Canvas) set(x, y int, text string, st theme.Style) {
	p := c.at(x, y)
	if p == nil {
		return
	}
	if p.text == tail && text != tail && c.r.X+x > 0 {
		left := &c.g.cells[(c.r.Y+y)*c.g.w+c.r.X+x-1]
		left.text = ""
	}
	if text != tail && c.r.X+x+1 < c.g.w {
		if right := &c.g.cells[(c.r.Y+y)*c.g.w+c.r.X+x+1]; right.text == tail {
			right.text = ""
		}
	}
	p.text, p.st = text, st
}

// put writes one cell and keeps the background that is there.
func (c *Canvas) put(x, y int, text string, st theme.Style) {
	if p := c.at(x, y); p != nil {
		st.BG = p.st.BG
		c.set(x, y, text, st)
	}
}

// Text draws s from (x, y) as far as there is room, and gives the x after it. A
// style without a background keeps the one that is there.
func (c *Canvas) Text(x, y int, st theme.Style, s string) int {
	if y < 0 || y >= c.r.H {
		return x + Width(s)
	}
	for len(s) > 0 && x < c.r.W {
		g, w, size := glyph(s)
		s = s[size:]
		if w == 0 {
			continue
		}
		if x >= 0 {
			use := st
			if p := c.at(x, y); p != nil && st.BG == theme.Plain {
				use.BG = p.st.BG
			}
			switch {
			case w == 1:
				c.set(x, y, g, use)
			case x+1 < c.r.W:
				c.set(x, y, g, use)
				c.set(x+1, y, tail, use)
			default: // half a glyph of room
				c.set(x, y, "", use)
			}
		}
		x += w
	}
	return x + Width(s)
}

// TextFit draws s within w cells, with an ellipsis where it does not fit.
func (c *Canvas) TextFit(x, y, w int, st theme.Style, s string) int {
	w = min(w, c.r.W-x)
	if w <= 0 {
		return x
	}
	return c.Text(x, y, st, Fit(s, w, c.g.theme.Glyphs.Ellipsis))
}

// TextRight draws s so that it ends before x + w.
func (c *Canvas) TextRight(x, y, w int, st theme.Style, s string) {
	s = Fit(s, w, c.g.theme.Glyphs.Ellipsis)
	c.Text(x+w-Width(s), y, st, s)
}

// Fill sets the background of a rectangle, and blanks it.
func (c *Canvas) Fill(r Rect, st theme.Style) {
	for y := r.Y; y < r.Y+r.H; y++ {
		for x := r.X; x < r.X+r.W; x++ {
			c.set(x, y, "", st)
		}
	}
}

// Shade gives the cells of a rectangle another background, and foreground where fg is not Plain.
func (c *Canvas) Shade(r Rect, fg, bg theme.Role) {
	for y := max(0, r.Y); y < min(c.r.H, r.Y+r.H); y++ {
		for x := max(0, r.X); x < min(c.r.W, r.X+r.W); x++ {
			p := c.at(x, y)
			p.st.BG = bg
			if fg != theme.Plain {
				p.st.FG = fg
			}
		}
	}
}

// Grey takes the colours out of the whole canvas: what is shown is no longer so.
func (c *Canvas) Grey() {
	for y := range c.r.H {
		for x := range c.r.W {
			p := c.at(x, y)
			p.st = theme.Style{FG: theme.Muted}
		}
	}
}

// Zone makes a rectangle of the canvas known to the mouse.
func (c *Canvas) Zone(r Rect, kind string, index int) {
	s := c.Sub(r)
	if s.r.W > 0 && s.r.H > 0 {
		c.g.zones = append(c.g.zones, Zone{Rect: s.r, Kind: kind, Index: index})
	}
}

// ZoneAt is the topmost zone at a cell of the whole screen.
func (c *Canvas) ZoneAt(x, y int) (Zone, bool) {
	for i := len(c.g.zones) - 1; i >= 0; i-- {
		if z := c.g.zones[i]; z.Contains(x, y) {
			return z, true
		}
	}
	return Zone{}, false
}

// DropZones forgets the zones so far: something lies over them.
func (c *Canvas) DropZones() { c.g.zones = nil }

// String is the canvas for a terminal: as many lines as it is high, joined by
// newlines, none wider than it is wide.
func (c *Canvas) String() string {
	g := c.g
	buf := make([]byte, 0, len(g.cells)*2)
	for y := range g.h {
		if y > 0 {
			buf = append(buf, '\n')
		}
		buf = g.appendLine(buf, g.cells[y*g.w:(y+1)*g.w])
	}
	return string(buf)
}

func (g *grid) appendLine(buf []byte, line []cell) []byte {
	end := len(line)
	for end > 0 && line[end-1].text == "" && line[end-1].st.BG == theme.Plain && line[end-1].st.Attr&theme.Reverse == 0 {
		end--
	}
	var now theme.Style
	for i := range line[:end] {
		p := &line[i]
		if p.text == tail {
			continue
		}
		st := p.st
		if p.text == "" || p.text == " " { // a blank has no foreground
			st.FG = theme.Plain
			st.Attr &= theme.Reverse | theme.Underline
			if st.BG == now.BG && st.Attr == now.Attr&(theme.Reverse|theme.Underline) {
				st = now
			}
		}
		if st != now {
			if st == (theme.Style{}) {
				buf = append(buf, "\x1b[0m"...)
			} else {
				buf = g.theme.AppendSGR(buf, st)
			}
			now = st
		}
		switch {
		case p.text == "":
			buf = append(buf, ' ')
		case g.theme.Level == theme.ASCII && p.text[0] < utf8.RuneSelf:
			buf = append(buf, p.text[0]) // without its marks
		case g.theme.Level == theme.ASCII:
			r, _ := utf8.DecodeRuneInString(p.text)
			buf = append(buf, theme.ASCIIOf(r))
			if i+1 < len(line) && line[i+1].text == tail {
				buf = append(buf, '?')
			}
		default:
			buf = append(buf, p.text...)
		}
	}
	if now != (theme.Style{}) {
		buf = append(buf, "\x1b[0m"...)
	}
	return buf
}
