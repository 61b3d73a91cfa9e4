package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/models"
	"loadstar/scheduler/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string) *journal.Journal {
	t.Helper()
	j, err := tryOpen(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func tryOpen(t testing.TB, dir string) (*journal.Journal, error) {
	t.Helper()
	j, err := journal.Open(context.Background(), journal.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Cleanup(func() { _ = j.Close() })
	}
	return j, err
}

type loaded struct {
	Chunks, Frames []string
}

func load(j *journal.Journal) (loaded, error) {
	var got loaded
	err := j.Load(context.Background(),
		func(data []byte) error { got.Chunks = append(got.Chunks, string(data)); return nil },
		func(data []byte) error { got.Frames = append(got.Frames, string(data)); return nil })
	return got, err
}

func mustLoad(t testing.TB, j *journal.Journal) loaded {
	t.Helper()
	got, err := load(j)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func appendAll(t testing.TB, j *journal.Journal, frames ...string) {
	t.Helper()
	for _, f := range frames {
		if err := j.Append(context.Background(), []byte(f)); err != nil {
			t.Fatal(err)
		}
	}
}

// numbered are frames that tell where they belong, of some size.
func numbered(from, to, size int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, fmt.Sprintf("frame %d %s", i, strings.Repeat(string(rune('a'+i%26)), size)))
	}
	return out
}

// copyDir copies a folder as a crash would leave it: no goodbye to anyone. What
// nats-server removes meanwhile is left out.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func blocks(t testing.TB, dir, stream string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no block files under %s: %v", dir, err)
	}
	slices.SortFunc(files, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return files
}

