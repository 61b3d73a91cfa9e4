package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"loadstar/models"
	"loadstar/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	t       testing.TB
	journal *memory
	agent   *hand
	*scheduler.Service
	stop func()
}

var (
	execPool  = models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 2}
	stdioPool = models.PoolSpec{Name: "gpu", Kind: models.KindStdio, Command: []string{"w"}, Max: 2}
)

// setup runs a service over a journal with one agent. It is stopped with the test.
func setup(t testing.TB, j *memory, a *hand, change ...func(*scheduler.Config)) *bundle {
	t.Helper()
	cfg := scheduler.Config{
		Journal: j, Agents: []scheduler.Agent{a}, Sizer: sizer, Pools: []models.PoolSpec{execPool, stdioPool},
		RetryEvery: 2 * time.Millisecond, Core: scheduler.CoreConfig{CrashBackoff: time.Millisecond, KillGrace: time.Millisecond},
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := scheduler.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b := &bundle{t: t, journal: j, agent: a, Service: s}
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(b.stop)
	select {
	case <-s.Ready():
	case err := <-ended:
		t.Fatalf("run: %v", err)
	}
	return b
}

func exec(id string, dependencies ...string) models.TaskSpec {
	s := models.NewTaskSpec()
	s.TaskID, s.Run, s.Dependencies = id, []string{"true"}, dependencies
	return s
}

func stdio(id string) models.TaskSpec {
	s := models.NewTaskSpec()
	s.TaskID, s.Pool, s.Description = id, "gpu", "draw a cat"
	return s
}

func (b *bundle) submit(specs ...models.TaskSpec) []models.Task {
	b.t.Helper()
	tasks, err := b.Submit(b.t.Context(), specs, "")
	if err != nil {
		b.t.Fatal(err)
	}
	return tasks
}

func (b *bundle) wait(ids ...string) []models.Task {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	tasks, err := b.WaitFinal(ctx, ids)
	if err != nil {
		b.t.Fatalf("wait for %s: %v", ids, err)
	}
	return tasks
}

func (b *bundle) task(id string) models.Task {
	b.t.Helper()
	task, err := b.Task(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return task
}

func TestAChainSubmittedInReverseRunsInOrder(t *testing.T) {
	b := setup(t, &memory{}, newHand("local", true))
	b.submit(exec("c", "b"), exec("b", "a"), exec("a"))
	tasks := b.wait("a", "b", "c")
	for i, task := range tasks {
		if task.State != models.Success || task.Attempt != 1 || len(task.Attempts) != 1 {
			t.Errorf("%+v", task)
		}
		if i > 0 && task.StartedAt.Before(*tasks[i-1].FinishedAt) {
			t.Errorf("%s started before %s ended", task.TaskID, tasks[i-1].TaskID)
		}
	}
}

func TestBadSubmissionsAreRefusedWhole(t *testing.T) {
	b := setup(t, &memory{}, newHand("local", true))
	b.submit(exec("there"))
	with := func(s models.TaskSpec, f func(*models.TaskSpec)) models.TaskSpec { f(&s); return s }
	for name, c := range map[string]struct {
		specs       []models.TaskSpec
		task, field string
		conflict    bool
	}{
		"unknown dependency": {[]models.TaskSpec{exec("x"), exec("y", "nowhere")}, "y", "dependencies", false},
		"a cycle":            {[]models.TaskSpec{exec("x", "z"), exec("y", "x"), exec("z", "y")}, "y", "dependencies", false},
		"no command":         {[]models.TaskSpec{exec("x"), with(exec("y"), func(s *models.TaskSpec) { s.Run = nil })}, "y", "run", false},
		"no such pool":       {[]models.TaskSpec{exec("x"), with(exec("y"), func(s *models.TaskSpec) { s.Pool = "none" })}, "y", "pool", false},
		"no input":           {[]models.TaskSpec{exec("x"), with(stdio("y"), func(s *models.TaskSpec) { s.Description = "" })}, "y", "input", false},
		"a command to stdio": {[]models.TaskSpec{exec("x"), with(stdio("y"), func(s *models.TaskSpec) { s.Run = []string{"a"} })}, "y", "run", false},
		"another body":       {[]models.TaskSpec{exec("x"), with(exec("there"), func(s *models.TaskSpec) { s.Retries = 1 })}, "there", "task_id", true},
		"twice, not alike":   {[]models.TaskSpec{exec("x"), exec("y"), with(exec("y"), func(s *models.TaskSpec) { s.Retries = 1 })}, "y", "task_id", true},
		"bad by itself":      {[]models.TaskSpec{exec("x"), with(exec("y"), func(s *models.TaskSpec) { s.Priority = 101 })}, "y", "priority", false},
	} {
		_, err := b.Submit(t.Context(), c.specs, "")
		var fe *models.FieldError
		if !errors.As(err, &fe) || fe.Field != c.field || fe.TaskID != c.task || errors.Is(err, models.ErrConflict) != c.conflict {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Task(t.Context(), "x"); !errors.Is(err, models.ErrNotFound) {
			t.Fatalf("%s: half of it was accepted: %v", name, err)
		}
	}
	if _, err := b.Submit(t.Context(), []models.TaskSpec{exec("x", "z"), exec("z", "x")}, ""); err == nil || !strings.Contains(err.Error(), "a cycle: x -> z -> x") {
		t.Errorf("the cycle is not named: %v", err)
	}
}

func TestTheSameTaskIsAcceptedOnce(t *testing.T) {
	b := setup(t, &memory{}, newHand("local", true))
	for range 3 {
		if tasks := b.submit(exec("a"), exec("a")); len(tasks) != 2 || tasks[1].TaskID != "a" {
			t.Fatalf("%+v", tasks)
		}
	}
	b.wait("a")
	nameless := exec("")
	first, err := b.Submit(t.Context(), []models.TaskSpec{nameless, nameless}, "key")
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Submit(t.Context(), []models.TaskSpec{nameless, nameless}, "key")
	if err != nil || first[0].TaskID != again[0].TaskID || first[1].TaskID != again[1].TaskID || first[0].TaskID == first[1].TaskID {
		t.Fatalf("%v and %v, %v", first, again, err)
	}
	if _, err := b.Submit(t.Context(), []models.TaskSpec{nameless}, "key"); !errors.Is(err, models.ErrConflict) {
		t.Errorf("the key was taken for other tasks: %v", err)
	}
	if page, err := b.Tasks(t.Context(), models.TaskFilter{}); err != nil || page.Total != 3 {
		t.Errorf("%d tasks, %v", page.Total, err)
	}
}

func TestAfterARestartWhatRanRunsAgain(t *testing.T) {
	j := &memory{}
	a := newHand("local", false)
	b := setup(t, j, a)
	b.submit(exec("ran"), exec("given"), exec("waits"))
	ran := next(t, a, run)
	next(t, a, run)
	a.start(ran)
	for b.task("ran").State != models.Running {
		time.Sleep(time.Millisecond)
	}
	b.stop()

	a2 := newHand("local", false)
	b2 := setup(t, j, a2)
	again := next(t, a2, run)
	if again.Task.TaskID != "ran" || again.Attempt != 2 || again.Lease <= ran.Lease {
		t.Errorf("%+v after %+v", again, ran)
	}
	if r := next(t, a2, run); r.Task.TaskID != "given" || r.Attempt != 1 {
		t.Errorf("%+v", r)
	}
	a2.finish(ran, "FAILED", 1) // a word from the grave
	a2.start(again)
	a2.finish(again, "SUCCESS", 0)
	got := b2.wait("ran")[0]
	if got.State != models.Success || len(got.Attempts) != 2 || got.Attempts[0].Outcome != models.OutcomeLost || got.Attempts[1].Outcome != "SUCCESS" {
		t.Errorf("%+v", got)
	}
}

func TestARefusingJournalRefusesSubmissionsAndLosesNoReport(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("written all the same %v", keep), func(t *testing.T) {
			j := &memory{}
			a := newHand("local", false)
			b := setup(t, j, a)
			b.submit(exec("a"))
			r := next(t, a, run)
			a.start(r)
			for b.task("a").State != models.Running {
				time.Sleep(time.Millisecond)
			}
			j.set(errors.New("no space left on device"), keep)
			for i := range 5 {
				_, err := b.Submit(t.Context(), []models.TaskSpec{exec(fmt.Sprint("refused", i))}, "k")
				if !errors.Is(err, models.ErrUnavailable) || !strings.Contains(err.Error(), "no space left") {
					t.Fatal(err)
				}
			}
			a.finish(r, "SUCCESS", 0)
			if _, err := b.Cancel(t.Context(), models.Selection{IDs: []string{"a"}}); !errors.Is(err, models.ErrUnavailable) {
				t.Error(err)
			}
			if s := b.task("a").State; s != models.Running {
				t.Errorf("it is %s, which is not on disk", s)
			}
			j.set(nil, false)
			if got := b.wait("a")[0]; got.State != models.Success || len(got.Attempts) != 1 {
				t.Errorf("%+v", got)
			}
			b.submit(exec("later"))
			before, err := b.Tasks(t.Context(), models.TaskFilter{})
			if err != nil || before.Total != 2 {
				t.Errorf("%d tasks, %v", before.Total, err)
			}
			b.stop()
			b2 := setup(t, j, newHand("local", true))
			b2.wait("a", "later")
			if after, err := b2.Tasks(t.Context(), models.TaskFilter{}); err != nil || after.Total != 2 {
				t.Errorf("%d tasks after the restart, %v", after.Total, err)
			}
		})
	}
}

func TestCancellingEndsWhatWaitsAtOnceAndKillsWhatRuns(t *testing.T) {
	a := newHand("local", false)
	b := setup(t, &memory{}, a)
	b.submit(exec("runs"), exec("also"), exec("waits"), exec("after", "waits"))
	r := next(t, a, run)
	a.start(r)
	res, err := b.Cancel(t.Context(), models.Selection{IDs: []string{"waits", "runs", "nobody"}})
	if err != nil || len(res.Changed) != 2 || len(res.Refused) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := b.wait("waits", "after"); got[0].State != models.Cancelled || got[1].State != models.Cancelled || !strings.Contains(got[1].Error, "waits") {
		t.Errorf("%+v", got)
	}
	k := next(t, a, kill)
	if k.TaskID != "runs" || k.Lease != r.Lease {
		t.Errorf("%+v", k)
	}
	a.finish(r, "CANCELLED", -1)
	if got := b.wait("runs")[0]; got.State != models.Cancelled || got.Attempts[0].Outcome != "CANCELLED" {
		t.Errorf("%+v", got)
	}
	res, err = b.Retry(t.Context(), models.Selection{IDs: []string{"waits"}}, true)
	if err != nil || !slices.Equal(res.Changed, []string{"waits", "after"}) {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := b.task("after"); got.State != models.Pending || got.Reason != models.ReasonBlocked || got.Attempt != 2 {
		t.Errorf("%+v", got)
	}
}

func TestADrainWaitsAndThenSendsBackWhatItCutsOff(t *testing.T) {
	j := &memory{}
	a := newHand("local", false)
	b := setup(t, j, a)
	b.submit(exec("done"), exec("cut"))
	done, cut := next(t, a, run), next(t, a, run)
	a.start(done)
	a.start(cut)
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- b.Drain(ctx) }()
	for {
		if _, err := b.Submit(t.Context(), []models.TaskSpec{exec("late")}, ""); errors.Is(err, models.ErrUnavailable) {
			break
		}
	}
	a.finish(done, "SUCCESS", 0)
	b.wait("done")
	cancel()
	next(t, a, kill)
	a.finish(cut, "CANCELLED", -1)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	got := b.task("cut")
	if got.State != models.Pending || got.Attempt != 2 || got.Attempts[0].Outcome != models.OutcomeLost {
		t.Errorf("%+v", got)
	}
}

func TestAWorkerIsStartedForTheFirstArrivalAndACrashedOneAgain(t *testing.T) {
	a := newHand("local", false)
	b := setup(t, &memory{}, a, func(c *scheduler.Config) { c.DecisionInterval = time.Hour })
	b.submit(stdio("a"))
	for i := range 3 {
		w := next(t, a, start)
		a.reports <- scheduler.Report{WorkerReady: &scheduler.WorkerReady{Worker: w.Worker}}
		r := next(t, a, run)
		if r.Worker != w.Worker || r.Attempt != i+1 {
			t.Fatalf("%+v for %+v", r, w)
		}
		a.start(r)
		a.reports <- scheduler.Report{WorkerGone: &scheduler.WorkerGone{Worker: w.Worker, Err: "signal: killed"}}
	}
	got := b.wait("a")[0]
	if got.State != models.Failed || len(got.Attempts) != 3 || !strings.Contains(got.Error, "3 times") {
		t.Errorf("%+v", got)
	}
	pools, err := b.Pools(t.Context())
	if err != nil || pools[1].Trouble == "" {
		t.Errorf("%+v, %v", pools, err)
	}
}

func TestASnapshotIsAllThatTheNextStartNeeds(t *testing.T) {
	j := &memory{}
	b := setup(t, j, newHand("local", true), func(c *scheduler.Config) { c.SnapshotEvery = 1 })
	var ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprint("t", i))
		b.submit(exec(ids[i]))
	}
	b.submit(func() models.TaskSpec { s := exec("pinned"); s.AssignedTo = "elsewhere"; return s }())
	want := b.wait(ids...)
	two := 1
	if _, err := b.SetPool(t.Context(), "default", models.PoolPatch{Max: &two}); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if len(j.snapshot) == 0 {
		t.Fatal("no snapshot was stored")
	}
	b2 := setup(t, j, newHand("local", true))
	if got := b2.wait(ids...); !equalJSON(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if p := b2.task("pinned"); p.Reason != models.ReasonNoAgent || !strings.Contains(p.Detail, "elsewhere") {
		t.Errorf("%+v", p)
	}
	if pools, err := b2.Pools(t.Context()); err != nil || pools[0].Max != 1 {
		t.Errorf("%+v, %v", pools, err)
	}
}

func equalJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func BenchmarkServiceNoOp(b *testing.B) {
	j := &memory{}
	s := setup(b, j, newHand("local", true), func(c *scheduler.Config) { c.Pools[0].Max = 256 })
	const size = 500
	specs := make([]models.TaskSpec, size)
	ids := make([]string, size)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range specs {
			specs[i] = exec("")
		}
		tasks, err := s.Submit(b.Context(), specs, "")
		if err != nil {
			b.Fatal(err)
		}
		for i := range tasks {
			ids[i] = tasks[i].TaskID
		}
		if _, err := s.WaitFinal(b.Context(), ids); err != nil {
			b.Fatal(err)
		}
		n += size
		if len(j.frames) > 1000 { // what the log takes is not what is measured
			j.mu.Lock()
			j.frames = nil
			j.mu.Unlock()
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "tasks/s")
}

func TestSlowSubscribersLoseEventsAndAreTold(t *testing.T) {
	b := setup(t, &memory{}, newHand("local", true))
	ctx, cancel := context.WithCancel(t.Context())
	events := b.Subscribe(ctx, 2)
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprint("t", i))
		b.submit(exec(ids[i]))
	}
	b.wait(ids...)
	first, second := <-events, <-events
	if first.Kind != models.EventTask || first.TaskID != "t0" || first.State != models.Pending || second.Seq != first.Seq+1 {
		t.Errorf("%+v, %+v", first, second)
	}
	b.submit(exec("more"))
	b.wait("more")
	if told := <-events; told.Kind != models.EventTrouble || !strings.Contains(told.Message, "events were lost") {
		t.Errorf("%+v", told)
	}
	cancel()
	for range events { // closed, or this never ends
	}
	b.stop()
	if _, open := <-b.Subscribe(t.Context(), 1); open {
		t.Error("a service that has ended tells events")
	}
}

