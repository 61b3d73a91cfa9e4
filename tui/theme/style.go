package theme

import "strconv"

// Role is what a colour is for.
type Role uint8

// The roles. As a background, Plain is the terminal's own.
const (
	Plain    Role = iota // the terminal's own colour
	Text                 // what is read
	Muted                // labels, what is only looked at
	Border               // frames and axes
	Title                // panel titles
	Accent               // what can be acted on; the active tab
	Good                 // healthy, done
	Warn                 // needs an eye
	Bad                  // wrong
	Info                 // on its way
	Actual               // chart: what came
	Median               // chart: P50
	Past                 // chart: what had been forecast
	Band                 // chart: P10 to P90, foreground where it is shaded by glyphs
	Busy                 // size bars: workers with a task
	Idle                 // size bars: ready without a task
	Starting             // size bars: in their cold start
	Low                  // gauges: little used
	Middle               // gauges: well used
	High                 // gauges: nearly full
	OnSelect             // text on SelectBG
	SelectBG             // background of the row under the cursor
	BarBG                // background of header and footer
	BandBG               // background of the band
	MatchBG              // background of a search hit
	AlarmBG              // background of what must not be missed
	roles
)

// Attr is a set of text attributes.
type Attr uint8

// The attributes.
const (
	Bold Attr = 1 << iota
	Faint
	Underline
	Reverse
)

// Style is how a cell looks; the zero value is the terminal's own look.
type Style struct {
	FG, BG Role
	Attr   Attr
}

// Fg is a style with a foreground role only.
func Fg(r Role) Style { return Style{FG: r} }

// On is the style with another background.
func (s Style) On(bg Role) Style { s.BG = bg; return s }

// With is the style with attributes added.
func (s Style) With(a Attr) Style { s.Attr |= a; return s }

// paint is what a role becomes in one theme on one terminal.
type paint struct {
	fg, bg string // parameters of SGR, empty for none
	attr   Attr   // where colours are missing
	bgAttr Attr
}

// AppendSGR appends the escape sequence that makes what follows look like s,
// whatever came before.
func (t *Theme) AppendSGR(dst []byte, s Style) []byte {
	fg, bg := &t.paints[s.FG], &t.paints[s.BG]
	attr := s.Attr | fg.attr
	if s.BG != Plain {
		attr |= bg.bgAttr
	}
	if attr&Reverse != 0 {
		attr &^= Faint // faint on reverse is unreadable
	}
	dst = append(dst, "\x1b[0"...)
	for i, code := range [...]int{1, 2, 4, 7} {
		if attr&(1<<i) != 0 {
			dst = append(dst, ';')
			dst = strconv.AppendInt(dst, int64(code), 10)
		}
	}
	if fg.fg != "" {
		dst = append(dst, ';')
		dst = append(dst, fg.fg...)
	}
	if s.BG != Plain && bg.bg != "" {
		dst = append(dst, ';')
		dst = append(dst, bg.bg...)
	}
	return append(dst, 'm')
}
