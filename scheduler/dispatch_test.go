package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loadstar/models"
)

func (b *bench) dispatchBy(p models.DispatchPolicy) {
	b.t.Helper()
	if o := b.do(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Dispatch: &p}}}); o.Err != nil {
		b.t.Fatal(o.Err)
	}
}

// TestUnderFIFONobodyIsOvertaken submits and runs in any order, with any priority,
// and with the policy switched back and forth meanwhile.
func TestUnderFIFONobodyIsOvertaken(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 1})
		b.submit("running")
		b.dispatchBy(models.DispatchFIFO)
		made, next := 0, 0
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			b.now = b.now.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 5).Draw(rt, "what") {
			case 0, 1, 2:
				b.submit(fmt.Sprint(made), priority(models.Priority(rapid.IntRange(0, 100).Draw(rt, "priority"))))
				made++
			case 3:
				b.dispatchBy(models.DispatchWeighted)
				b.dispatchBy(models.DispatchFIFO)
			case 4:
				id := fmt.Sprint(rapid.IntRange(0, max(0, made-1)).Draw(rt, "id"))
				b.do(Input{Prioritize: &PriorityCall{Selection: models.Selection{IDs: []string{id}}, Priority: 100}})
			case 5:
				if next < made {
					b.end("SUCCESS")
					if got := b.runs[0].Task.TaskID; got != fmt.Sprint(next) {
						rt.Fatalf("%s runs before %d", got, next)
					}
					next++
				}
			}
		}
	})
}

func TestTheDispatchPolicyIsSwitchedWhileTasksWait(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("running")
	b.submit("first", priority(10))
	b.submit("second", priority(90))
	b.submit("third", priority(50))
	b.dispatchBy(models.DispatchFIFO)
	if e, _ := b.core.Explain("second", b.now); !strings.Contains(strings.Join(e.Facts, "\n"), "1 tasks of its pool go before it") {
		t.Error(e.Facts)
	}
	if got := b.order(2); !slices.Equal(got, []string{"running", "first"}) {
		t.Error(got)
	}
	b.submit("last", priority(100))
	b.dispatchBy(models.DispatchPriority)
	if got := b.order(3); !slices.Equal(got, []string{"second", "last", "third"}) { // second runs already
		t.Error(got)
	}
	wrong := models.DispatchPolicy("random")
	o := b.do(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Dispatch: &wrong}}})
	if o.Err == nil || o.Err.Error() != `pools.default.dispatch: "random" is not priority, fifo, load-aware, weighted or two-choices` {
		t.Error(o.Err)
	}
}

// TestAChangedDispatchPolicyOutlivesARestart restores a core from a snapshot and
// from the records alone.
func TestAChangedDispatchPolicyOutlivesARestart(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("running")
	b.submit("first", priority(10))
	b.submit("second", priority(90))
	b.dispatchBy(models.DispatchFIFO)
	fresh, err := NewCore(CoreConfig{AgeEvery: time.Second}, []models.PoolSpec{oneSlot})
	if err != nil {
		t.Fatal(err)
	}
	chunks := restorer{core: fresh}
	for _, c := range b.core.snapshot(1, b.now.UnixNano()) {
		if err := chunks.chunk(c); err != nil {
			t.Fatal(err)
		}
	}
	b.core, b.runs = fresh, nil
	b.do(Input{Open: true})
	b.do(Input{Join: &models.Agent{ID: "a", State: "ready"}})
	if got := b.order(3); !slices.Equal(got, []string{"running", "first", "second"}) {
		t.Error(got)
	}
}

func TestARefusedWriteTakesBackTheDispatchPolicyToo(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("running")
	b.submit("first", priority(10))
	b.submit("second", priority(90))
	fifo := models.DispatchFIFO
	b.core.Step(b.now, Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Dispatch: &fifo}}})
	b.core.Rollback()
	if got := b.order(3); !slices.Equal(got, []string{"running", "second", "first"}) {
		t.Error(got)
	}
}

