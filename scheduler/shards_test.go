package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

// sameShards compares what is durable of parents and shards.
func sameShards(x, y *task) bool {
	if (x.shards == nil) != (y.shards == nil) || (x.part == nil) != (y.part == nil) {
		return false
	}
	if x.shards != nil && x.shards.cut != y.shards.cut {
		return false
	}
	return x.part == nil || x.part.parent.seq == y.part.parent.seq && x.part.items == y.part.items && x.part.round == y.part.round
}

func withItems(size models.ShardSize, list ...string) func(*models.TaskSpec) {
	return func(s *models.TaskSpec) {
		items := models.NewItems(list)
		s.Run, s.Items, s.Shard = []string{"work", "{}"}, &items, size
	}
}

func numbers(t testing.TB, from, to int64) *models.Items {
	t.Helper()
	items, err := models.NewRange(from, to, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &items
}

func TestAParentRunsThroughItsShards(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 2})
	b.submit("p", withItems(2, "a", "b", "c", "d", "e"))
	b.submit("after", func(s *models.TaskSpec) { s.Dependencies = []string{"p"} })
	if got := b.task("p"); got.State != models.Assigned || got.Agent != "" {
		t.Fatalf("%+v", got)
	}
	r := b.runs[0]
	if d := cmp.Diff([]string{"work", "a", "b"}, r.Task.Run); d != "" || r.Task.TaskID != "p.1" || r.Task.Items != nil || r.Task.Env["LOADSTAR_ITEMS"] != "a\nb" {
		t.Errorf("%s %+v", d, r.Task)
	}
	b.do(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: "p.1", Lease: r.Lease, At: b.now}}})
	if got := b.task("p"); got.State != models.Running || got.Progress.Uncut > 1 {
		t.Errorf("%+v %+v", got, got.Progress)
	}
	b.do(Input{Prioritize: &PriorityCall{Selection: models.Selection{IDs: []string{"p"}}, Priority: 80}})
	if b.task("p.3").Priority != 80 || b.task("p.1").Priority != 80 {
		t.Error("its shards have kept their priority")
	}
	for range 3 {
		b.now = b.now.Add(time.Second)
		b.end("SUCCESS")
	}
	got := b.task("p")
	want := &models.Progress{Items: 5, Done: 5, Shards: 3, ShardsDone: 3}
	got.Progress.ItemMS, got.Progress.OverheadMS = nil, nil
	if d := cmp.Diff(want, got.Progress); d != "" || got.State != models.Success || got.FinishedAt == nil || got.StartedAt == nil {
		t.Errorf("%s %+v", d, got)
	}
	if got := b.task("p.2"); got.Parent != "p" || !slices.Equal(got.Items.Texts(), []string{"c", "d"}) {
		t.Errorf("%+v", got)
	}
	if got := b.task("after"); got.State != models.Assigned {
		t.Errorf("what waits for it is %s", got.State)
	}
	page, err := b.core.Tasks(models.TaskFilter{Parent: "p"})
	if err != nil || page.Total != 3 || len(page.Tasks) != 3 {
		t.Errorf("%+v %v", page, err)
	}
}

func TestTheFirstShardThatFailsEndsTheParentAndRetryTakesTheRest(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 2})
	b.submit("p", withItems(1, "a", "b", "c", "d", "e"))
	b.end("SUCCESS")
	b.end("FAILED")
	if got := b.task("p"); got.State != models.Running || got.Detail != "" {
		t.Errorf("%+v", got)
	}
	if n := len(b.out); n != 1 || b.out[0].Kill == nil || b.out[0].Kill.TaskID != "p.3" {
		t.Fatalf("%+v", b.out)
	}
	b.end("CANCELLED")
	got := b.task("p")
	if got.State != models.Failed || !strings.Contains(got.Error, "p.2 (b)") || !slices.Equal(got.Progress.FailedItems, []string{"b"}) {
		t.Fatalf("%+v %+v", got, got.Progress)
	}
	b.runs = nil
	o := b.do(Input{Retry: &RetryCall{Selection: models.Selection{IDs: []string{"p"}}}})
	if !slices.Equal(o.Bulk.Changed, []string{"p"}) {
		t.Fatalf("%+v", o.Bulk)
	}
	var ran []string
	for len(b.runs) > 0 {
		r := b.end("SUCCESS")
		ran = append(ran, r.Task.Run[1])
	}
	slices.Sort(ran)
	if got := b.task("p"); got.State != models.Success || got.Attempt != 2 || !slices.Equal(ran, []string{"b", "c", "d", "e"}) {
		t.Errorf("%v ran; %+v", ran, got)
	}
}

