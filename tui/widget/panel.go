package widget

import (
	"loadstar/tui/theme"
)

// Panel draws a frame with a title in its border, and a note at the border's
// right end, and gives the canvas inside. The title gives way to nothing, the note
// to the title. A panel too small for a frame is all inside.
func Panel(c *Canvas, r Rect, title, note string, focused bool) *Canvas {
	p := c.Sub(r)
	if p.W() < 4 || p.H() < 3 {
		return p
	}
	g, w, h := c.Glyphs(), p.W(), p.H()
	line := theme.Fg(theme.Border)
	if focused {
		line = theme.Fg(theme.Accent)
	}
	for x := 1; x < w-1; x++ {
		p.set(x, 0, g.Horizontal, line)
		p.set(x, h-1, g.Horizontal, line)
	}
	for y := 1; y < h-1; y++ {
		p.set(0, y, g.Vertical, line)
		p.set(w-1, y, g.Vertical, line)
	}
	p.set(0, 0, g.TopLeft, line)
	p.set(w-1, 0, g.TopRight, line)
	p.set(0, h-1, g.BottomLeft, line)
	p.set(w-1, h-1, g.BottomRight, line)
	used := 1
	if title != "" {
		title = Fit(title, w-4, g.Ellipsis)
		used = p.Text(1, 0, theme.Fg(theme.Title), " "+title+" ")
	}
	if note != "" {
		if n := Width(note); used+n+4 <= w {
			p.Text(w-n-3, 0, theme.Fg(theme.Muted), " "+note+" ")
		}
	}
	return p.Sub(Rect{1, 1, w - 2, h - 2})
}

// Foot writes a note into the lower border of the panel that Panel drew at r.
func Foot(c *Canvas, r Rect, note string) {
	p := c.Sub(r)
	if n := Width(note); n > 0 && p.H() >= 3 && n+6 <= p.W() {
		p.Text(p.W()-n-3, p.H()-1, theme.Fg(theme.Muted), " "+note+" ")
	}
}

// Gauge draws how much of a whole is used, 0 to 1, in w cells; the filled part
// tells by its length, its colour only repeats it.
func Gauge(c *Canvas, x, y, w int, share float64) {
	if w < 1 {
		return
	}
	if !(share > 0) { // NaN too
		share = 0
	}
	share = min(share, 1)
	role := theme.Low
	switch {
	case share >= 0.9:
		role = theme.High
	case share >= 0.7:
		role = theme.Middle
	}
	g := c.Glyphs()
	halves := int(share*float64(2*w) + 0.5)
	for i := range w {
		switch {
		case 2*i+1 < halves:
			c.put(x+i, y, g.Bar, theme.Fg(role))
		case 2*i < halves:
			c.put(x+i, y, g.HalfBar, theme.Fg(role))
		default:
			c.put(x+i, y, g.Horizontal, theme.Fg(theme.Border))
		}
	}
}

// SizeBar draws a pool's workers, scaled so that most of them fill w cells: busy,
// idle, starting, and a sign where the wanted size stands.
func SizeBar(c *Canvas, x, y, w, most, busy, idle, starting, wanted int) {
	if w < 1 {
		return
	}
	most = max(most, 1, busy+idle+starting, wanted)
	g := c.Glyphs()
	end := func(n int) int { // cells that n workers take: a worker is never invisible
		if n <= 0 {
			return 0
		}
		return min(w, max(1, int(float64(n)/float64(most)*float64(w)+0.5)))
	}
	a, b, s := end(busy), end(busy+idle), end(busy+idle+starting)
	for i := range w {
		switch {
		case i < a:
			c.put(x+i, y, g.Full, theme.Fg(theme.Busy))
		case i < b:
			c.put(x+i, y, g.Shade, theme.Fg(theme.Idle))
		case i < s:
			c.put(x+i, y, g.Empty, theme.Fg(theme.Starting))
		default:
			c.put(x+i, y, g.Bullet, theme.Fg(theme.Border))
		}
	}
	if wanted > 0 && wanted != busy+idle+starting {
		c.put(x+max(0, end(wanted)-1), y, g.Wanted, theme.Fg(theme.Title))
	}
}

// Scrollbar draws where a window of shown lines from first stands in total ones, along the last column.
func Scrollbar(c *Canvas, first, shown, total int) {
	if total <= shown || c.H() < 2 || c.W() < 2 {
		return
	}
	h := c.H()
	size := max(1, h*shown/total)
	at := min(h-size, first*(h-size)/max(1, total-shown))
	for y := range h {
		if y >= at && y < at+size {
			c.put(c.W()-1, y, c.Glyphs().Wanted, theme.Fg(theme.Muted))
		}
	}
}

// Centre draws lines in the middle of the canvas: an empty state.
func Centre(c *Canvas, lines ...string) {
	var all []string
	for _, l := range lines {
		if l == "" {
			all = append(all, "")
			continue
		}
		all = append(all, Wrap(l, c.W()-2)...)
	}
	y := max(0, (c.H()-len(all))/2)
	for i, l := range all {
		st := theme.Fg(theme.Muted)
		if i == 0 {
			st = theme.Fg(theme.Text)
		}
		c.Text(max(0, (c.W()-Width(l))/2), y+i, st, l)
	}
}
