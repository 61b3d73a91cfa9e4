package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"loadstar/models"
)

func affinity(a models.Affinity) func(*models.TaskSpec) {
	return func(s *models.TaskSpec) { s.Affinity = &a }
}

func pinned(agent string) func(*models.TaskSpec) {
	return func(s *models.TaskSpec) { s.AssignedTo = agent }
}

// threeAgents has a, b and c, of ten slots each and without load.
func threeAgents(t testing.TB) *bench {
	t.Helper()
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 100})
	for _, id := range []string{"a", "b", "c"} {
		b.do(Input{Join: &models.Agent{ID: id, State: "ready", Slots: 10, Capabilities: map[string][]string{"c": {"ssd"}}[id]}})
	}
	return b
}

func (b *bench) on(id string) string {
	b.t.Helper()
	return b.task(id).Agent
}

func TestATaskGoesWhereItsAffinityPoints(t *testing.T) {
	b := threeAgents(t)
	b.submit("first", pinned("b"), label("set=x"))
	b.submit("near", affinity(models.Affinity{Near: "first"}))
	b.submit("read", pinned("c"), affinity(models.Affinity{Data: "imagenet"}))
	b.submit("reread", affinity(models.Affinity{Data: "imagenet"}))
	b.submit("ssd", affinity(models.Affinity{Capabilities: []string{"ssd"}}))
	b.submit("like", label("set=x"), pinned("b"), affinity(models.Affinity{Label: "set"}))
	b.submit("alike", label("set=x"), affinity(models.Affinity{Label: "set"}))
	b.submit("other", label("set=y"), affinity(models.Affinity{Label: "set"}))
	b.submit("gone", affinity(models.Affinity{Near: "nobody"}))
	for id, want := range map[string]string{"near": "b", "reread": "c", "ssd": "c", "alike": "b", "other": "a", "gone": "a"} {
		if got := b.on(id); got != want {
			t.Errorf("%s is on %s, want %s", id, got, want)
		}
	}
	e, _ := b.core.Explain("alike", b.now)
	if got := strings.Join(e.Facts, "; "); !strings.Contains(got, "b has the lowest load, -0.10 (affinity: label +0.40)") {
		t.Error(got)
	}
}

func TestTasksWithAntiAffinitySpread(t *testing.T) {
	b := threeAgents(t)
	b.do(Input{Report: &Report{Agent: "a", Heartbeat: &models.Agent{ID: "a", LoadScore: .3}}})
	for i := range 6 {
		b.submit(fmt.Sprint("t", i), label("replica=db"), affinity(models.Affinity{AntiAffinity: "replica"}))
	}
	for _, a := range b.core.agents {
		if len(a.tasks) != 2 {
			t.Errorf("%s has %d of 6", a.info.ID, len(a.tasks))
		}
	}
	for _, a := range b.core.agents {
		for len(a.tasks) > 0 {
			k := a.tasks[0]
			b.do(Input{Report: &Report{Agent: a.info.ID, Finished: &Finished{TaskID: k.id, Lease: k.lease, At: b.now, Outcome: "SUCCESS"}}})
		}
	}
	if len(b.core.crowds) != 0 {
		t.Errorf("%d crowds are left of tasks that have ended", len(b.core.crowds))
	}
}

func TestAnAffinityIsNoCondition(t *testing.T) {
	b := threeAgents(t)
	b.do(Input{Leave: "b"})
	b.submit("first", pinned("c"))
	b.do(Input{Leave: "c"})
	b.submit("near", affinity(models.Affinity{Near: "first", Capabilities: []string{"ssd"}}))
	if v := b.task("near"); v.State != models.Assigned || v.Agent != "a" {
		t.Errorf("%s on %s", v.State, v.Agent)
	}
}

func TestAWaitingTasksExplanationSaysHowTheAgentsStand(t *testing.T) {
	b := threeAgents(t)
	b.submit("first", pinned("b"))
	yes := true
	b.do(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Paused: &yes}}})
	b.do(Input{Leave: "a"})
	b.submit("waits", affinity(models.Affinity{Near: "first"}))
	e, _ := b.core.Explain("waits", b.now)
	for _, want := range []string{
		"its pool's dispatch policy is priority",
		"agent b: load -0.40 (load score 0.00, 1 of 10 slots taken), affinity: near +0.50",
		"agent c: load 0.00 (load score 0.00, 0 of 10 slots taken)",
	} {
		if !slices.Contains(e.Facts, want) {
			t.Errorf("%q is not among %q", want, e.Facts)
		}
	}
}

func TestOldTrailsAreForgottenAndUsedOnesAreNot(t *testing.T) {
	var tr trail
	tr.passed("kept", "a")
	for i := range 5 * maxTrail {
		tr.passed(fmt.Sprint(i), "b")
		if i%1000 == 0 && !slices.Equal(tr.of("kept"), []string{"a"}) {
			t.Fatalf("%d: %v", i, tr.of("kept"))
		}
	}
	if n := len(tr.recent) + len(tr.older); n > 2*maxTrail {
		t.Errorf("%d are kept", n)
	}
	if got := tr.of("0"); got != nil {
		t.Error(got)
	}
	for _, a := range []string{"c", "d", "c", "e", "f", "g"} {
		tr.passed("kept", a)
	}
	if got := tr.of("kept"); !slices.Equal(got, []string{"g", "f", "e", "c"}) {
		t.Error(got)
	}
}
