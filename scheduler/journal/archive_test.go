package journal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"loadstar/models"
	"loadstar/scheduler/journal"
)

func TestArchivedFramesAreReadByNumberAndDamageIsNamed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	a, err := j.Archive(t.Context(), "archive", journal.LogOptions{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := a.First(t.Context()); err != nil || first != 1 {
		t.Fatalf("first of none: %d, %v", first, err)
	}
	frame := bytes.Repeat([]byte("abcdefgh"), 16<<10)
	for want := uint64(1); want <= 12; want++ { // 1.5 MiB: the oldest go
		frame[0] = byte(want)
		if got, err := a.Append(t.Context(), frame); err != nil || got != want {
			t.Fatalf("frame %d has number %d: %v", want, got, err)
		}
	}
	first, err := a.First(t.Context())
	if err != nil || first < 2 || first > 8 {
		t.Fatalf("first is %d: %v", first, err)
	}
	if _, err := a.Read(t.Context(), first-1); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("past its bounds: %v", err)
	}
	for n := first; n <= 12; n++ {
		if got, err := a.Read(t.Context(), n); err != nil || len(got) != len(frame) || got[0] != byte(n) {
			t.Errorf("frame %d: %v", n, err)
		}
	}
	var bad *journal.CorruptError
	if _, err := a.Read(t.Context(), 13); !errors.As(err, &bad) || bad.Seq != 13 {
		t.Errorf("one that is missing: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}

	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream/$G/streams/LOADSTAR_LOG_archive/msgs/*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatal(blocks, err)
	}
	data, err := os.ReadFile(blocks[len(blocks)-1])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1000] ^= 1 // in the last frame
	if err := os.WriteFile(blocks[len(blocks)-1], data, 0o600); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir)
	mustLoad(t, j)
	if a, err = j.Archive(t.Context(), "archive", journal.LogOptions{MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(t.Context(), 12); err == nil {
		t.Error("a damaged frame was read")
	}
	if _, err := a.Read(t.Context(), 11); err != nil {
		t.Errorf("the one before it: %v", err)
	}
}
