package scheduler

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/shard"
)

// A task with items is a parent: it is never given to an agent itself. While it is
// queued or runs, shards are cut from its items, each a task of its own:
//
//	parent   PENDING ──► ASSIGNED ──► RUNNING ──► SUCCESS    all items done, or no more shards
//	            │  begun: an  │ started: a  │                failed than max_failures
//	            │  agent has  │ shard has   ├──► FAILED      more than that: the rest is cancelled
//	            │  a shard    │ begun       └──► CANCELLED   by request, and its shards with it
//	shards      cut ──► as any task
//
// Only a few shards wait at a time (see feed); the items that are left stay with the
// parent, so that the next shard is as large as the last measurements say. A parent
// that goes round again keeps its shards: those that did not succeed go round too,
// as few at a time, and then the cutting goes on.

// sharding is what a parent knows of its shards.
type sharding struct {
	spec *models.TaskSpec // the parent's document
	cut  cutting

	// Found again from the tasks.
	kids    []*task // shards that did not succeed, in any order
	again   []*task // of them, those that are to go round again, with some that have
	waiting int     // of them, those that are PENDING
	ending  bool    // its shards are being cancelled
}

// cutting is durable: it changes in apply only, and is restored by Rollback.
type cutting struct {
	rest    models.Items // in no shard yet
	number  int          // of the last shard
	shards  int          // cut so far
	done    tally        // SUCCESS
	bad     tally        // FAILED or CANCELLED since the parent began its present attempt
	redo    tally        // FAILED or CANCELLED before that: they are to go round again
	before  int          // items done when the present attempt began
	measure shard.Measure
}

type tally struct{ shards, items int }

func (t *tally) add(items, by int) { t.shards, t.items = t.shards+by, t.items+by*items }

// part ties a shard to its parent.
type part struct {
	parent *task
	items  int
	round  int32 // durable: the parent's attempt when it was cut, sent round or ended
	at     int32 // its place among the parent's kids
}

func newSharding(spec *models.TaskSpec) *sharding {
	s := *spec
	return &sharding{spec: &s, cut: cutting{rest: *spec.Items}}
}

// live is how many shards are not final.
func (s *sharding) live() int {
	return s.cut.shards - s.cut.done.shards - s.cut.bad.shards - s.cut.redo.shards
}

// more reports whether there is something that a shard could be made of.
func (t *task) more() bool {
	s := t.shards
	return !t.toCancel && s.cut.bad.shards <= s.spec.MaxFailures && (s.cut.rest.Len() > 0 || s.cut.redo.shards > 0)
}

// goes reports whether a parent's shards may go on.
func (t *task) goes() bool {
	return t.state.active() || t.state == statePending && t.reason == reasonQueued
}

// attachShards is what attach does beside for parents and shards; by is 1, or -1 for detach.
func (c *Core) attachShards(t *task, by int) {
	p := t.pool
	if t.shards != nil {
		p.dirty = true
		switch {
		case t.state == statePending:
			p.waiting += by
		case t.state.active():
			p.heads += by
		}
		if t.state.final() {
			return
		}
		if by > 0 {
			p.parents = append(p.parents, t)
		} else if i := slices.Index(p.parents, t); i >= 0 {
			p.parents = slices.Delete(p.parents, i, i+1)
		}
		return
	}
	if t.part == nil || t.state == stateSuccess {
		return
	}
	s := t.part.parent.shards
	if t.state == statePending {
		s.waiting += by
	}
	if by > 0 {
		t.part.at = int32(len(s.kids)) //nolint:gosec // a task has no two billion shards
		s.kids = append(s.kids, t)
		return
	}
	last := len(s.kids) - 1
	s.kids[t.part.at] = s.kids[last]
	s.kids[t.part.at].part.at = t.part.at
	s.kids[last], s.kids = nil, s.kids[:last]
	t.part.at = queue.Absent
}

