package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/scheduler"
)

// shelf is an archive in memory that can refuse, and be damaged.
type shelf struct {
	mu     sync.Mutex
	frames [][]byte
	first  uint64
	refuse error
}

func (s *shelf) Append(_ context.Context, frame []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return 0, s.refuse
	}
	s.frames = append(s.frames, slices.Clone(frame))
	return uint64(len(s.frames)), nil
}

func (s *shelf) Read(_ context.Context, n uint64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case n < s.first || n == 0 || n > uint64(len(s.frames)):
		return nil, models.ErrNotFound
	case s.frames[n-1] == nil:
		return nil, errors.New("its checksum does not match")
	}
	return s.frames[n-1], nil
}

func (s *shelf) First(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(1, s.first), nil
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.frames)
}

func archiving(s *shelf, keep int) func(*scheduler.Config) {
	return func(c *scheduler.Config) { c.Archive, c.KeepFinished = s, keep }
}

// until asks something of the service, which drives its loop, until it holds.
func (b *bundle) until(what string, holds func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			b.t.Fatalf("it never came about that %s", what)
		}
		if _, err := b.Stats(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestArchivedTasksAreServedAsIfTheyWereInMemory(t *testing.T) {
	ctx := t.Context()
	j, a := &memory{}, &shelf{}
	b := setup(t, j, newHand("a", true), archiving(a, 1))
	var ids []string
	for i := range 40 {
		s := exec(fmt.Sprintf("t%02d", i))
		s.Labels = map[string]string{"half": fmt.Sprint(i % 2)}
		b.submit(s)
		ids = append(ids, s.TaskID)
	}
	later := exec("later")
	never := time.Now().Add(time.Hour)
	later.NotBefore = &never
	b.submit(later)
	if _, err := b.Cancel(ctx, models.Selection{IDs: []string{"later"}}); err != nil {
		t.Fatal(err)
	}
	before, err := b.WaitFinal(ctx, append(slices.Clone(ids), "later"))
	if err != nil {
		t.Fatal(err)
	}
	archived := func(id string) bool {
		e, err := b.Explain(ctx, id)
		return err == nil && slices.Contains(e.Facts, "is in the archive")
	}
	check := func(what string) {
		t.Helper()
		last := exec("last-" + what)
		b.submit(last)
		b.until("the first are archived "+what, func() bool { return archived("t00") && archived("later") })
		after, err := b.WaitFinal(ctx, append(slices.Clone(ids), "later"))
		if d := cmp.Diff(before, after); d != "" || err != nil {
			t.Fatalf("%s, tasks are shown otherwise: %v\n%s", what, err, d)
		}
		one, err := b.Task(ctx, "t07")
		if d := cmp.Diff(before[7], one); d != "" || err != nil {
			t.Fatalf("%s, t07: %v\n%s", what, err, d)
		}
		page, err := b.Tasks(ctx, models.TaskFilter{Labels: map[string]string{"half": "1"}, Limit: 7, Oldest: true})
		if err != nil || len(page.Tasks) != 7 || page.Tasks[6].TaskID != "t13" {
			t.Fatalf("%s, by label: %+v, %v", what, page, err)
		}
		if page, err = b.Tasks(ctx, models.TaskFilter{Oldest: true, Limit: 40, States: []models.State{models.Success}}); err != nil || len(page.Tasks) != 40 || page.Tasks[39].TaskID != "t39" {
			t.Fatalf("%s: %d tasks are listed: %v", what, len(page.Tasks), err)
		}
		same := exec("t03")
		same.Labels = map[string]string{"half": "1"}
		if got, err := b.Submit(ctx, []models.TaskSpec{same}, ""); err != nil || got[0].State != models.Success {
			t.Fatalf("%s, submitted again: %+v, %v", what, got, err)
		}
		same.Labels["half"] = "3"
		if _, err := b.Submit(ctx, []models.TaskSpec{same}, ""); !errors.Is(err, models.ErrConflict) {
			t.Fatalf("%s, submitted otherwise: %v", what, err)
		}
		next := b.submit(exec("after-"+what, "t05"))
		if got, err := b.WaitFinal(ctx, []string{next[0].TaskID}); err != nil || got[0].State != models.Success {
			t.Fatalf("%s, what depends on it: %+v, %v", what, got, err)
		}
		if r, err := b.Cancel(ctx, models.Selection{IDs: []string{"t01"}}); err != nil || len(r.Refused) != 1 || r.Refused[0].Why != "it is SUCCESS already" {
			t.Fatalf("%s, cancelled: %+v, %v", what, r, err)
		}
	}
	check("live")
	b.stop()
	b = setup(t, j, newHand("a", true), archiving(a, 1))
	check("replayed")
	b.stop()
	b = setup(t, j, newHand("a", true), archiving(a, 1), func(c *scheduler.Config) { c.SnapshotEvery = 1 })
	check("snapshot")
	b.stop()
	b = setup(t, j, newHand("a", true), archiving(a, 1))
	check("restored")

	r, err := b.Retry(ctx, models.Selection{Filter: &models.TaskFilter{States: []models.State{models.Cancelled}}}, false)
	if err != nil || !slices.Equal(r.Changed, []string{"later"}) {
		t.Fatalf("retried: %+v, %v", r, err)
	}
	if got, err := b.WaitFinal(ctx, []string{"later"}); err != nil || got[0].State != models.Success || got[0].Attempt != 2 {
		t.Fatalf("after the retry: %+v, %v", got, err)
	}
}

func TestDamageInTheArchiveIsNamedAndRefusesOnlyWhatIsDamaged(t *testing.T) {
	ctx := t.Context()
	a := &shelf{}
	b := setup(t, &memory{}, newHand("a", true), archiving(a, 1))
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("t%02d", i))
		b.submit(exec(ids[i]))
		b.until("the first are archived before the last is there", func() bool { return i < 1 || a.count() > 0 })
	}
	if _, err := b.WaitFinal(ctx, ids); err != nil {
		t.Fatal(err)
	}
	b.until("the first is archived", func() bool {
		e, err := b.Explain(ctx, "t00")
		return err == nil && len(e.Facts) > 0 && e.Facts[len(e.Facts)-1] == "is in the archive"
	})
	a.mu.Lock()
	a.frames[0] = nil
	a.mu.Unlock()
	if _, err := b.Task(ctx, "t00"); err == nil || !strings.Contains(err.Error(), "task t00: an archived task: frame 1 of the archive: its checksum does not match") {
		t.Errorf("read: %v", err)
	}
	page, err := b.Tasks(ctx, models.TaskFilter{Oldest: true})
	if err != nil || len(page.Tasks) == 0 || len(page.Tasks) >= 20 || page.Tasks[len(page.Tasks)-1].TaskID != "t19" {
		t.Errorf("%d tasks are listed: %v", len(page.Tasks), err)
	}
	if s, err := b.Stats(ctx); err != nil || s.Tasks[models.Success] != 20 {
		t.Errorf("stats: %+v, %v", s.Tasks, err)
	}
}

func TestAnArchiveThatRefusesHoldsNothingUp(t *testing.T) {
	a := &shelf{refuse: errors.New("the disk is full")}
	b := setup(t, &memory{}, newHand("a", true), archiving(a, 1))
	events := b.Subscribe(t.Context(), 1000)
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprintf("t%d", i))
		b.submit(exec(ids[i]))
	}
	if _, err := b.WaitFinal(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	for e := range events {
		if e.Kind == models.EventTrouble {
			if e.Message != "finished tasks cannot be archived: the disk is full" {
				t.Errorf("told: %s", e.Message)
			}
			break
		}
		if _, err := b.Stats(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if page, err := b.Tasks(t.Context(), models.TaskFilter{}); err != nil || len(page.Tasks) != 10 {
		t.Errorf("%d tasks: %v", len(page.Tasks), err)
	}
}
