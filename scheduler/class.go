package scheduler

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// shape is what waiting tasks of a pool ask of an agent: those of one shape may go
// to the same agents.
type shape struct {
	key    string
	pool   *pool
	need   route.Need
	own    int                 // how many of the capabilities the tasks ask for themselves; they come first
	open   *queue.Heap[*class] // those with tasks that are not parked, by their first task
	queued int
}

// class is the waiting tasks of a shape that count against the same caps. Where
// one of those is full the class is parked there, so that it costs those behind it
// nothing, and comes back when a place is free.
type class struct {
	*shape
	key    string
	queue  *queue.Heap[*task]
	limits []*limit // the narrowest first
	parked *limit   // nil while it is open
	held   int      // the places that it holds meanwhile: one of each limit before parked
	active int      // its tasks that agents have
	stale  bool     // a task that comes back is to be classed anew
	at     int32    // its place in shape.open, or among the parked
}

// limit is a cap as it stands for one label value.
type limit struct {
	id, name string
	most     int
	used     int // tasks that agents have, and places held
	classes  int
	waiting  []parking
}

// parking is the classes of one shape that wait for a limit.
type parking struct {
	shape   *shape
	classes *queue.Heap[*class]
}

func newClassHeap() *queue.Heap[*class] {
	return queue.New(func(k *class) *int32 { return &k.at })
}

// shapeOf finds the shape of a task's document.
func (p *pool) shapeOf(spec *models.TaskSpec) *shape {
	key := spec.AssignedTo
	capabilities := spec.Capabilities
	if len(capabilities) > 0 {
		capabilities = slices.Clone(capabilities)
		slices.Sort(capabilities)
		key += "\x00" + strings.Join(capabilities, "\x00")
	}
	need := route.Need{Agent: spec.AssignedTo, Capabilities: capabilities}
	if r := spec.Resources; r != nil && (r.CPU > 0 || r.Memory > 0) {
		need.MilliCPU, need.Memory = int64(math.Ceil(r.CPU*1000-1e-6)), r.Memory
		key += fmt.Sprintf("\xff%d\xff%d", need.MilliCPU, need.Memory) // a byte that no name has
	}
	s := p.shapes[key]
	if s == nil {
		s = &shape{key: key, pool: p, need: need, own: len(capabilities), open: newClassHeap()}
		if p.exec() { // a worker's host was chosen by the pool's capabilities, a slot's is chosen with the task's
			s.need.Capabilities = append(slices.Clone(capabilities), p.spec.Capabilities...)
		}
		p.shapes[key] = s
	}
	return s
}

// classOf finds the class of a task's shape under the caps that its labels match.
func (c *Core) classOf(s *shape, labels map[string]string) *class {
	p := s.pool
	rules := c.matching(p, labels)
	ids := make([]string, 0, 1+len(rules))
	ids = append(ids, s.key)
	for _, r := range rules {
		ids = append(ids, r.id)
	}
	key := strings.Join(ids, "\xfe") // a byte that no text has
	if k := p.classes[key]; k != nil {
		return k
	}
	k := &class{shape: s, key: key, at: queue.Absent, queue: queue.New(func(t *task) *int32 { return &t.queueAt })}
	for _, r := range rules {
		l := c.limits[r.id]
		if l == nil {
			l = &limit{id: r.id, name: r.name}
			c.limits[r.id] = l
		}
		l.most = r.most // another where the caps have just been changed
		l.classes++
		k.limits = append(k.limits, l)
	}
	p.classes[key] = k
	if len(rules) > 0 { // the task may not come into it in this step
		c.emptied = append(c.emptied, k)
	}
	return k
}

// labels are those of a task where they count: where its pool has caps, or all have.
func (c *Core) labels(t *task) map[string]string {
	if len(c.caps) == 0 && len(t.pool.caps) == 0 || !specHas(t.body, hasLabels) {
		return nil
	}
	doc := t.document()
	return doc.Labels
}

// reclass finds a task's class anew. The task must be detached.
func (c *Core) reclass(t *task) {
	t.class = c.classOf(t.class.shape, c.labels(t))
}

// settle puts a class where its first task belongs after that has changed, and
// lets another come forward for what it may have left free.
func (k *class) settle() {
	switch _, key, ok := k.queue.Peek(); {
	case !ok && k.parked != nil:
		k.leave()
	case !ok:
		k.open.Remove(k)
	case k.parked != nil:
		k.parked.of(k.shape).Push(k, key)
	default:
		k.open.Push(k, key)
	}
	for _, l := range k.limits {
		l.pull(k.shape)
	}
}

// full is the place among its limits of the first that has no place left; -1 where all have.
func (k *class) full() int {
	for i, l := range k.limits {
		if l.used >= l.most {
			return i
		}
	}
	return -1
}

// holding is the limit that keeps a waiting class back, nil where none does.
func (k *class) holding() *limit {
	if k.parked != nil {
		return k.parked
	}
	if i := k.full(); i >= 0 {
		return k.limits[i]
	}
	return nil
}

