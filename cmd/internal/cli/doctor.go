package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"loadstar/cmd/internal/app"
	"loadstar/cmd/internal/config"
	"loadstar/models"
	"loadstar/scheduler/client"
)

// finding is one thing that doctor looked at.
type finding struct {
	Check   string `json:"check"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

func (a *program) doctorCmd() *cobra.Command {
	var o output
	var repair bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong: configuration, state folder, journal, daemon, pools",
		Long: `Look for what is wrong: configuration, state folder, journal, daemon, pools.

Where no daemon runs, the whole journal is read and verified; where it is damaged,
it is said what is lost and what a repair would keep. Nothing is changed without
--repair. The exit code is 1 where something is wrong.

--repair puts in the place of a damaged journal what can be kept of it: all before
the damage, and behind it whatever still fits. The damaged files are kept in
journal.damaged-TIME beside it. It needs the state folder to itself.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			findings := a.examine(cmd, repair)
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
	cmd.Flags().BoolVar(&repair, "repair", false, "replace a damaged journal by what can be kept of it")
	return cmd
}

func (a *program) examine(cmd *cobra.Command, repair bool) []finding {
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
		return append(out, a.journalCheck(cmd.Context(), cfg, repair)...)
	case err != nil:
		return append(out, finding{Check: "daemon", Message: err.Error()})
	}
	if repair {
		return append(out, finding{Check: "repair", Message: fmt.Sprintf("a daemon runs (process %d): stop it first", info.PID)})
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

// journalCheck verifies the journal of a state folder that no daemon has in use,
// and says what a repair would keep, or has kept.
func (a *program) journalCheck(ctx context.Context, cfg config.Config, repair bool) []finding {
	f := finding{Check: "journal"}
	dir := filepath.Join(cfg.StateDir, "journal")
	if there, err := filepath.Glob(dir + "*"); err == nil && len(there) == 0 && cfg.NATS == "" {
		f.OK, f.Message = true, "none yet"
		return []finding{f}
	}
	if repair && cfg.NATS != "" {
		f.Message = "it is on a NATS cluster, which has to mend it"
		return []finding{f}
	}
	h, err := app.ExamineJournal(ctx, cfg, repair, slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})), a.deps.Now())
	var out []finding
	if h != nil && h.Finished {
		out = append(out, finding{Check: "repair", OK: true, Message: "one that was broken off was brought to its end"})
	}
	switch {
	case err != nil:
		f.Message = err.Error()
		return append(out, f)
	case h.Problem == "":
		f.OK = true
		for i := range h.Aside {
			out = append(out, finding{Check: "side log", Message: h.Aside[i].String() + "; what is damaged there is left out"})
		}
		f.Message = fmt.Sprintf("%s after a snapshot of %s that covers %d: all verified", plural(h.Report.Frames, "frame"), plural(h.Report.Chunks, "chunk"), h.Report.Covered)
		return append(out, f)
	}
	repaired := h.Kept != ""
	f.OK, f.Message = repaired, h.Problem
	out = append(out, f)
	for i := range h.Damage {
		out = append(out, finding{Check: "damage", OK: repaired, Message: h.Damage[i].String()})
	}
	for _, why := range h.Mended.Why {
		out = append(out, finding{Check: "dropped", OK: repaired, Message: why})
	}
	return append(out, finding{Check: "repair", OK: repaired, Message: repairText(h)})
}

// repairText says what a repair keeps and what is lost.
func repairText(h *app.JournalHealth) string {
	m := h.Mended
	total := 0
	var kept []string
	for _, s := range models.States() {
		if n := m.Tasks[s]; n > 0 {
			kept = append(kept, fmt.Sprintf("%d %s", n, s))
		}
		total += m.Tasks[s]
	}
	text := plural(total, "task")
	if len(kept) > 0 {
		text += " (" + strings.Join(kept, ", ") + ")"
	}
	lost := fmt.Sprintf("lost: %s; %s of which nothing is known any more; %s dropped that told of what is lost",
		plural(int(h.Lost), "frame"), plural(m.Missing, "task"), plural(m.Dropped, "record")) //nolint:gosec // a count
	if h.Kept == "" {
		return fmt.Sprintf("loadstar doctor --repair would keep %s; %s; the damaged files would stay beside the journal", text, lost)
	}
	return fmt.Sprintf("done: kept %s; %s; the damaged files are in %s", text, lost, h.Kept)
}
