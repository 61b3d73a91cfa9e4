package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loadstar/models"
)

func TestOutputIsReadBackAsWritten(t *testing.T) {
	s := newLogs(t, LogConfig{})
	for _, id := range []string{"task-001", "..", "a\\b:c*?", strings.Repeat("ü", 100), "TASK-001", "~", ".hidden", "%2f"} {
		for attempt := 1; attempt <= 2; attempt++ {
			w, err := s.Create(id, attempt)
			if err != nil {
				t.Fatalf("%q: %v", id, err)
			}
			fmt.Fprintf(w, "%s %d\n", id, attempt)
			w.Close()
			w.Close() // twice is fine
		}
	}
	for _, id := range []string{"task-001", "..", "a\\b:c*?", strings.Repeat("ü", 100), "TASK-001", "~", ".hidden", "%2f"} {
		for attempt := 1; attempt <= 2; attempt++ {
			if got, want := output(t, s, id, attempt), fmt.Sprintf("%s %d\n", id, attempt); got != want {
				t.Errorf("%q: %q, want %q", id, got, want)
			}
		}
	}
	filepath.WalkDir(s.cfg.Dir, func(path string, e fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(s.cfg.Dir, path); !regexp.MustCompile(`^(\.|tasks|pools|packs|packs/[0-9]{8}\.pack|tasks/[0-9a-f]{2}(/[\w.~-]+\.log)?)$`).MatchString(rel) {
			t.Errorf("a file stands at %q", rel)
		}
		return err
	})
}

func TestOutputThatIsNotThereIsNotFound(t *testing.T) {
	s := newLogs(t, LogConfig{})
	for _, open := range map[string]func() (io.ReadCloser, error){
		"open":   func() (io.ReadCloser, error) { return s.Open("nobody", 1) },
		"follow": func() (io.ReadCloser, error) { return s.Follow(context.Background(), "nobody", 1) },
		"pool":   func() (io.ReadCloser, error) { return s.OpenPool("nobody") },
	} {
		if _, err := open(); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
}

func TestBadLogConfigNamesTheField(t *testing.T) {
	for field, cfg := range map[string]LogConfig{
		"logs.dir":                   {},
		"logs.max_bytes_per_attempt": {Dir: "x", MaxBytesPerAttempt: 1},
		"logs.max_total_bytes":       {Dir: "x", MaxTotalBytes: -1},
		"logs.max_attempts":          {Dir: "x", MaxAttempts: -1},
	} {
		var fe *models.FieldError
		if _, err := NewLogStore(cfg); !errors.As(err, &fe) || fe.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

var gapLine = regexp.MustCompile(`\n?\[loadstar: (\d+) bytes of output were dropped here\]\n`)

// Whatever is written in whatever pieces: what is read is the output's beginning,
// a true word on what is missing, and its end; and the disk holds no more than
// the bound. That is so before the end, after it, and after a restart.
func TestHeadAndTailAreKeptAndTheGapIsTold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		const limit = minAttemptBytes
		s := newLogs(t, LogConfig{Dir: dir, MaxBytesPerAttempt: limit})
		w, err := s.Create("t", 1)
		if err != nil {
			t.Fatal(err)
		}
		var all bytes.Buffer
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 3*limit), 0, 12).Draw(rt, "sizes") {
			every := rapid.SampledFrom([]int{7, 80, 5000}).Draw(rt, "line")
			piece := make([]byte, n)
			for j := range piece {
				piece[j] = byte('a' + (i+j)%26)
				if j%every == every-1 {
					piece[j] = '\n'
				}
			}
			all.Write(piece)
			w.Write(piece)
		}
		check := func(s *LogStore) {
			segs, err := s.segments(logBase("t", 1))
			if err != nil && all.Len() > maxPacked {
				rt.Fatal(err)
			}
			var size int64
			for _, seg := range segs {
				size += seg.size
			}
			if size > limit {
				rt.Fatalf("%d bytes are on disk", size)
			}
			checkKept(rt, output(t, s, "t", 1), all.String(), limit)
		}
		check(s)
		w.Close()
		check(s)
		check(newLogs(t, LogConfig{Dir: dir, MaxBytesPerAttempt: limit}))
	})
}

func checkKept(rt *rapid.T, got, all string, limit int) {
	at := gapLine.FindStringSubmatchIndex(got)
	if at == nil {
		if got != all {
			rt.Fatalf("%d bytes read of %d, and no word on the rest", len(got), len(all))
		}
		return
	}
	dropped, _ := strconv.Atoi(got[at[2]:at[3]])
	head, tail := got[:at[0]], got[at[1]:]
	if len(head)+dropped+len(tail) != len(all) && len(head)+1+dropped+len(tail) != len(all) { // a head may end with the newline that the match took
		rt.Fatalf("head %d + dropped %d + tail %d is not %d", len(head), dropped, len(tail), len(all))
	}
	if !strings.HasPrefix(all, head) || !strings.HasSuffix(all, tail) {
		rt.Fatal("what is kept is not the beginning and the end")
	}
	if len(all) > limit && len(tail) < 1 {
		rt.Fatal("the end is missing")
	}
}

