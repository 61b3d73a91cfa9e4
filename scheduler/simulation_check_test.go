package scheduler

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// compare holds what the last step touched against the model, and all that the
// core counts.
func (s *sim) compare() error {
	m, c := &s.model, s.core
	for _, seq := range m.touched {
		if err := s.same(seq); err != nil {
			return err
		}
		if err := s.doomed(seq); err != nil {
			return err
		}
	}
	if c.known() != len(m.tasks) || c.nextSeq != uint64(len(m.tasks)) {
		return fmt.Errorf("there are %d tasks up to place %d, want %d", c.known(), c.nextSeq, len(m.tasks))
	}
	if c.lease < m.lease {
		return fmt.Errorf("the highest lease is %d, and %d was given out", c.lease, m.lease)
	}
	for i, p := range c.poolList {
		if want := &m.pools[i]; p.counts != want.counts || p.queued != want.queued || p.waiting != want.waiting || p.spec.Max != want.max || p.spec.Paused != want.paused {
			return fmt.Errorf("pool %s counts %v, %d, %d (max %d), want %+v", p.spec.Name, p.counts, p.queued, p.waiting, p.spec.Max, *want)
		}
	}
	for i := range m.agents {
		want := &m.agents[i]
		a := c.agentIDs[want.info.ID]
		if a == nil {
			continue // it has not joined since the start
		}
		if got := &c.cands[a.index]; got.Used != want.slots || got.MilliCPU != want.milli || got.Memory != want.memory {
			return fmt.Errorf("agent %s has %d slots, %d and %d taken, want %+v", a.info.ID, got.Used, got.MilliCPU, got.Memory, *want)
		}
	}
	return nil
}

// doomed finds a task that waits for one that has failed, though it was to be
// cancelled then.
func (s *sim) doomed(seq uint64) error {
	t := s.model.at(seq)
	if t == nil || t.state != stateFailed && t.state != stateCancelled {
		return nil
	}
	for _, d := range t.dependents {
		o := &s.model.tasks[d]
		if rule := o.spec.OnDependencyFailure; o.state == statePending && o.reason == reasonBlocked && (rule == "" || rule == models.DependencyCancel) {
			return fmt.Errorf("%v waits for %v", o, t)
		}
	}
	return nil
}

// same holds one task against the model.
func (s *sim) same(seq uint64) error {
	want, t := s.model.at(seq), s.core.bySeq(seq)
	if want == nil || want.body == nil {
		if t != nil {
			return fmt.Errorf("task %s is at place %d, which is to be empty", t.id, seq)
		}
		return nil
	}
	if t == nil || s.core.find(s.id(want.name)) != t {
		return fmt.Errorf("%v is lost", want)
	}
	attempts := len(t.past)
	if t.last.number > 0 {
		attempts++
	}
	ends := len(want.ends)
	if want.state.active() {
		ends++
	}
	switch {
	case t.state != want.state || t.reason != want.reason || t.attempt != want.attempt || t.lease != want.lease:
	case t.retried != want.retried || t.deaths != want.deaths || t.priority != want.priority || t.toCancel != want.toCancel:
	case want.reason == reasonQueued && t.ready != want.ready || want.state.active() && (t.last.number != want.attempt || t.last.outcome != outcomeNone || t.last.worker != want.worker):
	case attempts != ends:
	default:
		return nil
	}
	return fmt.Errorf("%s is %s %s, attempt %d of %d, lease %d, retried %d, deaths %d, ready %d, %+v; want %+v", t.id, t.state.model(), t.reason.model(), t.attempt, attempts, t.lease, t.retried, t.deaths, t.ready, t.last, *want)
}

// checkAll holds every task against the model, with all its attempts, and counts
// everything anew.
func (s *sim) checkAll() error {
	for seq := range max(len(s.model.tasks), len(s.core.tasks)) {
		if err := s.same(uint64(seq)); err != nil { //nolint:gosec // a place
			return err
		}
		if err := s.history(uint64(seq)); err != nil { //nolint:gosec // a place
			return err
		}
		if err := s.doomed(uint64(seq)); err != nil { //nolint:gosec // a place
			return err
		}
	}
	if err := s.compare(); err != nil {
		return err
	}
	return checkIndexes(s.core, s.steady)
}

