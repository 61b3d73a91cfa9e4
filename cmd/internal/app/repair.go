package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"loadstar/cmd/internal/config"
	"loadstar/scheduler"
	"loadstar/scheduler/journal"
)

// JournalHealth is how a journal that no daemon has in use was found.
type JournalHealth struct {
	// Report is of a journal that could be opened.
	Report journal.Report
	// Problem is what a start would say; empty where it would start.
	Problem string
	// Damage is where the files are wrong; Lost is how many frames are missing.
	Damage []journal.Damage
	Lost   uint64
	// Aside is where the side logs are wrong; a start leaves that out.
	Aside []journal.Damage
	// Mended is what a repair would keep, or has kept; nil where there is no problem.
	Mended *scheduler.Mended
	// Finished says that a repair that was broken off was brought to its end.
	Finished bool
	// Kept is where the damaged files are after a repair; empty where none was done.
	Kept string
}

// ExamineJournal reads and verifies the whole journal of a stopped daemon, down to
// whether each record fits. With repair, one that is damaged is replaced by what
// can be kept of it; the damaged files stay beside it.
func ExamineJournal(ctx context.Context, cfg config.Config, repair bool, logger *slog.Logger, now time.Time) (h *JournalHealth, err error) {
	pools, err := Pools(cfg)
	if err != nil {
		return nil, err
	}
	lock, err := journal.LockDir(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	jc := journal.Config{Dir: filepath.Join(cfg.StateDir, "journal"), URL: cfg.NATS, Logger: logger}
	h = &JournalHealth{}
	if repair && cfg.NATS == "" {
		if h.Finished, err = journal.FinishRepair(jc.Dir); err != nil {
			return nil, err
		}
	}
	if h.Report, h.Problem, err = verifyJournal(ctx, jc); err != nil || cfg.NATS != "" {
		return h, err
	}
	remains, err := journal.Salvage(jc.Dir)
	if err != nil {
		return nil, err
	}
	h.Aside = remains.Aside
	left := scheduler.Remains{Chunks: remains.Chunks}
	for _, f := range remains.Frames {
		left.Frames = append(left.Frames, scheduler.RemainingFrame{Data: f.Data, Gap: f.Gap})
	}
	mended, err := scheduler.Mend(scheduler.CoreConfig{}, pools, left, now)
	if err != nil {
		return nil, err
	}
	if h.Problem == "" && mended.Dropped > 0 {
		h.Problem = fmt.Sprintf("the journal is whole, but %d of its records do not fit: %s", mended.Dropped, mended.Why[0])
	}
	if h.Problem == "" {
		return h, nil
	}
	h.Damage, h.Lost, h.Mended = remains.Damage, remains.Lost, mended
	if !repair {
		return h, nil
	}
	if h.Kept, err = journal.Rebuild(ctx, jc, mended.Chunks, now); err != nil {
		return h, err
	}
	var again string
	if h.Report, again, err = verifyJournal(ctx, jc); err == nil && again != "" {
		err = fmt.Errorf("the repaired journal is not whole either: %s", again)
	}
	return h, err
}

// verifyJournal says as a problem what would keep a daemon from starting; the error
// is for what kept it from looking.
func verifyJournal(ctx context.Context, jc journal.Config) (report journal.Report, problem string, err error) {
	j, err := journal.Open(ctx, jc)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, journal.ErrNoSpace) {
			return report, "", err
		}
		return report, err.Error(), nil
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	report, err = j.Check(ctx)
	return report, report.Problem, err
}
