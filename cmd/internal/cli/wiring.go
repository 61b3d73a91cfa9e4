package cli

import (
	"context"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loadstar/cmd/internal/app"
	"loadstar/cmd/internal/config"
	"loadstar/cmd/internal/demo"
	"loadstar/collector/ingest"
	"loadstar/models"
)

// DefaultDeps are the real parts.
func DefaultDeps() Deps {
	version := buildVersion()
	screen := func(o ScreenOptions, s Streams) app.ScreenOptions {
		return app.ScreenOptions{NoColor: o.NoColor, ASCII: o.ASCII, Theme: o.Theme, ReadOnly: o.ReadOnly, Plain: o.Plain, In: s.In, Out: s.Out}
	}
	return Deps{
		Version:   version,
		NewClient: newClient,
		ReadCSV:   readCSV,
		Daemon: func(ctx context.Context, cfg config.Config, load func() (config.Config, error), s Streams) error {
			return app.RunDaemon(ctx, cfg, load, version, s.Err, s.Color)
		},
		Agent: func(ctx context.Context, cfg config.Config, o app.AgentOptions, s Streams) error {
			return app.RunAgent(ctx, cfg, o, s.Err, s.Color)
		},
		Screen: func(ctx context.Context, cfg config.Config, o ScreenOptions, s Streams) error {
			return app.RunScreen(ctx, cfg, version, screen(o, s))
		},
		Demo: func(ctx context.Context, _ config.Config, o DemoOptions, s Streams) error {
			return app.RunDemo(ctx, app.DemoOptions{
				For: o.For, Speed: o.Speed, Headless: o.Headless, JSON: o.JSON, Trace: o.Trace, MeanBusy: o.MeanBusy, Seed: o.Seed,
				ColdStart: o.ColdStart, Policy: models.PoolPolicy(o.Policy), Version: version, Screen: screen(o.Screen, s), Stdout: s.Out, Stderr: s.Err,
			})
		},
		Bench: app.RunBench,

		BenchQueued: app.RunQueuedBench,
		Commands:    []*cobra.Command{demoWorkerCmd()},
	}
}

// buildVersion is what the Go tool has written into the program.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}

func readCSV(r io.Reader, name string) (History, error) {
	t, err := ingest.ReadCSV(r, name)
	return History{Points: t.Points, StepS: t.StepS, Gaps: t.Gaps}, err
}

// demoWorkerCmd is the program in the role of the show's worker.
func demoWorkerCmd() *cobra.Command {
	var coldStart time.Duration
	cmd := &cobra.Command{
		Use:    "demo-worker",
		Short:  "A worker of the demo, spoken to on stdin",
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo.RunWorker(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), coldStart)
		},
	}
	cmd.Flags().DurationVar(&coldStart, "cold-start", 0, "`TIME` to come up")
	return cmd
}