// history holds a task's attempts against the ends that were recorded, and its
// success against what its agent said.
func (s *sim) history(seq uint64) error {
	t, want := s.core.bySeq(seq), s.model.at(seq)
	if t.body != string(want.body) {
		return fmt.Errorf("%s has another document than was submitted", t.id)
	}
	for i, o := range want.ends {
		a := &t.last
		if i < len(t.past) {
			a = &t.past[i]
		}
		if a.outcome != o || i > 0 && a.number <= t.past[i-1].number {
			return fmt.Errorf("%s: attempt %d ended %s, want %s (%v)", t.id, a.number, a.outcome, o, want.ends)
		}
	}
	if t.state == stateSuccess && s.results[t.lease] != outcomeSuccess {
		return fmt.Errorf("%s is SUCCESS, but its agent said %q", t.id, s.results[t.lease])
	}
	return nil
}

// checkIndexes counts everything anew that the core keeps count of. steady says that
// its clock was never set back.
func checkIndexes(c *Core, steady bool) error {
	type tally struct {
		counts          [stateCount]int
		queued, waiting int
		oldest          int64
		timeless        bool // a damaged log may say that one waits since time 0, which stands for none
		bands           [bandCount]int
	}
	tallies := map[*pool]*tally{}
	for _, p := range c.poolList {
		tallies[p] = &tally{}
	}
	used := make([]int, len(c.agents))
	for _, w := range c.workers {
		used[w.agent.index]++
	}
	workers := map[string]string{}
	timers := 0
	for seq, t := range c.tasks {
		if t == nil { // a damaged log may leave a place empty; check would not
			continue
		}
		if int(t.seq) != seq || c.find(t.id) != t || c.states[seq] != t.state {
			return fmt.Errorf("place %d holds %+v", seq, t)
		}
		y := tallies[t.pool]
		y.counts[t.state]++
		if t.queued() != (t.queueAt != queue.Absent) {
			return fmt.Errorf("%s is %s %s, and at %d of its queue", t.id, t.state.model(), t.reason.model(), t.queueAt)
		}
		if (t.timerAt != queue.Absent) != (t.state == statePending && (t.deadline != 0 || t.reason == reasonScheduled || t.reason == reasonBackoff)) {
			return fmt.Errorf("%s is %s %s, and at %d of the timers", t.id, t.state.model(), t.reason.model(), t.timerAt)
		}
		if t.timerAt != queue.Absent {
			timers++
		}
		switch {
		case t.queued():
			y.queued++
			y.timeless = y.timeless || t.ready == 0
			y.bands[models.PriorityBand(models.Priority(t.priority))]++
			if y.oldest == 0 || t.ready < y.oldest {
				y.oldest = t.ready
			}
		case t.state == statePending:
			y.waiting++
			if (t.reason == reasonBlocked) != (t.blocker() != nil) && t.rule != ruleRun {
				return fmt.Errorf("%s is %s, and held back by %v", t.id, t.reason.model(), t.blocker())
			}
		case t.state.active():
			if other := workers[t.last.worker]; t.last.worker != "" && other != "" {
				return fmt.Errorf("worker %s has %s and %s", t.last.worker, other, t.id)
			}
			workers[t.last.worker] = t.id
			if w := c.workers[t.last.worker]; w != nil {
				if w.task != t || w.idle {
					return fmt.Errorf("worker %s does not know that it has %s", w.id, t.id)
				}
			} else {
				used[c.agent(t.last.agent).index]++
			}
		}
	}
	if timers != c.timers.Len() {
		return fmt.Errorf("%d timers, want %d", c.timers.Len(), timers)
	}
	for p, y := range tallies {
		if p.counts != y.counts || p.queued != y.queued || p.waiting != y.waiting {
			return fmt.Errorf("pool %s counts %v, %d, %d, want %+v", p.spec.Name, p.counts, p.queued, p.waiting, y)
		}
		for i := range p.bands {
			if p.bands[i].queued != y.bands[i] {
				return fmt.Errorf("pool %s: band %d holds %d, want %d", p.spec.Name, i, p.bands[i].queued, y.bands[i])
			}
		}
		if got := p.oldest.front(); !y.timeless && (got == 0) != (y.queued == 0) || !y.timeless && steady && got != y.oldest {
			return fmt.Errorf("pool %s: the longest waits since %d, want %d", p.spec.Name, got, y.oldest)
		}
		starting, stopping := 0, 0
		for _, w := range p.workers {
			switch {
			case w.stopping:
				stopping++
			case !w.ready:
				starting++
			}
			if w.idle != slices.Contains(p.idle, w) || w.idle && (w.task != nil || w.stopping || !w.ready) {
				return fmt.Errorf("worker %+v and the idle ones do not agree", w)
			}
		}
		if starting != p.starting || stopping != p.stopping {
			return fmt.Errorf("pool %s: %d starting and %d stopping, want %d and %d", p.spec.Name, p.starting, p.stopping, starting, stopping)
		}
	}
	for i, a := range c.agents {
		if c.cands[i].Used != used[i] {
			return fmt.Errorf("agent %s has %d slots taken, want %d", a.info.ID, c.cands[i].Used, used[i])
		}
	}
	return nil
}

