package scheduler

import (
	"encoding/binary"
	"fmt"

	"loadstar/models"
)

// A finished task may leave memory for the archive. What stays of it is its place
// in the order of submission, its state, and a shelved: some forty bytes in all.
//
//	in memory --- archived, durably; then recForgotten ---> on the shelf
//	on the shelf --- retried: read back, recRecalled -----> in memory
//	on the shelf --- past the archive's bounds, recExpired -> gone: counted alone
//
// So a crash between the archive's append and the record leaves an entry that
// nobody names, and the task in memory: nothing is lost, nothing is there twice.
// What ended FAILED or CANCELLED and has dependencies or dependents stays in memory,
// so that it can be retried with those.

// shelved is what is kept of an archived task. A frame of 0 is none.
type shelved struct {
	hash  uint64 // of its id
	body  uint32 // of its document, a part of the hash
	frame uint32 // in the archive
	item  uint16 // in the frame
	pool  uint16 // in Core.numbered
}

// shelf has them by place, in pages, so that places in use cost nothing.
type shelf struct {
	pages [][]shelved
	used  int
}

const shelfPage = 1 << 10

func (s *shelf) get(seq uint64) *shelved {
	if p := seq / shelfPage; p < uint64(len(s.pages)) && s.pages[p] != nil {
		if e := &s.pages[p][seq%shelfPage]; e.frame != 0 {
			return e
		}
	}
	return nil
}

func (s *shelf) put(seq uint64, e shelved) {
	p := seq / shelfPage
	for uint64(len(s.pages)) <= p {
		s.pages = append(s.pages, nil)
	}
	if s.pages[p] == nil {
		s.pages[p] = make([]shelved, shelfPage)
	}
	s.pages[p][seq%shelfPage] = e
	s.used++
}

func (s *shelf) remove(seq uint64) {
	if e := s.get(seq); e != nil {
		*e = shelved{}
		s.used--
	}
}

// each visits the shelf in order of submission until visit says false.
func (s *shelf) each(visit func(seq uint64, e *shelved) bool) {
	for p, page := range s.pages {
		for i := range page {
			if page[i].frame != 0 && !visit(uint64(p*shelfPage+i), &page[i]) { //nolint:gosec // not negative
				return
			}
		}
	}
}

// shelvedTask is the place of an id whose task is archived.
func (c *Core) shelvedTask(id string) (seq uint64, e *shelved) {
	if c.shelf.used == 0 {
		return 0, nil
	}
	hash := hashID(id)
	seq, ok := c.ids.find(hash, func(seq uint64) bool {
		e := c.shelf.get(seq)
		return e != nil && e.hash == hash
	})
	if !ok {
		return 0, nil
	}
	return seq, c.shelf.get(seq)
}

// knows reports whether there is a task of an id, archived or not.
func (c *Core) knows(id string) bool {
	if c.find(id) != nil {
		return true
	}
	_, e := c.shelvedTask(id)
	return e != nil
}

// placeOf is the place of a task that is known.
func (c *Core) placeOf(id string) uint64 {
	if t := c.find(id); t != nil {
		return t.seq
	}
	seq, _ := c.shelvedTask(id)
	return seq
}

// submitted reports whether a task of an id is there, and whether it has the same
// document. Of an archived one a part of a hash is compared.
func (c *Core) submitted(id string, body []byte) (there, same bool) {
	if t := c.find(id); t != nil {
		return true, t.body == string(body)
	}
	if _, e := c.shelvedTask(id); e != nil {
		return true, e.body == hashBody(string(body))
	}
	return false, false
}

// archivable reports whether a task may leave memory.
func (t *task) archivable() bool {
	if t.shards != nil || t.part != nil { // they are shown and retried together
		return false
	}
	return t.state == stateSuccess || t.state.final() && len(t.dependencies()) == 0 && len(t.dependents()) == 0
}

// Archived are tasks that stand in the archive, durably.
type Archived struct {
	Frame uint64 // where
	Items []archivedItem
}

// archivedItem is a task as it was when it was written there. It still is where
// nothing was changed since.
type archivedItem struct {
	seq      uint64
	finished int64
	attempt  int32
}

// forget lets go of tasks that are in the archive.
func (c *Core) forget(a *Archived) {
	body := binary.AppendUvarint(nil, a.Frame)
	n := 0
	for i, item := range a.Items {
		t := c.bySeq(item.seq)
		if t == nil || !t.archivable() || t.finished != item.finished || t.attempt != item.attempt {
			continue
		}
		body = binary.AppendUvarint(binary.AppendUvarint(body, item.seq), uint64(i)) //nolint:gosec // not negative
		n++
	}
	if n > 0 {
		c.emit(Record{Kind: recForgotten, Body: body})
	}
}

