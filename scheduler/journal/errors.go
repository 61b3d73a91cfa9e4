package journal

import (
	"errors"
	"fmt"
	"time"

	"loadstar/models"
)

// ErrNoSpace says that the disk (or the stream's bound) is full: the frame was
// refused, nothing is damaged, and a later call works once there is space.
var ErrNoSpace = fmt.Errorf("no space left for the journal: %w", models.ErrUnavailable)

// ErrFenced says that another writer has appended to the stream: this one must stop.
// It wraps models.ErrDeposed.
var ErrFenced = fmt.Errorf("another writer has appended to the journal: %w", models.ErrDeposed)

// ErrNotLoaded says that Append or Snapshot was called before Load.
var ErrNotLoaded = errors.New("the journal was not loaded")

// ErrClosed says that the journal was closed.
var ErrClosed = errors.New("the journal is closed")

// remedy is what to do about damage.
const remedy = "nothing was changed: loadstar doctor says what a repair would keep, loadstar doctor --repair does it and keeps the damaged files"

// GapError says that acknowledged frames are missing. No frame was changed on disk.
type GapError struct {
	From, To uint64    // the missing sequences, both inclusive
	Before   time.Time // when the frame before the gap was written; zero where there is none
	After    time.Time // when the frame after the gap was written; zero where there is none
	Why      string    // what shows it
}

func (e *GapError) Error() string {
	what := fmt.Sprintf("frame %d is missing", e.From)
	if e.To > e.From {
		what = fmt.Sprintf("frames %d to %d are missing (%d of them)", e.From, e.To, e.To-e.From+1)
	}
	return fmt.Sprintf("journal: %s: %s; lost is what was recorded %s; %s", what, e.Why, between(e.Before, e.After), remedy)
}

func between(before, after time.Time) string {
	const layout = time.RFC3339
	switch {
	case before.IsZero() && after.IsZero():
		return "in them"
	case before.IsZero():
		return "before " + after.UTC().Format(layout)
	case after.IsZero():
		return "after " + before.UTC().Format(layout)
	}
	return "between " + before.UTC().Format(layout) + " and " + after.UTC().Format(layout)
}

// CorruptError says that what is stored is not what was written. No frame
// was changed on disk.
type CorruptError struct {
	Stream string // the stream's name
	Seq    uint64 // the damaged message's sequence
	Last   uint64 // the last sequence that cannot be trusted any more; 0 where unknown
	File   string // the block file, where known
	Offset int64  // of the damaged record in File
	Why    string
}

func (e *CorruptError) Error() string {
	where := ""
	if e.File != "" {
		where = fmt.Sprintf(" (%s at byte %d)", e.File, e.Offset)
	}
	lost := fmt.Sprintf("lost is what was recorded from frame %d on", e.Seq)
	switch {
	case e.Stream == snapshotStream:
		lost = "lost is the snapshot, which holds every task up to the frames that are kept"
	case e.Last > e.Seq:
		lost = fmt.Sprintf("lost is what was recorded in frames %d to %d", e.Seq, e.Last)
	case e.Last == e.Seq:
		lost = fmt.Sprintf("lost is what was recorded in frame %d", e.Seq)
	}
	return fmt.Sprintf("journal: message %d of %s is damaged%s: %s; %s; %s", e.Seq, e.Stream, where, e.Why, lost, remedy)
}
