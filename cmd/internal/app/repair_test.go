package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"loadstar/cmd/internal/config"
	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/journal"
)

// instant is an agent that ends everything well at once, or never begins.
type instant struct {
	reports chan scheduler.Report
	idle    bool
}

func (a *instant) Info() models.Agent               { return models.Agent{ID: "local", State: "ready"} }
func (a *instant) Reports() <-chan scheduler.Report { return a.reports }

func (a *instant) Send(commands []scheduler.Command) {
	for _, c := range commands {
		if r := c.Run; r != nil && !a.idle {
			a.reports <- scheduler.Report{Started: &scheduler.Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: time.Now()}}
			a.reports <- scheduler.Report{Finished: &scheduler.Finished{TaskID: r.Task.TaskID, Lease: r.Lease, At: time.Now(), Outcome: "SUCCESS"}}
		}
	}
}

// serve runs a scheduler over the journal of a state folder while use does something.
func serve(t *testing.T, cfg config.Config, snapshotEvery models.Bytes, idle bool, use func(s *scheduler.Service)) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	j, err := journal.Open(ctx, journal.Config{Dir: filepath.Join(cfg.StateDir, "journal"), Logger: quiet()})
	if err != nil {
		return err
	}
	defer j.Close()
	pools, err := Pools(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scheduler.New(scheduler.Config{
		Journal: j, Pools: pools, SnapshotEvery: snapshotEvery, Logger: quiet(),
		Agents: []scheduler.Agent{&instant{reports: make(chan scheduler.Report, 4096), idle: idle}},
		Sizer: func(p models.PoolSpec, in models.DecisionInput) models.Decision {
			return models.Decision{Pool: p.Name, At: in.Now, Want: p.Max, Applied: true}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		return err
	}
	use(s)
	cancel()
	return <-ended
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// fill submits tasks of about 100 KB and waits until they are done.
func fill(t *testing.T, s *scheduler.Service, from, n int, wait bool) {
	t.Helper()
	for i := from; i < from+n; i += 10 {
		var specs []models.TaskSpec
		var ids []string
		for k := i; k < min(i+10, from+n); k++ {
			spec := models.NewTaskSpec()
			spec.TaskID, spec.Run, spec.Stdin = fmt.Sprintf("t%04d", k), []string{"true"}, strings.Repeat(fmt.Sprintf("%07d ", k), 12<<10)
			if k > from && k%7 == 0 {
				spec.Dependencies = []string{fmt.Sprintf("t%04d", k-1)}
			}
			specs, ids = append(specs, spec), append(ids, spec.TaskID)
		}
		if _, err := s.Submit(t.Context(), specs, fmt.Sprint("key", i)); err != nil {
			t.Fatal(err)
		}
		if wait {
			if _, err := s.WaitFinal(t.Context(), ids); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func blockFiles(t *testing.T, dir, stream string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "journal", "jetstream", "$G", "streams", stream, "msgs", "*.blk"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no blocks of %s: %v", stream, err)
	}
	slices.SortStableFunc(files, func(a, b string) int { return len(a) - len(b) }) // 2.blk before 10.blk
	return files
}

const (
	// anyDamage is what a flipped bit may look like, by where it falls.
	anyDamage = "checksum|makes no sense|bytes of|does not|cannot be read"

	frames    = "LOADSTAR_JOURNAL"
	snapshots = "LOADSTAR_SNAPSHOT"
)

// TestEachKindOfDamageIsNamedAndRepaired damages journals in every way that is
// known: none opens, each is named, and a repair keeps what it says and runs on.
func TestEachKindOfDamageIsNamedAndRepaired(t *testing.T) {
	const tasks = 200
	plain, covered := t.TempDir(), t.TempDir()
	if err := serve(t, config.Config{StateDir: plain}, 1<<40, false, func(s *scheduler.Service) { fill(t, s, 0, tasks, true) }); err != nil {
		t.Fatal(err)
	}
	if err := serve(t, config.Config{StateDir: covered}, 12<<20, false, func(s *scheduler.Service) { fill(t, s, 0, tasks, true) }); err != nil {
		t.Fatal(err)
	}
	flip := func(stream string, block int, share float64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			file := pick(blockFiles(t, dir, stream), block)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			data[int(float64(len(data)-1)*share)] ^= 1
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		from  string
		do    func(t *testing.T, dir string)
		names string // in the problem
		tells string // in the damage
		least int    // tasks that a repair must keep
		done  int    // of them, SUCCESS
	}{
		"a flipped bit in the first block":    {plain, flip(frames, 0, 0.5), "is damaged", anyDamage, tasks - 15, tasks - 30},
		"a flipped bit in the last block":     {plain, flip(frames, -1, 0.3), "is damaged", anyDamage, tasks - 15, tasks - 30},
		"a flipped bit in the very first":     {plain, flip(frames, 0, 0), "is damaged", anyDamage, tasks - 15, tasks - 30},
		"a truncated middle block":            {plain, truncateBlock(1, 0.5), "is damaged|missing", "are lost", tasks / 2, tasks/2 - 20},
		"a truncated last block":              {plain, truncateBlock(-1, 0.9), "is damaged|missing", "are lost", tasks / 2, tasks/2 - 20},
		"a removed first block":               {plain, removeBlock(0), "missing", "are lost", tasks / 3, tasks/3 - 20},
		"a removed middle block":              {plain, removeBlock(1), "missing", "are lost", tasks / 3, tasks/3 - 20},
		"a removed last block":                {plain, removeBlock(-1), "missing", "are lost", tasks / 3, tasks/3 - 20},
		"a block of another journal":          {plain, foreignBlock(covered), "damaged|missing", "chain of checksums is broken|are lost", 1, 0},
		"a removed description":               {plain, removeDescription, "description cannot be read", "description is missing", tasks, tasks},
		"a flipped bit in the snapshot":       {covered, flip(snapshots, 0, 0.5), "is damaged", anyDamage, tasks - 30, tasks - 40},
		"a flipped bit in its last chunk":     {covered, flip(snapshots, -1, 0.9), "is damaged", anyDamage, tasks - 30, tasks - 40},
		"a removed block of the snapshot":     {covered, func(t *testing.T, dir string) { os.Remove(pick(blockFiles(t, dir, snapshots), 0)) }, "damaged|missing", "cannot be read", 1, 0},
		"a flipped bit behind the snapshot":   {covered, flip(frames, -1, 0.5), "is damaged", anyDamage, tasks - 30, tasks - 40},
		"the frames behind a snapshot at all": {covered, func(t *testing.T, dir string) { os.Remove(pick(blockFiles(t, dir, frames), -1)) }, "missing", "are lost", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(c.from)); err != nil {
				t.Fatal(err)
			}
			cfg := config.Config{StateDir: dir}
			c.do(t, dir)
			if err := serve(t, cfg, 1<<40, true, func(*scheduler.Service) {}); err == nil || !anyOf(err.Error(), c.names) || !strings.Contains(err.Error(), "loadstar doctor --repair") {
				t.Fatalf("it opened with %v, want %q", err, c.names)
			}
			h, err := ExamineJournal(t.Context(), cfg, false, quiet(), time.Unix(1e9, 0))
			if err != nil || !anyOf(h.Problem, c.names) || h.Kept != "" {
				t.Fatalf("examined: %+v, %v", h, err)
			}
			var told bytes.Buffer
			for i := range h.Damage {
				fmt.Fprintln(&told, h.Damage[i].String())
			}
			if !anyOf(told.String(), c.tells) {
				t.Errorf("told is %q, want %q", told.String(), c.tells)
			}
			h, err = ExamineJournal(t.Context(), cfg, true, quiet(), time.Unix(1e9, 0))
			if err != nil {
				t.Fatalf("repaired: %v", err)
			}
			total := 0
			for _, n := range h.Mended.Tasks {
				total += n
			}
			if total < c.least || h.Mended.Tasks[models.Success] < c.done || total+h.Mended.Missing > tasks {
				t.Errorf("%+v is kept and %d are missing, want at least %d tasks, %d done", h.Mended.Tasks, h.Mended.Missing, c.least, c.done)
			}
			if _, err := os.Stat(filepath.Join(h.Kept, "jetstream")); err != nil {
				t.Errorf("the damaged files: %v", err)
			}
			if err := serve(t, cfg, 1<<40, false, func(s *scheduler.Service) { holds(t, s, total) }); err != nil {
				t.Fatalf("the repaired journal: %v", err)
			}
		})
	}
}

// holds waits until all that was kept has ended, and that new tasks run.
func holds(t *testing.T, s *scheduler.Service, total int) {
	t.Helper()
	page, err := s.Tasks(t.Context(), models.TaskFilter{Limit: 1000})
	if err != nil || len(page.Tasks) != total {
		t.Fatalf("%d tasks, want %d, %v", len(page.Tasks), total, err)
	}
	var ids []string
	for i := range page.Tasks {
		ids = append(ids, page.Tasks[i].TaskID)
	}
	if _, err := s.WaitFinal(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 1000, 10, true)
	task, err := s.Task(t.Context(), "t1009")
	if err != nil || task.State != models.Success {
		t.Errorf("a new task is %s, %v", task.State, err)
	}
}

func pick(files []string, i int) string {
	if i < 0 {
		i += len(files)
	}
	return files[i]
}

func anyOf(text, parts string) bool {
	return slices.ContainsFunc(strings.Split(parts, "|"), func(p string) bool { return strings.Contains(text, p) })
}

func truncateBlock(i int, share float64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		file := pick(blockFiles(t, dir, frames), i)
		info, err := os.Stat(file)
		if err == nil {
			err = os.Truncate(file, int64(float64(info.Size())*share))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func removeBlock(i int) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.Remove(pick(blockFiles(t, dir, frames), i)); err != nil {
			t.Fatal(err)
		}
	}
}

// foreignBlock puts a block of another journal in the place of the last one.
func foreignBlock(other string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		data, err := os.ReadFile(pick(blockFiles(t, other, frames), -1))
		if err == nil {
			err = os.WriteFile(pick(blockFiles(t, dir, frames), -1), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func removeDescription(t *testing.T, dir string) {
	if err := os.Remove(filepath.Join(filepath.Dir(filepath.Dir(blockFiles(t, dir, frames)[0])), "meta.inf")); err != nil {
		t.Fatal(err)
	}
}

func TestARepairThatWasBrokenOffIsEnded(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{StateDir: dir}
	if err := serve(t, cfg, 1<<40, true, func(s *scheduler.Service) { fill(t, s, 0, 3, false) }); err != nil {
		t.Fatal(err)
	}
	// As after the first of its two renames.
	if err := os.Rename(filepath.Join(dir, "journal"), filepath.Join(dir, "journal.repaired-20260101T000000Z")); err != nil {
		t.Fatal(err)
	}
	if err := serve(t, cfg, 1<<40, true, func(*scheduler.Service) {}); err == nil || !strings.Contains(err.Error(), "doctor --repair") {
		t.Fatalf("it opened with %v", err)
	}
	h, err := ExamineJournal(t.Context(), cfg, true, quiet(), time.Unix(1e9, 0))
	if err != nil || !h.Finished || h.Problem != "" {
		t.Fatalf("%+v, %v", h, err)
	}
	if err := serve(t, cfg, 1<<40, false, func(s *scheduler.Service) { holds(t, s, 3) }); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedSideLogIsNamedAndKeepsNothingFromStarting(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{StateDir: dir}
	j, err := journal.Open(t.Context(), journal.Config{Dir: filepath.Join(dir, "journal"), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	log, err := j.Log(t.Context(), "samples", journal.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := log.Append(t.Context(), []byte(fmt.Sprint("frame ", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file := blockFiles(t, dir, "LOADSTAR_LOG_samples")[0]
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, []byte("frame 2"))] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := ExamineJournal(t.Context(), cfg, false, quiet(), time.Unix(1e9, 0))
	if err != nil || h.Problem != "" || len(h.Aside) != 1 || h.Aside[0].Stream != "LOADSTAR_LOG_samples" || h.Aside[0].File != file {
		t.Fatalf("%+v, %v", h, err)
	}
	if err := serve(t, cfg, 1<<40, false, func(s *scheduler.Service) { holds(t, s, 0) }); err != nil {
		t.Fatal(err)
	}
}

func TestAWholeJournalIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{StateDir: dir}
	if err := serve(t, cfg, 1<<40, false, func(s *scheduler.Service) { fill(t, s, 0, 20, true) }); err != nil {
		t.Fatal(err)
	}
	h, err := ExamineJournal(t.Context(), cfg, true, quiet(), time.Unix(1e9, 0))
	if err != nil || h.Problem != "" || h.Kept != "" || len(h.Damage) > 0 {
		t.Fatalf("%+v, %v", h, err)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "journal.*")); len(found) > 0 {
		t.Errorf("%v", found)
	}
}
