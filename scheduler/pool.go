package scheduler

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// pool is a pool's tasks and workers.
type pool struct {
	spec       models.PoolSpec  // Min, Max, Policy, Dispatch and Paused are durable where they were changed
	patch      models.PoolPatch // the changes made to what was configured
	configured bool
	number     uint16          // in Core.numbered
	counts     [stateCount]int // archived tasks among them
	gone       [stateCount]int // those that the archive has forgotten
	heads      int             // parents that are ASSIGNED or RUNNING: no agent has them
	parents    []*task         // those that are not final
	waiting    int             // tasks blocked, scheduled or in backoff

	caps    []capRule // its own
	shapes  map[string]*shape
	classes map[string]*class
	live    []*shape // those with waiting tasks
	queued  int
	oldest  fifo
	bands   bands // the queue by priority
	wheel   route.Wheel

	shares   []share // of a slot pool, by agent
	ahead    int     // tasks that no slot is there for yet, over all agents
	stale    bool    // what was prefetched waited for too long
	recallAt int64   // when that is looked at (Unix ns); 0 is never
	askedAt  int64   // until when nothing is asked for again

	workers    []*worker // in the order in which they were started
	idle       []*worker // the longest idle first
	starting   int
	stopping   int
	want       int
	prestarted int
	crash      crash
	dirty      bool // something may move

	decision  *models.Decision
	decisions []models.Decision // the oldest first
	measure   poolMeasure
}

// crash is what a pool does about workers that go away by themselves.
type crash struct {
	count   int
	until   int64 // no worker is started before (Unix ns); 0 is none
	trouble string
}

// agentState is an agent that has joined.
type agentState struct {
	index   int
	info    models.Agent
	tasks   []*task     // what it has
	placed  []placement // how it came to have it, as tasks
	window  beats       // its load of late
	workers int
	missed  int  // ticks since it was heard
	beats   bool // it sends heartbeats
	joined  bool // since the start: before, nobody knows what it can take

	remote   bool // it is another host's
	departed bool // it went on its own account
	awaited  int  // ticks for which its attempts are kept until it joins
}

// placement is what led a task to its agent; empty where that was before a restart.
type placement struct {
	policy models.DispatchPolicy
	choice route.Choice
	bonus  route.Bonus
	crowds []*crowd // of the labels that are kept track of
}

// worker is a process of a stdio pool.
type worker struct {
	id        string
	pool      *pool
	agent     *agentState
	task      *task
	started   int64
	idleSince int64
	ready     bool
	stopping  bool
	idle      bool
}

func (c *Core) addPool(spec models.PoolSpec) *pool {
	p := &pool{spec: spec, caps: capRules(spec.Caps), shapes: map[string]*shape{}, classes: map[string]*class{}, want: spec.Min}
	p.measure.since = c.now
	c.pools[spec.Name] = p
	p.number = uint16(len(c.numbered)) //nolint:gosec // there are not so many
	c.numbered = append(c.numbered, p)
	c.poolList = append(c.poolList, p)
	slices.SortFunc(c.poolList, func(a, b *pool) int { return strings.Compare(a.spec.Name, b.spec.Name) })
	return p
}

// busy is how many tasks agents have.
func (p *pool) busy() int { return p.counts[stateAssigned] + p.counts[stateRunning] - p.heads }

// exec reports whether the core itself counts the pool's slots: nothing is started for them.
func (p *pool) exec() bool { return p.spec.Kind.Slots() }

// ready is how many workers are up and stay.
func (p *pool) ready() int { return len(p.workers) - p.starting - p.stopping }

// key is a waiting task's place in the order of the pool's dispatch policy.
func (p *pool) key(t *task, every time.Duration) queue.Key {
	if p.spec.Dispatch == models.DispatchFIFO {
		return queue.Earliest(t.ready, t.seq)
	}
	return queue.Aged(int(t.priority), t.ready, every, t.seq)
}

// setSpec changes what a pool is set to. The queue is put in another order where
// the dispatch policy asks for one, and sorted anew where the caps are others.
func (c *Core) setSpec(p *pool, spec models.PoolSpec) {
	was := p.spec
	p.spec = spec
	if !maps.Equal(was.Caps, spec.Caps) {
		p.caps = capRules(spec.Caps)
		c.regroup(p)
		return
	}
	if (was.Dispatch == models.DispatchFIFO) == (spec.Dispatch == models.DispatchFIFO) {
		return
	}
	for _, k := range p.classes {
		if k.queue.Len() > 0 {
			k.queue.Reorder(func(t *task) queue.Key { return p.key(t, c.cfg.AgeEvery) })
			k.settle()
		}
	}
}