// why says in words what a limit does.
func (l *limit) why() string {
	return fmt.Sprintf("waits for a place under the cap of %s: %d of %d are taken", l.name, l.used, l.most)
}

// runnable is how many of a pool's waiting tasks could run at once as far as caps go.
func (c *Core) runnable(p *pool) int {
	if len(p.caps) == 0 && len(c.caps) == 0 {
		return p.queued
	}
	n := 0
	for _, k := range p.classes {
		room := k.queue.Len()
		for _, l := range k.limits {
			room = min(room, max(0, l.most-l.used))
		}
		n += room
	}
	return n
}

// park sets an open class aside until the limit at a place has room. With hold it
// keeps a place of each narrower one, so that a task under several caps cannot be
// overtaken for ever by those under one. Since everybody takes the narrower first,
// nobody can wait in a circle.
func (k *class) park(at int, hold bool) {
	_, key, _ := k.queue.Peek()
	k.open.Remove(k)
	k.parked = k.limits[at]
	k.parked.of(k.shape).Push(k, key)
	if hold {
		k.held = at
	}
	for _, l := range k.limits[:k.held] {
		l.used++
	}
	for _, l := range k.limits { // it may have been the one that came forward there
		if l != k.parked {
			l.pull(k.shape)
		}
	}
}

// leave takes a parked class away from its limit and gives back what it holds.
func (k *class) leave() {
	l := k.parked
	k.parked = nil
	l.of(k.shape).Remove(k)
	l.waiting = slices.DeleteFunc(l.waiting, func(p parking) bool { return p.classes.Len() == 0 })
	held := k.held
	k.held = 0
	for _, h := range k.limits[:held] {
		h.used--
		h.freed()
	}
}

// of is where the classes of a shape wait for the limit.
func (l *limit) of(s *shape) *queue.Heap[*class] {
	for i := range l.waiting {
		if l.waiting[i].shape == s {
			return l.waiting[i].classes
		}
	}
	h := newClassHeap()
	l.waiting = append(l.waiting, parking{s, h})
	return h
}

// pull lets the first of a shape's classes that wait for the limit come forward
// where it has room. While it has, the first of all is always open.
func (l *limit) pull(s *shape) {
	if l.used >= l.most || len(l.waiting) == 0 {
		return
	}
	for i := range l.waiting {
		if l.waiting[i].shape != s {
			continue
		}
		if k, key, ok := l.waiting[i].classes.Peek(); ok {
			k.leave()
			k.open.Push(k, key)
			s.pool.dirty = true
		}
		return
	}
}

// freed tells those that wait that a place is free.
func (l *limit) freed() {
	for i := len(l.waiting) - 1; i >= 0; i-- {
		if i < len(l.waiting) {
			l.pull(l.waiting[i].shape)
		}
	}
}

// count enters a task with the limits of its class; sign is 1 where an agent has
// got it, -1 where it has no longer.
func (k *class) count(sign int) {
	k.active += sign
	for _, l := range k.limits {
		if l.used += sign; sign < 0 {
			l.freed()
		}
	}
}

// sweep forgets the classes under caps that have run empty, and the limits that
// nobody is under any more: there may be as many as there are label values.
func (c *Core) sweep() {
	for _, k := range c.emptied {
		if k.stale || k.active > 0 || k.queue.Len() > 0 {
			continue
		}
		k.stale = true
		delete(k.pool.classes, k.key)
		c.unlimit(k)
	}
	clear(c.emptied)
	c.emptied = c.emptied[:0]
}

// unlimit takes a class off its limits.
func (c *Core) unlimit(k *class) {
	for _, l := range k.limits {
		if l.classes--; l.classes == 0 {
			delete(c.limits, l.id)
		}
	}
}

// regroup classes a pool's tasks anew after the caps have changed. Those that are
// neither queued nor with an agent are classed when they come back. O(n log n).
func (c *Core) regroup(p *pool) {
	var waiting, active []*task
	for _, a := range c.agents {
		for _, t := range a.tasks {
			if t.pool == p {
				t.class.count(-1)
				active = append(active, t)
			}
		}
	}
	classes := slices.SortedFunc(maps.Values(p.classes), func(a, b *class) int { return strings.Compare(a.key, b.key) })
	for _, k := range classes {
		if k.parked != nil {
			k.leave()
		}
		for t := range k.queue.All() {
			waiting = append(waiting, t)
		}
		k.stale = true
		c.unlimit(k)
	}
	p.classes, p.live = map[string]*class{}, nil
	for _, s := range p.shapes {
		s.open, s.queued = newClassHeap(), 0
	}
	for _, t := range active {
		c.reclass(t)
		t.class.count(1)
	}
	var filled []*class
	for _, t := range waiting {
		t.queueAt = queue.Absent
		c.reclass(t)
		k := t.class
		if k.queue.Len() == 0 {
			filled = append(filled, k)
		}
		if k.queued++; k.queued == 1 {
			p.live = append(p.live, k.shape)
		}
		k.queue.Push(t, p.key(t, c.cfg.AgeEvery))
	}
	for _, k := range filled {
		k.settle()
	}
	p.dirty = true
}