func (c *Core) applyForgotten(r *Record) error {
	d := decoder{b: r.Body}
	frame := d.uvarint()
	if d.err != nil || frame == 0 || frame > 1<<32-1 {
		return fmt.Errorf("%w: a place in the archive", errRecord)
	}
	for check := (decoder{b: d.b}); len(check.b) > 0; {
		seq, item := check.uvarint(), check.uvarint()
		if t := c.bySeq(seq); check.err != nil || t == nil || !t.archivable() || item > 1<<16-1 {
			return fmt.Errorf("%w: task %d is archived, but it is not final", errRecord, seq)
		}
	}
	for len(d.b) > 0 {
		seq, item := d.uvarint(), d.uvarint()
		t := c.tasks[seq]
		c.touch(t)
		hash := hashID(t.id)
		c.shelf.put(seq, shelved{hash: hash, body: hashBody(t.body), frame: uint32(frame), item: uint16(item), pool: t.pool.number}) //nolint:gosec // checked above
		c.tasks[seq] = nil
		c.ghost(t)
	}
	return nil
}

func hashBody(body string) uint32 { return uint32(hashID(body) >> 32) } //nolint:gosec // the upper half

// ghost makes of an archived task what its neighbours see of it: its id and its
// state. One has no pool.
func (c *Core) ghost(t *task) {
	ghost := task{
		id: t.id, seq: t.seq, state: t.state, tries: c.notTried, touched: t.touched,
		queueAt: t.queueAt, timerAt: t.timerAt, activeAt: t.activeAt,
	}
	if n := t.dependents(); len(n) > 0 {
		ghost.links = &links{dependents: n}
	}
	*t = ghost
}

// neighbour is a task that another names: in memory, or what is to be seen of one
// that is archived.
func (c *Core) neighbour(id string) *task {
	if t := c.find(id); t != nil {
		return t
	}
	seq, e := c.shelvedTask(id)
	if e == nil {
		return nil
	}
	if g := c.ghosts[seq]; g != nil {
		return g
	}
	g := &task{id: id, seq: seq, state: c.states[seq], tries: c.notTried, queueAt: -1, timerAt: -1, activeAt: -1}
	if g.state != stateSuccess { // it may come back
		c.ghosts[seq] = g
	}
	return g
}

// recalled is an archived task as it was read back.
type recalled struct {
	seq   uint64
	base  int64
	image []byte
}

// bringBack brings tasks back from the archive.
func (c *Core) bringBack(back []recalled) {
	for i := range back {
		if c.shelf.get(back[i].seq) != nil {
			c.emit(Record{Kind: recRecalled, At: back[i].base, Seq: back[i].seq, Body: back[i].image})
		}
	}
}

func (c *Core) applyRecalled(r *Record) error {
	e := c.shelf.get(r.Seq)
	if e == nil {
		return fmt.Errorf("%w: task %d is not archived", errRecord, r.Seq)
	}
	t, spec, err := readImage(r, c.notTried, nil)
	if err != nil {
		return err
	}
	if hashID(t.id) != e.hash || t.state != c.states[r.Seq] || len(spec.Dependencies) > 0 {
		return fmt.Errorf("%w: the image of task %q is not that of task %d", errRecord, t.id, r.Seq)
	}
	if g := c.ghosts[r.Seq]; g != nil { // those that wait for it see it come back
		t.links = g.links
		*g = *t
		t = g
	}
	if !c.replaying {
		t.touched = c.undo.batch
		c.undo.tasks = append(c.undo.tasks, undoTask{t: t, before: *t, shelved: *e})
	}
	c.adopt(t)
	c.classify(t, spec)
	t.pool.counts[t.state]-- // attach counts it again
	c.shelf.remove(r.Seq)
	delete(c.ghosts, r.Seq)
	c.tasks[r.Seq] = t
	c.attach(t)
	return nil
}

// unshelve takes back, for Rollback, that a task was forgotten or recalled; done
// says that this was it.
func (c *Core) unshelve(e *undoTask) (done bool) {
	seq := e.before.seq
	switch {
	case e.shelved.frame != 0: // it was recalled
		c.detach(e.t)
		e.t.state = e.before.state
		e.t.pool.counts[e.t.state]++
		c.states[seq] = e.t.state
		c.tasks[seq] = nil
		c.shelf.put(seq, e.shelved)
		ghosted := len(e.t.dependents()) > 0
		c.ghost(e.t)
		if ghosted {
			c.ghosts[seq] = e.t
		}
		return true
	case !e.isNew && e.t.pool == nil: // it was forgotten
		*e.t = e.before
		if c.shelf.get(seq) == nil { // and expired at once
			e.t.pool.counts[e.t.state]++
			e.t.pool.gone[e.t.state]--
			c.enter(e.t)
		}
		c.tasks[seq] = e.t
		c.shelf.remove(seq)
		c.finals = append(c.finals, seq)
		return true
	}
	return false
}

