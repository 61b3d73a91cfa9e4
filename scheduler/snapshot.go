package scheduler

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"loadstar/models"
)

// A snapshot is the durable state as records: the counters, the changed pools,
// every task (each after those it depends on), the keys. It is cut into chunks
// that look like frames, numbered from 0; all but the last go on in the next.

// snapshot writes the state as chunks. nextFrame is the number of the first frame
// that it does not cover, base the time that its times count from.
func (c *Core) snapshot(nextFrame uint64, base int64) [][]byte {
	var chunks [][]byte
	var chunk []byte
	add := func(r *Record) {
		start := len(chunk)
		if start == 0 {
			chunk = appendFrameHeader(nil, uint64(len(chunks)), base, true)
			start = len(chunk)
		}
		r.At = base
		if chunk = appendRecord(chunk, r, base); len(chunk) > MaxFrame {
			rest := slices.Clone(chunk[start:])
			chunks = append(chunks, chunk[:start])
			chunk = appendFrameHeader(nil, uint64(len(chunks)), base, true)
			chunk = append(chunk, rest...)
		}
	}
	meta := binary.AppendUvarint(nil, nextFrame)
	meta = binary.AppendUvarint(meta, c.nextSeq)
	meta = binary.AppendUvarint(meta, uint64(c.lease))
	add(&Record{Kind: recMeta, Body: meta})
	for _, p := range c.poolList {
		if p.patch.Empty() {
			continue
		}
		if body, err := json.Marshal(p.patch); err == nil { // plain values: it cannot fail
			add(&Record{Kind: recPool, Text: p.spec.Name, Body: body})
		}
	}
	c.shelfRecords(add)
	var image []byte
	c.eachTask(func(t *task) {
		image = t.appendImage(image[:0], base)
		add(&Record{Kind: recImage, Seq: t.seq, Body: image})
	})
	for _, k := range c.keyList {
		used := c.keys[k]
		body := used.hash[:]
		for _, run := range used.runs {
			body = binary.AppendUvarint(binary.AppendUvarint(body, run.first), run.count)
		}
		add(&Record{Kind: recKey, Text: k, Body: body})
	}
	chunk[1] &^= flagContinues
	return append(chunks, chunk)
}

// eachTask visits every task after those it depends on, and else in order of submission.
func (c *Core) eachTask(visit func(*task)) {
	seen := make([]bool, len(c.tasks))
	type step struct {
		t    *task
		next int
	}
	var path []step
	for _, t := range c.tasks {
		if t == nil || seen[t.seq] {
			continue
		}
		seen[t.seq] = true
		for path = append(path[:0], step{t: t}); len(path) > 0; {
			top := &path[len(path)-1]
			if d := top.t.dependencies(); top.next < len(d) {
				n := d[top.next]
				top.next++
				if n.pool != nil && !seen[n.seq] {
					seen[n.seq] = true
					path = append(path, step{t: n})
				}
				continue
			}
			visit(top.t)
			path = path[:len(path)-1]
		}
	}
}

// maxAsk is what an ask of a damaged image is cut to.
const maxAsk = 1<<51 - 1

const (
	imageArrived = 1 << iota
	imageToCancel
	imageLast
	imageAsks
	imageParent
	imagePart
)

// appendImage writes everything durable of a task; applyImage reads it. Beside
// the document stands what of it is needed while the task waits, so that a start
// need not parse a million documents.
func (t *task) appendImage(b []byte, base int64) []byte {
	b = appendText(b, t.body)
	b = appendText(appendText(appendText(b, t.id), t.pool.spec.Name), t.class.need.Agent)
	b = binary.AppendUvarint(b, uint64(t.class.own))
	for _, c := range t.class.need.Capabilities[:t.class.own] {
		b = appendText(b, c)
	}
	waits := t.dependencies()
	if slices.ContainsFunc(waits, t.settled) {
		waits = slices.DeleteFunc(slices.Clone(waits), t.settled)
	}
	b = binary.AppendUvarint(b, uint64(len(waits)))
	for _, d := range waits {
		b = appendText(b, d.id)
	}
	b = binary.AppendUvarint(append(b, byte(t.rule)), uint64(t.retries)) //nolint:gosec // not negative
	b = appendTime(b, t.deadline, base)
	flags := byte(0)
	if t.arrived {
		flags |= imageArrived
	}
	if t.toCancel {
		flags |= imageToCancel
	}
	if t.last.number > 0 {
		flags |= imageLast
	}
	if t.class.need.Asks() {
		flags |= imageAsks
	}
	if t.shards != nil {
		flags |= imageParent
	}
	if t.part != nil {
		flags |= imagePart
	}
	b = append(b, byte(t.state), byte(t.reason), t.priority, flags)
	if t.class.need.Asks() {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(t.class.need.MilliCPU)), uint64(t.class.need.Memory)) //nolint:gosec // not negative
	}
	for _, ns := range [...]int64{t.submitted, t.ready, t.wake, t.finished} {
		b = appendTime(b, ns, base)
	}
	for _, n := range [...]uint64{uint64(t.lease), uint64(t.attempt), uint64(t.retried), uint64(t.deaths), uint64(len(t.past))} { //nolint:gosec // none is negative
		b = binary.AppendUvarint(b, n)
	}
	b = appendText(b, t.text)
	for i := range t.past {
		b = t.past[i].appendTo(b, base)
	}
	if t.last.number > 0 {
		b = t.last.appendTo(b, base)
	}
	if t.shards != nil {
		b = t.shards.appendTo(b)
	}
	if t.part != nil {
		b = binary.AppendUvarint(b, t.part.parent.seq)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(t.part.items)), uint64(t.part.round)) //nolint:gosec // neither is negative
	}
	return b
}

