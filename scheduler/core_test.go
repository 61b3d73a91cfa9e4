package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loadstar/models"
)

// bench is a core with one agent whose work a test does by hand. Everything is
// committed at once.
type bench struct {
	t    testing.TB
	now  time.Time
	core *Core
	runs []*Run
	out  []Command
}

func onBench(t testing.TB, pools ...models.PoolSpec) *bench {
	t.Helper()
	core, err := NewCore(CoreConfig{AgeEvery: time.Second}, pools)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, now: time.Unix(1_700_000_000, 0), core: core}
	b.do(Input{Join: &models.Agent{ID: "a", State: "ready"}})
	return b
}

func (b *bench) do(in Input) *Output {
	b.t.Helper()
	o := b.core.Step(b.now, in)
	b.core.Commit()
	for _, d := range o.Commands {
		if d.Command.Run != nil {
			b.runs = append(b.runs, d.Command.Run)
		} else {
			b.out = append(b.out, d.Command)
		}
	}
	return o
}

func (b *bench) submit(id string, change ...func(*models.TaskSpec)) {
	b.t.Helper()
	s := models.NewTaskSpec()
	s.TaskID, s.Run = id, []string{"true"}
	for _, f := range change {
		f(&s)
	}
	sub, err := NewSubmission([]models.TaskSpec{s}, "", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if o := b.do(Input{Submit: sub}); o.Err != nil {
		b.t.Fatal(o.Err)
	}
}

func (b *bench) end(outcome string) *Run {
	b.t.Helper()
	if len(b.runs) == 0 {
		b.t.Fatal("nothing runs")
	}
	r := b.runs[0]
	b.runs = b.runs[1:]
	b.do(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: b.now}}})
	b.do(Input{Report: &Report{Agent: "a", Finished: &Finished{TaskID: r.Task.TaskID, Lease: r.Lease, At: b.now, Outcome: outcome}}})
	return r
}

func (b *bench) task(id string) models.Task {
	b.t.Helper()
	task, err := b.core.Task(id)
	if err != nil {
		b.t.Fatal(err)
	}
	return task
}

func (b *bench) order(n int) []string {
	b.t.Helper()
	var out []string
	for range n {
		out = append(out, b.end("SUCCESS").Task.TaskID)
	}
	return out
}

func priority(p models.Priority) func(*models.TaskSpec) {
	return func(s *models.TaskSpec) { s.Priority = p }
}

var oneSlot = models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 1}

func TestTheUrgentGoFirstAndThenTheFirst(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("running")
	b.submit("low", priority(30))
	b.submit("normal")
	b.submit("second")
	b.submit("high", priority(70))
	b.do(Input{Prioritize: &PriorityCall{Selection: models.Selection{IDs: []string{"second"}}, Priority: 90}})
	if got := b.order(5); !slices.Equal(got, []string{"running", "second", "high", "normal", "low"}) {
		t.Error(got)
	}
}

func TestWaitingRaisesAPriority(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("running")
	b.submit("old", priority(30))
	b.now = b.now.Add(41 * time.Second) // a second is worth a point here
	b.submit("urgent", priority(70))
	if got := b.order(3); !slices.Equal(got, []string{"running", "old", "urgent"}) {
		t.Error(got)
	}
}

func TestRetriesBackOffWithoutJumpingTheQueueAndAreSpent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := onBench(t, oneSlot)
		b.core.rng.Int64N(rapid.Int64Range(1, 1<<40).Draw(rt, "chance"))
		retries := rapid.IntRange(0, 5).Draw(rt, "retries")
		b.submit("x", func(s *models.TaskSpec) { s.Retries = retries; s.Backoff = models.Duration(time.Second) })
		b.submit("other")
		for i := range retries {
			b.end("FAILED")
			x := b.core.find("x")
			wait := time.Duration(x.wake - b.now.UnixNano())
			if x.state != statePending || wait < 0 || wait > time.Second<<i {
				rt.Fatalf("retry %d is %s and waits %s", i+1, x.state.model(), wait)
			}
			if i == 0 { // it goes behind what waited already
				if got := b.end("SUCCESS").Task.TaskID; got != "other" {
					rt.Fatalf("%s jumped the queue", got)
				}
			}
			b.now = b.now.Add(wait)
			b.do(Input{})
		}
		b.end([]string{"FAILED", "TIMEOUT"}[rapid.IntRange(0, 1).Draw(rt, "how")])
		if got := b.task("x"); got.State != models.Failed || len(got.Attempts) != retries+1 {
			rt.Fatalf("%+v", got)
		}
	})
}

