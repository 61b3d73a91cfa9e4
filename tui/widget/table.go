package widget

import (
	"loadstar/tui/theme"
)

// Column is a column of a table.
type Column struct {
	Title string
	Width int  // cells; the least where Grow is set
	Grow  int  // share of the room that is left
	Right bool // numbers
	Drop  int  // where there is no room, the highest goes first; 0 stays
	Sort  int  // 1 where it sorts ascending, -1 descending
}

// Cell is what stands in a column of a row.
type Cell struct {
	Text  string
	Style theme.Style
}

// Table lays columns out over a width.
type Table struct {
	Columns []Column
	shown   []int
	widths  []int
}

// NewTable chooses the columns that fit into w cells and how wide they are, with
// a gap of two between them.
func NewTable(w int, columns []Column) Table {
	t := Table{Columns: columns}
	keep := make([]bool, len(columns))
	for i := range keep {
		keep[i] = true
	}
	need := func() int {
		n := 0
		for i, col := range columns {
			if keep[i] {
				n += max(col.Width, min(Width(col.Title), 4)) + 2
			}
		}
		return n - 2
	}
	for need() > w {
		worst, at := 0, -1
		for i, col := range columns {
			if keep[i] && col.Drop > worst {
				worst, at = col.Drop, i
			}
		}
		if at < 0 {
			break
		}
		keep[at] = false
	}
	grow := 0
	for i, col := range columns {
		if keep[i] {
			t.shown = append(t.shown, i)
			t.widths = append(t.widths, max(col.Width, min(Width(col.Title), 4)))
			grow += col.Grow
		}
	}
	left := w - need()
	for k, i := range t.shown {
		if g := columns[i].Grow; g > 0 && left > 0 {
			n := left * g / grow
			t.widths[k] += n
			left -= n
			grow -= g
		}
	}
	return t
}

// Shown are the indices of the columns that are there.
func (t *Table) Shown() []int { return t.shown }

// Header draws the titles at line y.
func (t *Table) Header(c *Canvas, y int) {
	x := 0
	for k, i := range t.shown {
		col := t.Columns[i]
		title, st := col.Title, theme.Fg(theme.Muted)
		if col.Sort != 0 {
			st = theme.Fg(theme.Accent)
			if col.Sort > 0 {
				title += c.Glyphs().Up
			} else {
				title += c.Glyphs().Down
			}
		}
		if col.Right {
			c.TextRight(x, y, t.widths[k], st, title)
		} else {
			c.TextFit(x, y, t.widths[k], st, title)
		}
		c.Zone(Rect{x, y, t.widths[k], 1}, "column", i)
		x += t.widths[k] + 2
	}
}

// Row draws cells, one for every column in Columns, at line y.
func (t *Table) Row(c *Canvas, y int, cells []Cell, selected bool) {
	if selected {
		c.Fill(Rect{0, y, c.W(), 1}, theme.Style{FG: theme.OnSelect, BG: theme.SelectBG})
	}
	x := 0
	for k, i := range t.shown {
		if i < len(cells) {
			cell := cells[i]
			if selected && (cell.Style.FG == theme.Plain || cell.Style.FG == theme.Text || cell.Style.FG == theme.Muted) {
				cell.Style.FG = theme.OnSelect
			}
			w := min(t.widths[k], c.W()-x)
			if t.Columns[i].Right {
				c.TextRight(x, y, w, cell.Style, cell.Text)
			} else {
				c.TextFit(x, y, w, cell.Style, cell.Text)
			}
		}
		x += t.widths[k] + 2
	}
}

// Window is the first of total lines to show so that cursor is among the h lines,
// moving from first as little as it can.
func Window(first, cursor, h, total int) int {
	if h <= 0 || total <= h {
		return 0
	}
	if cursor < first {
		first = cursor
	}
	if cursor >= first+h {
		first = cursor - h + 1
	}
	return min(max(0, first), total-h)
}

// Place is where a column lies in a row; ok is false where it is not shown.
func (t *Table) Place(column int) (x, w int, ok bool) {
	for k, i := range t.shown {
		if i == column {
			return x, t.widths[k], true
		}
		x += t.widths[k] + 2
	}
	return 0, 0, false
}