// tally enters in the parent's books what a record has made of a shard, or of the
// parent itself.
func (c *Core) tally(t *task, r *Record) {
	if s := t.shards; s != nil {
		if r.Kind == recRetried {
			s.cut.redo.shards += s.cut.bad.shards
			s.cut.redo.items += s.cut.bad.items
			s.cut.bad, s.cut.before = tally{}, s.cut.done.items
		}
		return
	}
	if t.part == nil || !t.state.final() && r.Kind != recRetried {
		return
	}
	p := t.part.parent
	c.touch(p)
	cut := &p.shards.cut
	switch {
	case r.Kind == recRetried && t.part.round == p.attempt:
		cut.bad.add(t.part.items, -1)
	case r.Kind == recRetried:
		cut.redo.add(t.part.items, -1)
	case t.state == stateSuccess:
		cut.done.add(t.part.items, 1)
		if t.last.started != 0 {
			cut.measure.Add(t.part.items, time.Duration(t.last.started-t.last.assigned), time.Duration(t.last.finished-t.last.started))
		}
	default:
		cut.bad.add(t.part.items, 1)
	}
	t.part.round = p.attempt
}

// applyBegun makes a parent ASSIGNED: an agent has a shard of it.
func (c *Core) applyBegun(t *task, r *Record) {
	if t.last.number > 0 {
		t.past = append(t.past, t.last)
	}
	t.last = attempt{number: t.attempt, assigned: r.At}
	t.state, t.reason = stateAssigned, reasonNone
}

func cutBody(parent *task, number, items int) []byte {
	b := binary.AppendUvarint(nil, parent.seq)
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(number)), uint64(items)) //nolint:gosec // not negative
}

// applyCut makes a shard of the first items that are left.
func (c *Core) applyCut(r *Record) error {
	d := decoder{b: r.Body}
	p, number, items := c.bySeq(d.uvarint()), int(d.uvarint()&math.MaxInt32), int(d.uvarint()&math.MaxInt32) //nolint:gosec // masked
	if d.err != nil {
		return d.err
	}
	if p == nil || p.shards == nil || !p.goes() || number <= p.shards.cut.number || r.Seq < c.nextSeq && c.bySeq(r.Seq) != nil || r.Seq > c.nextSeq+maxSubmission {
		return fmt.Errorf("%w: a shard at %d is cut from what cannot have it", errRecord, r.Seq)
	}
	first, rest := p.shards.cut.rest.First(items)
	if first.Len() != items || items == 0 {
		return fmt.Errorf("%w: task %s has no %d items left for a shard", errRecord, p.id, items)
	}
	spec := shardSpec(p, number, first)
	body, err := appendSpec(nil, &spec)
	if err != nil || c.knows(spec.TaskID) {
		return fmt.Errorf("%w: shard %s is there already, or cannot be written: %v", errRecord, spec.TaskID, err) //nolint:errorlint // only its text matters
	}
	c.touch(p)
	t := newTask(c.notTried, r.Seq, string(body), &spec, r.At)
	t.part = &part{parent: p, items: items, round: p.attempt, at: queue.Absent}
	c.place(t, &spec)
	cut := &p.shards.cut
	cut.rest, cut.number, cut.shards = rest, number, cut.shards+1
	if !c.replaying {
		t.touched = c.undo.batch
		c.undo.tasks = append(c.undo.tasks, undoTask{t: t, isNew: true})
		if c.cfg.Steps {
			c.stepped(t, models.StepSubmitted, models.StatusSuccess, r.At, r.At)
		}
	}
	c.setQueued(t, r.At)
	t.ready = p.ready // its turn is its parent's
	c.attach(t)
	return nil
}

// shardSpec is a shard's document: its parent's, with a part of the items. What
// decides when a task may begin, its parent has waited for.
func shardSpec(p *task, number int, items models.Items) models.TaskSpec {
	spec := *p.shards.spec
	spec.TaskID = shardID(p.id, number)
	spec.Priority = models.Priority(p.priority)
	spec.Dependencies, spec.OnDependencyFailure, spec.NotBefore, spec.Deadline = nil, "", nil, nil
	spec.Items, spec.Shard, spec.MaxFailures = &items, 0, 0
	return spec
}

func shardID(parent string, number int) string { return parent + "." + strconv.Itoa(number) }