// settled reports whether a dependency can hold t back no more: it is archived, and
// may be gone from there by the time that the image is read.
func (t *task) settled(dependency *task) bool {
	return dependency.pool == nil && t.satisfied(dependency) && (dependency.state == stateSuccess || t.state.final())
}

// appendTime writes a time that may be 0 (none).
func appendTime(b []byte, ns, base int64) []byte {
	if ns == 0 {
		return append(b, 0)
	}
	return binary.AppendVarint(append(b, 1), ns-base)
}

func (d *decoder) time(base int64) int64 {
	if d.byte() == 0 {
		return 0
	}
	return base + d.varint()
}

func (a *attempt) appendTo(b []byte, base int64) []byte {
	b = binary.AppendUvarint(b, uint64(a.number)) //nolint:gosec // not negative
	flags := byte(0)
	if a.hasExit {
		flags |= flagHasExit
	}
	b = append(b, flags, byte(a.outcome))
	b = binary.AppendVarint(b, int64(a.exit))
	b = appendText(appendText(appendText(b, a.agent), a.worker), a.text)
	for _, ns := range [...]int64{a.assigned, a.started, a.finished} {
		b = appendTime(b, ns, base)
	}
	return b
}

// texts reads a list; a damaged length cannot ask for more than there is.
func (d *decoder) texts() []string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("%d texts are missing", n)
	}
	var out []string
	for ; n > 0 && d.err == nil; n-- {
		out = append(out, d.text())
	}
	return out
}

func (d *decoder) attempt(base int64) attempt {
	a := attempt{number: int32(d.uvarint() & 0x7fffffff)} //nolint:gosec // masked
	a.hasExit = d.byte()&flagHasExit != 0
	a.outcome = d.outcome()
	a.exit = int32(d.varint()) //nolint:gosec // written from an int32
	a.agent, a.worker, a.text = d.text(), d.text(), d.text()
	a.assigned, a.started, a.finished = d.time(base), d.time(base), d.time(base)
	return a
}

func (c *Core) applyImage(r *Record) error {
	t, spec, err := readImage(r, c.notTried, c.part)
	switch {
	case err != nil:
		return err
	case r.Seq >= c.nextSeq || c.tasks[r.Seq] != nil || c.shelf.get(r.Seq) != nil || c.neighbour(t.id) != nil:
		return fmt.Errorf("%w: the image of task %q does not fit", errRecord, t.id)
	}
	if err := c.link(t, spec.Dependencies); err != nil {
		return err
	}
	c.adopt(t)
	c.place(t, spec)
	c.lease = max(c.lease, t.lease)
	c.attach(t)
	return nil
}

