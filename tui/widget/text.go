package widget

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// tabStop is how far tabs go in logs.
const tabStop = 8

// Clean makes text from outside harmless: escape sequences are taken out, other
// control characters are shown as ^X, line breaks become spaces, and what only
// changes how neighbours are drawn (bidirectional overrides, joiners, variation
// selectors) is dropped, so that the width measured is the width drawn.
func Clean(s string) string {
	if plain(s) {
		return s
	}
	if strings.Contains(s, "\x1b") {
		s = ansi.Strip(s)
	}
	var b strings.Builder
	b.Grow(len(s) + 8)
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			b.WriteByte(' ')
		case r < 0x20:
			b.WriteByte('^')
			b.WriteByte(byte(r) + '@')
		case r == 0x7f:
			b.WriteString("^?")
		case r >= 0x80 && r < 0xa0, r == utf8.RuneError:
			b.WriteByte('?')
		case r >= 0x1f1e6 && r <= 0x1f1ff: // half a flag: its letter
			b.WriteByte(byte('A' + r - 0x1f1e6))
		case invisible(r):
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// CleanLog makes a line of a log harmless: as Clean, with tabs expanded, and of a
// line that was redrawn with carriage returns only what stood there last.
func CleanLog(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if plain(line) {
		return line
	}
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	if !strings.Contains(line, "\t") {
		return Clean(line)
	}
	parts := strings.Split(line, "\t")
	var b strings.Builder
	at := 0
	for i, p := range parts {
		p = Clean(p)
		b.WriteString(p)
		at += Width(p)
		if i < len(parts)-1 {
			n := tabStop - at%tabStop
			b.WriteString("        "[:n])
			at += n
		}
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func invisible(r rune) bool {
	switch {
	case r == 0xad, r == 0x34f, r == 0x61c, r == 0xfeff: // soft hyphen, joiners, marks
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	case r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0000 && r <= 0xe0fff: // variation selectors, tags
		return true
	case r >= 0x1f3fb && r <= 0x1f3ff: // skin tones: one cell more in some terminals, none in others
		return true
	case r >= 0x1160 && r <= 0x11ff, r >= 0xd7b0 && r <= 0xd7ff: // Hangul jamo that join what stands before
		return true
	}
	return unicode.Is(unicode.Cf, r)
}

// glyph cuts the first cluster off s and says how many cells it takes. What would
// not stay in its cells is replaced, so that even text that was not cleaned does
// no harm.
func glyph(s string) (cluster string, width, size int) {
	if c := s[0]; c < utf8.RuneSelf {
		if c < 0x20 || c == 0x7f {
			return "?", 1, 1
		}
		if len(s) == 1 || s[1] < utf8.RuneSelf {
			return s[:1], 1, 1
		}
	}
	cluster, width = ansi.FirstGraphemeCluster(s, ansi.GraphemeWidth)
	size = len(cluster)
	first, n := utf8.DecodeRuneInString(cluster)
	switch {
	case size == 0:
		return "?", 1, 1
	case first == utf8.RuneError || unicode.IsControl(first):
		return "?", 1, size
	case first >= 0x1f1e6 && first <= 0x1f1ff:
		return string([]byte{byte('A' + first - 0x1f1e6)}), 1, n
	case width == 0 || invisible(first) || unicode.Is(unicode.Mn, first) || unicode.Is(unicode.Me, first):
		return "", 0, size
	case n < size && !onlyMarks(cluster[n:]):
		cluster = cluster[:n]
		width = ansi.StringWidth(cluster)
	}
	return cluster, min(max(width, 1), 2), size
}

func onlyMarks(s string) bool {
	if len(s) > 12 { // text piled up with marks would leave its line
		return false
	}
	for _, r := range s {
		if !unicode.Is(unicode.Mn, r) || invisible(r) {
			return false
		}
	}
	return true
}

// Width is how many cells the text takes on a canvas.
func Width(s string) int {
	w := 0
	for len(s) > 0 {
		_, n, size := glyph(s)
		w += n
		s = s[size:]
	}
	return w
}

// Fit is s cut to w cells, the last of them tail where something was cut off.
func Fit(s string, w int, tail string) string {
	if len(s) <= w && plain(s) || Width(s) <= w {
		return s
	}
	if w <= 0 {
		return ""
	}
	var b strings.Builder
	room := w - Width(tail)
	for len(s) > 0 {
		g, n, size := glyph(s)
		if n > room {
			break
		}
		b.WriteString(g)
		room -= n
		s = s[size:]
	}
	if Width(tail) <= w {
		b.WriteString(tail)
	}
	return b.String()
}

// Skip is s without its first n cells.
func Skip(s string, n int) string {
	for n > 0 && len(s) > 0 {
		_, w, size := glyph(s)
		n -= w
		s = s[size:]
	}
	if n < 0 && len(s) > 0 { // half of a wide glyph was skipped
		return " " + s
	}
	return s
}

// Wrap breaks text into lines of at most w cells, at spaces where it can.
func Wrap(s string, w int) []string {
	if w < 1 {
		return nil
	}
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(s) {
		n := Width(word)
		if used > 0 && used+1+n <= w {
			line, used = line+" "+word, used+1+n
			continue
		}
		if used > 0 {
			lines = append(lines, line)
		}
		for n > w {
			head := Fit(word, w, "")
			if head == "" { // a wide glyph on a one-cell line
				word, n = "", 0
				break
			}
			lines = append(lines, head)
			word = Skip(word, Width(head))
			n = Width(word)
		}
		line, used = word, n
	}
	if used > 0 {
		lines = append(lines, line)
	}
	return lines
}