// shardOf is the parent that keeps an id for a shard of its own; nil where none does.
func (c *Core) shardOf(id string) *task {
	at := strings.LastIndexByte(id, '.')
	if at < 0 {
		return nil
	}
	if n, err := strconv.Atoi(id[at+1:]); err != nil || n < 1 {
		return nil
	}
	if p := c.find(id[:at]); p != nil && p.shards != nil {
		return p
	}
	return nil
}

// Of each parent so many shards wait at a time: as many as the pool has workers,
// within these.
const (
	fewestWaiting = 2
	mostWaiting   = 256
)

// feed cuts shards, so that a few of each parent wait, and ends the parents that
// have none left.
func (c *Core) feed(p *pool) {
	if len(p.parents) == 0 || c.draining || p.spec.Paused || !p.configured {
		return
	}
	ahead := min(max(p.spec.Max, fewestWaiting), mostWaiting)
	for _, t := range slices.Clone(p.parents) {
		for t.goes() && t.more() && t.shards.waiting < ahead {
			if !c.feedOne(t) {
				break
			}
		}
		c.settleParent(t)
	}
}

// feedOne sends one shard round again, or cuts one.
func (c *Core) feedOne(t *task) bool {
	s := t.shards
	if s.cut.redo.shards > 0 {
		next := t.nextAgain()
		if next == nil || !c.emit(Record{Kind: recRetried, Seq: next.seq}) {
			return false
		}
		c.told(next)
		return true
	}
	first, _ := s.cut.rest.First(c.grain(t))
	number := s.cut.number + 1
	for c.knows(shardID(t.id, number)) {
		number++
	}
	seq := c.nextSeq
	if !c.emit(Record{Kind: recCut, Seq: seq, Body: cutBody(t, number, first.Len())}) {
		return false
	}
	c.told(c.tasks[seq])
	return true
}

// nextAgain is the first shard of an earlier attempt that did not succeed.
func (t *task) nextAgain() *task {
	s := t.shards
	waits := func(k *task) bool { return k.state.final() && k.state != stateSuccess && k.part.round < t.attempt }
	for range 2 {
		for len(s.again) > 0 {
			if waits(s.again[0]) {
				return s.again[0]
			}
			s.again = s.again[1:]
		}
		for _, k := range s.kids {
			if waits(k) {
				s.again = append(s.again, k)
			}
		}
		slices.SortFunc(s.again, bySubmission)
	}
	return nil
}

// grain is how many items the next shard of a parent gets.
func (c *Core) grain(t *task) int {
	s := t.shards
	in := shard.Input{Size: int(s.spec.Shard), Total: s.spec.Items.Len(), Left: s.cut.rest.Len(), Workers: t.pool.spec.Max, Measure: s.cut.measure}
	switch s.spec.Shard {
	case 0:
		in.Size = 1
	case models.ShardAuto:
		in.Size = 0
	}
	return shard.Grain(in)
}

// uncut is about how many shards are still to come of a pool's parents.
func (c *Core) uncut(p *pool) int {
	n := 0
	for _, t := range p.parents {
		if t.goes() && t.more() {
			n += t.shards.cut.redo.shards
			if g := c.grain(t); g > 0 {
				n += (t.shards.cut.rest.Len() + g - 1) / g
			}
		}
	}
	return min(n, 1_000_000)
}

// parentBegins follows a shard that an agent was given, or that has begun there.
func (c *Core) parentBegins(t *task) {
	if t.part == nil {
		return
	}
	p := t.part.parent
	if p.state == statePending && p.reason == reasonQueued && c.emit(Record{Kind: recBegun, Seq: p.seq}) {
		c.told(p)
	}
	if p.state == stateAssigned && t.state == stateRunning && c.emit(Record{Kind: recStarted, Seq: p.seq, At: max(p.last.assigned, t.last.started)}) {
		c.told(p)
	}
}

// shardEnded follows a shard to its end: too many that failed take the others along.
func (c *Core) shardEnded(t *task) {
	p := t.part.parent
	if p.state.final() || p.shards.ending {
		return
	}
	if p.shards.cut.bad.shards > p.shards.spec.MaxFailures && !p.toCancel {
		c.stopShards(p, fmt.Sprintf("shard %s ended %s", t.id, t.state.model()))
	}
	c.settleParent(p)
}

