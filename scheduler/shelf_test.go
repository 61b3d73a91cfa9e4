package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
)

// frames is an archive in memory.
type frames struct{ list [][]byte }

func (f *frames) Append(_ context.Context, frame []byte) (uint64, error) {
	f.list = append(f.list, bytes.Clone(frame))
	return uint64(len(f.list)), nil
}

func (f *frames) Read(_ context.Context, n uint64) ([]byte, error) {
	if n == 0 || n > uint64(len(f.list)) || f.list[n-1] == nil {
		return nil, models.ErrNotFound
	}
	return f.list[n-1], nil
}

func (f *frames) First(context.Context) (uint64, error) {
	for i := range f.list {
		if f.list[i] != nil {
			return uint64(i) + 1, nil
		}
	}
	return uint64(len(f.list)) + 1, nil
}

// twins are a core that archives and one that does not, which are told the same.
type twins struct {
	t         *rapid.T
	now       time.Time
	with, bar *Core
	archive   frames
	log       [][]byte // records on disk of the one that archives
	batch     [][]byte
	made      int
}

func newTwins(t *rapid.T) *twins {
	w := &twins{t: t, now: time.Unix(1e9, 0)}
	w.with, w.bar = w.core(), w.core()
	w.with.keepsFinals = true
	w.step(Input{Open: true})
	w.step(Input{Join: &models.Agent{ID: "a", Slots: 4}})
	w.commit()
	return w
}

func (w *twins) core() *Core {
	c, err := NewCore(CoreConfig{}, []models.PoolSpec{{Name: "default", Max: 4}, {Name: "other", Max: 2}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// alone steps the one that archives.
func (w *twins) alone(in Input) *Output {
	o := w.with.Step(w.now, in)
	for i := range o.Records {
		w.batch = append(w.batch, appendRecord(nil, &o.Records[i], 0))
	}
	for _, e := range o.Events {
		if e.Kind == models.EventTrouble {
			w.t.Fatal(e.Message)
		}
	}
	return o
}

func (w *twins) step(in Input) {
	a := w.alone(in)
	errA, bulkA := a.Err, a.Bulk
	b := w.bar.Step(w.now, in)
	if fmt.Sprint(errA) != fmt.Sprint(b.Err) {
		w.t.Fatalf("refused with %v, without an archive with %v", errA, b.Err)
	}
	if in.Retry != nil {
		if d := cmp.Diff(b.Bulk.Changed, bulkA.Changed); d != "" {
			w.t.Fatalf("retried (-without +with an archive):\n%s", d)
		}
	}
}

func (w *twins) commit() {
	w.with.Commit()
	w.bar.Commit()
	w.log, w.batch = append(w.log, w.batch...), nil
}

func (w *twins) rollback() {
	w.with.Rollback()
	w.bar.Rollback()
	w.batch = nil
}

func (w *twins) submit() {
	spec := models.NewTaskSpec()
	spec.TaskID, spec.Run = fmt.Sprintf("t%d", rapid.IntRange(0, w.made).Draw(w.t, "id")), []string{"x"}
	w.made++
	spec.Pool = rapid.SampledFrom([]string{"default", "other"}).Draw(w.t, "pool")
	if rapid.Bool().Draw(w.t, "depends") {
		spec.Dependencies = []string{fmt.Sprintf("t%d", rapid.IntRange(0, w.made).Draw(w.t, "on"))}
		spec.OnDependencyFailure = rapid.SampledFrom([]string{"cancel", "run", "wait"}).Draw(w.t, "rule")
		if spec.Dependencies[0] == spec.TaskID {
			spec.Dependencies = nil
		}
	}
	w.put(&spec)
}

func (w *twins) put(spec *models.TaskSpec) {
	s, err := NewSubmission([]models.TaskSpec{*spec}, "", newID)
	if err != nil {
		w.t.Fatal(err)
	}
	w.step(Input{Submit: s})
}

func (w *twins) finish() {
	tasks := w.bar.running()
	if len(tasks) == 0 {
		return
	}
	t := tasks[rapid.IntRange(0, len(tasks)-1).Draw(w.t, "which")]
	outcome, exit := rapid.SampledFrom([]string{"SUCCESS", "SUCCESS", "FAILED"}).Draw(w.t, "outcome"), 1
	w.step(Input{Report: &Report{Agent: "a", Finished: &Finished{TaskID: t.id, Lease: t.lease, At: w.now, Outcome: outcome, ExitCode: &exit}}})
}

// archiveSome writes some finished tasks to the archive, and forgets them now, or
// never where that is what a crash would do.
func (w *twins) archiveSome() {
	if len(w.with.undo.tasks) > 0 || len(w.batch) > 0 { // the driver packs between two batches
		return
	}
	frame, a := w.with.pack(rapid.IntRange(1, 5).Draw(w.t, "n"), w.now.UnixNano())
	if len(a.Items) == 0 {
		return
	}
	a.Frame, _ = w.archive.Append(context.Background(), frame)
	if rapid.IntRange(0, 3).Draw(w.t, "crash") > 0 {
		if rapid.Bool().Draw(w.t, "late") { // other things come in between
			w.retry()
		}
		w.alone(Input{Archived: a})
	}
	w.with.unpack(a)
}

func (w *twins) retry() {
	var ids []string
	var back []recalled
	r := shelfReader{archive: &w.archive}
	for _, t := range w.bar.tasks {
		if t == nil || t.state != stateFailed && t.state != stateCancelled || !rapid.Bool().Draw(w.t, "retry") {
			continue
		}
		ids = append(ids, t.id)
		if seq, e := w.with.shelvedTask(t.id); e != nil {
			image, err := r.image(context.Background(), e)
			if err != nil || image.seq != seq {
				w.t.Fatalf("the image of %s: %v, %v", t.id, image, err)
			}
			back = append(back, recalled{seq: seq, base: image.base, image: bytes.Clone(image.image)})
		}
	}
	if len(ids) > 0 {
		w.step(Input{Retry: &RetryCall{Selection: models.Selection{IDs: ids}, WithDependents: true, back: back}})
	}
}

// check compares what a reader sees of the one that archives.
func (w *twins) check(c *Core) {
	if len(c.tasks) != len(w.bar.tasks) {
		w.t.Fatalf("%d places, want %d", len(c.tasks), len(w.bar.tasks))
	}
	r := shelfReader{archive: &w.archive}
	for seq, want := range w.bar.tasks {
		if want == nil {
			continue
		}
		g, err := c.glanceOf(want.id)
		if err == nil && g.shelved.frame != 0 {
			err = r.task(context.Background(), &g)
		}
		if err != nil {
			w.t.Fatalf("task %s: %v", want.id, err)
		}
		x, y := w.bar.view(want), g.view()
		if c != w.with { // no agent has joined it, which is why some wait
			x.Reason, x.Detail, y.Reason, y.Detail = "", "", "", ""
		}
		if d := cmp.Diff(x, y); d != "" || c.states[seq] != want.state {
			w.t.Fatalf("task %s (-without +with an archive):\n%s", want.id, d)
		}
	}
	if d := cmp.Diff(w.bar.Stats(w.now).Tasks, c.Stats(w.now).Tasks); d != "" {
		w.t.Fatalf("stats:\n%s", d)
	}
	page, err := c.list(models.TaskFilter{Pool: "other", States: []models.State{models.Success, models.Failed}, Limit: 1000})
	if n := len(page.tasks); err != nil || n != page.total {
		w.t.Fatalf("%d tasks are listed of %d: %v", n, page.total, err)
	}
}

// restored is the core that a restart over what is on disk would have.
func (w *twins) restored(snapshot bool) *Core {
	c := w.core()
	restore := func(b []byte) {
		var r Record
		for len(b) > 0 {
			n, err := decodeRecord(b, 0, &r)
			if err == nil {
				err = c.Restore(&r)
			}
			if err != nil {
				w.t.Fatalf("restore: %v", err)
			}
			b = b[n:]
		}
	}
	if !snapshot {
		for _, b := range w.log {
			restore(b)
		}
		return c
	}
	s := restorer{core: c}
	for _, chunk := range w.with.snapshot(1, w.now.UnixNano()) {
		if err := s.chunk(chunk); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

func TestAnArchivingCoreShowsWhatOneWithoutAnArchiveWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTwins(t)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			w.now = w.now.Add(time.Second)
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2:
				w.submit()
			case 3, 4, 5:
				w.finish()
			case 6:
				w.archiveSome()
			case 7:
				w.retry()
			case 8:
				w.rollback()
			default:
				w.commit()
			}
		}
		w.commit()
		w.check(w.with)
		w.check(w.restored(false))
		w.check(w.restored(true))
	})
}