func TestADeadlineEndsWhatStillWaits(t *testing.T) {
	b := onBench(t, oneSlot)
	soon := b.now.Add(time.Second)
	b.submit("running", func(s *models.TaskSpec) { s.Deadline = &soon })
	b.submit("late", func(s *models.TaskSpec) { s.Deadline = &soon })
	b.submit("after", func(s *models.TaskSpec) { s.Dependencies = []string{"late"} })
	wake, ok := b.core.NextWake()
	if !ok || !wake.Equal(soon) {
		t.Errorf("it wakes at %s, %v", wake, ok)
	}
	b.now = soon
	b.do(Input{})
	if got := b.task("late"); got.State != models.Failed || !strings.Contains(got.Error, "deadline") {
		t.Errorf("%+v", got)
	}
	if got := b.task("after"); got.State != models.Cancelled || got.Error != "its dependency late ended FAILED" {
		t.Errorf("%+v", got)
	}
	if got := b.task("running"); got.State != models.Assigned {
		t.Errorf("%+v", got)
	}
}

func TestWhatAFailedDependencyDoes(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 9})
	after := func(rule string) func(*models.TaskSpec) {
		return func(s *models.TaskSpec) { s.Dependencies, s.OnDependencyFailure = []string{"first"}, rule }
	}
	b.submit("first")
	b.submit("cancel", after(""))
	b.submit("run", after("run"))
	b.submit("wait", after("wait"))
	b.end("FAILED")
	for id, want := range map[string]models.State{"cancel": models.Cancelled, "run": models.Assigned, "wait": models.Pending} {
		if got := b.task(id); got.State != want {
			t.Errorf("%s is %s, want %s", id, got.State, want)
		}
	}
	o := b.do(Input{Retry: &RetryCall{Selection: models.Selection{IDs: []string{"cancel"}}}})
	if len(o.Bulk.Changed) != 0 || !strings.Contains(o.Bulk.Refused[0].Why, "first is FAILED") {
		t.Errorf("%+v", o.Bulk)
	}
	b.do(Input{Retry: &RetryCall{Selection: models.Selection{IDs: []string{"first"}}}})
	b.runs = b.runs[1:] // run
	b.end("SUCCESS")
	if got := b.task("wait"); got.State != models.Assigned || got.Attempt != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAPausedPoolStartsNothing(t *testing.T) {
	b := onBench(t, oneSlot)
	yes, no := true, false
	b.do(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Paused: &yes}}})
	b.submit("a")
	if len(b.runs) != 0 || !strings.Contains(b.task("a").Detail, "paused") {
		t.Errorf("%+v", b.task("a"))
	}
	b.do(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Paused: &no}}})
	if len(b.runs) != 1 {
		t.Error("it did not start")
	}
	zero := 0
	if o := b.do(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Max: &zero}}}); !errors.Is(o.Err, models.ErrInvalid) {
		t.Error(o.Err)
	}
	if o := b.do(Input{SetPool: &PoolCall{Name: "none"}}); !errors.Is(o.Err, models.ErrNotFound) {
		t.Error(o.Err)
	}
}

