package widget

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/tui/theme"
)

func TestTextFromOutsideIsMadeHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                          "plain",
		"\x1b[31mred\x1b[0m":             "red",
		"\x1b]0;title\x07name":           "name",
		"\x1b]8;;http://x\x1b\\link":     "link",
		"a\nb\tc\r":                      "a b c ",
		"bell\x07":                       "bell^G",
		"del\x7f":                        "del^?",
		"\u009b31mx":                     "?31mx",
		"bad\xff":                        "bad?",
		"\u202eevil\u202c":               "evil",
		"zero\u200bwidth":                "zerowidth",
		"🇩🇪":                             "DE",
		"👍🏽":                             "👍",
		"❤\ufe0f":                        "❤",
		"日本":                             "日本",
		"Ünïcödé":                        "Ünïcödé",
		"\x1b[2J\x1b[H\x1b[?1049lscreen": "screen",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestALogLineThatWasRedrawnShowsItsLastState(t *testing.T) {
	for in, want := range map[string]string{
		"10%\r50%\r100%\r\n": "100%",
		"a\tb":               "a       b",
		"12345678\tb":        "12345678        b",
		"日\tb":               "日      b",
		"\x1b[32mok\x1b[m\n": "ok",
	} {
		if got := CleanLog(in); got != want {
			t.Errorf("CleanLog(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCleanTextHoldsNoControlAndIsMeasuredAsDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		got := Clean(s)
		for _, r := range got {
			if r < 0x20 || r >= 0x7f && r < 0xa0 {
				t.Fatalf("%q holds %q", got, r)
			}
		}
		if again := Clean(got); again != got {
			t.Fatalf("cleaning twice gives another text: %q, %q", got, again)
		}
		w := rapid.IntRange(0, 30).Draw(t, "w")
		fit := Fit(got, w, "…")
		if n := Width(fit); n > w {
			t.Fatalf("Fit(%q, %d) takes %d", got, w, n)
		}
		for _, l := range Wrap(got, max(1, w)) {
			if n := Width(l); n > max(1, w) {
				t.Fatalf("Wrap(%q, %d): %q takes %d", got, w, l, n)
			}
		}
	})
}

func canvas(t *testing.T, w, h int) *Canvas {
	t.Helper()
	th, err := theme.New("mono", 0, theme.Braille)
	if err != nil {
		t.Fatal(err)
	}
	return NewCanvas(w, h, th)
}

func lines(c *Canvas) []string {
	out := strings.Split(ansi.Strip(c.String()), "\n")
	for i := range out {
		out[i] = strings.TrimRight(out[i], " ")
	}
	return out
}

func TestNothingIsDrawnOutsideASubCanvas(t *testing.T) {
	c := canvas(t, 10, 3)
	s := c.Sub(Rect{2, 1, 4, 1})
	s.Text(-2, 0, theme.Style{}, "abcdefghij")
	s.Text(0, 1, theme.Style{}, "below")
	s.Fill(Rect{-5, -5, 50, 1}, theme.Style{})
	if diff := cmp.Diff([]string{"", "  cdef", ""}, lines(c)); diff != "" {
		t.Error(diff)
	}
}

func TestHalfAWideGlyphLeavesABlank(t *testing.T) {
	c := canvas(t, 5, 2)
	c.Text(0, 0, theme.Style{}, "日本語") // the third does not fit
	c.Text(0, 1, theme.Style{}, "日本")
	c.Text(1, 1, theme.Style{}, "x") // over the right half of the first
	if diff := cmp.Diff([]string{"日本", " x本"}, lines(c)); diff != "" {
		t.Error(diff)
	}
}

func TestNumbersKeepTheirUnitsAndTheirLength(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(-1234567), "-1,234,567"},
		{Short(9999), "9999"},
		{Short(12345), "12.3k"},
		{ByteSize(0), "0 B"},
		{ByteSize(1536), "1.50 KiB"},
		{ByteSize(1023), "1.00 KiB"},
		{ByteShort(1.2e6), "1.1M"},
		{ByteShort(24e6), "23M"},
		{Seconds(0), "0 s"},
		{Seconds(0.0042), "4.2 ms"},
		{Seconds(0.6), "0.6 s"},
		{Seconds(75), "75 s"},
		{Seconds(150), "2m30s"},
		{Seconds(7300), "2h01m"},
		{Seconds(90000), "1d01h"},
		{Value(42.1, "%"), "42.1 %"},
		{Value(0.5, "tasks/s"), "0.50 tasks/s"},
		{Number(0), "0"},
		{SI(1.5e9), "1.50G"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64().Draw(t, "v")
		for name, s := range map[string]string{"SI": SI(v), "Number": Number(v), "ByteSize": ByteSize(v), "Seconds": Seconds(v)} {
			if len(s) > 14 {
				t.Fatalf("%s(%g) is %q", name, v, s)
			}
		}
	})
}

func TestATableGivesUpColumnsInTheirOrder(t *testing.T) {
	columns := []Column{{Title: "A", Width: 5}, {Title: "B", Width: 5, Drop: 1}, {Title: "C", Width: 5, Drop: 2}, {Title: "D", Width: 5, Grow: 1}}
	for w, want := range map[int][]int{40: {0, 1, 2, 3}, 26: {0, 1, 2, 3}, 25: {0, 1, 3}, 18: {0, 3}, 3: {0, 3}} {
		tb := NewTable(w, columns)
		if diff := cmp.Diff(want, tb.Shown()); diff != "" {
			t.Errorf("at %d: %s", w, diff)
		}
	}
	tb := NewTable(40, columns)
	if x, w, ok := tb.Place(3); !ok || x != 21 || w != 19 {
		t.Errorf("the growing column is at %d, %d wide", x, w)
	}
}

func TestAWindowHoldsItsCursor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(1, 100).Draw(t, "total")
		h := rapid.IntRange(1, 50).Draw(t, "h")
		cursor := rapid.IntRange(0, total-1).Draw(t, "cursor")
		first := Window(rapid.IntRange(-10, 200).Draw(t, "first"), cursor, h, total)
		if cursor < first || cursor >= first+h || first < 0 || first > max(0, total-h) {
			t.Fatalf("first %d", first)
		}
	})
}

func TestAWorkerIsNeverInvisibleInASizeBar(t *testing.T) {
	c := canvas(t, 10, 1)
	SizeBar(c, 0, 0, 10, 1000, 1, 0, 0, 1000)
	if got := lines(c)[0]; got != "█········┃" {
		t.Errorf("got %q", got)
	}
}
