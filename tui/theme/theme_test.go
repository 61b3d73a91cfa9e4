package theme

import (
	"strings"
	"testing"

	"github.com/muesli/termenv"

	"loadstar/models"
)

func TestEveryThemeGivesEveryRoleAColour(t *testing.T) {
	for _, name := range Names() {
		if name == "mono" {
			continue
		}
		for _, profile := range []termenv.Profile{termenv.TrueColor, termenv.ANSI256, termenv.ANSI} {
			th, err := New(name, profile, Braille)
			if err != nil {
				t.Fatal(err)
			}
			for r := Text + 1; r < roles; r++ {
				if th.paints[r].fg == "" {
					t.Errorf("%s at %d colours: role %d has none", name, profile, r)
				}
			}
		}
	}
}

func TestWithoutColoursNoColourIsWritten(t *testing.T) {
	for _, name := range Names() {
		th, err := New(name, termenv.Ascii, Braille)
		if err != nil {
			t.Fatal(err)
		}
		for r := range roles {
			for _, code := range strings.Split(strings.Trim(string(th.AppendSGR(nil, Style{FG: r, BG: r})), "\x1b[m"), ";") {
				if code != "0" && code != "1" && code != "2" && code != "4" && code != "7" {
					t.Errorf("%s: role %d writes %s", name, r, code)
				}
			}
		}
	}
}

func TestStatesDifferWithoutColour(t *testing.T) {
	for _, l := range []Level{ASCII, Block, Braille} {
		th, err := New("mono", termenv.Ascii, l)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]models.State{}
		for _, s := range models.States() {
			g := th.State(s).Glyph
			if other, taken := seen[g]; taken {
				t.Errorf("%s: %s and %s are both %q", l, s, other, g)
			}
			seen[g] = s
		}
	}
}

func TestWhatTheTerminalCanShowIsReadFromTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		env   map[string]string
		level Level
		prof  termenv.Profile
	}{
		{map[string]string{"TERM": "xterm-256color", "LANG": "en_GB.UTF-8"}, Braille, termenv.ANSI256},
		{map[string]string{"TERM": "xterm-256color", "COLORTERM": "truecolor"}, Braille, termenv.TrueColor},
		{map[string]string{"TERM": "xterm-256color", "LANG": "de_DE.ISO-8859-1"}, ASCII, termenv.ANSI256},
		{map[string]string{"TERM": "xterm", "LC_ALL": "C", "LANG": "en_GB.UTF-8"}, ASCII, termenv.ANSI},
		{map[string]string{"TERM": "linux", "LANG": "C.utf8"}, Block, termenv.ANSI},
		{map[string]string{"TERM": "dumb", "LANG": "C.UTF-8"}, ASCII, termenv.Ascii},
		{map[string]string{"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, Braille, termenv.Ascii},
	} {
		get := func(k string) string { return c.env[k] }
		if l, p := DetectLevel(get), DetectProfile(get); l != c.level || p != c.prof {
			t.Errorf("%v: %s and profile %d, want %s and %d", c.env, l, p, c.level, c.prof)
		}
	}
	if got := DetectName(func(string) string { return "0;15" }); got != "light" {
		t.Errorf("a white background has the theme %s", got)
	}
}
