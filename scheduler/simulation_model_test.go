package scheduler

import (
	"fmt"
	"slices"

	"loadstar/models"
)

// model is the durable state as the records tell it, kept by other code than the
// core's and held against it after each step. Where the core's own rules allow a
// record, the model asks besides what entitles it: the report, the call or the
// clock that it must come from.
type model struct {
	tasks   []modelTask // by place
	undo    []modelUndo // since the last commit
	batch   uint64
	lease   Lease // the highest given out since the last rollback
	keys    []string
	oldKeys []string // as of the last commit
	pools   []modelPool
	before  []modelPool // as of the last commit
	agents  []modelAgent
	workers []modelWorker
	touched []uint64 // places that the step under way changed
	live    []uint64 // places of tasks that may be queued; some of them are not any more
	listed  []bool   // by place: it stands in live
}

type modelTask struct {
	name       int // its number, see sim.id
	body       []byte
	spec       *models.TaskSpec
	deps       []uint64
	dependents []uint64
	ends       []outcome // of its attempts, in order
	pool       int
	agent      int
	worker     string
	lease      Lease
	attempt    int32
	retried    int32
	deaths     int32
	ended      int32 // the last attempt whose end was recorded
	state      stateCode
	reason     reasonCode
	priority   uint8
	toCancel   bool
	assigned   int64
	started    int64
	ready      int64
	wake       int64
	deadline   int64
	milli      int64
	memory     models.Bytes
	moved      int64 // when it was last moved by this core
	jumps      int   // of the clock, by then
	batch      uint64
}

type modelUndo struct {
	seq    uint64
	before modelTask
	isNew  bool
}

type modelPool struct {
	name    string
	kind    models.PoolKind
	needs   []string // its own capabilities
	max     int
	paused  bool
	fifo    bool
	caps    map[string]int // by label, or label and value; never changed in place
	ceiling int            // by the last decision; -1 is none. Not durable.
	counts  [stateCount]int
	queued  int
	waiting int
}

type modelAgent struct {
	info   models.Agent
	state  byte // of simLost, simReady, simDraining
	missed int
	beats  bool
	joined bool
	remote bool // another host's
	await  int  // ticks for which its attempts are kept until it joins
	slots  int  // tasks that it has without a worker, and its workers
	milli  int64
	memory models.Bytes
}

type modelWorker struct {
	id       string
	pool     int
	agent    int
	ready    bool
	stopping bool
	task     int64 // a place, -1 for none
}

const (
	simLost = iota
	simReady
	simDraining
)

func (m *model) reset(pools []models.PoolSpec, agents []models.Agent) {
	for i := range m.tasks {
		m.tasks[i] = modelTask{ends: m.tasks[i].ends[:0], deps: m.tasks[i].deps[:0], dependents: m.tasks[i].dependents[:0]}
	}
	*m = model{tasks: m.tasks[:0], undo: m.undo[:0], keys: m.keys[:0], oldKeys: m.oldKeys[:0], pools: m.pools[:0], agents: m.agents[:0], workers: m.workers[:0], live: m.live[:0], listed: m.listed[:0], before: m.before[:0], touched: m.touched[:0], batch: 1}
	for i := range pools {
		p := &pools[i]
		m.pools = append(m.pools, modelPool{name: p.Name, kind: p.Kind, needs: p.Capabilities, caps: p.Caps, max: p.Max, ceiling: -1})
	}
	for i := range agents {
		m.agents = append(m.agents, modelAgent{info: agents[i], remote: agents[i].ID == simRemote})
	}
	m.before = append(m.before, m.pools...)
}

// forget is a new process: what was not durable is gone.
func (m *model) forget() {
	m.workers = m.workers[:0]
	for i := range m.pools {
		m.pools[i].ceiling = -1
	}
	for i := range m.agents {
		a := &m.agents[i]
		a.state, a.missed, a.beats, a.joined, a.slots, a.await = simLost, 0, false, false, 0, 0
	}
	for i := range m.tasks {
		m.tasks[i].moved = 0
		if t := &m.tasks[i]; t.state.active() {
			m.agents[t.agent].slots++ // whatever worker it had is gone
		}
	}
}

func (m *model) poolAt(name string) int {
	for i := range m.pools {
		if m.pools[i].name == name {
			return i
		}
	}
	return -1
}

func (m *model) agentAt(id string) int {
	for i := range m.agents {
		if m.agents[i].info.ID == id {
			return i
		}
	}
	return -1
}

func (m *model) worker(id string) *modelWorker {
	for i := range m.workers {
		if m.workers[i].id == id {
			return &m.workers[i]
		}
	}
	return nil
}

