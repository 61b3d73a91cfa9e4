package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

// farBench is a core whose only agent, far, is another host's.
func farBench(t *testing.T) *bench {
	t.Helper()
	core, err := NewCore(CoreConfig{OwnAgents: []string{"own"}}, []models.PoolSpec{{Name: "default", Kind: models.KindExec, Max: 8}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, now: time.Unix(1_700_000_000, 0), core: core}
	b.rejoin()
	return b
}

func (b *bench) rejoin(holds ...Held) *Output {
	b.t.Helper()
	return b.do(Input{Rejoin: &Rejoin{Agent: models.Agent{ID: "far", Host: "elsewhere", State: "ready", Slots: 8}, Holds: holds}})
}

func (b *bench) begin(r *Run) {
	b.t.Helper()
	b.do(Input{Report: &Report{Agent: "far", Started: &Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: b.now}}})
}

func (b *bench) finish(r *Run) *Output {
	b.t.Helper()
	return b.do(Input{Report: &Report{Agent: "far", Finished: &Finished{TaskID: r.Task.TaskID, Lease: r.Lease, At: b.now, Outcome: "SUCCESS"}}})
}

// takeRuns gives what was assigned since the last call, by task.
func (b *bench) takeRuns() map[string]*Run {
	out := map[string]*Run{}
	for _, r := range b.runs {
		out[r.Task.TaskID] = r
	}
	b.runs = nil
	return out
}

func (b *bench) kills() []string {
	var out []string
	for _, c := range b.out {
		if c.Kill != nil {
			out = append(out, c.Kill.TaskID)
		}
	}
	b.out = nil
	return out
}

// brief is a task's state and attempt.
func (b *bench) brief(id string) string {
	m := b.task(id)
	return string(m.State) + " " + string(rune('0'+m.Attempt))
}

func (b *bench) briefs(ids ...string) []string {
	var out []string
	for _, id := range ids {
		out = append(out, id+" "+b.brief(id))
	}
	return out
}

func has(r *Run) Held { return Held{TaskID: r.Task.TaskID, Lease: r.Lease} }

func TestAnAgentThatJoinsAgainKeepsWhatIsStillItsOwn(t *testing.T) {
	b := farBench(t)
	for _, id := range []string{"kept", "vanished", "unbegun", "doomed"} {
		b.submit(id)
	}
	runs := b.takeRuns()
	for _, id := range []string{"kept", "vanished", "doomed"} {
		b.begin(runs[id])
	}
	b.do(Input{Cancel: &models.Selection{IDs: []string{"doomed"}}})
	b.kills()
	b.do(Input{Drain: true}) // so that what goes back stays back
	b.rejoin(has(runs["kept"]), has(runs["doomed"]), Held{TaskID: "kept", Lease: 99}, Held{TaskID: "nobody's", Lease: 1})
	want := []string{"kept RUNNING 1", "vanished PENDING 2", "unbegun PENDING 1", "doomed RUNNING 1"}
	if d := cmp.Diff(want, b.briefs("kept", "vanished", "unbegun", "doomed")); d != "" {
		t.Error(d)
	}
	// What is not its own it is told to kill, and again what somebody has cancelled meanwhile.
	if d := cmp.Diff([]string{"kept", "nobody's", "doomed"}, b.kills()); d != "" {
		t.Error(d)
	}
	b.finish(runs["kept"])
	if got := b.brief("kept"); got != "SUCCESS 1" {
		t.Error(got)
	}
}

