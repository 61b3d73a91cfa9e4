package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"loadstar/models"
)

func TestAnAttemptThatIsGivenBackWaitsAgainAsTheSameAttempt(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("x")
	r := b.runs[0]
	b.runs = nil
	give := func(lease Lease) *Output {
		return b.do(Input{Report: &Report{Agent: "a", Returned: &Returned{TaskID: "x", Lease: lease}}})
	}
	if o := give(r.Lease + 1); len(o.Records) > 0 || b.core.refused != 1 {
		t.Errorf("another lease's attempt was taken back: %v, %d refused", o.Records, b.core.refused)
	}
	give(r.Lease)
	if len(b.runs) != 1 || b.runs[0].Attempt != 1 || b.runs[0].Lease == r.Lease {
		t.Fatalf("%+v", b.runs)
	}
	if o := give(r.Lease); len(o.Records) > 0 {
		t.Errorf("a stale one was taken back: %v", o.Records)
	}
	b.do(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: "x", Lease: b.runs[0].Lease, At: b.now}}})
	if o := give(b.runs[0].Lease); len(o.Records) > 0 || b.task("x").State != models.Running {
		t.Errorf("a running one was taken back: %v", o.Records)
	}
}

func TestAnAttemptThatIsGivenBackWhileItIsCancelledIsCancelled(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("x")
	b.do(Input{Cancel: &models.Selection{IDs: []string{"x"}}})
	b.do(Input{Report: &Report{Agent: "a", Returned: &Returned{TaskID: "x", Lease: b.runs[0].Lease}}})
	if got := b.task("x"); got.State != models.Cancelled || len(got.Attempts) != 1 || got.Attempts[0].Outcome != "CANCELLED" {
		t.Errorf("%+v", got)
	}
}

// ahead is a bench whose one slot is busy and whose tasks are known to take a
// while; ten more wait.
func ahead(t *testing.T, each time.Duration) *bench {
	t.Helper()
	b := onBench(t, oneSlot)
	p := b.core.pools["default"]
	p.measure.runs, p.measure.mean = measuredRuns, each.Seconds()
	for i := range 11 {
		b.submit(fmt.Sprint("t", i))
	}
	return b
}

func (b *bench) recalled() []string {
	var ids []string
	for _, c := range b.out {
		if c.Recall != nil {
			ids = append(ids, c.Recall.TaskID)
		}
	}
	b.out = nil
	return ids
}

func TestShortTasksAreAssignedBeforeTheirSlotIsFreeAndLongOnesAreNot(t *testing.T) {
	for each, want := range map[time.Duration]int{
		time.Millisecond: 11, 10 * time.Millisecond: 1 + 5, 40 * time.Millisecond: 1 + 1, 60 * time.Millisecond: 1, time.Minute: 1,
	} {
		b := ahead(t, each)
		if len(b.runs) != want {
			t.Errorf("tasks of %s: %d were assigned, want %d", each, len(b.runs), want)
		}
		for _, r := range b.runs {
			if r.Slots != 1 {
				t.Errorf("%s may run beside %d others", r.Task.TaskID, r.Slots-1)
			}
		}
	}
}

func TestNothingIsPrefetchedBeforeRunTimesAreKnownOrWhereTheyDiffer(t *testing.T) {
	b := onBench(t, oneSlot)
	p := b.core.pools["default"]
	p.measure.runs, p.measure.mean, p.measure.variance = measuredRuns, 0.001, 1
	b.submit("a")
	b.submit("b")
	if len(b.runs) != 1 {
		t.Error("one was assigned behind one that may take long")
	}
	b = onBench(t, oneSlot)
	b.submit("a")
	b.submit("b")
	if len(b.runs) != 1 {
		t.Error("one was assigned behind one of which nothing is known")
	}
}

func TestASlotThatIsFreedGoesToWhatWaitsForIt(t *testing.T) {
	b := ahead(t, 10*time.Millisecond)
	p := b.core.pools["default"]
	b.end("SUCCESS")
	if p.held() != 1 || p.ahead != 5 || len(b.runs) != 6 {
		t.Errorf("%d slots are taken, %d tasks wait for one, %d are out", p.held(), p.ahead, len(b.runs))
	}
}

func TestWhatIsPrefetchedIsTakenBack(t *testing.T) {
	two, no, yes := 2, false, true
	for name, in := range map[string]Input{
		"a pause": {SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Paused: &yes}}},
		"a drain": {Drain: true},
	} {
		b := ahead(t, 10*time.Millisecond)
		b.do(in)
		if got := b.recalled(); len(got) < 5 {
			t.Errorf("%s: %q were asked for", name, got)
		}
		for _, r := range b.runs[1:] {
			b.do(Input{Report: &Report{Agent: "a", Returned: &Returned{TaskID: r.Task.TaskID, Lease: r.Lease}}})
		}
		if p := b.core.pools["default"]; p.ahead != 0 || p.held() != 1 || p.queued != 10 {
			t.Errorf("%s: %d ahead, %d held, %d queued", name, p.ahead, p.held(), p.queued)
		}
	}
	b := ahead(t, 10*time.Millisecond)
	b.do(Input{Prioritize: &PriorityCall{Selection: models.Selection{IDs: []string{"t3"}}, Priority: 90}})
	if got := b.recalled(); !slices.Equal(got, []string{"t3"}) {
		t.Errorf("%q were asked for where one has another priority", got)
	}
	b.do(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Max: &two, Paused: &no}}})
	if p := b.core.pools["default"]; p.held() != 2 || len(b.out) == 0 || b.out[0].Limit == nil || b.out[0].Limit.Slots != 2 {
		t.Errorf("a larger pool: %d held, %+v", p.held(), b.out)
	}
}

func TestWhatWaitsBehindLongerTasksThanWereMeasuredIsTakenBack(t *testing.T) {
	b := ahead(t, 10*time.Millisecond)
	due, ok := b.core.NextWake()
	if !ok || due.Sub(b.now) != 100*time.Millisecond {
		t.Fatalf("it is looked at in %s", due.Sub(b.now))
	}
	b.now = due
	b.do(Input{})
	if got := b.recalled(); len(got) < 5 {
		t.Errorf("%q were asked for", got)
	}
	r := b.runs[5]
	b.do(Input{Report: &Report{Agent: "a", Returned: &Returned{TaskID: r.Task.TaskID, Lease: r.Lease}}})
	if len(b.runs) != 6 {
		t.Error("it was assigned again at once")
	}
	b.end("SUCCESS")
	if len(b.runs) < 6 {
		t.Error("nothing is prefetched after one has ended")
	}
}