func TestFailuresAreToleratedUpToTheirNumber(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("p", withItems(1, "a", "b", "c"), func(s *models.TaskSpec) { s.MaxFailures = 1 })
	b.end("FAILED")
	b.end("SUCCESS")
	b.end("SUCCESS")
	got := b.task("p")
	if got.State != models.Success || got.Progress.Failed != 1 || got.Progress.Done != 2 {
		t.Fatalf("%+v %+v", got, got.Progress)
	}
	b.do(Input{Retry: &RetryCall{Selection: models.Selection{IDs: []string{"p"}}}})
	b.end("SUCCESS")
	if got := b.task("p"); got.State != models.Success || got.Progress.Done != 3 || got.Progress.Failed != 0 {
		t.Errorf("%+v %+v", got, got.Progress)
	}
}

func TestAParentIsCancelledWhole(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("p", withItems(1, "a", "b", "c", "d", "e", "f"))
	o := b.do(Input{Cancel: &models.Selection{IDs: []string{"p"}}})
	if !slices.Equal(o.Bulk.Changed, []string{"p"}) || b.task("p").State != models.Assigned {
		t.Fatalf("%+v, %s", o.Bulk, b.task("p").State)
	}
	b.runs[0].Task.TaskID = "p.1"
	b.do(Input{Report: &Report{Agent: "a", Finished: &Finished{TaskID: "p.1", Lease: b.runs[0].Lease, At: b.now, Outcome: "CANCELLED"}}})
	for _, id := range []string{"p", "p.1", "p.2"} {
		if got := b.task(id); got.State != models.Cancelled {
			t.Errorf("%s is %s", id, got.State)
		}
	}
	if _, err := b.core.Task("p.4"); err == nil {
		t.Error("shards were cut that nobody wanted any more")
	}
}

func TestAShardsIdIsKeptForIt(t *testing.T) {
	b := onBench(t, oneSlot)
	b.submit("q.2")
	b.submit("q", withItems(1, "a", "b"))
	b.end("SUCCESS")
	b.end("SUCCESS")
	b.end("SUCCESS")
	if b.task("q.2").Parent != "" || b.task("q.3").Parent != "q" || b.task("q").State != models.Success {
		t.Error("a shard took an id that was there")
	}
	b.submit("p", withItems(1, "a", "b", "c", "d"))
	s := models.NewTaskSpec()
	s.TaskID, s.Run = "p.4", []string{"true"}
	sub, err := NewSubmission([]models.TaskSpec{s}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if o := b.do(Input{Submit: sub}); o.Err == nil || !strings.Contains(o.Err.Error(), "kept for the shards") {
		t.Error(o.Err)
	}
}

func TestAutoCutsWhatMeasurementsSay(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 2})
	b.submit("p", func(s *models.TaskSpec) { s.Items, s.Shard = numbers(t, 1, 1_000_000), models.ShardAuto })
	shards := 0
	for len(b.runs) > 0 {
		r := b.runs[0]
		n := 1 + strings.Count(r.Task.Env["LOADSTAR_ITEMS"], "\n")
		b.do(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: b.now}}})
		b.now = b.now.Add(5*time.Millisecond + time.Duration(n)*time.Millisecond)
		b.runs = b.runs[1:]
		b.do(Input{Report: &Report{Agent: "a", Finished: &Finished{TaskID: r.Task.TaskID, Lease: r.Lease, At: b.now, Outcome: "SUCCESS"}}})
		shards++
	}
	// A thousand seconds of work in shards of one to five seconds.
	if got := b.task("p"); got.State != models.Success || got.Progress.Done != 1_000_000 || shards < 200 || shards > 1300 {
		t.Errorf("%d shards; %s %+v", shards, got.State, got.Progress)
	}
}