func TestWhatTheArchiveHasForgottenIsCountedAndItsIDIsFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTwins(t)
		spec := models.NewTaskSpec()
		spec.TaskID, spec.Run = "t0", []string{"x"}
		w.put(&spec)
		w.finish()
		w.commit()
		frame, a := w.with.pack(10, w.now.UnixNano())
		if len(a.Items) != 1 {
			t.Fatalf("%d tasks are packed", len(a.Items))
		}
		a.Frame, _ = w.archive.Append(context.Background(), frame)
		w.alone(Input{Archived: a})
		w.alone(Input{Expire: a.Frame + 1})
		w.rollback() // the journal refused; the archive cannot be taken back
		w.with.unpack(a)
		w.alone(Input{Archived: a})
		w.commit()
		w.alone(Input{Expire: a.Frame + 1})
		w.commit()
		for name, c := range map[string]*Core{"live": w.with, "replayed": w.restored(false), "from a snapshot": w.restored(true)} {
			if _, err := c.glanceOf("t0"); !errors.Is(err, models.ErrNotFound) {
				t.Fatalf("%s: t0 is still known: %v", name, err)
			}
			s := c.Stats(w.now)
			if s.Tasks[models.Success]+s.Tasks[models.Failed] != 1 {
				t.Fatalf("%s: counts %v", name, s.Tasks)
			}
			if l, err := c.list(models.TaskFilter{}); err != nil || l.total != 0 || len(l.tasks) != 0 {
				t.Fatalf("%s: %d tasks are listed of %d: %v", name, len(l.tasks), l.total, err)
			}
		}
	})
}
