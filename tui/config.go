package tui

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"loadstar/tui/keys"
	"loadstar/tui/theme"
)

// Config says what the screen shows and how.
type Config struct {
	// Source is the daemon. Required.
	Source Source
	// NoColor draws without colours; so does the variable NO_COLOR. Default false.
	NoColor bool
	// ASCII draws with bytes below 128 only; so does a locale that is not UTF-8. Default false.
	ASCII bool
	// Theme is dark, light, mono, safe (told apart with every kind of colour
	// vision) or 16 (the terminal's own sixteen colours). Default: light where COLORFGBG says that the background is, else dark.
	Theme string
	// ReadOnly refuses every action that changes something. Default false.
	ReadOnly bool
	// Refresh is how often the page on show asks for its data. Default 1s, at least 100ms.
	Refresh time.Duration
	// Timeout is how long one question to the daemon may take. Default 5s.
	Timeout time.Duration
	// Banner is a line under the header, asked for with every refresh; it must not
	// block. Default none.
	Banner func() string
	// Zone is where times are shown in. Default the local one.
	Zone *time.Location
	// Save writes a new file for an export and gives its path. Default: no exports.
	Save func(name string, data []byte) (path string, err error)
	// Clock tells the time. Default time.Now.
	Clock func() time.Time
	// Getenv reads the environment. Default os.Getenv.
	Getenv func(string) string
	// Version is the screen's; a daemon of another one is told. Default: not compared.
	Version string
	// Memory is what the screen before has left. Default: nothing.
	Memory Memory
	// Remember takes what is left to the next one when the screen ends. Default: nothing.
	Remember func(Memory)
	// Keys are the bindings. Default keys.Default().
	Keys []keys.Binding
}

func (c Config) withDefaults() Config {
	if c.Refresh == 0 {
		c.Refresh = time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Zone == nil {
		c.Zone = time.Local
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Keys == nil {
		c.Keys = keys.Default()
	}
	if c.Theme == "" && slices.Contains(theme.Names(), c.Memory.Theme) {
		c.Theme = c.Memory.Theme
	}
	if c.Theme == "" {
		c.Theme = theme.DetectName(c.Getenv)
	}
	return c
}

// Validate names the field that cannot be.
func (c Config) Validate() error {
	switch {
	case c.Source == nil:
		return errors.New("tui: source: it is missing")
	case c.Theme != "" && !slices.Contains(theme.Names(), c.Theme):
		return fmt.Errorf("tui: theme: %q is not one of %s", c.Theme, strings.Join(theme.Names(), ", "))
	case c.Refresh != 0 && c.Refresh < 100*time.Millisecond:
		return fmt.Errorf("tui: refresh: %s is less than 100ms", c.Refresh)
	case c.Timeout < 0:
		return fmt.Errorf("tui: timeout: %s is negative", c.Timeout)
	}
	return nil
}
