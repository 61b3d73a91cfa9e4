package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/term"

	"loadstar/cmd/internal/config"
	"loadstar/models"
	"loadstar/scheduler/client"
	"loadstar/tui"
	"loadstar/tui/keys"
)

// ScreenOptions say how the screen looks; see tui.Config.
type ScreenOptions struct {
	NoColor  bool
	ASCII    bool
	Theme    string
	ReadOnly bool
	Plain    bool // lines of text in the place of the screen
	// Version is the program's, Keys are bindings that are others than the screen's
	// own, StateDir is where it remembers how it was left.
	Version  string
	Keys     map[string][]string
	StateDir string
	Banner   func() string
	In       io.Reader
	Out      io.Writer
}

// ErrNoTerminal says that the screen has nowhere to be shown.
var ErrNoTerminal = errors.New("no terminal to show the screen on; without one use `loadstar daemon`, and submit, ls, logs, stats, forecast, pool explain to look (`loadstar help` lists all)")

// HasTerminal reports whether both ends are a terminal.
func (o ScreenOptions) HasTerminal() bool {
	in, okIn := o.In.(*os.File)
	out, okOut := o.Out.(*os.File)
	return okIn && okOut && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd()))
}

// RunScreen attaches the screen to the daemon of the configuration, or, where the
// state folder has none, starts one inside that ends with the screen.
func RunScreen(ctx context.Context, cfg config.Config, version string, o ScreenOptions) error {
	if !o.Plain && !o.HasTerminal() {
		return ErrNoTerminal
	}
	o.Version, o.Keys, o.StateDir = version, cfg.Keys, cfg.StateDir
	c, err := client.New(client.Config{Socket: cfg.SocketPath()})
	if cfg.URL != "" {
		c, err = client.New(client.Config{URL: cfg.URL, Token: cfg.Token})
	}
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Info(ctx)
	if !errors.Is(err, client.ErrNoDaemon) || cfg.URL != "" {
		if err != nil {
			return err
		}
		return showScreen(ctx, o, c)
	}
	if cfg.NATS != "" {
		return models.Invalid("nats", "a daemon on a cluster is not started inside the screen: `loadstar daemon` elects who leads")
	}
	logger, closeLog, err := fileLogger(cfg)
	if err != nil {
		return err
	}
	defer closeLog()
	return withDaemon(ctx, cfg, Options{Version: version, Logger: logger}, func(ctx context.Context, c *client.Client) error {
		return showScreen(ctx, o, c)
	})
}

// fileLogger keeps the diagnostics of a daemon inside the screen off the screen.
func fileLogger(cfg config.Config) (*slog.Logger, func(), error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(filepath.Join(cfg.StateDir, "daemon.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return NewLogger(cfg, f, false), func() { _ = f.Close() }, nil
}

func showScreen(ctx context.Context, o ScreenOptions, source tui.Source) error {
	bindings, err := keys.Rebind(keys.Default(), o.Keys)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	cfg := tui.Config{
		Source: source, NoColor: o.NoColor, ASCII: o.ASCII, Theme: o.Theme, ReadOnly: o.ReadOnly, Banner: o.Banner,
		Version: o.Version, Keys: bindings, Save: saveNew,
	}
	if o.Plain {
		return tui.RunPlain(ctx, cfg, o.In, o.Out)
	}
	if o.StateDir != "" {
		path := filepath.Join(o.StateDir, "screen.json")
		cfg.Memory = recall(path)
		cfg.Remember = func(m tui.Memory) { remember(path, m) }
	}
	return tui.Run(ctx, cfg, o.In, o.Out)
}

// recall is how the screen was left; where that cannot be read it begins anew.
func recall(path string) tui.Memory {
	var m tui.Memory
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &m) != nil {
		return tui.Memory{}
	}
	return m
}

// remember keeps how the screen was left. It is a convenience: where it cannot be
// written nobody is bothered.
func remember(path string, m tui.Memory) {
	if text, err := json.Marshal(m); err == nil && os.MkdirAll(filepath.Dir(path), 0o700) == nil {
		_ = renameio.WriteFile(path, text, 0o600)
	}
}

// RunDaemon is `loadstar daemon`; load reads the configuration again, for SIGHUP.
// With a cluster, it serves while it leads the daemons there.
func RunDaemon(ctx context.Context, cfg config.Config, load func() (config.Config, error), version string, stderr io.Writer, color bool) error {
	log := NewLogger(cfg, stderr, color)
	serve := func(ctx context.Context, lost <-chan error) error {
		return serveDaemon(ctx, cfg, load, Options{Version: version, Logger: log, Lost: lost})
	}
	if cfg.NATS != "" {
		return elected(ctx, cfg, log, serve)
	}
	return serve(ctx, nil)
}

func serveDaemon(ctx context.Context, cfg config.Config, load func() (config.Config, error), opts Options) error {
	d, err := Open(ctx, cfg, opts)
	if err != nil {
		return err
	}
	reloading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.reloadOn(reloading, load)
	}()
	err = d.Run(ctx)
	stop()
	<-done
	return err
}

// saveNew writes an export into the current folder; a file that is there is left alone.
func saveNew(name string, data []byte) (string, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	if _, err = f.Write(data); err != nil {
		return "", errors.Join(err, f.Close())
	}
	return name, f.Close()
}