// stopShards cancels a parent's shards that are not final.
func (c *Core) stopShards(p *task, why string) {
	s := p.shards
	if s.live() == 0 || s.ending {
		return
	}
	s.ending = true
	kids := slices.Clone(s.kids)
	slices.SortFunc(kids, bySubmission)
	for _, k := range kids {
		switch {
		case k.state == statePending:
			c.conclude(k, stateCancelled, why)
		case k.state.active() && (k.toCancel || c.emit(Record{Kind: recCancelWanted, Seq: k.seq})):
			c.kill(k, false)
		}
	}
	s.ending = false
}

// cancelParent cancels a parent and its shards.
func (c *Core) cancelParent(t *task) {
	if t.state == statePending {
		c.conclude(t, stateCancelled, "cancelled by request")
		return
	}
	if t.toCancel || c.emit(Record{Kind: recCancelWanted, Seq: t.seq}) {
		c.stopShards(t, "cancelled by request")
		c.settleParent(t)
	}
}

// prioritizeShards gives a parent's priority to the shards that are not final.
func (c *Core) prioritizeShards(t *task, priority uint8) {
	for _, k := range slices.Clone(t.shards.kids) {
		if !k.state.final() && k.priority != priority {
			c.emit(Record{Kind: recPrioritized, Seq: k.seq, Priority: priority})
		}
	}
}

// settleParent ends a parent that has no shard left, and none to come.
func (c *Core) settleParent(t *task) {
	s := t.shards
	if !t.goes() || s.live() > 0 || t.more() || s.ending {
		return
	}
	r := Record{Kind: recEnded, Seq: t.seq, State: stateSuccess, Outcome: outcomeSuccess}
	switch {
	case t.toCancel:
		r.State, r.Outcome, r.Text = stateCancelled, outcomeCancelled, "cancelled by request"
	case s.cut.bad.shards > s.spec.MaxFailures:
		r.State, r.Outcome = stateFailed, outcomeFailed
		r.Text = c.whyFailed(t)
	}
	if t.state == statePending && !c.emit(Record{Kind: recBegun, Seq: t.seq}) {
		return
	}
	if t.state == stateAssigned && r.State != stateCancelled && !c.emit(Record{Kind: recStarted, Seq: t.seq, At: max(c.now, t.last.assigned)}) {
		return
	}
	r.At = max(c.now, t.last.assigned, t.last.started)
	if c.emit(r) {
		c.told(t)
		c.cascade(t)
	}
}

// whyFailed names the first shard that failed, and its items.
func (c *Core) whyFailed(t *task) string {
	var first *task
	failed := 0
	for _, k := range t.shards.kids {
		if k.state == stateFailed && k.part.round == t.attempt {
			if failed++; first == nil || k.finished < first.finished || k.finished == first.finished && k.seq < first.seq {
				first = k
			}
		}
	}
	cut := &t.shards.cut
	if first == nil {
		return fmt.Sprintf("%d of its shards were cancelled", cut.bad.shards)
	}
	items := first.document().Items.Texts()
	const most = 5
	more := ""
	if len(items) > most {
		more = fmt.Sprintf(" and %d more", len(items)-most)
		items = items[:most]
	}
	return fmt.Sprintf("%d of %d shards failed; the first: %s (%s%s): %s", failed, cut.shards, first.id, strings.Join(items, ", "), more, first.text)
}

// retryShards sends a successful parent's failed shards round again.
func (c *Core) retryShards(t *task) {
	kids := slices.Clone(t.shards.kids)
	slices.SortFunc(kids, bySubmission)
	for _, k := range kids {
		if k.state.final() && c.emit(Record{Kind: recRetried, Seq: k.seq}) {
			c.told(k)
			c.changed(k)
		}
	}
}

