package theme

import (
	"strings"

	"loadstar/models"
)

// Level is what the terminal's font and locale can show.
type Level uint8

// The levels, from the poorest.
const (
	ASCII   Level = iota // bytes below 128 only
	Block                // box drawing, blocks and shades, as in code page 437
	Braille              // all of Unicode that is in use here
)

func (l Level) String() string { return [...]string{"ascii", "block", "braille"}[l] }

// DetectLevel says what can be shown, from the environment: a locale that is set
// and is not UTF-8 has ASCII, the Linux console has no Braille.
func DetectLevel(getenv func(string) string) Level {
	term := getenv("TERM")
	if term == "dumb" || strings.HasPrefix(term, "vt1") || strings.HasPrefix(term, "vt2") {
		return ASCII
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first one set decides, as in setlocale(3)
		if v := strings.ToLower(getenv(name)); v != "" {
			if !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8") {
				return ASCII
			}
			break
		}
	}
	if term == "linux" || term == "cons25" {
		return Block
	}
	return Braille
}

// Glyphs are the signs that a screen is made of; each is one cell wide.
type Glyphs struct {
	TopLeft, TopRight, BottomLeft, BottomRight, Horizontal, Vertical string

	AxisY, AxisCorner, AxisTick, Now string

	Bar, HalfBar       string   // of gauges
	Full, Shade, Empty string   // of size bars
	Levels             []string // of vertical bars, from nearly nothing to full
	Wanted             string   // where the wanted size stands in a bar

	Ellipsis, Cursor, Mark, Star, Live, Lost, Warning string
	Up, Down, Left, Right, Bullet                     string
	Pause, Newer, Pool, Worker, Forecast              string
}

func glyphsFor(l Level) Glyphs {
	g := Glyphs{
		TopLeft: "╭", TopRight: "╮", BottomLeft: "╰", BottomRight: "╯", Horizontal: "─", Vertical: "│",
		AxisY: "┤", AxisCorner: "└", AxisTick: "┬", Now: "┊",
		Bar: "━", HalfBar: "╸",
		Full: "█", Shade: "▒", Empty: "░",
		Levels: []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, Wanted: "┃",
		Ellipsis: "…", Cursor: "›", Mark: "●", Star: "★", Live: "●", Lost: "✗", Warning: "▲",
		Up: "↑", Down: "↓", Left: "←", Right: "→", Bullet: "·",
		Pause: "‖", Newer: "↑", Pool: "▤", Worker: "◆", Forecast: "∿",
	}
	switch l {
	case Braille:
	case Block:
		g.TopLeft, g.TopRight, g.BottomLeft, g.BottomRight = "┌", "┐", "└", "┘"
		g.Now, g.Wanted = "│", "│"
		g.Bar, g.HalfBar = "■", "■"
		g.Levels = []string{"▄", "▄", "▄", "▄", "█", "█", "█", "█"} // the console's font has no eighths
		g.Ellipsis, g.Cursor, g.Mark, g.Star, g.Live, g.Lost, g.Warning = "~", "►", "•", "*", "•", "x", "▲"
		g.Pause, g.Pool, g.Worker, g.Forecast = "=", "≡", "♦", "≈"
	case ASCII:
		g = Glyphs{
			TopLeft: "+", TopRight: "+", BottomLeft: "+", BottomRight: "+", Horizontal: "-", Vertical: "|",
			AxisY: "|", AxisCorner: "+", AxisTick: "+", Now: ":",
			Bar: "#", HalfBar: "#",
			Full: "#", Shade: "=", Empty: ".",
			Levels: []string{"_", ".", ",", "-", "=", "+", "*", "#"}, Wanted: "!",
			Ellipsis: "~", Cursor: ">", Mark: "*", Star: "*", Live: "o", Lost: "x", Warning: "!",
			Up: "^", Down: "v", Left: "<", Right: ">", Bullet: "-",
			Pause: "=", Newer: "^", Pool: "#", Worker: "w", Forecast: "~",
		}
	}
	return g
}

// StateSign is how a task state is shown: never by colour alone.
type StateSign struct {
	Glyph string
	Style Style
}

// State is the sign of a task's state.
func (t *Theme) State(s models.State) StateSign {
	glyphs, role := [3]string{"?", "?", "?"}, Muted
	switch s {
	case models.Pending:
		glyphs, role = [3]string{".", "○", "○"}, Muted
	case models.Assigned:
		glyphs, role = [3]string{":", "♦", "◇"}, Info
	case models.Running:
		glyphs, role = [3]string{">", "►", "►"}, Accent
	case models.Success:
		glyphs, role = [3]string{"+", "√", "✓"}, Good
	case models.Failed:
		glyphs, role = [3]string{"x", "x", "✗"}, Bad
	case models.Cancelled:
		glyphs, role = [3]string{"-", "¬", "⊘"}, Warn
	}
	return StateSign{Glyph: glyphs[t.Level], Style: Fg(role)}
}

// ASCIIOf is a stand-in for a rune where only ASCII can be shown.
func ASCIIOf(r rune) byte {
	switch r {
	case '→', '›', '►', '▶':
		return '>'
	case '←', '‹':
		return '<'
	case '↑':
		return '^'
	case '↓':
		return 'v'
	case '·', '•':
		return '-'
	case '–', '—', '─', '−':
		return '-'
	case '…':
		return '~'
	case '×', '✗':
		return 'x'
	case '≥':
		return '>'
	case '≤':
		return '<'
	case '‘', '’':
		return '\''
	case '“', '”':
		return '"'
	case '│', '┃':
		return '|'
	case 'µ':
		return 'u'
	}
	return '?'
}
