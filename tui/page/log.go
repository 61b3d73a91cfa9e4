package page

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/textinput"

	"loadstar/tui/keys"
	"loadstar/tui/theme"
	"loadstar/tui/widget"
)

// Bounds of what is kept of a log: the daemon has the rest.
const (
	keepLogLines = 20_000
	dropLogLines = 5_000
	longestLine  = 4_096 // bytes; what is longer is broken
)

// Log is the output of one attempt, as far as it has come.
type Log struct {
	ID      string
	Attempt int // 0: the last
	Gen     int // of the stream that feeds it

	lines   []string // harmless already
	rest    string   // an unfinished line, raw
	dropped int
	ended   bool
	fault   string
	follow  bool
	top     int // first line shown, while not following
	left    int // cells scrolled to the right
	search  textinput.Model
	typing  bool
	query   string // lower case
}

func newLog(id string, attempt, gen int) Log {
	return Log{ID: id, Attempt: attempt, Gen: gen, follow: true}
}

// feed is the log with a chunk more of its stream.
func (l Log) feed(m LogChunk) Log {
	text := l.rest + string(m.Data)
	lines := l.lines
	for {
		i := strings.IndexByte(text, '\n')
		if i < 0 && len(text) <= longestLine {
			break
		}
		if i < 0 || i > longestLine {
			i = longestLine
			lines = append(lines, widget.CleanLog(text[:i]))
			text = text[i:]
			continue
		}
		lines = append(lines, widget.CleanLog(text[:i]))
		text = text[i+1:]
	}
	l.rest = text
	if m.EOF && text != "" {
		lines = append(lines, widget.CleanLog(text))
		l.rest = ""
	}
	if len(lines) > keepLogLines {
		n := len(lines) - keepLogLines + dropLogLines
		lines = append([]string(nil), lines[n:]...)
		l.dropped += n
		l.top = max(0, l.top-n)
	}
	l.lines = lines
	l.ended = l.ended || m.EOF
	if m.Err != "" {
		l.fault = m.Err
	}
	return l
}

func (l *Log) total() int {
	if l.rest != "" {
		return len(l.lines) + 1
	}
	return len(l.lines)
}

func (l *Log) line(i int) string {
	if i < len(l.lines) {
		return l.lines[i]
	}
	return widget.CleanLog(l.rest)
}

func (l *Log) first(rows int) int {
	last := max(0, l.total()-rows)
	if l.follow {
		return last
	}
	return min(l.top, last)
}

// scroll is the log moved by n lines in a pane of so many rows; at its end it follows again.
func (l Log) scroll(n, rows int) Log {
	first := l.first(rows)
	l.top = max(0, min(first+n, l.total()-rows))
	l.follow = n > 0 && l.top >= l.total()-rows
	return l
}

// key is the log after a key, in a pane of so many rows.
func (l Log) key(k Key, rows int) Log {
	if l.typing {
		switch k.String() {
		case "enter":
			l.typing, l.query = false, strings.ToLower(l.search.Value())
			return l.hit(1, rows)
		case "esc":
			l.typing, l.query = false, ""
		default:
			l.search, _ = l.search.Update(k.KeyMsg)
			l.query = strings.ToLower(l.search.Value())
		}
		return l
	}
	switch k.Action {
	case keys.Up:
		return l.scroll(-1, rows)
	case keys.Down:
		return l.scroll(1, rows)
	case keys.PageUp:
		return l.scroll(-max(1, rows-1), rows)
	case keys.PageDown:
		return l.scroll(max(1, rows-1), rows)
	case keys.Top:
		l.follow, l.top = false, 0
	case keys.Bottom:
		l.follow = true
	case keys.Follow:
		l.top = l.first(rows)
		l.follow = !l.follow
	case keys.Left:
		l.left = max(0, l.left-8)
	case keys.Right:
		l.left = min(l.left+8, longestLine)
	case keys.Search:
		l.search, l.typing = NewInput(""), true
	case keys.NextHit:
		return l.hit(1, rows)
	case keys.PrevHit:
		return l.hit(-1, rows)
	}
	return l
}

// hit moves to the next line that holds the query, in one direction, around the end.
func (l Log) hit(direction, rows int) Log {
	n := l.total()
	if l.query == "" || n == 0 {
		return l
	}
	at := l.first(rows)
	if l.follow && direction > 0 { // from the end the first hit is the one from the top
		at = n - 1
	}
	for range n {
		at = (at + direction + n) % n
		if strings.Contains(strings.ToLower(l.line(at)), l.query) {
			l.follow, l.top = false, at
			return l
		}
	}
	return l
}

// view draws the log with its frame.
func (l *Log) view(c *widget.Canvas, r widget.Rect, env Env, focused bool) {
	title := "log"
	if l.Attempt > 0 {
		title = fmt.Sprintf("log of attempt %d", l.Attempt)
	}
	state := "paused"
	switch {
	case l.fault != "":
		state = "broken off"
	case l.ended:
		state = "complete"
	case l.follow:
		state = "following"
	}
	note := plural(l.total()+l.dropped, "line") + ", " + state
	in := widget.Panel(c, r, title, note, focused)
	c.Zone(r, "log", 0)
	if l.typing || l.query != "" {
		y := in.H() - 1
		x := in.Text(0, y, style(theme.Accent), "/")
		if l.typing {
			DrawInput(in, x, y, in.W()-x, l.search, true)
		} else {
			in.TextFit(x, y, in.W()-x, style(theme.Text), widget.Clean(l.query)+"   n next  N previous")
		}
		in = in.Sub(widget.Rect{X: 0, Y: 0, W: in.W(), H: in.H() - 1})
	}
	if l.total() == 0 {
		switch {
		case l.fault != "":
			widget.Centre(in, l.fault)
		case l.ended:
			widget.Centre(in, "no output")
		default:
			widget.Centre(in, "no output yet")
		}
		return
	}
	first := l.first(in.H())
	for y := 0; y < in.H() && first+y < l.total(); y++ {
		l.drawLine(in, y, l.line(first+y))
	}
	widget.Scrollbar(in, first, in.H(), l.total())
	if l.dropped > 0 {
		widget.Foot(c, r, widget.Count(l.dropped)+" older lines left out here: loadstar logs has them")
	}
}

func (l *Log) drawLine(c *widget.Canvas, y int, line string) {
	line = widget.Skip(line, l.left)
	if l.query == "" {
		c.TextFit(0, y, c.W()-1, style(theme.Text), line)
		return
	}
	x, lower := 0, strings.ToLower(line)
	for x < c.W() {
		i := strings.Index(lower, l.query)
		if i < 0 || len(lower) != len(line) { // lower case may be longer: no marks then
			c.TextFit(x, y, c.W()-1-x, style(theme.Text), line)
			return
		}
		x = c.Text(x, y, style(theme.Text), line[:i])
		x = c.Text(x, y, theme.Style{FG: theme.OnSelect, BG: theme.MatchBG}, line[i:i+len(l.query)])
		line, lower = line[i+len(l.query):], lower[i+len(l.query):]
	}
}
