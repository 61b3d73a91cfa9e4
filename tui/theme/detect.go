package theme

import (
	"strings"

	"github.com/muesli/termenv"
)

// DetectProfile says how many colours the terminal has, from the environment.
func DetectProfile(getenv func(string) string) termenv.Profile {
	term := getenv("TERM")
	switch colour := strings.ToLower(getenv("COLORTERM")); {
	case getenv("NO_COLOR") != "" || term == "dumb" || strings.HasPrefix(term, "vt"):
		return termenv.Ascii
	case colour == "truecolor" || colour == "24bit" || strings.Contains(term, "direct"),
		strings.HasPrefix(term, "alacritty"), strings.HasPrefix(term, "xterm-kitty"), strings.HasPrefix(term, "xterm-ghostty"), term == "wezterm":
		return termenv.TrueColor
	case strings.Contains(term, "256color"):
		return termenv.ANSI256
	}
	return termenv.ANSI
}

// DetectName is the theme for the terminal's background where the terminal tells
// it in COLORFGBG, else dark.
func DetectName(getenv func(string) string) string {
	v := getenv("COLORFGBG")
	if i := strings.LastIndexByte(v, ';'); i >= 0 {
		if bg := v[i+1:]; bg == "7" || bg == "15" {
			return "light"
		}
	}
	return "dark"
}