func TestWaitingIsForWhatIsThereAndAsLongAsTheCallerWants(t *testing.T) {
	a := newHand("local", false)
	b := setup(t, &memory{}, a)
	if _, err := b.WaitFinal(t.Context(), []string{"nothing"}); !errors.Is(err, models.ErrNotFound) {
		t.Error(err)
	}
	b.submit(exec("a"))
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := b.WaitFinal(ctx, []string{"a"})
		gone <- err
	}()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r := next(t, a, run)
	a.finish(r, "SUCCESS", 0)
	if got := b.wait("a", "a"); len(got) != 2 || got[1].State != models.Success {
		t.Errorf("%+v", got)
	}
	b.stop()
	if _, err := b.Task(t.Context(), "a"); !errors.Is(err, models.ErrUnavailable) {
		t.Error(err)
	}
}

func TestADrainGivesUpOnWhatNeverAnswers(t *testing.T) {
	j := &memory{}
	a := newHand("local", false)
	b := setup(t, j, a)
	b.submit(exec("hangs"))
	a.start(next(t, a, run))
	for b.task("hangs").State != models.Running {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if got := b.task("hangs"); got.State != models.Pending || got.Attempt != 2 {
		t.Errorf("%+v", got)
	}
}

func TestAStartOnAFullDiskServesReadersAndResumes(t *testing.T) {
	j := &memory{}
	a := newHand("local", false)
	b := setup(t, j, a)
	b.submit(exec("a"))
	next(t, a, run)
	b.stop()
	j.set(errors.New("no space left on device"), false)
	a2 := newHand("local", false)
	b2 := setup(t, j, a2)
	if got := b2.task("a"); got.State != models.Assigned {
		t.Errorf("%+v: that is not what is on disk", got)
	}
	if _, err := b2.Submit(t.Context(), []models.TaskSpec{exec("b")}, ""); !errors.Is(err, models.ErrUnavailable) {
		t.Error(err)
	}
	j.set(nil, false)
	r := next(t, a2, run)
	a2.finish(r, "SUCCESS", 0)
	if got := b2.wait("a")[0]; got.State != models.Success || r.Attempt != 1 {
		t.Errorf("%+v", got)
	}
}
