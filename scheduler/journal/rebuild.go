package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Names of what a repair leaves beside the journal's folder; a time follows.
const (
	damagedSuffix  = ".damaged-"
	repairedSuffix = ".repaired-"
)

// Rebuild puts a new journal in the place of a damaged one: a snapshot of these
// chunks, and the side logs as they are. The damaged files are kept, whole, beside
// it; their folder is returned. No process may have the journal in use.
func Rebuild(ctx context.Context, cfg Config, chunks [][]byte, now time.Time) (kept string, err error) {
	if cfg.URL != "" {
		return "", errors.New("journal: it is on a NATS cluster, which has to mend it")
	}
	stamp := now.UTC().Format("20060102T150405Z")
	kept, fresh := cfg.Dir+damagedSuffix+stamp, cfg.Dir+repairedSuffix+stamp
	for _, dir := range []string{kept, fresh} {
		if _, err := os.Lstat(dir); err == nil {
			return "", fmt.Errorf("journal: %s is there already", dir)
		}
	}
	old, err := filepath.Glob(cfg.Dir + repairedSuffix + "*")
	if err != nil {
		return "", fmt.Errorf("journal: %w", err)
	}
	for _, dir := range old { // of a repair that was broken off before it was whole
		if err := os.RemoveAll(dir); err != nil {
			return "", fmt.Errorf("journal: %w", err)
		}
	}
	if err := copySideLogs(cfg.Dir, fresh); err != nil {
		return "", errors.Join(err, os.RemoveAll(fresh))
	}
	if err := writeFresh(ctx, cfg, fresh, chunks); err != nil {
		return "", errors.Join(err, os.RemoveAll(fresh))
	}
	// Between the two renames there is no journal; Open refuses to begin anew then.
	if err := os.Rename(cfg.Dir, kept); err != nil {
		return "", fmt.Errorf("journal: keep the damaged files: %w", err)
	}
	if err := os.Rename(fresh, cfg.Dir); err != nil {
		return kept, fmt.Errorf("journal: put the repaired one in its place: %w", err)
	}
	return kept, syncDir(filepath.Dir(cfg.Dir))
}

func writeFresh(ctx context.Context, cfg Config, dir string, chunks [][]byte) (err error) {
	cfg.Dir = dir
	j, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	nothing := func([]byte) error { return nil }
	if err := j.Load(ctx, nothing, nothing); err != nil {
		return err
	}
	return j.Snapshot(ctx, chunks)
}

// unfinishedRepair is a repaired journal that was not put in its place; empty where
// there is none.
func unfinishedRepair(dir string) string {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	found, err := filepath.Glob(dir + repairedSuffix + "*")
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// FinishRepair puts a repaired journal in its place where a repair was broken off
// just before that; done says that there was one.
func FinishRepair(dir string) (done bool, err error) {
	fresh := unfinishedRepair(dir)
	if fresh == "" {
		return false, nil
	}
	if err := os.Rename(fresh, dir); err != nil {
		return false, fmt.Errorf("journal: put the repaired one in its place: %w", err)
	}
	return true, syncDir(filepath.Dir(dir))
}

// copySideLogs copies the streams that are neither frames nor snapshots; one whose
// description cannot be read is left behind.
func copySideLogs(from, to string) error {
	const below = "jetstream/$G/streams"
	streams, err := os.ReadDir(filepath.Join(from, below))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(to, below), 0o700); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	for _, s := range streams {
		if s.Name() == journalStream || s.Name() == snapshotStream || !s.IsDir() {
			continue
		}
		meta, err := os.ReadFile(filepath.Join(from, below, s.Name(), "meta.inf"))
		if err != nil || !json.Valid(meta) {
			continue
		}
		if err := copyTree(filepath.Join(from, below, s.Name()), filepath.Join(to, below, s.Name())); err != nil {
			return fmt.Errorf("journal: copy side log %s: %w", strings.TrimPrefix(s.Name(), "LOADSTAR_LOG_"), err)
		}
	}
	return nil
}

// copyTree copies a folder's files; each is on disk before it returns.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