// difference is what two cores do not agree on of what is durable; empty where
// they agree. TestNoDurableFieldIsForgotten holds that no field is left out.
func difference(a, b *Core) string {
	if a.nextSeq != b.nextSeq || a.lease != b.lease || !slices.Equal(a.keyList, b.keyList) || a.known() != b.known() {
		return fmt.Sprintf("%d tasks of %d and %d of %d, lease %d and %d, keys %v and %v", a.known(), a.nextSeq, b.known(), b.nextSeq, a.lease, b.lease, a.keyList, b.keyList)
	}
	for _, k := range a.keyList {
		if x, y := a.keys[k], b.keys[k]; x.hash != y.hash || !slices.Equal(x.runs, y.runs) {
			return fmt.Sprintf("key %s stands for %v and %v", k, x, y)
		}
	}
	for i, p := range a.poolList {
		if q := b.poolList[i]; p.spec.Name != q.spec.Name || p.spec.Min != q.spec.Min || p.spec.Max != q.spec.Max || p.spec.Paused != q.spec.Paused || p.spec.Policy != q.spec.Policy {
			return fmt.Sprintf("pool %+v and %+v", p.spec, q.spec)
		}
	}
	for seq := range a.nextSeq {
		if x, y := a.tasks[seq], b.tasks[seq]; !sameTask(x, y) {
			return fmt.Sprintf("%s is\n%+v and\n%+v", x.id, *x, *y)
		}
	}
	return ""
}

func sameTask(x, y *task) bool {
	if x.id != y.id || x.body != y.body || x.seq != y.seq || x.submitted != y.submitted || x.ready != y.ready || x.wake != y.wake || x.finished != y.finished || x.text != y.text ||
		x.lease != y.lease || x.attempt != y.attempt || x.retried != y.retried || x.deaths != y.deaths || x.state != y.state || x.reason != y.reason ||
		x.priority != y.priority || x.arrived != y.arrived || x.toCancel != y.toCancel || x.rule != y.rule || x.retries != y.retries || x.deadline != y.deadline ||
		x.pool.spec.Name != y.pool.spec.Name || x.last != y.last || !slices.Equal(x.past, y.past) || !sameNeed(&x.class.need, &y.class.need) {
		return false
	}
	if !sameShards(x, y) {
		return false
	}
	same := func(a, b []*task) bool {
		return slices.EqualFunc(a, b, func(a, b *task) bool { return a.seq == b.seq })
	}
	if !same(x.dependencies(), y.dependencies()) || len(x.dependents()) != len(y.dependents()) {
		return false
	}
	for _, d := range x.dependents() { // in any order
		if !slices.ContainsFunc(y.dependents(), func(o *task) bool { return o.seq == d.seq }) {
			return false
		}
	}
	return true
}

func sameNeed(x, y *route.Need) bool {
	return x.Agent == y.Agent && x.MilliCPU == y.MilliCPU && x.Memory == y.Memory && slices.Equal(x.Capabilities, y.Capabilities)
}

// TestNoDurableFieldIsForgotten fails where a field of a task is neither compared
// by sameTask nor known not to be durable.
func TestNoDurableFieldIsForgotten(t *testing.T) {
	known := map[reflect.Type]string{
		reflect.TypeFor[task](): "id body seq submitted ready wake tries attempt state reason priority arrived toCancel rule retries deadline pool class links" +
			" shards part" + // see sameShards
			" queueAt timerAt activeAt touched shelving", // of these, none is durable
		reflect.TypeFor[tries]():   "finished text lease retried deaths last past",
		reflect.TypeFor[attempt](): "agent worker text assigned started finished number exit hasExit outcome",
	}
	for typ, names := range known {
		for i := range typ.NumField() {
			if name := typ.Field(i).Name; !slices.Contains(strings.Fields(names), name) {
				t.Errorf("%s.%s: is it durable? Compare it in sameTask then, and name it here", typ, name)
			}
		}
	}
}

// quiet reports whether every task is final or waits, as it was told to, for one
// that failed.
func (s *sim) quiet() bool {
	for _, t := range s.core.tasks {
		if !t.state.final() && (t.reason != reasonBlocked || !stuck(t)) {
			return false
		}
	}
	return true
}

func stuck(t *task) bool {
	for _, d := range t.dependencies() {
		if !t.satisfied(d) && (d.state.final() || d.state == statePending && d.reason == reasonBlocked && stuck(d)) {
			return true
		}
	}
	return false
}