func TestAStdioPoolFollowsItsDecisions(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "gpu", Kind: models.KindStdio, Command: []string{"w"}, Min: 1, Max: 4, ColdStart: models.Duration(7 * time.Second)})
	starts := func() (ids []string) {
		for _, c := range b.out {
			if c.StartWorker != nil {
				ids = append(ids, c.StartWorker.Worker)
			}
		}
		return ids
	}
	b.do(Input{Tick: true})
	if len(starts()) != 1 {
		t.Fatalf("min is not kept: %v", starts())
	}
	b.do(Input{Decision: &models.Decision{Pool: "gpu", At: b.now, Reactive: 1, Predicted: 3, Gate: true, Want: 3, Applied: true}})
	if len(starts()) != 3 {
		t.Fatalf("%v", starts())
	}
	b.now = b.now.Add(2 * time.Second)
	for _, w := range starts() {
		b.do(Input{Report: &Report{Agent: "a", WorkerReady: &WorkerReady{Worker: w, ColdStart: 2 * time.Second}}})
	}
	st, err := b.core.PoolStatus("gpu", b.now)
	if err != nil || st.Ready != 3 || st.Starting != 0 || st.Prestarted != 2 || st.ColdStartS != 2 || st.ColdStarts != 3 || st.Wanted != 3 {
		t.Errorf("%+v, %v", st, err)
	}
	b.submit("x", func(s *models.TaskSpec) { s.Pool, s.Run, s.Description = "gpu", nil, "d" })
	busy := b.runs[0].Worker
	b.do(Input{Decision: &models.Decision{Pool: "gpu", At: b.now, Want: 1, Applied: true}})
	for _, c := range b.out {
		if c.StopWorker != nil && c.StopWorker.Worker == busy {
			t.Error("a busy worker was stopped")
		}
	}
	if st, _ = b.core.PoolStatus("gpu", b.now); st.Ready != 1 || st.Busy != 1 {
		t.Errorf("%+v", st)
	}
	b.do(Input{Decision: &models.Decision{Pool: "gpu", At: b.now, Want: 4, Applied: false}})
	if st, _ = b.core.PoolStatus("gpu", b.now); st.Starting != 0 || st.Decision.Want != 4 {
		t.Errorf("a recommendation was acted on: %+v", st)
	}
	if d, err := b.core.Decisions("gpu", time.Time{}, 2); err != nil || len(d) != 2 || d[0].Want != 4 || d[1].Want != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestASilentAgentIsLostByTicksNotByTheClock(t *testing.T) {
	b := onBench(t, oneSlot)
	b.do(Input{Report: &Report{Agent: "a", Heartbeat: &models.Agent{ID: "a"}}})
	b.submit("x")
	b.now = b.now.Add(48 * time.Hour) // the host slept
	b.do(Input{Tick: true})
	if got := b.task("x"); got.State != models.Assigned {
		t.Fatalf("%+v", got)
	}
	for range 9 {
		b.do(Input{Tick: true})
	}
	if got := b.task("x"); got.State != models.Pending || got.Reason != models.ReasonNoAgent || got.Attempt != 1 {
		t.Fatalf("%+v", got)
	}
	stale := b.runs[0]
	b.do(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: "x", Lease: stale.Lease}}})
	if k := b.out[len(b.out)-1].Kill; k == nil || k.Lease != stale.Lease {
		t.Errorf("what was given away is not killed: %+v", b.out)
	}
	if len(b.runs) != 2 || b.runs[1].Lease == stale.Lease {
		t.Errorf("it is back, and the task was not given to it anew: %+v", b.runs)
	}
}