func (m *model) dropWorker(id string) {
	for i := range m.workers {
		if w := &m.workers[i]; w.id == id {
			m.agents[w.agent].slots--
			if w.task >= 0 {
				m.agents[w.agent].slots++ // its task counts as a slot of the agent from now on
			}
			m.workers = slices.Delete(m.workers, i, i+1)
			return
		}
	}
}

func (m *model) at(seq uint64) *modelTask {
	if seq >= uint64(len(m.tasks)) {
		return nil
	}
	return &m.tasks[seq]
}

// change takes a task out of what is counted; put enters it again. What it was
// before is kept for a rollback.
func (m *model) change(seq uint64) *modelTask {
	t := &m.tasks[seq]
	if t.batch != m.batch {
		t.batch = m.batch
		m.undo = append(m.undo, modelUndo{seq: seq, before: *t})
	}
	m.touched = append(m.touched, seq)
	m.count(seq, t, -1)
	return t
}

func (m *model) put(seq uint64) { m.count(seq, &m.tasks[seq], +1) }

func (m *model) count(seq uint64, t *modelTask, by int) {
	p := &m.pools[t.pool]
	p.counts[t.state] += by
	switch {
	case t.state == statePending && t.reason == reasonQueued:
		p.queued += by
		if by > 0 && !m.listed[seq] {
			m.listed[seq] = true
			m.live = append(m.live, seq)
		}
	case t.state == statePending:
		p.waiting += by
	case t.state.active():
		a := &m.agents[t.agent]
		a.milli += int64(by) * t.milli
		a.memory += models.Bytes(by) * t.memory
		if w := m.worker(t.worker); w != nil && t.worker != "" {
			if w.task = -1; by > 0 {
				w.task = int64(seq) //nolint:gosec // a place
			}
		} else {
			a.slots += by
		}
	}
}

func (m *model) commit() {
	m.undo = m.undo[:0]
	m.batch++
	if n := len(m.keys); n > simKeys {
		m.keys = append(m.keys[:0], m.keys[n-simKeys:]...)
	}
	m.oldKeys = append(m.oldKeys[:0], m.keys...)
	m.before = append(m.before[:0], m.pools...)
}

func (m *model) rollback() {
	for i := len(m.undo) - 1; i >= 0; i-- {
		u := &m.undo[i]
		t := &m.tasks[u.seq]
		m.count(u.seq, t, -1)
		if u.isNew {
			for _, d := range t.deps {
				l := m.tasks[d].dependents
				m.tasks[d].dependents = slices.Delete(l, slices.Index(l, u.seq), slices.Index(l, u.seq)+1)
			}
			*t = modelTask{ends: t.ends[:0], deps: t.deps[:0], dependents: t.dependents[:0]}
			continue
		}
		dependents := t.dependents // those of new tasks have been taken back already
		*t = u.before
		t.dependents = dependents
		m.put(u.seq)
	}
	for len(m.tasks) > 0 && m.tasks[len(m.tasks)-1].body == nil {
		m.tasks = m.tasks[:len(m.tasks)-1]
	}
	m.undo = m.undo[:0]
	m.batch++
	m.keys = append(m.keys[:0], m.oldKeys...)
	for i := range m.pools {
		p, was := &m.pools[i], &m.before[i]
		p.max, p.paused, p.fifo, p.caps = was.max, was.paused, was.fifo, was.caps
	}
	m.lease = 0
	for i := range m.tasks {
		m.lease = max(m.lease, m.tasks[i].lease)
	}
}

// satisfied reports whether a dependency no longer holds a task back.
func (m *model) satisfied(t *modelTask, dep uint64) bool {
	d := m.tasks[dep].state
	return d == stateSuccess || d.final() && t.spec.OnDependencyFailure == models.DependencyRun
}

func (m *model) blocked(t *modelTask) bool {
	for _, d := range t.deps {
		if !m.satisfied(t, d) {
			return true
		}
	}
	return false
}

// wait decides what a task that is PENDING waits for.
func (m *model) wait(t *modelTask, at int64, later reasonCode) {
	t.state = statePending
	switch {
	case m.blocked(t):
		t.reason = reasonBlocked
	case t.wake > at:
		t.reason = later
	default:
		t.reason, t.ready = reasonQueued, at
	}
}

// release moves on those that waited for a task that is final now.
func (m *model) release(seq uint64, at int64) {
	for _, d := range m.tasks[seq].dependents {
		if t := &m.tasks[d]; t.state != statePending || t.reason != reasonBlocked || m.blocked(t) {
			continue
		}
		t := m.change(d)
		m.wait(t, at, reasonScheduled)
		m.put(d)
	}
}

func (t *modelTask) String() string {
	return fmt.Sprintf("task t%d (%s %s, attempt %d, lease %d, agent %d, worker %q)", t.name, t.state.model(), t.reason.model(), t.attempt, t.lease, t.agent, t.worker)
}