// expire lets go of what the archive has forgotten: all before a frame of it.
func (c *Core) expire(first uint64) {
	any := false
	c.shelf.each(func(_ uint64, e *shelved) bool {
		any = uint64(e.frame) < first
		return !any
	})
	if any {
		c.emit(Record{Kind: recExpired, Body: binary.AppendUvarint(nil, first)})
	}
}

// applyExpired is not taken back by Rollback: it follows the archive, which cannot
// be taken back either. Where its record was not written, it is the first to be
// written once that is possible, so that an id is free in the journal too before it
// is used again.
func (c *Core) applyExpired(r *Record) error {
	d := decoder{b: r.Body}
	first := d.uvarint()
	if d.err != nil {
		return d.err
	}
	c.shelf.each(func(seq uint64, e *shelved) bool {
		if uint64(e.frame) >= first {
			return true
		}
		if g := c.ghosts[seq]; g != nil {
			for _, d := range g.dependents() {
				if d.state == statePending { // it waits for this one's retry
					return true
				}
			}
			delete(c.ghosts, seq)
		}
		p := c.numbered[e.pool]
		p.counts[c.states[seq]]--
		p.gone[c.states[seq]]++
		c.ids.remove(e.hash, seq)
		c.shelf.remove(seq)
		return true
	})
	c.undo.expired = first
	kept := c.keyList[:0]
	for _, k := range c.keyList { // a key of what is gone is forgotten with it
		if c.keyStands(c.keys[k]) {
			kept = append(kept, k)
			continue
		}
		delete(c.keys, k)
	}
	c.keyList = kept
	return nil
}

// shelfChunk is how many tasks stand in one record of a snapshot.
const shelfChunk = 8 << 10

// shelfRecords are the records that hold the shelf in a snapshot, by pool: its
// gone tasks by state, then seq, hash, body, frame, item and state of each.
func (c *Core) shelfRecords(add func(r *Record)) {
	bodies := make([][]byte, len(c.numbered))
	counts := make([]int, len(c.numbered))
	for i, p := range c.numbered {
		if p.gone != [stateCount]int{} {
			bodies[i] = appendGone(nil, p.gone)
		}
	}
	flush := func(i int) {
		add(&Record{Kind: recShelf, Text: c.numbered[i].spec.Name, Body: bodies[i]})
		bodies[i], counts[i] = nil, 0
	}
	c.shelf.each(func(seq uint64, e *shelved) bool {
		i := int(e.pool)
		b := bodies[i]
		if b == nil {
			b = appendGone(nil, [stateCount]int{})
		}
		b = binary.AppendUvarint(b, seq)
		b = binary.LittleEndian.AppendUint64(b, e.hash)
		b = binary.LittleEndian.AppendUint32(b, e.body)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(e.frame)), uint64(e.item))
		bodies[i] = append(b, byte(c.states[seq]))
		if counts[i]++; counts[i] == shelfChunk {
			flush(i)
		}
		return true
	})
	for i := range bodies {
		if bodies[i] != nil {
			flush(i)
		}
	}
}

func appendGone(b []byte, gone [stateCount]int) []byte {
	for _, n := range gone {
		b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // not negative
	}
	return b
}

func (c *Core) applyShelf(r *Record) error {
	p := c.pools[r.Text]
	if p == nil {
		p = c.addPool(models.PoolSpec{Name: r.Text, Max: 1}.WithDefaults())
	}
	d := decoder{b: r.Body}
	for s := range p.gone {
		p.gone[s] += int(d.uvarint() & (1<<62 - 1)) //nolint:gosec // masked
	}
	for d.err == nil && len(d.b) > 0 {
		seq := d.uvarint()
		var e shelved
		if raw := d.take(12); raw != nil {
			e.hash, e.body = binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint32(raw[8:])
		}
		frame, item := d.uvarint(), d.uvarint()
		state := d.state()
		if d.err != nil {
			break
		}
		if seq >= c.nextSeq || c.tasks[seq] != nil || c.shelf.get(seq) != nil || !state.final() || frame == 0 || frame > 1<<32-1 || item > 1<<16-1 {
			return fmt.Errorf("%w: archived task %d does not fit", errRecord, seq)
		}
		e.frame, e.item, e.pool = uint32(frame), uint16(item), p.number
		c.shelf.put(seq, e)
		c.states[seq] = state
		p.counts[state]++
		c.ids.put(e.hash, seq)
	}
	return d.err
}
