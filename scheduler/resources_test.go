package scheduler

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"loadstar/models"
)

func asking(cpu float64, memory models.Bytes) func(*models.TaskSpec) {
	return func(s *models.TaskSpec) { s.Resources = &models.Resources{CPU: cpu, Memory: memory} }
}

// roomyBench has one agent of 4 cores and 8 GiB, and slots to spare.
func roomyBench(t testing.TB) *bench {
	t.Helper()
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 100})
	b.do(Input{Report: &Report{Agent: "a", Heartbeat: &models.Agent{ID: "a", CPUs: 4, MemoryTotal: 8 << 30}}})
	return b
}

func (b *bench) running() string {
	var ids []string
	for _, r := range b.runs {
		ids = append(ids, r.Task.TaskID)
	}
	return strings.Join(ids, " ")
}

func TestTasksTogetherAskForNoMoreThanTheHostHas(t *testing.T) {
	b := roomyBench(t)
	for i := range 5 {
		b.submit(fmt.Sprint("t", i), asking(1.5, 0))
	}
	if got := b.running(); got != "t0 t1" {
		t.Errorf("%s run, who ask for 1.5 of 4 cores each", got)
	}
	if v := b.task("t2"); v.Reason != models.ReasonQueued || v.Detail != "waits for room on a host: it asks for 1.5 cores" {
		t.Errorf("%s: %s", v.Reason, v.Detail)
	}
	b.end("SUCCESS")
	if got := b.running(); got != "t1 t2" {
		t.Errorf("%s run after one has ended", got)
	}
}

func TestATaskThatCanNeverFitWaitsForAnotherAgentAndHoldsNobodyBack(t *testing.T) {
	b := roomyBench(t)
	b.submit("huge", asking(0, 64<<30), priority(100))
	b.submit("wide", asking(5, 1<<30), priority(100))
	b.submit("small", asking(1, 1<<30))
	if got := b.running(); got != "small" {
		t.Errorf("%s run", got)
	}
	for id, want := range map[string]string{
		"huge": "it asks for 64GiB of memory, which is more than any agent has",
		"wide": "it asks for 5 cores and 1GiB of memory, which is more than any agent has",
	} {
		if v := b.task(id); v.Reason != models.ReasonNoAgent || v.Detail != want {
			t.Errorf("%s: %s", v.Reason, v.Detail)
		}
	}
	b.do(Input{Join: &models.Agent{ID: "big", State: "ready", CPUs: 64, MemoryTotal: 256 << 30}})
	if got := b.running(); got != "small huge wide" {
		t.Errorf("%s run once a larger agent is there", got)
	}
}

func TestATaskThatWaitsForRoomIsNotOvertakenByThoseThatAskToo(t *testing.T) {
	b := roomyBench(t)
	b.submit("first", asking(3, 0))
	b.submit("large", asking(4, 0))
	b.submit("later", asking(1, 0))
	b.submit("plain")
	if got := b.running(); got != "first plain" {
		t.Errorf("%s run: what asks for nothing goes past, what asks does not", got)
	}
	b.end("SUCCESS")
	if got := b.running(); got != "plain large" {
		t.Errorf("%s run", got)
	}
}

func TestRoomIsSharedBetweenPools(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 9}, models.PoolSpec{Name: "other", Kind: models.KindExec, Max: 9})
	b.do(Input{Report: &Report{Agent: "a", Heartbeat: &models.Agent{ID: "a", MemoryTotal: 4 << 30}}})
	b.submit("x", asking(0, 3<<30))
	b.submit("y", asking(0, 3<<30), func(s *models.TaskSpec) { s.Pool = "other" })
	if got := b.running(); got != "x" {
		t.Errorf("%s run", got)
	}
	b.end("SUCCESS")
	if got := b.running(); got != "y" {
		t.Errorf("%s run", got)
	}
}

func TestAsksAreRememberedThroughASnapshot(t *testing.T) {
	b := roomyBench(t)
	b.submit("x", asking(2.5, 3<<30))
	b.submit("y", asking(2.5, 3<<30))
	other, err := NewCore(CoreConfig{}, []models.PoolSpec{{Name: "default", Kind: models.KindExec, Max: 100}})
	if err != nil {
		t.Fatal(err)
	}
	other.replaying = true
	r := restorer{core: other}
	for _, chunk := range b.core.snapshot(1, b.now.UnixNano()) {
		if err := r.chunk(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if c := other.cands[0]; c.MilliCPU != 2500 || c.Memory != 3<<30 {
		t.Errorf("%+v", c)
	}
	if n := other.find("y").class.need; n.MilliCPU != 2500 || n.Memory != 3<<30 {
		t.Errorf("%+v", n)
	}
}

// Whatever is asked for and however it ends, the sum stays within the host, and
// everything that fits has its turn.
func TestTheSumOfWhatRunsNeverPassesTheHost(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := roomyBench(t)
		n := rapid.IntRange(1, 20).Draw(r, "tasks")
		for i := range n {
			b.submit(fmt.Sprint("t", i), asking(float64(rapid.IntRange(0, 40).Draw(r, "tenths"))/10, models.Bytes(rapid.IntRange(0, 8).Draw(r, "GiB"))<<30))
		}
		for done := range n {
			var cpu float64
			var memory models.Bytes
			for _, run := range b.runs {
				cpu += run.Task.Resources.CPU
				memory += run.Task.Resources.Memory
			}
			if cpu > 4+1e-9 || memory > 8<<30 {
				r.Fatalf("%v cores and %s run at once", cpu, memory)
			}
			if len(b.runs) == 0 {
				r.Fatalf("nothing runs after %d of %d", done, n)
			}
			b.end("SUCCESS")
		}
		if c := b.core.cands[0]; c.MilliCPU != 0 || c.Memory != 0 {
			r.Fatalf("%+v is left", c)
		}
	})
}