// readImage makes a task of an image. It has no pool yet and is nowhere; none is
// the tries of one without; part reads to whom a shard belongs.
func readImage(r *Record, none *tries, part func(*decoder) *part) (*task, *models.TaskSpec, error) {
	d := decoder{b: r.Body}
	body, err := keptBody(d.text())
	if err != nil {
		return nil, nil, err
	}
	spec := models.TaskSpec{TaskID: d.text(), Pool: d.text(), AssignedTo: d.text(), Capabilities: d.texts(), Dependencies: d.texts()}
	t := newTask(none, r.Seq, body, &spec, 0)
	if t.rule = dependencyRule(d.byte()); t.rule > ruleWait {
		d.fail("rule %d is not known", t.rule)
	}
	t.retries = int32(d.uvarint() & 0x7fffffff) //nolint:gosec // masked
	t.deadline = d.time(r.At)
	t.state = d.state()
	if t.reason = reasonCode(d.byte()); t.reason >= reasonCount {
		d.fail("reason %d is not known", t.reason)
	}
	t.priority = d.byte()
	flags := d.byte()
	t.arrived, t.toCancel = flags&imageArrived != 0, flags&imageToCancel != 0
	if flags&imageAsks != 0 {
		spec.Resources = &models.Resources{CPU: float64(d.uvarint()&maxAsk) / 1000, Memory: models.Bytes(d.uvarint() & maxAsk)} //nolint:gosec // masked
	}
	var had tries
	for _, ns := range [...]*int64{&t.submitted, &t.ready, &t.wake, &had.finished} {
		*ns = d.time(r.At)
	}
	had.lease = Lease(d.uvarint())
	for _, n := range [...]*int32{&t.attempt, &had.retried, &had.deaths} {
		*n = int32(d.uvarint() & 0x7fffffff) //nolint:gosec // masked
	}
	past := d.uvarint()
	had.text = d.text()
	for i := uint64(0); i < past && d.err == nil; i++ {
		had.past = append(had.past, d.attempt(r.At))
	}
	if flags&imageLast != 0 {
		had.last = d.attempt(r.At)
	}
	if had.lease != 0 || had.finished != 0 || had.text != "" || had.last.number != 0 {
		own := had
		t.tries = &own
	}
	if flags&imageParent != 0 {
		t.shards = d.sharding(body)
	}
	if flags&imagePart != 0 && part == nil {
		d.fail("a shard has no parent here")
	} else if flags&imagePart != 0 {
		t.part = part(&d)
	}
	switch {
	case d.err != nil:
		return nil, nil, d.err
	case t.id == "" || t.priority > 100 || len(d.b) > 0:
		return nil, nil, fmt.Errorf("%w: the image of task %q does not fit", errRecord, t.id)
	case (t.state == statePending) != (t.reason != reasonNone) || t.state.active() && t.last.number == 0:
		return nil, nil, fmt.Errorf("%w: the image of task %q is %s and waits for %q", errRecord, t.id, t.state.model(), t.reason.model())
	}
	return t, &spec, nil
}

// keptBody is a document of a snapshot in the present form.
func keptBody(stored string) (string, error) {
	if stored == "" || stored[0] != '{' {
		return stored, nil
	}
	var s models.TaskSpec
	return storedSpec(stored, &s)
}

// adopt makes the core known to the agents and workers of a task that was read.
func (c *Core) adopt(t *task) {
	if t.tries == c.notTried {
		return
	}
	for i := range t.past {
		c.intern(&t.past[i])
	}
	c.intern(&t.last)
	c.countWorker(t.last.worker)
}

func (c *Core) intern(a *attempt) {
	if a.agent != "" {
		a.agent = c.agentName(a.agent)
	}
}

// maxTasks bounds what a damaged counter can make us allocate.
const maxTasks = 1 << 27

func (c *Core) applyMeta(r *Record) error {
	d := decoder{b: r.Body}
	frame, next, lease := d.uvarint(), d.uvarint(), Lease(d.uvarint())
	if d.err != nil {
		return d.err
	}
	if c.known() > 0 || next > maxTasks {
		return fmt.Errorf("%w: counters that do not fit", errRecord)
	}
	if next > 0 {
		c.grow(next - 1)
	}
	c.lease = lease
	c.snapshotFrame = frame
	return nil
}

// restorer takes a snapshot's chunks.
type restorer struct {
	core *Core
	next uint64
	done bool
}

func (s *restorer) chunk(data []byte) error {
	h, rest, err := splitFrame(data)
	if err != nil {
		return fmt.Errorf("snapshot chunk %d: %w", s.next, err)
	}
	if h.number != s.next || s.done {
		return fmt.Errorf("snapshot chunk %d follows where chunk %d is expected", h.number, s.next)
	}
	s.next, s.done = s.next+1, !h.continues
	var r Record
	for len(rest) > 0 {
		n, err := decodeRecord(rest, h.base, &r)
		if err == nil {
			err = s.core.Restore(&r)
		}
		if err != nil {
			return fmt.Errorf("snapshot chunk %d: %w", h.number, err)
		}
		rest = rest[n:]
	}
	return nil
}