// shardWorld drives parents alone through faults; the simulation of all else does
// not know them.
type shardWorld struct {
	rng    *rand.Rand
	now    time.Time
	core   *Core
	frames [][]byte
	chunks [][]byte
	number uint64
	batch  batch
	out    []Directed
	runs   map[Lease]*Run
	next   int
	want   map[string]int // items by parent
	count  map[string]int // what came to pass
	t      testing.TB
}

func (w *shardWorld) newCore() *Core {
	core, err := NewCore(CoreConfig{Seed: 1 + w.rng.Uint64()>>1, MaxBackoff: time.Second, OwnAgents: nil}, []models.PoolSpec{
		{Name: "default", Kind: models.KindExec, Max: 3}, {Name: "other", Kind: models.KindExec, Max: 1},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return core
}

func (w *shardWorld) step(in Input) *Output {
	o := w.core.Step(w.now, in)
	for i := range o.Records {
		w.batch.add(&o.Records[i])
	}
	for _, e := range o.Events {
		if e.Kind == models.EventTrouble && strings.Contains(e.Message, "refused:") {
			w.t.Fatal(e.Message)
		}
	}
	w.out = append(w.out, o.Commands...)
	return o
}

func (w *shardWorld) open() {
	w.batch.reset(w.now.UnixNano())
	w.out = nil
	w.step(Input{Open: true})
	w.step(Input{Join: &models.Agent{ID: "a", State: "ready"}})
}

func (w *shardWorld) commit() {
	frames := w.batch.cut(w.number)
	w.frames = append(w.frames, frames...)
	w.number += uint64(len(frames))
	w.core.Commit()
	for i := range w.out {
		switch cmd := w.out[i].Command; {
		case cmd.Run != nil:
			w.runs[cmd.Run.Lease] = cmd.Run
		case cmd.Kill != nil && w.runs[cmd.Kill.Lease] != nil:
			w.runs[cmd.Kill.Lease].Task.Description = "killed"
		}
	}
	w.out = nil
	w.batch.reset(w.now.UnixNano())
	if w.rng.IntN(10) == 0 {
		w.chunks, w.frames = w.core.snapshot(w.number, w.now.UnixNano()), nil
	}
}

func (w *shardWorld) reload() *Core {
	core := w.newCore()
	chunks := restorer{core: core}
	for _, c := range w.chunks {
		if err := chunks.chunk(c); err != nil {
			w.t.Fatal(err)
		}
	}
	replay := replayer{apply: core.Restore, next: max(1, core.snapshotFrame)}
	for _, f := range w.frames {
		if err := replay.frame(f); err != nil {
			w.t.Fatal(err)
		}
	}
	number, _, err := replay.end()
	if err != nil {
		w.t.Fatal(err)
	}
	w.number = number
	return core
}

func (w *shardWorld) submit() {
	s := models.NewTaskSpec()
	w.next++
	s.TaskID, s.Run, s.Retries = fmt.Sprint("p", w.next), []string{"work"}, w.rng.IntN(2)
	if w.rng.IntN(3) == 0 {
		s.Pool = "other"
	}
	n := 1 + w.rng.IntN(12)
	items := *numbers(w.t, 1, int64(n))
	if w.rng.IntN(2) == 0 {
		items = models.NewItems(items.Texts())
	}
	s.Items, s.Shard, s.MaxFailures = &items, models.ShardSize(w.rng.IntN(5)-1), w.rng.IntN(3)
	if w.next > 1 && w.rng.IntN(3) == 0 {
		s.Dependencies = []string{fmt.Sprint("p", 1+w.rng.IntN(w.next-1))}
		s.OnDependencyFailure = []string{"", "run", "wait"}[w.rng.IntN(3)]
	}
	if w.rng.IntN(6) == 0 {
		soon := w.now.Add(time.Duration(w.rng.IntN(5000)) * time.Millisecond)
		s.Deadline = &soon
	}
	sub, err := NewSubmission([]models.TaskSpec{s}, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if o := w.step(Input{Submit: sub}); o.Err == nil {
		w.want[s.TaskID] = n
	}
}

// pick is a parent or one of its shards.
func (w *shardWorld) pick() models.Selection {
	id := fmt.Sprint("p", 1+w.rng.IntN(max(1, w.next)))
	if w.rng.IntN(2) == 0 {
		id += fmt.Sprint(".", 1+w.rng.IntN(6))
	}
	if w.rng.IntN(8) == 0 {
		return models.Selection{Filter: &models.TaskFilter{Pool: []string{"", "default"}[w.rng.IntN(2)]}}
	}
	return models.Selection{IDs: []string{id, "none"}}
}

func (w *shardWorld) work(always string) {
	leases := make([]Lease, 0, len(w.runs))
	for l := range w.runs {
		leases = append(leases, l)
	}
	if len(leases) == 0 {
		return
	}
	slices.Sort(leases)
	l := leases[w.rng.IntN(len(leases))]
	r := w.runs[l]
	if always == "" && w.rng.IntN(2) == 0 {
		w.step(Input{Report: &Report{Agent: "a", Started: &Started{TaskID: r.Task.TaskID, Lease: l, At: w.now}}})
		return
	}
	f := &Finished{TaskID: r.Task.TaskID, Lease: l, At: w.now, Outcome: []string{"SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "FAILED", "LOST"}[w.rng.IntN(6)]}
	if always != "" {
		f.Outcome = always
	}
	if r.Task.Description == "killed" && f.Outcome != "SUCCESS" {
		f.Outcome = "CANCELLED"
	}
	if f.Outcome == "FAILED" {
		f.Err = "no"
	}
	w.step(Input{Report: &Report{Agent: "a", Finished: f}})
	if w.rng.IntN(5) != 0 || always != "" { // else it will be told again
		delete(w.runs, l)
	}
}

func (w *shardWorld) act() {
	w.now = w.now.Add(time.Duration(w.rng.IntN(300)) * time.Millisecond)
	switch n := w.rng.IntN(100); {
	case n < 10:
		w.submit()
	case n < 76:
		w.work("")
	case n < 80:
		sel := w.pick()
		w.step(Input{Cancel: &sel})
	case n < 86:
		w.step(Input{Retry: &RetryCall{Selection: w.pick(), WithDependents: w.rng.IntN(2) == 0}})
	case n < 89:
		w.step(Input{Prioritize: &PriorityCall{Selection: w.pick(), Priority: models.Priority(w.rng.IntN(101))}})
	case n < 92:
		w.step(Input{Leave: "a"})
		w.step(Input{Join: &models.Agent{ID: "a", State: "ready"}})
	case n < 94:
		most := 1 + w.rng.IntN(4)
		paused := w.rng.IntN(3) == 0
		w.step(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Max: &most, Paused: &paused}}})
	default:
		w.step(Input{Tick: true})
	}
}

// check holds the rules of parents and shards against the core.
func (w *shardWorld) check() {
	w.t.Helper()
	seen := map[*task]map[string]string{} // by parent and item: the shard that has it
	counts := map[*task]*cutting{}
	for _, t := range w.core.tasks {
		if t.part == nil {
			continue
		}
		p := t.part.parent
		if seen[p] == nil {
			seen[p], counts[p] = map[string]string{}, &cutting{}
		}
		items := t.document().Items.Texts()
		for _, item := range items {
			if other := seen[p][item]; other != "" {
				w.t.Fatalf("item %s of %s is in %s and in %s", item, p.id, other, t.id)
			}
			seen[p][item] = t.id
		}
		k := counts[p]
		k.shards++
		switch {
		case t.state == stateSuccess:
			k.done.add(len(items), 1)
		case t.state.final() && t.part.round == p.attempt:
			k.bad.add(len(items), 1)
		case t.state.final():
			k.redo.add(len(items), 1)
		}
		if at := int(t.part.at); t.state != stateSuccess && p.shards.kids[at] != t {
			w.t.Fatalf("%s is not known to its parent", t.id)
		}
	}
	heads := map[*pool]int{}
	for _, p := range w.core.tasks {
		if p.shards == nil {
			continue
		}
		k, cut := counts[p], &p.shards.cut
		if k == nil {
			k = &cutting{}
		}
		if k.shards != cut.shards || k.done != cut.done || k.bad != cut.bad || k.redo != cut.redo || len(seen[p])+cut.rest.Len() != p.shards.spec.Items.Len() {
			w.t.Fatalf("%s counts %+v, want %+v", p.id, cut, k)
		}
		if p.state.active() {
			heads[p.pool]++
		}
		if p.state == stateSuccess && (cut.rest.Len() > 0 || cut.redo.shards > 0) {
			w.t.Fatalf("%s is SUCCESS with %d items left", p.id, cut.rest.Len())
		}
		waiting := 0
		for _, kid := range p.shards.kids {
			if kid.state == statePending {
				waiting++
			}
		}
		if waiting != p.shards.waiting || slices.Contains(p.pool.parents, p) == p.state.final() {
			w.t.Fatalf("%s is %s, and has %d shards waiting, not %d", p.id, p.state.model(), waiting, p.shards.waiting)
		}
		w.count[string(p.state.model())]++
	}
	for _, p := range w.core.poolList {
		if p.heads != heads[p] || p.busy() > 4 {
			w.t.Fatalf("pool %s has %d parents under way, not %d", p.spec.Name, heads[p], p.heads)
		}
	}
}

func TestNoItemIsLostAndNoneIsInTwoShardsWhateverFails(t *testing.T) {
	seeds := uint64(150)
	if *simSeeds != 0 {
		seeds = *simSeeds
	}
	if testing.Short() {
		seeds = 60
	}
	total := map[string]int{}
	first := uint64(1)
	if *simSeed != 0 {
		first, seeds = *simSeed, *simSeed
	}
	for seed := first; seed <= seeds; seed++ {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { shardHistory(t, seed, total) })
		if !ok {
			return
		}
	}
	for _, s := range []string{"PENDING", "ASSIGNED", "RUNNING", "SUCCESS", "FAILED", "CANCELLED", "crash", "rollback"} {
		if total[s] == 0 {
			t.Errorf("it never came to this: %s", s)
		}
	}
}

func shardHistory(t *testing.T, seed uint64, total map[string]int) {
	w := &shardWorld{rng: rand.New(rand.NewPCG(seed, 3)), now: time.Unix(1_700_000_000, 0), number: 1, runs: map[Lease]*Run{}, want: map[string]int{}, count: total, t: t}
	w.core = w.newCore()
	w.open()
	w.commit()
	for range 120 {
		w.act()
		w.check()
		if w.rng.IntN(3) != 0 {
			continue
		}
		switch n := w.rng.IntN(30); {
		case n == 0:
			total["rollback"]++
			w.core.Rollback()
			w.batch.reset(w.now.UnixNano())
			w.out = nil
			for id := range w.want {
				if w.core.find(id) == nil {
					delete(w.want, id)
				}
			}
			w.check()
			if d := difference(w.core, w.reload()); d != "" {
				t.Fatalf("the rollback did not bring back the last commit: %s", d)
			}
		case n < 3:
			total["crash"]++
			w.core.Rollback()
			w.core = w.reload()
			w.open()
			w.commit()
		default:
			w.commit()
		}
	}
	w.calm()
}

// calm lets everything that can end do so.
func (w *shardWorld) calm() {
	ten, no := 4, false
	w.step(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Max: &ten, Paused: &no}}})
	w.step(Input{Leave: "a"})
	w.step(Input{Join: &models.Agent{ID: "a", State: "ready"}})
	w.commit()
	quiet := func() bool {
		for _, t := range w.core.tasks {
			if !t.state.final() && (t.reason != reasonBlocked || !stuck(t)) {
				return false
			}
		}
		return true
	}
	for i := 0; i < 2000 && !quiet(); i++ {
		w.now = w.now.Add(time.Second)
		w.step(Input{})
		w.work("SUCCESS")
		w.check()
		w.commit()
	}
	if !quiet() {
		for _, t := range w.core.tasks {
			if !t.state.final() {
				w.t.Fatalf("%s never ended: %s %s %+v", t.id, t.state.model(), t.reason.model(), t.shards)
			}
		}
	}
	for id := range w.want { // what was rolled back may be gone
		p := w.core.find(id)
		if p == nil {
			continue
		}
		if p.state == stateSuccess && p.shards.cut.done.items+p.shards.cut.bad.items != p.shards.spec.Items.Len() {
			w.t.Fatalf("%s is SUCCESS, and of %d items %d are done", id, p.shards.spec.Items.Len(), p.shards.cut.done.items)
		}
	}
	if d := difference(w.core, w.reload()); d != "" {
		w.t.Fatalf("the replayed state is not the live one: %s", d)
	}
}