// progress is how far a parent is. failed asks for the first items that failed.
func (c *Core) progress(t *task, failed bool) *models.Progress {
	s := t.shards
	m := &models.Progress{
		Items: s.spec.Items.Len(), Done: s.cut.done.items, Failed: s.cut.bad.items, Uncut: s.cut.rest.Len(),
		Shards: s.cut.shards, ShardsDone: s.cut.done.shards, ShardsFailed: s.cut.bad.shards, Grain: c.grain(t),
	}
	if item, overhead, ok := s.cut.measure.Costs(); ok {
		item, overhead = item*1e3, overhead*1e3
		m.ItemMS, m.OverheadMS = &item, &overhead
	}
	done, took := m.Done-s.cut.before, c.now-t.last.started
	if t.state == stateRunning && done > 0 && took > 0 {
		eta := float64(m.Items-m.Done-m.Failed) * seconds(took) / float64(done)
		m.EtaS = &eta
	}
	if !failed {
		return m
	}
	kids := slices.Clone(s.kids)
	slices.SortFunc(kids, bySubmission)
	const most = 100
	for _, k := range kids {
		if k.state == stateFailed && len(m.FailedItems) < most {
			m.FailedItems = append(m.FailedItems, k.document().Items.Texts()...)
		}
	}
	m.FailedItems = m.FailedItems[:min(len(m.FailedItems), most)]
	return m
}

// explainShards tells what a parent's shards are at.
func (c *Core) explainShards(t *task, fact func(string, ...any)) {
	s := t.shards
	fact("%d of its shards wait or run, %d are done, %d failed, of which %d are put up with", s.live(), s.cut.done.shards, s.cut.bad.shards, s.spec.MaxFailures)
	if item, overhead, ok := s.cut.measure.Costs(); ok {
		fact("an item takes about %.3gs, and a shard %.3gs beside its items; the next one gets %d of the %d left", item, overhead, c.grain(t), s.cut.rest.Len())
	}
}

// appendTo writes what is durable of a parent's books; sharding reads it.
func (s *sharding) appendTo(b []byte) []byte {
	cut := &s.cut
	for _, n := range [...]int{
		s.spec.Items.Len() - cut.rest.Len(), cut.number, cut.shards, cut.done.shards, cut.done.items, cut.bad.shards, cut.bad.items,
		cut.redo.shards, cut.redo.items, cut.before, cut.measure.Most,
	} {
		b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // none is negative
	}
	m := &cut.measure
	for _, v := range [...]float64{m.Weight, m.Items, m.Squares, m.Time, m.Product, m.Gap, m.Start} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	if m.Told {
		return append(b, 1)
	}
	return append(b, 0)
}

// sharding reads a parent's books; body is its document.
func (d *decoder) sharding(body string) *sharding {
	var spec models.TaskSpec
	if err := readSpec(body, &spec); err != nil || spec.Items == nil {
		d.fail("a task with shards has no items")
		return nil
	}
	s := newSharding(&spec)
	cut := &s.cut
	gone := 0
	for _, n := range [...]*int{
		&gone, &cut.number, &cut.shards, &cut.done.shards, &cut.done.items, &cut.bad.shards, &cut.bad.items,
		&cut.redo.shards, &cut.redo.items, &cut.before, &cut.measure.Most,
	} {
		*n = int(d.uvarint() & math.MaxInt32) //nolint:gosec // masked
	}
	m := &cut.measure
	for _, v := range [...]*float64{&m.Weight, &m.Items, &m.Squares, &m.Time, &m.Product, &m.Gap, &m.Start} {
		if *v = d.float(); math.IsNaN(*v) || math.IsInf(*v, 0) {
			d.fail("a measurement of shards is not a number")
		}
	}
	m.Told = d.byte() != 0
	if gone > spec.Items.Len() {
		d.fail("%d items are cut of %d", gone, spec.Items.Len())
		return nil
	}
	cut.rest = spec.Items.Skip(gone)
	return s
}

func (d *decoder) float() float64 {
	if d.err != nil || len(d.b) < 8 {
		d.fail("it ends too early")
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.b))
	d.b = d.b[8:]
	return v
}

// part reads a shard's tie to its parent.
func (c *Core) part(d *decoder) *part {
	seq, items, round := d.uvarint(), int(d.uvarint()&math.MaxInt32), int32(d.uvarint()&math.MaxInt32) //nolint:gosec // masked
	p := c.bySeq(seq)
	if d.err == nil && (p == nil || p.shards == nil) {
		d.fail("the parent of a shard, at %d, is not there", seq)
	}
	if d.err != nil {
		return nil
	}
	return &part{parent: p, items: items, round: round, at: queue.Absent}
}