func TestAListingIsPagedAndItsCursorHolds(t *testing.T) {
	b := onBench(t, oneSlot)
	for i := range 25 {
		b.submit(fmt.Sprintf("t%02d", i), func(s *models.TaskSpec) {
			s.Labels = map[string]string{"odd": strconv.FormatBool(i%2 == 1)}
			s.Description = fmt.Sprintf("Number %d", i)
		})
	}
	collect := func(f models.TaskFilter) (ids []string, total int) {
		for {
			page, err := b.core.Tasks(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range page.Tasks {
				ids = append(ids, task.TaskID)
			}
			b.submit(fmt.Sprintf("meanwhile%d", b.core.nextSeq))
			if f.Cursor = page.Next; page.Next == "" {
				return ids, page.Total
			}
		}
	}
	newest, total := collect(models.TaskFilter{Limit: 10})
	if len(newest) != 25 || total != 27 || newest[0] != "t24" || newest[24] != "t00" {
		t.Errorf("%v of %d", newest, total)
	}
	odd, total := collect(models.TaskFilter{Limit: 5, Labels: map[string]string{"odd": "true"}, Oldest: true})
	if len(odd) != 12 || total != 12 || odd[0] != "t01" {
		t.Errorf("%v of %d", odd, total)
	}
	if ids, total := collect(models.TaskFilter{Text: "nUMBER 2", States: []models.State{models.Pending}}); len(ids) != 6 || total != 6 {
		t.Errorf("%v of %d", ids, total)
	}
	if _, err := b.core.Tasks(models.TaskFilter{Cursor: "x"}); !errors.Is(err, models.ErrInvalid) {
		t.Error(err)
	}
}

func TestAnExplanationSaysWhatATaskWaitsFor(t *testing.T) {
	b := onBench(t, oneSlot)
	later := b.now.Add(time.Hour)
	b.submit("runs")
	b.submit("waits")
	b.submit("blocked", func(s *models.TaskSpec) { s.Dependencies = []string{"waits"} })
	b.submit("later", func(s *models.TaskSpec) { s.NotBefore = &later })
	b.submit("nobody", func(s *models.TaskSpec) { s.Capabilities = []string{"gpu"} })
	for id, want := range map[string]struct {
		reason models.Reason
		text   string
	}{
		"runs":    {"", "Attempt 1 is assigned on a."},
		"waits":   {models.ReasonQueued, "waits for a free worker of default"},
		"blocked": {models.ReasonBlocked, "waits for waits (PENDING)"},
		"later":   {models.ReasonScheduled, "not before 2023-11-14T23:13:20Z"},
		"nobody":  {models.ReasonNoAgent, "no agent has gpu"},
	} {
		e, err := b.core.Explain(id, b.now)
		if err != nil || e.Reason != want.reason || !strings.Contains(e.Text, want.text) {
			t.Errorf("%s: %+v, %v", id, e, err)
		}
	}
}

func TestWhatIsMeasuredIsWhatHappened(t *testing.T) {
	b := onBench(t, oneSlot)
	for i := range 40 {
		b.submit(fmt.Sprint("t", i))
		r := b.runs[0]
		b.now = b.now.Add(100 * time.Millisecond)
		b.do(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: b.now}}})
		b.now = b.now.Add(400 * time.Millisecond)
		b.end("SUCCESS")
	}
	st, _ := b.core.PoolStatus("default", b.now)
	near := func(got, want float64) bool { return got > want*0.999 && got < want*1.001 }
	if !near(st.ServiceS, 0.4) || st.ServiceCV2 > 1e-9 || st.ArrivalsPerS < 1.9 || st.ArrivalsPerS > 2.1 || st.Counters.Arrived != 40 || st.Counters.Finished != 40 || !near(st.Counters.WaitS, 4) || !near(st.Counters.RunS, 16) {
		t.Errorf("%+v", st)
	}
	all := b.core.Stats(b.now)
	if all.Tasks[models.Success] != 40 || len(all.Tasks) != 6 || !near(all.SubmitToStart.P50, 100) || !near(all.SubmitToDone.P99, 500) || all.TasksPerS < 1.8 || all.TasksPerS > 2.2 {
		t.Errorf("%+v", all)
	}
}

func TestAWorkerGivesWayToOneThatCanTakeWhatWaits(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "gpu", Kind: models.KindStdio, Command: []string{"w"}, Min: 1, Max: 1})
	b.do(Input{Tick: true})
	first := b.out[0].StartWorker.Worker
	b.do(Input{Report: &Report{Agent: "a", WorkerReady: &WorkerReady{Worker: first}}})
	b.do(Input{Join: &models.Agent{ID: "b", State: "ready"}})
	b.submit("x", func(s *models.TaskSpec) { s.Pool, s.Run, s.Description, s.AssignedTo = "gpu", nil, "d", "b" })
	if len(b.out) != 3 || b.out[1].StopWorker == nil || b.out[1].StopWorker.Worker != first || b.out[2].StartWorker == nil {
		t.Fatalf("%+v", b.out)
	}
	b.do(Input{Report: &Report{Agent: "a", WorkerGone: &WorkerGone{Worker: first}}})
	b.do(Input{Report: &Report{Agent: "b", WorkerReady: &WorkerReady{Worker: b.out[2].StartWorker.Worker}}})
	if len(b.runs) != 1 || b.task("x").Agent != "b" {
		t.Errorf("%+v", b.task("x"))
	}
}

func TestNoMoreRunsThanTheHostHasRoomFor(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 3})
	b.do(Input{Decision: &models.Decision{Pool: "default", Want: 1, Applied: true, Caps: []models.Cap{{Name: "headroom_memory", Before: 3, After: 1}}}})
	for i := range 4 {
		b.submit(fmt.Sprint("t", i))
	}
	if len(b.runs) != 1 {
		t.Errorf("%d run where there is room for one", len(b.runs))
	}
	b.do(Input{Decision: &models.Decision{Pool: "default", Want: 3, Applied: true}})
	if len(b.runs) != 3 {
		t.Errorf("%d run where there is room for three", len(b.runs))
	}
}
