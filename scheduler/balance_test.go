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

// beat tells an agent's CPU as often as it takes to fill its window.
func (b *bench) beat(id string, cpu float64) {
	b.t.Helper()
	for range b.core.cfg.Balance.Window {
		b.do(Input{Report: &Report{Agent: id, Heartbeat: &models.Agent{ID: id, CPU: cpu, LoadScore: cpu / 2}}})
	}
}

// recalls obeys what asks for attempts back, and says which.
func (b *bench) recalls() []string {
	b.t.Helper()
	var ids []string
	asked := b.out
	b.out = nil
	for _, cmd := range asked {
		if r := cmd.Recall; r != nil {
			ids = append(ids, r.TaskID)
			b.do(Input{Report: &Report{Agent: b.on(r.TaskID), Returned: &Returned{TaskID: r.TaskID, Lease: r.Lease}}})
		}
	}
	return ids
}

func TestWorkThatHasNotBegunMovesToAnIdleAgentAndSaysWhy(t *testing.T) {
	b := threeAgents(t)
	for i := range 3 {
		b.submit(fmt.Sprint("t", i), pinned("a"))
		b.submit(fmt.Sprint("m", i), affinity(models.Affinity{Near: "t0"}), priority(models.Priority(50+i)))
	}
	begun := b.core.find("m0")
	b.do(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: "m0", Lease: begun.lease, At: b.now}}})
	for id, cpu := range map[string]float64{"a": 1, "b": 0, "c": .6} {
		b.beat(id, cpu)
	}
	b.now = b.now.Add(6 * time.Second)
	var events []models.Event
	b.do(Input{Tick: true})
	asked := slices.Clone(b.out)
	if len(asked) != 2 || asked[0].Recall.TaskID != "m2" || asked[1].Recall.TaskID != "m1" { // the more urgent first; what has begun, or is pinned, stays
		t.Fatalf("%+v", asked)
	}
	for _, cmd := range asked {
		o := b.do(Input{Report: &Report{Agent: "a", Returned: &Returned{TaskID: cmd.Recall.TaskID, Lease: cmd.Recall.Lease}}})
		events = append(events, o.Events...)
		if r := o.Records[0]; r.Kind != recReturned || !strings.HasPrefix(r.Text, "taken from a, whose load is 0.60, for b with 0.00") {
			t.Errorf("%+v", r)
		}
	}
	if got := b.on("m2") + b.on("m1") + b.on("m0"); got != "bba" {
		t.Errorf("they are on %s", got)
	}
	if e := events[0]; e.Kind != models.EventTask || e.TaskID != "m2" || e.State != models.Pending || !strings.HasPrefix(e.Message, "taken from a") {
		t.Errorf("%+v", e)
	}
	b.now = b.now.Add(time.Hour)
	b.do(Input{Tick: true})
	e, _ := b.core.Explain("m2", b.now)
	if got := strings.Join(e.Facts, "; "); !strings.Contains(got, ": taken from a, whose load is 0.60, for b with 0.00") || !strings.Contains(got, "moved to it +2.00") {
		t.Error(got)
	}
}

func TestAnAttemptGivenBackUnaskedHasNoReason(t *testing.T) {
	b := threeAgents(t)
	b.submit("x")
	o := b.do(Input{Report: &Report{Agent: b.on("x"), Returned: &Returned{TaskID: "x", Lease: b.core.find("x").lease}}})
	if r := o.Records[0]; r.Kind != recReturned || r.Text != "" {
		t.Errorf("%+v", r)
	}
}

func TestRebalancingCanBeSwitchedOff(t *testing.T) {
	b := threeAgents(t)
	b.core.cfg.Balance.Every = -1
	b.submit("t", pinned("a"))
	b.submit("m", affinity(models.Affinity{Near: "t"}))
	b.beat("a", 1)
	b.beat("b", 0)
	b.now = b.now.Add(time.Hour)
	b.do(Input{Tick: true})
	if got := b.recalls(); got != nil {
		t.Error(got)
	}
}

// TestRebalancingNeitherPingPongsNorMakesItWorse lets loads jump about at random:
// no task moves twice within the cool-down, no round moves more than it may, and
// the work that agents have never becomes more uneven by it.
func TestRebalancingNeitherPingPongsNorMakesItWorse(t *testing.T) {
	total := 0
	defer func() {
		if total == 0 {
			t.Error("nothing was ever moved")
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		b := threeAgents(t)
		b.dispatchBy(rapid.SampledFrom([]models.DispatchPolicy{models.DispatchPriority, models.DispatchFIFO, models.DispatchLoadAware, models.DispatchTwoChoices}).Draw(rt, "policy"))
		most, cool := b.core.cfg.Balance.MaxMoves, b.core.cfg.Balance.CoolDown
		last, moves, made := map[string]time.Time{}, 0, 0
		squares := func() (sum int) {
			for _, a := range b.core.agents {
				sum += len(a.tasks) * len(a.tasks)
			}
			return sum
		}
		for range rapid.IntRange(5, 40).Draw(rt, "rounds") {
			for range rapid.IntRange(0, 4).Draw(rt, "new") {
				b.submit(fmt.Sprint("t", made))
				made++
			}
			if a := b.core.agents[rapid.IntRange(0, 2).Draw(rt, "who")]; len(a.tasks) > 0 && rapid.Bool().Draw(rt, "ends") {
				k := a.tasks[0]
				b.do(Input{Report: &Report{Agent: a.info.ID, Finished: &Finished{TaskID: k.id, Lease: k.lease, At: b.now, Outcome: "SUCCESS"}}})
			}
			for _, a := range b.core.agents {
				b.beat(a.info.ID, rapid.Float64Range(0, 1).Draw(rt, "load"))
			}
			b.now = b.now.Add(time.Duration(rapid.IntRange(1, 12).Draw(rt, "seconds")) * time.Second)
			before := squares()
			b.do(Input{Tick: true})
			moved := b.recalls()
			if len(moved) > most {
				rt.Fatalf("%d moves in one round", len(moved))
			}
			if after := squares(); len(moved) > 0 && after > before {
				rt.Fatalf("squares of %d became %d by moving %v", before, after, moved)
			}
			for _, id := range moved {
				if was, ok := last[id]; ok && b.now.Sub(was) < cool {
					rt.Fatalf("%s was moved again after %s", id, b.now.Sub(was))
				}
				last[id] = b.now
			}
			moves, total = moves+len(moved), total+len(moved)
		}
		bound := 0
		for range last {
			bound += 1 + int(b.now.Sub(time.Unix(1_700_000_000, 0))/cool)
		}
		if moves > bound {
			rt.Fatalf("%d moves of %d tasks", moves, len(last))
		}
	})
}