func TestTasksGoWhereThePolicySends(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 100})
	for id, cpu := range map[string]float64{"a": .2, "b": .8} {
		b.do(Input{Join: &models.Agent{ID: id, State: "ready", Slots: 40}})
		b.do(Input{Report: &Report{Agent: id, Heartbeat: &models.Agent{ID: id, CPU: cpu, LoadScore: cpu / 2, Weight: 100}}})
	}
	b.dispatchBy(models.DispatchWeighted) // 180 and 120
	for i := range 10 {
		b.submit(fmt.Sprint("w", i))
	}
	if n := len(b.core.agentIDs["a"].tasks); n != 6 {
		t.Errorf("a has %d of 10", n)
	}
	e, _ := b.core.Explain("w0", b.now)
	if want := "weighted: it was the turn of a, of weight 180, among 2 that were free"; !slices.Contains(e.Facts, want) {
		t.Errorf("%q", e.Facts)
	}
	b.dispatchBy(models.DispatchLoadAware)
	b.submit("l")
	e, _ = b.core.Explain("l", b.now)
	if got := strings.Join(e.Facts, "; "); !strings.Contains(got, "load-aware: of 2 agents that were free a has the lowest load, 0.25; b is next with 0.50") {
		t.Error(got)
	}
}

func TestAnIdleWorkerIsChosenOnTheAgentOfThePolicysChoice(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "gpu", Kind: models.KindStdio, Command: []string{"w"}, Max: 2})
	b.do(Input{Join: &models.Agent{ID: "b", State: "ready", Slots: 1}})
	two := 2
	b.do(Input{SetPool: &PoolCall{Name: "gpu", Patch: models.PoolPatch{Min: &two}}})
	for _, w := range b.core.pools["gpu"].workers {
		b.do(Input{Report: &Report{Agent: w.agent.info.ID, WorkerReady: &WorkerReady{Worker: w.id}}})
	}
	busy := b.core.pools["gpu"].idle[1].agent.info.ID // the last one, which would be taken without looking at loads
	b.do(Input{Report: &Report{Agent: busy, Heartbeat: &models.Agent{ID: busy, LoadScore: .9}}})
	b.submit("t", func(s *models.TaskSpec) { s.Pool, s.Run, s.Description = "gpu", nil, "x" })
	if got := b.task("t"); got.Agent == busy || got.State != models.Assigned {
		t.Errorf("%s on %s, and %s is busy", got.State, got.Agent, busy)
	}
}

// TestABulkCallActsOnAllThatAFilterSelectsOrOnNothing cancels, retries and
// reprioritises by a filter in one step each, and has the write of each refused first.
func TestABulkCallActsOnAllThatAFilterSelectsOrOnNothing(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("running")
	for i := range 6 {
		b.submit(fmt.Sprint("t", i), label("team="+[]string{"a", "b"}[i%2]))
	}
	team := models.Selection{Filter: &models.TaskFilter{Labels: map[string]string{"team": "a"}}}
	stand := func() (out []string) {
		for i := range 6 {
			v := b.task(fmt.Sprint("t", i))
			out = append(out, fmt.Sprintf("%s %d %d", v.State, v.Priority, v.Attempt))
		}
		return out
	}
	for _, c := range []struct {
		name string
		in   Input
		want string // of those selected
	}{
		{"prioritize", Input{Prioritize: &PriorityCall{Selection: team, Priority: 90}}, "PENDING 90 1"},
		{"cancel", Input{Cancel: &team}, "CANCELLED 90 1"},
		{"retry", Input{Retry: &RetryCall{Selection: team}}, "PENDING 90 2"},
	} {
		before := stand()
		b.core.Step(b.now, c.in)
		b.core.Rollback()
		if got := stand(); !slices.Equal(got, before) {
			t.Errorf("%s, refused: %v, want %v", c.name, got, before)
		}
		o := b.do(c.in)
		if len(o.Bulk.Changed) != 3 || len(o.Bulk.Refused) != 0 {
			t.Errorf("%s: %+v", c.name, o.Bulk)
		}
		for i, got := range stand() {
			if want := [...]string{c.want, "PENDING 50 1"}[i%2]; got != want {
				t.Errorf("%s: t%d is %s, want %s", c.name, i, got, want)
			}
		}
	}
	if got := b.order(7); !slices.Equal(got, []string{"running", "t0", "t2", "t4", "t1", "t3", "t5"}) {
		t.Error(got)
	}
}