func TestFollowerGetsAllAndEndsWithTheWriter(t *testing.T) {
	s := newLogs(t, LogConfig{})
	w, err := s.Create("t", 1)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("before "))
	r, err := s.Follow(context.Background(), "t", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make(chan string, 1)
	first := make(chan struct{})
	go func() {
		buf := make([]byte, 7)
		io.ReadFull(r, buf)
		close(first)
		rest, _ := io.ReadAll(r)
		got <- string(buf) + string(rest)
	}()
	within(t, first, "what was there before")
	var want strings.Builder
	want.WriteString("before ")
	for i := range 1000 {
		line := fmt.Sprintln("line", i)
		want.WriteString(line)
		io.WriteString(w, line)
	}
	w.Close()
	if text := within(t, got, "the end"); text != want.String() {
		t.Errorf("%d bytes, want %d", len(text), want.Len())
	}
	if len(w.followers) != 1 {
		t.Errorf("%d followers", len(w.followers))
	}
	r.Close()
	if len(w.followers) != 0 {
		t.Error("a closed reader still follows")
	}
}

func TestSlowFollowerIsToldWhatItMissed(t *testing.T) {
	s := newLogs(t, LogConfig{MaxBytesPerAttempt: minAttemptBytes})
	w, err := s.Create("t", 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Follow(context.Background(), "t", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	line := strings.Repeat("x", 63) + "\n"
	io.WriteString(w, strings.Repeat(line, minAttemptBytes/2/64+4)) // the head, and some of the tail
	if _, err := io.ReadFull(r, make([]byte, minAttemptBytes/2+64)); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		io.WriteString(w, line)
	}
	io.WriteString(w, "the end\n")
	w.Close()
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if !gapLine.Match(rest) || !strings.HasSuffix(string(rest), line+"the end\n") {
		t.Errorf("the rest: %.300q", rest)
	}
}

func TestFollowerStopsWithItsContextAndWithClose(t *testing.T) {
	s := newLogs(t, LogConfig{})
	w, err := s.Create("t", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	for name, c := range map[string]struct {
		stop func(io.Closer)
		want error
	}{
		"context": {func(io.Closer) { cancel() }, io.EOF},
		"close":   {func(r io.Closer) { r.Close() }, os.ErrClosed},
	} {
		followCtx := context.Background()
		if name == "context" {
			followCtx = ctx
		}
		r, err := s.Follow(followCtx, "t", 1)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := r.Read(make([]byte, 1))
			ended <- err
		}()
		c.stop(r)
		if err := within(t, ended, "the end of "+name); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
}

func TestOldestOutputGoesFirst(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	fill := func(s *LogStore, n int) {
		for i := range n {
			w, err := s.Create(fmt.Sprint("task-", i), 1)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(make([]byte, 1000))
			w.Close()
			now = now.Add(time.Minute)
		}
	}
	left := func(s *LogStore, n int) (ids []int) {
		for i := range n {
			if r, err := s.Open(fmt.Sprint("task-", i), 1); err == nil {
				r.Close()
				ids = append(ids, i)
			}
		}
		return ids
	}
	for name, c := range map[string]struct {
		cfg  LogConfig
		want string
	}{
		"bytes": {LogConfig{MaxTotalBytes: 3500}, "[7 8 9]"},
		"count": {LogConfig{MaxAttempts: 2}, "[8 9]"},
		"age":   {LogConfig{MaxAge: 150 * time.Second}, "[8 9]"},
	} {
		c.cfg.Clock = clock
		s := newLogs(t, c.cfg)
		fill(s, 10)
		s.Sweep()
		if got := fmt.Sprint(left(s, 10)); got != c.want {
			t.Errorf("%s: kept %s, want %s", name, got, c.want)
		}
	}
}

func TestBoundsHoldAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := newLogs(t, LogConfig{Dir: dir, MaxBytesPerAttempt: minAttemptBytes})
	for i := range 3 {
		w, err := s.Create(fmt.Sprint("task-", i), 1)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(bytes.Repeat([]byte("x"), 5*minAttemptBytes))
		if i > 0 { // the first is cut off by a crash
			w.Close()
		}
	}
	s = newLogs(t, LogConfig{Dir: dir, MaxTotalBytes: 1})
	for i := range 3 {
		if _, err := s.Open(fmt.Sprint("task-", i), 1); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("task-%d is still there: %v", i, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tasks", "*", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAnAttemptThatBeginsAnewDropsTheOldOutput(t *testing.T) {
	dir := t.TempDir()
	for i, live := range []bool{false, true, false, true} {
		size := 1 // in a pack
		if i >= 2 {
			size = minAttemptBytes // in files
		}
		s := newLogs(t, LogConfig{Dir: dir, MaxBytesPerAttempt: minAttemptBytes})
		old, err := s.Create("t", 1)
		if err != nil {
			t.Fatal(err)
		}
		old.Write(bytes.Repeat([]byte("old"), size))
		if !live {
			old.Close()
		}
		w, err := s.Create("t", 1)
		if err != nil {
			t.Fatal(err)
		}
		old.Write([]byte("too late"))
		old.Close()
		w.Write([]byte("new"))
		w.Close()
		for range 2 { // the second time after a restart
			if got := output(t, s, "t", 1); got != "new" {
				t.Errorf("live %t, %d bytes: %.40q", live, size, got)
			}
			s = newLogs(t, LogConfig{Dir: dir, MaxBytesPerAttempt: minAttemptBytes})
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "tasks", "*", "*")); len(left) > 0 {
			t.Errorf("live %t: left: %v", live, left)
		}
	}
}

func TestShortOutputsShareAFileAndSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	s := newLogs(t, LogConfig{Dir: dir})
	want := map[string]string{}
	for i := range 100 {
		id := fmt.Sprintf("task \"%d\"\n", i)
		want[id] = strings.Repeat("@ \"line\" 1 2 3\n", i%7)
		w, err := s.Create(id, 1)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, want[id])
		w.Close()
	}
	// A crash cuts the last record off, and leaves something odd.
	packs, err := filepath.Glob(filepath.Join(dir, "packs", "*"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	f, err := os.OpenFile(packs[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "@ \"torn\" 1 1800000000 100\nhalf of it")
	f.Close()
	for round := range 3 {
		for id, text := range want {
			if got := output(t, s, id, 1); got != text {
				t.Errorf("round %d, %q: %q", round, id, got)
			}
		}
		s = newLogs(t, LogConfig{Dir: dir})
		if _, err := s.Open("torn", 1); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("a record that was cut off: %v", err)
		}
		w, err := s.Create(fmt.Sprint("more", round), 1)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	if s.count != 103 {
		t.Errorf("%d attempts are on the books", s.count)
	}
}

func TestOutputOfATaskThatGoesOnReachesTheDisk(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	dir := t.TempDir()
	s := newLogs(t, LogConfig{Dir: dir, Clock: func() time.Time { return now }})
	for i, later := range map[string]func(io.Writer){
		"swept": func(io.Writer) { s.Sweep() },
		"says":  func(w io.Writer) { io.WriteString(w, "more\n") },
	} {
		w, err := s.Create(i, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		io.WriteString(w, "hello\n")
		now = now.Add(2 * memoryTime)
		later(w)
		if got := output(t, newLogs(t, LogConfig{Dir: dir}), i, 1); !strings.HasPrefix(got, "hello\n") {
			t.Errorf("%s: a crash now would leave %q", i, got)
		}
	}
}

func FuzzParsePackHeader(f *testing.F) {
	f.Add("@ \"t\" 1 1800000000 12\n")
	f.Add("@ \"\" 99999999999 0 -1\n")
	f.Fuzz(func(t *testing.T, line string) {
		if h, ok := parsePackHeader(line); ok && (h.size < 0 || h.size > maxPacked) {
			t.Errorf("%+v", h)
		}
	})
}

func TestAFullDiskLosesOutputAndSaysHowMuch(t *testing.T) {
	s := newLogs(t, LogConfig{})
	w, err := s.Create("t", 1)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "kept\n")
	w.settle()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here")
	}
	w.file.Close()
	w.file = full // the next write fails as on a full disk
	if n, err := io.WriteString(w, "lost\n"); n != 5 || err != nil {
		t.Errorf("Write gave %d, %v", n, err)
	}
	io.WriteString(w, "kept again\n")
	w.Close()
	if got, want := output(t, s, "t", 1), "kept\n[loadstar: 5 bytes of output were dropped here]\nkept again\n"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestAPoolsLogIsBoundedAndKeepsTheNewest(t *testing.T) {
	s := newLogs(t, LogConfig{MaxBytesPerAttempt: minAttemptBytes})
	l, err := s.Pool("gpu")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		l.Line("gpu-1", fmt.Sprint("line ", i))
	}
	l.Line("gpu-1", strings.Repeat("long ", 10_000))
	l.Close()
	r, err := s.OpenPool("gpu")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 3*minAttemptBytes || !strings.Contains(string(b), " gpu-1 line 999\n") || strings.Contains(string(b), "line 1\n") {
		t.Errorf("%d bytes: %.200q", len(b), b)
	}
}

func BenchmarkLogOfOneLine(b *testing.B) {
	s, err := NewLogStore(LogConfig{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	line := []byte("hello\n")
	for i := 0; b.Loop(); i++ {
		w, err := s.Create(strconv.Itoa(i), 1)
		if err != nil {
			b.Fatal(err)
		}
		w.Write(line)
		w.Close()
	}
}