func TestFramesComeBackInOrderAfterReopening(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if d := cmp.Diff(loaded{}, mustLoad(t, j)); d != "" {
		t.Fatal(d)
	}
	first := numbered(1, 20, 10)
	appendAll(t, j, first...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir)
	if d := cmp.Diff(first, mustLoad(t, j).Frames); d != "" {
		t.Fatal(d)
	}
	second := numbered(21, 30, 2000)
	appendAll(t, j, second...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(append(first, second...), mustLoad(t, open(t, dir)).Frames); d != "" {
		t.Fatal(d)
	}
}

func TestWhatWasAcknowledgedSurvivesACrashAtAnyFrame(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	all := numbered(1, 12, 100)
	for i, f := range all {
		appendAll(t, j, f)
		if i%3 != 0 {
			continue
		}
		crashed := open(t, copyDir(t, dir))
		if d := cmp.Diff(all[:i+1], mustLoad(t, crashed).Frames); d != "" {
			t.Fatalf("after frame %d: %s", i+1, d)
		}
		appendAll(t, crashed, "more")
		if err := crashed.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSnapshotTakesThePlaceOfFrames(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	ctx := context.Background()
	appendAll(t, j, numbered(1, 5, 10)...)
	for round, chunks := range [][][]byte{{[]byte("one")}, {[]byte("two a"), []byte("two b")}, {}, {[]byte("four"), bytes.Repeat([]byte("x"), 768<<10)}} {
		if err := j.Snapshot(ctx, chunks); err != nil {
			t.Fatal(err)
		}
		after := fmt.Sprintf("after %d", round)
		appendAll(t, j, after)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = open(t, dir)
		want := loaded{Frames: []string{after}}
		for _, c := range chunks {
			want.Chunks = append(want.Chunks, string(c))
		}
		if d := cmp.Diff(want, mustLoad(t, j)); d != "" {
			t.Fatalf("round %d: %s", round, d)
		}
	}
	report, err := j.Check(ctx)
	if err != nil || report.Problem != "" {
		t.Fatalf("%+v %v", report, err)
	}
	if report.Frames != 1 || report.Chunks != 2 || report.Covered != 8 {
		t.Errorf("the report is %+v", report)
	}
}

func TestACrashWithinASnapshotLeavesTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	ctx := context.Background()
	appendAll(t, j, "a", "b")
	if err := j.Snapshot(ctx, [][]byte{[]byte("old")}); err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, "c")
	// A snapshot whose last chunk never comes: its context ends on the way.
	cut, cancel := context.WithCancel(ctx)
	var crashed string
	journal.AfterPart(j, func(n int) {
		if n == 2 {
			crashed = copyDir(t, dir)
			cancel()
		}
	})
	if err := j.Snapshot(cut, [][]byte{[]byte("new 1"), []byte("new 2"), []byte("new 3")}); err == nil {
		t.Fatal("a snapshot that was cut off is called whole")
	}
	want := loaded{Chunks: []string{"old"}, Frames: []string{"c"}}
	for _, d := range []string{crashed, copyDir(t, dir)} {
		c := open(t, d)
		if diff := cmp.Diff(want, mustLoad(t, c)); diff != "" {
			t.Fatal(diff)
		}
		if err := c.Snapshot(ctx, [][]byte{[]byte("newest")}); err != nil {
			t.Fatal(err)
		}
		appendAll(t, c, "d")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(loaded{Chunks: []string{"newest"}, Frames: []string{"d"}}, mustLoad(t, open(t, d))); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestACrashBeforeTheCoveredFramesAreForgottenDoesNotReplayThem(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	appendAll(t, j, "a", "b")
	var crashed string
	journal.AfterPart(j, func(n int) {
		if n == 2 { // the manifest of a snapshot of one chunk
			crashed = copyDir(t, dir)
		}
	})
	if err := j.Snapshot(context.Background(), [][]byte{[]byte("s")}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(loaded{Chunks: []string{"s"}}, mustLoad(t, open(t, crashed))); d != "" {
		t.Fatal(d)
	}
}

func TestACrashWhileCoveredFramesAreForgottenLosesNothing(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	appendAll(t, j, "a", "b")
	if err := j.Snapshot(context.Background(), [][]byte{[]byte("s")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// nats-server moves the blocks away, makes a new folder, then a block in it.
	for name, crash := range map[string]func(blocks string) error{
		"moved away": func(b string) error {
			away := filepath.Join(filepath.Dir(b), "__msgs__")
			if err := os.RemoveAll(away); err != nil { // of the purge itself, which deletes it in its own time
				return err
			}
			return os.Rename(b, away)
		},
		"no block yet": func(b string) error {
			if err := os.RemoveAll(b); err != nil {
				return err
			}
			return os.Mkdir(b, 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			crashed := copyDir(t, dir)
			if err := crash(filepath.Dir(blocks(t, crashed, "LOADSTAR_JOURNAL")[0])); err != nil {
				t.Fatal(err)
			}
			j := open(t, crashed)
			if d := cmp.Diff(loaded{Chunks: []string{"s"}}, mustLoad(t, j)); d != "" {
				t.Fatal(d)
			}
			appendAll(t, j, "c")
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(loaded{Chunks: []string{"s"}, Frames: []string{"c"}}, mustLoad(t, open(t, crashed))); d != "" {
				t.Fatal(d)
			}
		})
	}
}

// threeBlocks makes a folder with 20 MB of frames, in three blocks: closed, and
// as a crash leaves it.
func threeBlocks(t *testing.T) (closed, crashed string) {
	t.Helper()
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	appendAll(t, j, numbered(1, 28, 700<<10)...)
	crashed = copyDir(t, dir)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, crashed
}

func TestDamageIsRefusedAndNamed(t *testing.T) {
	flip := func(file string, share float64) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		data[int(float64(len(data)-1)*share)] ^= 1
		return os.WriteFile(file, data, 0o600)
	}
	truncate := func(file string, off int64) error {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		return os.Truncate(file, info.Size()-off)
	}
	closed, crashed := threeBlocks(t)
	for name, c := range map[string]struct {
		do   func(dir string, blocks []string) error
		want string
	}{
		"flipped bit in the first block":   {func(_ string, b []string) error { return flip(b[0], 0.5) }, "is damaged"},
		"flipped bit in the first byte":    {func(_ string, b []string) error { return flip(b[0], 0) }, "message 1 of LOADSTAR_JOURNAL is damaged"},
		"flipped bit in the last block":    {func(_ string, b []string) error { return flip(b[len(b)-1], 0.3) }, "is damaged"},
		"flipped bit in the last frame":    {func(_ string, b []string) error { return flip(b[len(b)-1], 0.999) }, "message 28 of LOADSTAR_JOURNAL is damaged"},
		"truncated middle block":           {func(_ string, b []string) error { return truncate(b[1], 10) }, "is damaged"},
		"middle block cut between records": {func(_ string, b []string) error { return os.Truncate(b[1], 0) }, "missing"},
		"truncated last block":             {func(_ string, b []string) error { return truncate(b[len(b)-1], 5) }, "message 28 of LOADSTAR_JOURNAL is damaged"},
		"emptied last block":               {func(_ string, b []string) error { return os.Truncate(b[len(b)-1], 0) }, "missing"},
		"removed first block":              {func(_ string, b []string) error { return os.Remove(b[0]) }, "frames 1 to"},
		"removed middle block":             {func(_ string, b []string) error { return os.Remove(b[1]) }, "missing"},
		"removed last block":               {func(_ string, b []string) error { return os.Remove(b[len(b)-1]) }, "missing"},
		"removed stream": {func(dir string, _ []string) error {
			return os.RemoveAll(filepath.Join(dir, "jetstream"))
		}, "frames 1 to 28 are missing"},
		"removed description": {func(_ string, b []string) error {
			return os.Remove(filepath.Join(filepath.Dir(filepath.Dir(b[0])), "meta.inf"))
		}, "description cannot be read"},
	} {
		for from, index := range map[string]bool{closed: true, crashed: false} {
			t.Run(fmt.Sprintf("%s/crashed=%v/index=%v", name, from == crashed, index), func(t *testing.T) {
				dir := copyDir(t, from)
				files := blocks(t, dir, "LOADSTAR_JOURNAL")
				if len(files) < 3 {
					t.Fatalf("%d blocks", len(files))
				}
				if !index {
					_ = os.Remove(filepath.Join(filepath.Dir(files[0]), "index.db"))
				}
				if err := c.do(dir, files); err != nil {
					t.Fatal(err)
				}
				j, err := tryOpen(t, dir)
				if err == nil {
					_, err = load(j)
					_ = j.Close()
				}
				var gap *journal.GapError
				var corrupt *journal.CorruptError
				if !errors.As(err, &gap) && !errors.As(err, &corrupt) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want %q", err, c.want)
				}
			})
		}
	}
}

func TestAnyFlippedByteOfABlockIsNamedBeforeAnythingIsCut(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	appendAll(t, j, numbered(1, 12, 20)...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	block := blocks(t, dir, "LOADSTAR_JOURNAL")[0]
	whole, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 5 {
		bad := slices.Clone(whole)
		bad[at] ^= 0x10
		if err := os.WriteFile(block, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := tryOpen(t, dir)
		var corrupt *journal.CorruptError
		if !errors.As(err, &corrupt) || corrupt.Seq < 1 || corrupt.Seq > 12 || corrupt.File != block {
			t.Fatalf("byte %d: %v", at, err)
		}
		left, err := os.ReadFile(block)
		if err != nil || !bytes.Equal(left, bad) {
			t.Fatalf("byte %d: the file was changed: %v", at, err)
		}
	}
	if err := os.WriteFile(block, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(numbered(1, 12, 20), mustLoad(t, open(t, dir)).Frames); d != "" {
		t.Error(d)
	}
}

func TestATornLastWriteIsCutAndSaid(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	want := numbered(1, 5, 100)
	appendAll(t, j, want...)
	before := copyDir(t, dir)
	appendAll(t, j, numbered(6, 6, 3000)...)
	after := copyDir(t, dir)
	last := func(dir string) string { b := blocks(t, dir, "LOADSTAR_JOURNAL"); return b[len(b)-1] }
	whole, err := os.ReadFile(last(after))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(last(before))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{1, 21, 30, 1500, int64(len(whole)) - info.Size() - 1} {
		torn := copyDir(t, before) // with the mark from before the write
		if err := os.WriteFile(last(torn), whole[:info.Size()+size], 0o600); err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		j, err := journal.Open(context.Background(), journal.Config{Dir: torn, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatalf("%d bytes of the record: %v", size, err)
		}
		if d := cmp.Diff(want, mustLoad(t, j).Frames); d != "" {
			t.Fatalf("%d bytes of the record: %s", size, d)
		}
		if !strings.Contains(said.String(), "torn by a crash") {
			t.Errorf("not said: %q", said.String())
		}
		appendAll(t, j, "next")
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(append(slices.Clone(want), "next"), mustLoad(t, open(t, torn)).Frames); d != "" {
			t.Fatal(d)
		}
	}
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	appendAll(t, j, "a", "b")
	if err := j.Snapshot(context.Background(), [][]byte{bytes.Repeat([]byte("s"), 5000), bytes.Repeat([]byte("t"), 5000)}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files := blocks(t, dir, "LOADSTAR_SNAPSHOT")
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for at := 3; at < len(whole); at += len(whole) / 40 {
		damaged := copyDir(t, dir)
		bad := slices.Clone(whole)
		bad[at] ^= 4
		if err := os.WriteFile(blocks(t, damaged, "LOADSTAR_SNAPSHOT")[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := tryOpen(t, damaged)
		if err == nil {
			_, err = load(j)
			_ = j.Close()
		}
		var gap *journal.GapError
		var corrupt *journal.CorruptError
		if !errors.As(err, &gap) && !errors.As(err, &corrupt) {
			t.Fatalf("byte %d: %v", at, err)
		}
	}
}

func TestSideLogKeepsWhatItsBoundsAllow(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	j := open(t, dir)
	small, err := j.Log(ctx, "small", journal.LogOptions{MaxBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	all, err := j.Log(ctx, "all", journal.LogOptions{MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	brief, err := j.Log(ctx, "brief", journal.LogOptions{MaxAge: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now().Add(-time.Second)
	frames := numbered(1, 30, 1000)
	for _, f := range frames {
		for _, l := range []*journal.Log{small, all, brief} {
			if err := l.Append(ctx, []byte(f)); err != nil {
				t.Fatal(err)
			}
		}
	}
	replay := func(l *journal.Log) (got []string) {
		err := l.Replay(ctx, func(at time.Time, frame []byte) error {
			if at.Before(started) || at.After(time.Now().Add(time.Second)) {
				t.Errorf("a frame is of %s", at)
			}
			got = append(got, string(frame))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if d := cmp.Diff(frames, replay(all)); d != "" {
		t.Error(d)
	}
	kept := replay(small)
	if len(kept) == 0 || len(kept) > 20 {
		t.Fatalf("%d frames are kept in 20 kB", len(kept))
	}
	if d := cmp.Diff(frames[len(frames)-len(kept):], kept); d != "" {
		t.Error(d)
	}
	for len(replay(brief)) > 0 { // bounded by the test's own deadline
		time.Sleep(50 * time.Millisecond)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir)
	if all, err = j.Log(ctx, "all", journal.LogOptions{MaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(frames, replay(all)); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "a b", "a.b", "a/b"} {
		if _, err := j.Log(ctx, bad, journal.LogOptions{}); !errors.Is(err, models.ErrInvalid) {
			t.Errorf("log %q: %v", bad, err)
		}
	}
}

func TestAFullDiskRefusesAndComesBack(t *testing.T) {
	for name, ignore := range map[string]bool{"seen before": false, "met by nats-server": true} {
		t.Run(name, func(t *testing.T) { fillAndFree(t, ignore) })
	}
}

func fillAndFree(t *testing.T, ignore bool) {
	t.Helper()
	dir := mountSmall(t, "24m")
	j := open(t, dir)
	if ignore {
		journal.IgnoreSpace(j)
	}
	mustLoad(t, j)
	ctx := context.Background()
	side, err := j.Log(ctx, "side", journal.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var acked []string
	fill := filepath.Join(dir, "filler")
	for round := range 3 {
		for i := 0; ; i++ {
			f := fmt.Sprintf("%d/%d %s", round, i, strings.Repeat("z", 200<<10))
			err := j.Append(ctx, []byte(f))
			if err != nil {
				if !errors.Is(err, journal.ErrNoSpace) || !errors.Is(err, models.ErrUnavailable) {
					t.Fatal(err)
				}
				break
			}
			acked = append(acked, f)
			if i == 8 { // another program takes what is left, to the last byte
				takeAll(t, fill)
			}
			if i > 200 {
				t.Fatal("the disk never fills")
			}
		}
		if err := side.Append(ctx, make([]byte, 100<<10)); !errors.Is(err, journal.ErrNoSpace) {
			t.Fatalf("side log on a full disk: %v", err)
		}
		if err := os.Remove(fill); err != nil {
			t.Fatal(err)
		}
		f := fmt.Sprintf("%d back", round)
		if err := j.Append(ctx, []byte(f)); err != nil {
			t.Fatalf("space is back: %v", err)
		}
		acked = append(acked, f)
		if err := side.Append(ctx, []byte("y")); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(acked, mustLoad(t, open(t, copyDir(t, dir))).Frames); d != "" {
		t.Fatal(d)
	}
	if err := j.Snapshot(ctx, [][]byte{[]byte("s")}); err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, "after")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(loaded{Chunks: []string{"s"}, Frames: []string{"after"}}, mustLoad(t, open(t, dir))); d != "" {
		t.Error(d)
	}
}

func TestAFullDiskCanBeOpenedAndRead(t *testing.T) {
	dir := mountSmall(t, "8m")
	j := open(t, dir)
	mustLoad(t, j)
	want := numbered(1, 5, 100<<10)
	appendAll(t, j, want...)
	fill := filepath.Join(dir, "filler")
	takeAll(t, fill)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, err := tryOpen(t, dir)
	if errors.Is(err, journal.ErrNoSpace) { // told so, and no harm done
		if err := os.Remove(fill); err != nil {
			t.Fatal(err)
		}
		j = open(t, dir)
	} else if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, mustLoad(t, j).Frames); d != "" {
		t.Fatal(d)
	}
	_ = os.Remove(fill)
	appendAll(t, j, "back")
	if d := cmp.Diff(append(want, "back"), mustLoad(t, j).Frames); d != "" {
		t.Error(d)
	}
}

// takeAll writes until the disk is full.
func takeAll(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func TestALostAcknowledgementIsReadBack(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	mustLoad(t, j)
	appendAll(t, j, "a")
	ctx, cancel := context.WithCancel(context.Background())
	journal.AfterPublish(j, func() error { return errors.New("the answer got lost") })
	appendAll(t, j, "b") // stored, found by reading back
	journal.AfterPublish(j, func() error { cancel(); return ctx.Err() })
	if err := j.Append(ctx, []byte("given up")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	crashed := copyDir(t, dir)
	journal.AfterPublish(j, nil)
	appendAll(t, j, "c", "d") // what was given up is struck out first
	if d := cmp.Diff([]string{"a", "b", "c", "d"}, mustLoad(t, j).Frames); d != "" {
		t.Error(d)
	}
	// A process that died before it could strike it out may replay it.
	if d := cmp.Diff([]string{"a", "b", "given up"}, mustLoad(t, open(t, crashed)).Frames); d != "" {
		t.Error(d)
	}
}

func TestAFrameThatNeverArrivedLeavesNoTrace(t *testing.T) {
	j := open(t, t.TempDir())
	mustLoad(t, j)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := j.Append(ctx, []byte("never")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	journal.BreakStorage(j) // the next one needs a new server
	appendAll(t, j, "a", "b")
	if d := cmp.Diff([]string{"a", "b"}, mustLoad(t, j).Frames); d != "" {
		t.Error(d)
	}
}

func TestAnotherWriterIsNoticed(t *testing.T) {
	j := open(t, t.TempDir())
	mustLoad(t, j)
	appendAll(t, j, "a")
	if err := journal.Intrude(j, "b"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := j.Append(context.Background(), []byte("c")); !errors.Is(err, journal.ErrFenced) {
			t.Fatalf("got %v", err)
		}
	}
}

func TestTheStreamsBoundSaysNoSpaceUntilASnapshot(t *testing.T) {
	j, err := journal.Open(context.Background(), journal.Config{Dir: t.TempDir(), StreamMaxBytes: 100_000, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	mustLoad(t, j)
	frame := bytes.Repeat([]byte("x"), 30_000)
	n := 0
	for ; n < 10 && err == nil; n++ {
		err = j.Append(context.Background(), frame)
	}
	if !errors.Is(err, journal.ErrNoSpace) || n != 4 {
		t.Fatalf("after %d frames: %v", n, err)
	}
	if err := j.Snapshot(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, "fits again")
	if d := cmp.Diff([]string{"fits again"}, mustLoad(t, j).Frames); d != "" {
		t.Error(d)
	}
}

func TestTheLockSaysWhoHoldsIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	l, err := journal.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = journal.LockDir(dir)
	var held *journal.LockedError
	if !errors.As(err, &held) || held.PID != os.Getpid() || held.Since.IsZero() || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("got %v", err)
	}
	for range 2 {
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
	}
	l, err = journal.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestTheLockOfADeadHolderIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Skip(err)
	}
	// As if a child of the dead holder had not yet closed the file.
	f, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, `{"pid":%d,"since":"2026-11-24T08:00:00Z"}`, gone.Process.Pid)
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = f.Close() })
	l, err := journal.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsTakenBeforeLoadOrAfterClose(t *testing.T) {
	j := open(t, t.TempDir())
	ctx := context.Background()
	if err := j.Append(ctx, []byte("x")); !errors.Is(err, journal.ErrNotLoaded) {
		t.Error(err)
	}
	if err := j.Snapshot(ctx, nil); !errors.Is(err, journal.ErrNotLoaded) {
		t.Error(err)
	}
	mustLoad(t, j)
	if err := j.Append(ctx, make([]byte, 768<<10+1)); err == nil {
		t.Error("a frame that is too large is taken")
	}
	for range 2 {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := j.Append(ctx, []byte("x")); err == nil {
		t.Error("a closed journal takes a frame")
	}
	if _, err := load(j); !errors.Is(err, journal.ErrClosed) {
		t.Error(err)
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for want, cfg := range map[string]journal.Config{
		"dir":              {},
		"replicas":         {Dir: "x", Replicas: 9},
		"stream_max_bytes": {Dir: "x", StreamMaxBytes: -1},
		"ack_timeout":      {Dir: "x", AckTimeout: -1},
		"nats":             {Dir: "x", URL: "::"},
	} {
		_, err := journal.Open(context.Background(), cfg)
		var fe *models.FieldError
		if !errors.As(err, &fe) || fe.Field != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := os.Stat("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a folder was made all the same")
	}
}

func BenchmarkAppend100KB(b *testing.B) {
	j := open(b, b.TempDir())
	mustLoad(b, j)
	frame := bytes.Repeat([]byte("record of two hundred bytes or so"), 100<<10/33)
	ctx := context.Background()
	b.SetBytes(int64(len(frame)))
	for b.Loop() {
		if err := j.Append(ctx, frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	j := open(b, dir)
	mustLoad(b, j)
	frame := bytes.Repeat([]byte("x"), 100<<10)
	for range 1000 {
		if err := j.Append(context.Background(), frame); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(1000 * 100 << 10)
	for b.Loop() {
		if err := j.Load(context.Background(), func([]byte) error { return nil }, func([]byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
