package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

func label(pairs ...string) func(*models.TaskSpec) {
	return func(s *models.TaskSpec) {
		s.Labels = map[string]string{}
		for _, p := range pairs {
			k, v, _ := strings.Cut(p, "=")
			s.Labels[k] = v
		}
	}
}

func (b *bench) cap(pool string, caps map[string]int) {
	b.t.Helper()
	if o := b.do(Input{SetPool: &PoolCall{Name: pool, Patch: models.PoolPatch{Caps: caps}}}); o.Err != nil {
		b.t.Fatal(o.Err)
	}
}

func TestACapHoldsBackItsOwnTasksAlone(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 10, Caps: map[string]int{"team=a": 2, "user": 1}})
	for i := range 4 {
		b.submit(fmt.Sprint("a", i), label("team=a"), priority(100))
	}
	for _, user := range []string{"x", "y", "x"} {
		b.submit("u"+user+fmt.Sprint(len(b.runs)), label("user="+user))
	}
	b.submit("plain")
	if got := b.running(); got != "a0 a1 ux2 uy3 plain" {
		t.Errorf("%s run", got)
	}
	if v := b.task("a2"); v.Reason != models.ReasonQueued || v.Detail != "waits for a place under the cap of team=a in pool default: 2 of 2 are taken" {
		t.Errorf("%s: %s", v.Reason, v.Detail)
	}
	e, _ := b.core.Explain("ux4", b.now)
	if e.Text != "It is PENDING: it waits for a place under the cap of user=x in pool default: 1 of 1 are taken." || !slices.Contains(e.Facts, "cap of user=x in pool default: 1 of 1 places are taken") {
		t.Errorf("%+v", e)
	}
	b.end("SUCCESS")
	if got := b.running(); got != "a1 ux2 uy3 plain a2" {
		t.Errorf("%s run after one has ended", got)
	}
}

func TestCapsAreChangedWhileTasksWait(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 10})
	b.cap("default", map[string]int{"team": 1})
	for i := range 3 {
		b.submit(fmt.Sprint("a", i), label("team=a"))
	}
	if got := b.running(); got != "a0" {
		t.Errorf("%s run under a cap for each value", got)
	}
	b.cap("default", map[string]int{"team=a": 2}) // takes its place for that value
	if got := b.running(); got != "a0 a1" {
		t.Errorf("%s run under a wider cap for one value", got)
	}
	b.do(Input{SetCaps: &CapsCall{Caps: map[string]int{"team=a": 1}}}) // over all pools; both hold
	b.cap("default", map[string]int{"team=a": 0, "team": 0})
	b.end("SUCCESS")
	if got := b.running(); got != "a1" {
		t.Errorf("%s run while the cap of all pools is taken", got)
	}
	b.do(Input{SetCaps: &CapsCall{}})
	if got := b.running(); got != "a1 a2" {
		t.Errorf("%s run without caps", got)
	}
	if n := len(b.core.limits); n != 0 {
		t.Errorf("%d limits are left", n)
	}
	for want, caps := range map[string]map[string]int{
		"pools.default.caps.team: -1 is not between 1 and 1000000":                        {"team": -1},
		`pools.default.caps: "=a" is not a label, or a label and its value (label=value)`: {"=a": 1},
	} {
		o := b.do(Input{SetPool: &PoolCall{Name: "default", Patch: models.PoolPatch{Caps: caps}}})
		if o.Err == nil || o.Err.Error() != want || !errors.Is(o.Err, models.ErrInvalid) {
			t.Errorf("%v, want %s", o.Err, want)
		}
	}
}

func TestChangedCapsOutliveARestart(t *testing.T) {
	spec := models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 10, Caps: map[string]int{"team": 1, "user": 1}}
	b := onBench(t, spec)
	b.cap("default", map[string]int{"team": 2, "user": 0})
	for i := range 4 {
		b.submit(fmt.Sprint("t", i), label("team=a", "user=x"))
	}
	fresh, err := NewCore(CoreConfig{}, []models.PoolSpec{spec})
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
	if got := b.running(); got != "t0 t1" {
		t.Errorf("%s run", got)
	}
}

// TestATaskUnderTwoCapsIsNotOvertakenForEver keeps both caps taken by younger tasks
// that are under one of them each: whenever one has a place the other has none.
func TestATaskUnderTwoCapsIsNotOvertakenForEver(t *testing.T) {
	b := onBench(t, models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 10, Caps: map[string]int{"team=a": 1, "job=x": 1}})
	b.submit("a", label("team=a"))
	b.submit("x", label("job=x"))
	b.submit("both", label("team=a", "job=x"), priority(0))
	for i := range 400 {
		b.now = b.now.Add(time.Second)
		b.submit(fmt.Sprint("a", i), label("team=a"), priority(100))
		b.submit(fmt.Sprint("x", i), label("job=x"), priority(100))
		if r := b.end("SUCCESS"); r.Task.TaskID == "both" {
			return
		}
	}
	t.Error("it starved")
}

