package theme

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/muesli/termenv"
)

// Theme is a look, ready for one terminal. It is immutable.
type Theme struct {
	Name   string
	Level  Level
	Glyphs Glyphs
	// Shades says that a band can be shown as a background; where it cannot, it is
	// drawn with glyphs.
	Shades bool
	paints [roles]paint
}

// Names lists the themes.
func Names() []string { return []string{"dark", "light", "mono", "safe", "16"} }

// New is the named theme for a terminal with the given colours and glyphs. On a
// terminal without colours every theme is mono. "" is dark.
func New(name string, profile termenv.Profile, level Level) (*Theme, error) {
	if name == "" {
		name = "dark"
	}
	of := name
	if name == "16" {
		of = "dark"
	}
	colours, ok := palettes()[of]
	if !ok {
		return nil, fmt.Errorf("theme: %q is not one of %s", name, strings.Join(Names(), ", "))
	}
	t := &Theme{Name: name, Level: level, Glyphs: glyphsFor(level)}
	if profile == termenv.Ascii || name == "mono" {
		t.Name, t.paints = "mono", monoPaints()
		return t, nil
	}
	if name == "16" {
		profile = termenv.ANSI // the terminal's own palette, whatever more it has
	}
	t.Shades = profile != termenv.ANSI
	for role, c := range colours {
		t.paints[role] = c.paint(profile)
	}
	for role, p := range extras(profile) {
		p.fg, p.bg = t.paints[role].fg, t.paints[role].bg
		t.paints[role] = p
	}
	return t, nil
}

// colour is a role's colour: full, and one of the sixteen where there are no more.
type colour struct {
	hex  string
	ansi int // 0 to 15; -1 the terminal's own
}

func (c colour) paint(profile termenv.Profile) paint {
	if profile == termenv.ANSI {
		if c.ansi < 0 {
			return paint{}
		}
		fg, bg := 30+c.ansi, 40+c.ansi
		if c.ansi > 7 {
			fg, bg = 82+c.ansi, 92+c.ansi
		}
		return paint{fg: strconv.Itoa(fg), bg: strconv.Itoa(bg)}
	}
	col := profile.Color(c.hex)
	if col == nil {
		return paint{}
	}
	return paint{fg: col.Sequence(false), bg: col.Sequence(true)}
}

// extras are attributes that some roles have beside their colour.
func extras(profile termenv.Profile) map[Role]paint {
	x := map[Role]paint{Title: {attr: Bold}}
	if profile == termenv.ANSI {
		x[SelectBG] = paint{bgAttr: Bold}
	}
	return x
}

func monoPaints() (p [roles]paint) {
	for _, r := range []Role{Muted, Border, Past, Low} {
		p[r].attr = Faint
	}
	for _, r := range []Role{Title, Accent, Warn, Bad, Busy, High, Actual} {
		p[r].attr = Bold
	}
	for _, r := range []Role{SelectBG, AlarmBG, MatchBG} {
		p[r].bgAttr = Reverse
	}
	p[BarBG].bgAttr = 0
	return p
}

func palettes() map[string]map[Role]colour {
	return map[string]map[Role]colour{
		"dark": {
			Text: {"#c9d1e0", -1}, Muted: {"#8590a8", 7}, Border: {"#465069", 8}, Title: {"#dfe5f1", 15},
			Accent: {"#7aa2f7", 12}, Good: {"#8fc17f", 10}, Warn: {"#e0b35f", 11}, Bad: {"#ee7b85", 9}, Info: {"#6fbccf", 14},
			Actual: {"#e6ebf5", 15}, Median: {"#7aa2f7", 12}, Past: {"#d08fd8", 13}, Band: {"#4c6196", 4},
			Busy: {"#7aa2f7", 12}, Idle: {"#5f8f74", 2}, Starting: {"#e0b35f", 11},
			Low: {"#6fa98a", 10}, Middle: {"#d9b566", 11}, High: {"#ee7b85", 9},
			OnSelect: {"#f2f5fb", 15}, SelectBG: {"#2c3752", 4}, BarBG: {"#1d2333", 0}, BandBG: {"#26304d", 4},
			MatchBG: {"#6b5a1e", 3}, AlarmBG: {"#7a2f3a", 1},
		},
		"light": {
			Text: {"#2b3040", -1}, Muted: {"#6a7285", 8}, Border: {"#b4bac8", 7}, Title: {"#1b2030", 0},
			Accent: {"#1f5fcf", 4}, Good: {"#2f7d32", 2}, Warn: {"#9a6500", 3}, Bad: {"#b3261e", 1}, Info: {"#0f7285", 6},
			Actual: {"#1b2030", 0}, Median: {"#1f5fcf", 4}, Past: {"#93329e", 5}, Band: {"#8aa6dd", 6},
			Busy: {"#1f5fcf", 4}, Idle: {"#5d9c6f", 2}, Starting: {"#b97f10", 3},
			Low: {"#3f8f5c", 2}, Middle: {"#9a6500", 3}, High: {"#b3261e", 1},
			OnSelect: {"#10141f", 0}, SelectBG: {"#cfdcf7", 14}, BarBG: {"#e9ecf3", 7}, BandBG: {"#dbe5fa", 14},
			MatchBG: {"#f3dc8a", 11}, AlarmBG: {"#f3b8b4", 9},
		},
		// Okabe and Ito's palette: told apart with every kind of colour vision.
		"safe": {
			Text: {"#d0d4dc", -1}, Muted: {"#8f96a3", 7}, Border: {"#4b5260", 8}, Title: {"#e8ebf0", 15},
			Accent: {"#56b4e9", 12}, Good: {"#56b4e9", 12}, Warn: {"#e69f00", 11}, Bad: {"#f08a4b", 9}, Info: {"#cc79a7", 13},
			Actual: {"#f0f2f6", 15}, Median: {"#56b4e9", 12}, Past: {"#e69f00", 11}, Band: {"#3f6f8f", 4},
			Busy: {"#56b4e9", 12}, Idle: {"#7d8794", 7}, Starting: {"#f0e442", 11},
			Low: {"#7fa8c4", 12}, Middle: {"#e69f00", 11}, High: {"#f08a4b", 9},
			OnSelect: {"#ffffff", 15}, SelectBG: {"#26405a", 4}, BarBG: {"#1d222b", 0}, BandBG: {"#1f3a52", 4},
			MatchBG: {"#6a5a00", 3}, AlarmBG: {"#7a3d14", 1},
		},
		"mono": {},
	}
}
