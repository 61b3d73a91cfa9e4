package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"loadstar/cmd/internal/config"
	"loadstar/models"
	"loadstar/scheduler/client"
	"loadstar/tui"
)

// ScreenOptions say how the screen looks; see tui.Config.
type ScreenOptions struct {
	NoColor  bool
	ASCII    bool
	Theme    string
	ReadOnly bool
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
	if !o.HasTerminal() {
		return ErrNoTerminal
	}
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
	return tui.Run(ctx, tui.Config{
		Source: source, NoColor: o.NoColor, ASCII: o.ASCII, Theme: o.Theme, ReadOnly: o.ReadOnly, Banner: o.Banner,
		Save: saveNew,
	}, o.In, o.Out)
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