// capWorld is a core under caps to which anything happens.
type capWorld struct {
	*bench
	rng  *rand.Rand
	made int
}

func (w *capWorld) pick(names ...string) string { return names[w.rng.IntN(len(names))] }

func (w *capWorld) act() Input {
	w.now = w.now.Add(time.Millisecond)
	switch n := w.rng.IntN(100); {
	case n < 35:
		var specs []models.TaskSpec
		for range 1 + w.rng.IntN(3) {
			s := models.NewTaskSpec()
			s.TaskID, s.Run, s.Priority = fmt.Sprint("t", w.made), []string{"true"}, models.Priority(w.rng.IntN(101))
			w.made++
			s.Pool = w.pick("default", "other")
			s.Labels = map[string]string{}
			for _, k := range []string{"team", "user", "job"} {
				if w.rng.IntN(2) == 0 {
					s.Labels[k] = w.pick("a", "b", "c")
				}
			}
			switch w.rng.IntN(8) {
			case 0:
				s.AssignedTo = "b"
			case 1:
				s.Resources = &models.Resources{CPU: 2}
			case 2:
				later := w.now.Add(time.Second)
				s.NotBefore = &later
			}
			s.Retries = w.rng.IntN(2)
			specs = append(specs, s)
		}
		sub, err := NewSubmission(specs, "", nil)
		if err != nil {
			w.t.Fatal(err)
		}
		return Input{Submit: sub}
	case n < 70:
		if t := w.someActive(); t != nil && t.state == stateAssigned && w.rng.IntN(4) > 0 {
			return Input{Report: &Report{Agent: t.last.agent, Started: &Started{TaskID: t.id, Lease: t.lease, At: w.now}}}
		} else if t != nil {
			out := w.pick("SUCCESS", "SUCCESS", "FAILED")
			return Input{Report: &Report{Agent: t.last.agent, Finished: &Finished{TaskID: t.id, Lease: t.lease, At: w.now, Outcome: out}}}
		}
	case n < 74:
		if t := w.someActive(); t != nil && t.state == stateAssigned {
			return Input{Report: &Report{Agent: t.last.agent, Returned: &Returned{TaskID: t.id, Lease: t.lease}}}
		}
	case n < 78:
		return Input{Cancel: &models.Selection{IDs: []string{fmt.Sprint("t", w.rng.IntN(w.made+1)), "none"}}}
	case n < 82:
		return Input{Retry: &RetryCall{Selection: models.Selection{Filter: &models.TaskFilter{Labels: map[string]string{"team": w.pick("a", "b")}}}}}
	case n < 86:
		return Input{Prioritize: &PriorityCall{Selection: models.Selection{Filter: &models.TaskFilter{Labels: map[string]string{"user": w.pick("a", "b")}}}, Priority: models.Priority(w.rng.IntN(101))}}
	case n < 90:
		caps := map[string]int{w.pick("team", "user", "team=a", "job=b", "user=c"): w.rng.IntN(4)}
		return Input{SetPool: &PoolCall{Name: w.pick("default", "other"), Patch: models.PoolPatch{Caps: caps}}}
	case n < 92:
		return Input{SetCaps: &CapsCall{Caps: map[string]int{w.pick("job", "user", "team=b"): 1 + w.rng.IntN(3)}}}
	case n < 94:
		paused := w.rng.IntN(3) == 0
		policy := models.DispatchPolicies()[w.rng.IntN(5)]
		return Input{SetPool: &PoolCall{Name: w.pick("default", "other"), Patch: models.PoolPatch{Paused: &paused, Dispatch: &policy}}}
	case n < 96:
		return Input{Leave: "b"}
	case n < 98:
		return Input{Join: &models.Agent{ID: "b", State: "ready", Slots: 3, CPUs: 4}}
	}
	w.now = w.now.Add(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
	return Input{Tick: true}
}

func (w *capWorld) someActive() *task {
	if all := w.core.running(); len(all) > 0 {
		return all[w.rng.IntN(len(all))]
	}
	return nil
}

// under are the caps that a task's labels put it under, by the rules of the
// documentation: of one value, or else of each.
func under(caps map[string]int, labels map[string]string) map[string]int {
	out := map[string]int{}
	for k, v := range labels {
		if n, ok := caps[k+"="+v]; ok {
			out[k+"="+v] = n
		} else if n, ok := caps[k]; ok {
			out[k+"="+v] = n
		}
	}
	return out
}

func (w *capWorld) global() map[string]int {
	caps := map[string]int{}
	for _, r := range w.core.caps {
		name := r.label
		if !r.each {
			name += "=" + r.value
		}
		caps[name] = r.most
	}
	return caps
}

// check counts everything anew.
func (w *capWorld) check(assigned []uint64) error {
	c := w.core
	active := map[string]int{} // by pool and label; "" is all pools
	for _, t := range c.running() {
		for k, v := range t.document().Labels {
			active[t.pool.spec.Name+" "+k+"="+v]++
			active[" "+k+"="+v]++
		}
	}
	for _, seq := range assigned {
		t := c.tasks[seq]
		for scope, caps := range map[string]map[string]int{t.pool.spec.Name: t.pool.spec.Caps, "": w.global()} {
			for name, most := range under(caps, t.document().Labels) {
				if n := active[scope+" "+name]; n > most {
					return fmt.Errorf("%s was assigned as number %d under %s %s, which is capped at %d", t.id, n, scope, name, most)
				}
			}
		}
	}
	if err := w.checkLimits(); err != nil {
		return err
	}
	return w.checkNobodyIdles()
}

func (w *capWorld) checkLimits() error {
	used := map[*limit]int{}
	for _, t := range w.core.running() {
		if t.class.stale {
			return fmt.Errorf("%s runs in a class that is gone", t.id)
		}
		for _, l := range t.class.limits {
			used[l]++
		}
	}
	for _, p := range w.core.poolList {
		queued := 0
		for _, k := range p.classes {
			queued += k.queue.Len()
			if waits := k.queue.Len() > 0; waits != (k.at != queue.Absent) || k.parked == nil && waits != k.open.Contains(k) {
				return fmt.Errorf("class %q with %d tasks is at %d", k.key, k.queue.Len(), k.at)
			}
			for _, l := range k.limits[:k.held] {
				used[l]++
			}
			for _, l := range k.limits {
				if w.core.limits[l.id] != l {
					return fmt.Errorf("class %q is under a limit that is gone", k.key)
				}
			}
		}
		if queued != p.queued {
			return fmt.Errorf("%d tasks are in classes of %s, %d are queued", queued, p.spec.Name, p.queued)
		}
	}
	for _, l := range w.core.limits {
		if l.used != used[l] {
			return fmt.Errorf("limit %s has %d, want %d", l.name, l.used, used[l])
		}
	}
	return nil
}

// checkNobodyIdles holds that a free slot has no task waiting that could have it.
func (w *capWorld) checkNobodyIdles() error {
	for _, p := range w.core.poolList {
		if p.spec.Paused || p.held() >= p.ceiling() {
			continue
		}
		for _, k := range p.classes {
			if k.queue.Len() > 0 && !k.need.Asks() && k.full() < 0 && route.AnyOpen(w.core.cands, &route.Ask{Need: k.need}) {
				return fmt.Errorf("a class of %d tasks (%q, parked %v) waits beside a free slot", k.queue.Len(), k.key, k.parked != nil)
			}
		}
	}
	return nil
}

func TestCapsAreKeptAndNothingIdlesOrStarvesUnderThem(t *testing.T) {
	ahead := 0
	defer func() {
		if ahead == 0 {
			t.Error("nothing was ever prefetched")
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		w := &capWorld{rng: rand.New(rand.NewPCG(seed, 3)), bench: onBench(t,
			models.PoolSpec{Name: "default", Kind: models.KindExec, Max: 5, Caps: map[string]int{"team=a": 2, "user": 1}},
			models.PoolSpec{Name: "other", Kind: models.KindExec, Max: 3},
		)}
		w.core.cfg.PrefetchWork = time.Minute // so that tasks wait on agents, too
		w.do(Input{SetCaps: &CapsCall{Caps: map[string]int{"job": 2, "user=a": 1}}})
		w.do(Input{Join: &models.Agent{ID: "b", State: "ready", Slots: 3, CPUs: 4}})
		for i := range 300 {
			in := w.act()
			o := w.core.Step(w.now, in)
			var assigned []uint64
			for _, r := range o.Records {
				if r.Kind == recAssigned {
					assigned = append(assigned, r.Seq)
				}
			}
			if err := w.check(assigned); err != nil {
				rt.Fatalf("step %d: %v", i, err)
			}
			for _, p := range w.core.poolList {
				ahead += p.ahead
			}
			if w.rng.IntN(8) == 0 {
				w.core.Rollback()
				w.core.Step(w.now, Input{Probe: true})
			}
			w.core.Commit()
		}
		w.drain(rt)
	})
}

// drain ends what runs until nothing is left to run.
func (w *capWorld) drain(rt *rapid.T) {
	no := false
	for _, name := range []string{"default", "other"} {
		w.do(Input{SetPool: &PoolCall{Name: name, Patch: models.PoolPatch{Paused: &no}}})
	}
	w.do(Input{Join: &models.Agent{ID: "b", State: "ready", Slots: 3, CPUs: 4}})
	for range 10 * w.made {
		w.now = w.now.Add(time.Second)
		t := w.someActive()
		if t == nil {
			break
		}
		w.do(Input{Report: &Report{Agent: t.last.agent, Finished: &Finished{TaskID: t.id, Lease: t.lease, At: w.now, Outcome: "SUCCESS"}}})
	}
	for _, t := range w.core.tasks {
		if t != nil && !t.state.final() && t.reason != reasonScheduled && t.reason != reasonBackoff {
			e, _ := w.core.Explain(t.id, w.now)
			rt.Fatalf("%s never ended: %+v", t.id, e)
		}
	}
	for _, p := range w.core.poolList {
		for _, k := range p.classes {
			if len(k.limits) > 0 && k.queue.Len() == 0 && k.active == 0 {
				rt.Fatalf("class %q is kept for nothing, of %v", k.key, slices.Sorted(maps.Keys(p.classes)))
			}
		}
	}
}

// BenchmarkDispatchUnderCaps takes tasks of many users, each capped, from a backlog.
func BenchmarkDispatchUnderCaps(b *testing.B) {
	for _, users := range []int{1, 10_000} {
		b.Run(fmt.Sprint(users, "users"), func(b *testing.B) {
			c, err := NewCore(CoreConfig{}, []models.PoolSpec{{Name: "default", Kind: models.KindExec, Max: 8, Caps: map[string]int{"user": 1_000}}})
			if err != nil {
				b.Fatal(err)
			}
			now := time.Unix(1e9, 0)
			c.Step(now, Input{Join: &models.Agent{ID: "a"}})
			made := 0
			more := func(n int) {
				sub := batchOf(b, made, n)
				specs := sub.Specs
				for i := range specs {
					specs[i].Labels = map[string]string{"user": fmt.Sprint((made + i) % users)}
				}
				made += n
				if sub, err = NewSubmission(specs, "", nil); err != nil {
					b.Fatal(err)
				}
				c.Step(now, Input{Submit: sub})
				c.Commit()
			}
			for range 100 {
				more(1000)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				if i%1000 == 999 {
					b.StopTimer()
					more(1000)
					b.StartTimer()
				}
				t := c.agents[0].tasks[0]
				c.Step(now, Input{Report: &Report{Agent: "a", Finished: &Finished{TaskID: t.id, Lease: t.lease, At: now, Outcome: "SUCCESS"}}})
				c.Commit()
			}
		})
	}
}

// BenchmarkChangeWhileManyWait says how long a switch of the dispatch policy or
// of the caps takes with a backlog; s/1M is per million tasks that wait.
func BenchmarkChangeWhileManyWait(b *testing.B) {
	const n = 200_000
	fifo, aged, team := models.DispatchFIFO, models.DispatchPriority, map[string]int{"user": 2}
	for name, patches := range map[string][2]models.PoolPatch{
		"dispatch": {{Dispatch: &fifo}, {Dispatch: &aged}},
		"caps":     {{Caps: team}, {Caps: map[string]int{"user": 0}}},
	} {
		b.Run(name, func(b *testing.B) {
			c := lab(b, 1)
			now := time.Unix(1e9, 0)
			for made := 0; made < n; made += 1000 {
				sub := batchOf(b, made, 1000)
				for i := range sub.Specs {
					sub.Specs[i].Labels = map[string]string{"user": fmt.Sprint(i)}
				}
				sub, err := NewSubmission(sub.Specs, "", nil)
				if err != nil {
					b.Fatal(err)
				}
				c.Step(now, Input{Submit: sub})
				c.Commit()
			}
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				if o := c.Step(now, Input{SetPool: &PoolCall{Name: "default", Patch: patches[i%2]}}); o.Err != nil {
					b.Fatal(o.Err)
				}
				c.Commit()
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/n, "s/1M")
		})
	}
}
