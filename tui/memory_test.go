package tui

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/muesli/termenv"

	"loadstar/models"
	"loadstar/tui/page"
	"loadstar/tui/theme"
)

func TestTheScreenIsFoundAsItWasLeft(t *testing.T) {
	b := setup(t, 120, 35, func(c *Config) { c.Theme = "" })
	b.press("2", "s", "s", "S", "6", "s", "T")
	left := b.m.Memory()
	if d := cmp.Diff(Memory{Page: "Agents", Theme: "light", Order: page.Order{TasksBy: 2, TasksReverse: true, AgentsBy: 1}}, left); d != "" {
		t.Error(d)
	}
	b = setup(t, 120, 35, func(c *Config) { c.Theme, c.Memory = "", left })
	b.shows("agents", "LOAD↓")
	if d := cmp.Diff(left, b.m.Memory()); d != "" {
		t.Error(d)
	}
	for _, m := range []Memory{{Page: "Gone", Theme: "pink"}, {Order: page.Order{TasksBy: 99, AgentsBy: -1}}} { // of another version
		b = setup(t, 120, 35, func(c *Config) { c.Theme, c.Memory = "", m })
		if d := cmp.Diff(Memory{Page: "Overview"}, b.m.Memory()); d != "" {
			t.Error(d)
		}
	}
}

func TestADaemonOfAnotherVersionIsTold(t *testing.T) {
	b := setup(t, 120, 35, func(c *Config) { c.Version = "0.2.0" })
	b.shows("the daemon is version 0.1.0, this screen is 0.2.0")
	b = setup(t, 120, 35, func(c *Config) { c.Version = "0.1.0" })
	b.hides("the daemon is version")
}

func TestTheSixteenColoursAreTheTerminalsOwn(t *testing.T) {
	th, err := theme.New("16", termenv.TrueColor, theme.Braille)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(th.AppendSGR(nil, th.State(models.Failed).Style)); got != "\x1b[0;91m" {
		t.Errorf("%q", got)
	}
}