func TestALateResultIsRefusedCountedAndSaid(t *testing.T) {
	b := farBench(t)
	b.submit("t")
	first := b.takeRuns()["t"]
	b.begin(first)
	b.do(Input{Leave: "far"})
	b.rejoin()
	second := b.takeRuns()["t"]
	if second == nil || second.Attempt != 2 {
		t.Fatalf("it was not given out again: %+v", second)
	}
	o := b.finish(first)
	if len(o.Records) != 0 || b.brief("t") != "ASSIGNED 2" {
		t.Errorf("a late result counted: %s, %d records", b.brief("t"), len(o.Records))
	}
	if !slices.ContainsFunc(o.Events, func(e models.Event) bool {
		return e.Kind == models.EventAgent && e.TaskID == "t" && strings.Contains(e.Message, "late result")
	}) {
		t.Errorf("nobody was told: %+v", o.Events)
	}
	b.finish(second)
	b.finish(second) // twice is not late
	if n := b.core.Stats(b.now).LateResults; n != 1 {
		t.Errorf("%d late results were counted", n)
	}
}

func TestAttemptsOfOtherHostsOutliveTheDaemon(t *testing.T) {
	before := farBench(t)
	for _, id := range []string{"kept", "finished", "gone"} {
		before.submit(id)
	}
	runs := before.takeRuns()
	for _, r := range runs {
		before.begin(r)
	}
	after := farBench(t)
	restarted := func() {
		t.Helper()
		core, err := NewCore(CoreConfig{OwnAgents: []string{"own"}, MissedTicks: 3}, []models.PoolSpec{{Name: "default", Kind: models.KindExec, Max: 8}})
		if err != nil {
			t.Fatal(err)
		}
		r := restorer{core: core}
		for _, chunk := range before.core.snapshot(1, before.now.UnixNano()) {
			if err := r.chunk(chunk); err != nil {
				t.Fatal(err)
			}
		}
		after.core = core
		after.do(Input{Open: true})
	}
	restarted()
	for range 3 {
		after.do(Input{Tick: true})
	}
	if d := cmp.Diff([]string{"kept RUNNING 1", "finished RUNNING 1", "gone RUNNING 1"}, after.briefs("kept", "finished", "gone")); d != "" {
		t.Errorf("they were not kept: %s", d)
	}
	after.rejoin(has(runs["kept"]), has(runs["finished"]))
	after.finish(runs["finished"])
	if d := cmp.Diff([]string{"kept RUNNING 1", "finished SUCCESS 1", "gone ASSIGNED 2"}, after.briefs("kept", "finished", "gone")); d != "" {
		t.Error(d)
	}

	restarted() // and nobody comes
	for range 4 {
		after.do(Input{Tick: true})
	}
	if d := cmp.Diff([]string{"kept PENDING 2", "finished PENDING 2", "gone PENDING 2"}, after.briefs("kept", "finished", "gone")); d != "" {
		t.Error(d)
	}
}

func TestADrainLeavesTheWorkOfOtherHostsAlone(t *testing.T) {
	b := farBench(t)
	b.submit("t")
	b.begin(b.takeRuns()["t"])
	b.do(Input{Drain: true})
	b.do(Input{Cut: true})
	b.do(Input{Abandon: true})
	if got := b.brief("t"); got != "RUNNING 1" || len(b.kills()) != 0 {
		t.Error(got)
	}
}

func TestAnAgentThatDrainedIsNotListedWhenItHasLeft(t *testing.T) {
	b := farBench(t)
	list := func() (out []string) {
		for _, a := range b.core.Agents() {
			out = append(out, a.ID+" "+a.State)
		}
		return out
	}
	if d := cmp.Diff([]string{"far ready"}, list()); d != "" {
		t.Error(d)
	}
	b.do(Input{Report: &Report{Agent: "far", Heartbeat: &models.Agent{State: "draining"}}})
	b.submit("t")
	if d := cmp.Diff([]string{"far draining"}, list()); d != "" || len(b.runs) != 0 {
		t.Errorf("%s, %d assigned", d, len(b.runs))
	}
	b.do(Input{Leave: "far"})
	if d := cmp.Diff([]string(nil), list()); d != "" {
		t.Error(d)
	}
	b.rejoin()
	if d := cmp.Diff([]string{"far ready"}, list()); d != "" || len(b.runs) != 1 {
		t.Errorf("%s, %d assigned", d, len(b.runs))
	}
}
