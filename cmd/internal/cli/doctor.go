package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"loadstar/cmd/internal/config"
	"loadstar/scheduler/client"
	"loadstar/scheduler/journal"
)

// finding is one thing that doctor looked at.
type finding struct {
	Check   string `json:"check"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

func (a *program) doctorCmd() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong: configuration, state folder, journal, daemon, pools",
		Long: `Look for what is wrong: configuration, state folder, journal, daemon, pools.

Where no daemon runs, the whole journal is read and verified. No task is changed.
The exit code is 1 where something is wrong.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			findings := a.examine(cmd)
			v := view{json: findings, head: []string{"check", "ok", "message"}}
			bad := 0
			for _, f := range findings {
				v.rows = append(v.rows, []string{f.Check, yesNo(f.OK), f.Message})
				if !f.OK {
					bad++
				}
			}
			v.table = func(p *page) {
				for _, f := range findings {
					p.line("%-5s %-13s %s", map[bool]string{true: "ok", false: "BAD"}[f.OK], f.Check, clean(f.Message))
				}
			}
			if err := a.print(v, o, true); err != nil {
				return err
			}
			if bad > 0 {
				return fmt.Errorf("%s found", plural(bad, "problem"))
			}
			return nil
		},
	}
	o.flags(cmd, false)
	return cmd
}

func (a *program) examine(cmd *cobra.Command) []finding {
	cfg, err := a.config(cmd)
	if err != nil {
		return []finding{{Check: "configuration", Message: err.Error()}}
	}
	out := []finding{{Check: "configuration", OK: true, Message: "valid"}}
	if cfg.URL == "" {
		out = append(out, folder(cfg.StateDir))
	}
	b, err := a.deps.NewClient(cfg)
	if err != nil {
		return append(out, finding{Check: "daemon", Message: err.Error()})
	}
	defer b.Close()
	info, err := b.Info(cmd.Context())
	switch {
	case errors.Is(err, client.ErrNoDaemon) && cfg.URL == "":
		out = append(out, finding{Check: "daemon", OK: true, Message: "none runs on " + cfg.StateDir})
		return append(out, a.journalCheck(cmd.Context(), cfg))
	case err != nil:
		return append(out, finding{Check: "daemon", Message: err.Error()})
	}
	out = append(out, finding{Check: "daemon", OK: true, Message: fmt.Sprintf("version %s, process %d, up for %s", info.Version, info.PID, span(a.deps.Now().Sub(info.StartedAt)))})
	if err := b.Ready(cmd.Context()); err != nil {
		return append(out, finding{Check: "ready", Message: err.Error()})
	}
	out = append(out, finding{Check: "ready", OK: true, Message: "the journal was replayed and verified at its start"})
	return append(out, pools(cmd.Context(), b)...)
}

func pools(ctx context.Context, b Backend) []finding {
	all, err := b.Pools(ctx)
	if err != nil {
		return []finding{{Check: "pools", Message: err.Error()}}
	}
	var out []finding
	for i := range all {
		p := &all[i]
		f := finding{Check: "pool " + p.Name, OK: p.Trouble == "", Message: p.Trouble}
		if f.OK {
			f.Message = fmt.Sprintf("%d of %d workers ready, %d queued", p.Ready, p.Max, p.Queued)
		}
		out = append(out, f)
	}
	return out
}

func folder(dir string) finding {
	f := finding{Check: "state folder"}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		f.OK, f.Message = true, dir+" is not there yet"
	case err != nil:
		f.Message = err.Error()
	case !info.IsDir():
		f.Message = dir + " is not a folder"
	case info.Mode().Perm()&0o077 != 0:
		f.Message = fmt.Sprintf("%s is open to other users (mode %o); chmod 700 closes it", dir, info.Mode().Perm())
	default:
		f.OK, f.Message = true, dir
	}
	return f
}

// journalCheck verifies the journal of a state folder that no daemon has in use.
func (a *program) journalCheck(ctx context.Context, cfg config.Config) finding {
	f := finding{Check: "journal"}
	dir := filepath.Join(cfg.StateDir, "journal")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		f.OK, f.Message = true, "none yet"
		return f
	}
	report, err := a.verify(ctx, cfg, dir)
	switch {
	case err != nil:
		f.Message = err.Error()
	case report.Problem != "":
		f.Message = report.Problem
	default:
		f.OK = true
		f.Message = fmt.Sprintf("%s after a snapshot of %s that covers %d: all verified", plural(report.Frames, "frame"), plural(report.Chunks, "chunk"), report.Covered)
	}
	return f
}

func (a *program) verify(ctx context.Context, cfg config.Config, dir string) (report journal.Report, err error) {
	lock, err := journal.LockDir(cfg.StateDir)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	j, err := journal.Open(ctx, journal.Config{
		Dir: dir, URL: cfg.NATS,
		Logger: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return j.Check(ctx)
}