func (p *pool) enqueue(t *task, every time.Duration) {
	k := t.class
	k.queue.Push(t, p.key(t, every))
	if k.queued++; k.queued == 1 {
		p.live = append(p.live, k.shape)
	}
	k.settle()
	p.queued++
	p.bands.of(t.priority).queued++
	p.oldest.add(t)
	if len(p.oldest.entries)+len(p.oldest.aside) > 2*p.queued+1024 {
		p.oldest.compact()
	}
}

func (p *pool) dequeue(t *task) (empty bool) {
	k := t.class
	k.queue.Remove(t)
	p.queued--
	p.bands.of(t.priority).queued--
	if k.queued--; k.queued == 0 {
		i := slices.Index(p.live, k.shape)
		p.live = slices.Delete(p.live, i, i+1)
	}
	k.settle()
	return k.queue.Len() == 0
}

// fifo finds the longest waiting task: tasks in the order in which they became
// ready, those that have left among them until they come to the front. Those that
// were taken back, and so have waited longer than the last, are kept aside.
type fifo struct {
	entries []waiting
	head    int
	aside   []waiting
}

type waiting struct {
	t     *task
	ready int64
}

func (w waiting) waits() bool { return w.t.queued() && w.t.ready == w.ready }

func (f *fifo) add(t *task) {
	if n := len(f.entries); f.head < n && f.entries[n-1].ready > t.ready {
		f.aside = append(f.aside, waiting{t, t.ready})
		return
	}
	f.entries = append(f.entries, waiting{t, t.ready})
}

// front is since when (Unix ns) the longest waiting one waits; 0 where none does.
func (f *fifo) front() int64 {
	oldest := int64(0)
	for f.head < len(f.entries) && !f.entries[f.head].waits() {
		f.entries[f.head] = waiting{}
		f.head++
	}
	if f.head < len(f.entries) {
		oldest = f.entries[f.head].ready
	} else {
		f.entries, f.head = f.entries[:0], 0
	}
	kept := f.aside[:0]
	for _, w := range f.aside {
		if w.waits() {
			kept = append(kept, w)
			if oldest == 0 || w.ready < oldest {
				oldest = w.ready
			}
		}
	}
	clear(f.aside[len(kept):])
	f.aside = kept
	return oldest
}

func (f *fifo) compact() {
	kept := f.entries[:0]
	for _, w := range f.entries[f.head:] {
		if w.waits() {
			kept = append(kept, w)
		}
	}
	clear(f.entries[len(kept):])
	f.entries, f.head = kept, 0
	f.front() // drops those aside
	if cap(kept) > 8192 && len(kept) < cap(kept)/8 {
		f.entries = slices.Clone(kept)
	}
}

// setPool changes a pool for good.
func (c *Core) setPool(call *PoolCall) error {
	p := c.pools[call.Name]
	if p == nil || !p.configured {
		return fmt.Errorf("pool %q: %w", call.Name, models.ErrNotFound)
	}
	if _, err := call.Patch.Apply(p.spec); err != nil {
		return err
	}
	body, err := json.Marshal(call.Patch)
	if err != nil {
		return fmt.Errorf("encode the change: %w", err)
	}
	c.emit(Record{Kind: recPool, Text: call.Name, Body: body})
	p.dirty = true
	if !p.exec() {
		p.want = min(max(p.want, p.spec.Min), p.spec.Max)
		c.out.Decide = append(c.out.Decide, call.Name)
	}
	c.out.Events = append(c.out.Events, models.Event{At: at(c.now), Kind: models.EventPool, Pool: call.Name, Message: "changed: " + string(body)})
	return nil
}

func (c *Core) applyPool(r *Record) error {
	var patch models.PoolPatch
	if err := json.Unmarshal(r.Body, &patch); err != nil {
		return fmt.Errorf("%w: a change of pool %s: %v", errRecord, r.Text, err) //nolint:errorlint // only its text matters
	}
	p := c.pools[r.Text]
	if p == nil {
		return nil // a pool that is no longer configured
	}
	spec, err := patch.Apply(p.spec)
	if err != nil {
		if c.replaying { // the configured bounds have changed since; they win
			return nil
		}
		return err
	}
	if !c.replaying {
		c.undo.pools = append(c.undo.pools, undoPool{p, p.spec, p.patch})
	}
	c.setSpec(p, spec)
	p.patch = patch.Over(p.patch)
	p.dirty = true
	return nil
}
