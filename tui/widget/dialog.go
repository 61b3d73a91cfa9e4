package widget

import (
	"loadstar/tui/theme"
)

// Box clears a rectangle of w by h cells in the middle of the canvas, frames it and
// gives the canvas inside. What lies under it can no longer be clicked.
func Box(c *Canvas, w, h int, title string, alarm bool) *Canvas {
	w, h = min(w, c.W()), min(h, c.H())
	r := Rect{(c.W() - w) / 2, (c.H() - h) / 2, w, h}
	c.Shade(Rect{0, 0, c.W(), c.H()}, theme.Muted, theme.Plain)
	c.DropZones()
	c.Fill(r, theme.Style{})
	in := Panel(c, r, title, "", true)
	if alarm && h >= 3 && w >= 4 {
		p := c.Sub(r)
		p.Text(1, 0, theme.Style{FG: theme.Title, BG: theme.AlarmBG}, " "+Fit(title, w-4, c.Glyphs().Ellipsis)+" ")
	}
	return in.Sub(Rect{1, 0, max(0, in.W()-2), in.H()})
}
