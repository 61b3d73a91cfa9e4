package scheduler

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"loadstar/models"
	"loadstar/scheduler/queue"
	"loadstar/scheduler/route"
)

// CoreConfig sets the rules of the core.
type CoreConfig struct {
	// AgeEvery is how long a task waits for each point that its priority is
	// raised by. Default: 30s.
	AgeEvery time.Duration
	// MaxBackoff bounds the wait before a retry. Default: 1h.
	MaxBackoff time.Duration
	// KillGrace is the time from SIGTERM to SIGKILL. Default: 5s.
	KillGrace time.Duration
	// MaxDeaths is how many of its own workers a task may take down with it
	// before it ends FAILED. Default: 3.
	MaxDeaths int
	// MissedTicks is how many ticks in a row an agent that sends heartbeats may be
	// silent before it counts as lost. Default: 8.
	MissedTicks int
	// CrashBackoff is the wait before a worker is started again after one went
	// away by itself; it doubles up to 64 times that. Default: 500ms.
	CrashBackoff time.Duration
	// KeepKeys is how many idempotency keys are remembered. Default: 10000.
	KeepKeys int
	// KeepDecisions is how many decisions of a pool are remembered. Default: 2000.
	KeepDecisions int
	// ScaleInWindow is how far back the largest need keeps a pool from shrinking.
	// Default: 5m.
	ScaleInWindow time.Duration
	// OwnAgents are the agents that live and die with this process. What any other
	// has goes on without it: see Rejoin. Default: none is another host's.
	OwnAgents []string
	// Caps hold over all pools: how many tasks with a label agents may have at once,
	// as models.CheckCaps has them. Default: none.
	Caps map[string]int
	// PrefetchWork is about how much work may wait for each slot of a pool on its
	// agent; negative is none. Default: 50ms.
	PrefetchWork time.Duration
	// Balance says when work that has not begun is moved between agents.
	Balance route.Balance
	// Steps keeps the steps that tasks go through, for telemetry. Default: off.
	Steps bool
	// Seed makes the jitter repeatable. Default: 1.
	Seed uint64
}

func (c CoreConfig) withDefaults() CoreConfig {
	setDefault(&c.AgeEvery, 30*time.Second)
	setDefault(&c.MaxBackoff, time.Hour)
	setDefault(&c.KillGrace, 5*time.Second)
	setDefault(&c.MaxDeaths, 3)
	setDefault(&c.MissedTicks, 8)
	setDefault(&c.CrashBackoff, 500*time.Millisecond)
	setDefault(&c.KeepKeys, 10_000)
	setDefault(&c.KeepDecisions, 2000)
	setDefault(&c.ScaleInWindow, 5*time.Minute)
	setDefault(&c.Seed, 1)
	setDefault(&c.PrefetchWork, 50*time.Millisecond)
	c.Balance = c.Balance.WithDefaults()
	return c
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Validate checks the rules; the error is a *models.FieldError.
func (c *CoreConfig) Validate() error {
	for name, d := range map[string]time.Duration{
		"age_every": c.AgeEvery, "max_backoff": c.MaxBackoff, "kill_grace": c.KillGrace, "crash_backoff": c.CrashBackoff,
	} {
		if d < 0 {
			return models.Invalid(name, "%s is negative", d)
		}
	}
	for name, n := range map[string]int{
		"max_deaths": c.MaxDeaths, "missed_ticks": c.MissedTicks, "keep_keys": c.KeepKeys, "keep_decisions": c.KeepDecisions,
	} {
		if n < 0 {
			return models.Invalid(name, "%d is negative", n)
		}
	}
	if err := c.Balance.Validate(); err != nil {
		return err
	}
	return models.CheckCaps("caps", c.Caps)
}

// Core is the scheduler as a state machine. It starts no goroutine, reads no
// clock and touches no file: Step takes the time and what happened, and says what
// to write down and what to do. Equal histories give equal results. It is for one
// goroutine.
//
// Step changes the durable state through records alone, and shows those changes
// at once; they hold when Commit is called, after the records are on disk.
// Rollback takes back everything durable since the last Commit.
type Core struct {
	cfg CoreConfig
	rng *rand.Rand
	// draw is rng.IntN, kept because making it anew for each choice would cost more
	// than the choice.
	draw func(n int) int

	// Durable, by apply alone.
	tasks   []*task // by seq - first
	states  []stateCode
	ids     idIndex
	nextSeq uint64
	lease   Lease
	keys    map[string]usedKey
	keyList []string
	shelf   shelf

	numbered    []*pool          // by number
	expired     uint64           // an expiry whose record could not be written
	ghosts      map[uint64]*task // of archived tasks that may come back, by place
	keepsFinals bool             // somebody archives
	finals      []uint64         // places of finished tasks, the first to finish first

	scratch  models.TaskSpec // the document that a record was read from last
	notTried *tries          // of every task that nothing came of yet; it is never changed

	// Found again from it, or gone with the process.
	pools    map[string]*pool
	poolList []*pool // by name
	timers   *queue.Heap[*task]
	agents   []*agentState // in the order in which they joined
	agentIDs map[string]*agentState
	cands    []route.Candidate // as agents
	only     []bool            // scratch, as agents
	caps     []capRule         // of all pools
	limits   map[string]*limit // those that tasks are under, by id
	trail    trail
	crowds   map[string]*crowd // by kind
	moves    map[uint64]*move  // tasks that were taken from an agent lately, by place
	balanced int64             // when the last round was
	emptied  []*class          // may be forgotten at the end of the step
	workers  map[string]*worker
	workerNo int
	draining bool
	cutting  bool // the drain's time is up: what is killed goes back into the queue
	measure  measure
	refused  uint64 // stale reports

	lateResults uint64 // of them, results of an attempt before the present one

	snapshotFrame uint64 // the frame that the restored snapshot ends before

	now       int64
	begun     int64 // when the first step was
	replaying bool
	incoming  *models.TaskSpec // the document that a submitted record holds, while it is applied live
	out       Output
	undo      undo
	steps     []models.TaskStep // of the batch under way
}

type usedKey struct {
	hash [16]byte
	runs []seqRun
}

// seqRun is tasks that were submitted one after the other.
type seqRun struct{ first, count uint64 }

// undo is what it takes to forget the steps since the last Commit.
type undo struct {
	batch   uint64 // its number; tasks carry it once they are in
	tasks   []undoTask
	pools   []undoPool
	keys    []string
	nextSeq uint64
	lease   Lease
	notes   []note
	expired uint64 // the archive's bound that the batch told
}

type undoTask struct {
	t      *task
	before task
	tries  tries
	cut    *cutting // of a parent
	round  int32    // of a shard
	isNew  bool

	shelved shelved // where it was before it was recalled
}

type undoPool struct {
	p      *pool
	before models.PoolSpec
	patch  models.PoolPatch
}

// Output is what a step asks for. The slices are valid until the next Step.
type Output struct {
	// Records are to be written before anything else is done.
	Records []Record
	// Commands go to agents, in order.
	Commands []Directed
	// Events are for those who watch.
	Events []models.Event
	// Final are the places of tasks that became final.
	Final []uint64
	// Decide are the pools whose size should be decided now rather than at the next tick.
	Decide []string
	// Lost are the agents that were silent for too long; unlike the records, that
	// is not taken back by Rollback.
	Lost []string
	// Err refuses the input; nothing was changed then.
	Err error
	// Tasks are the places of the tasks that a submission named, in its order.
	Tasks []uint64
	// Bulk is what a bulk call did.
	Bulk models.BulkResult
}

// Directed is a command and the agent it is for.
type Directed struct {
	Agent   string
	Command Command
	// Always is set where it does not rest on a record: it is to be sent even
	// where the records of its step could not be written.
	Always bool
}

// NewCore makes an empty core for the pools given.
func NewCore(cfg CoreConfig, pools []models.PoolSpec) (*Core, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	c := &Core{
		cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0)), //nolint:gosec // jitter
		notTried: &tries{}, ghosts: map[uint64]*task{},
		keys: map[string]usedKey{}, pools: map[string]*pool{},
		timers:   queue.New(func(t *task) *int32 { return &t.timerAt }),
		agentIDs: map[string]*agentState{}, workers: map[string]*worker{},
		caps: capRules(cfg.Caps), limits: map[string]*limit{}, crowds: map[string]*crowd{}, moves: map[uint64]*move{},
	}
	c.undo.batch = 1
	c.draw = c.rng.IntN
	for _, spec := range pools {
		spec = spec.WithDefaults()
		if err := spec.Validate(); err != nil {
			return nil, err
		}
		if c.pools[spec.Name] != nil {
			return nil, models.Invalid("pools", "%q is there twice", spec.Name)
		}
		p := c.addPool(spec)
		p.configured = true
		p.want = spec.Min
		if spec.Policy == models.PolicyStatic {
			p.want = spec.Max
		}
	}
	return c, nil
}

// Input is something that happened. Exactly one field is set.
type Input struct {
	Submit     *Submission
	Cancel     *models.Selection
	Retry      *RetryCall
	Prioritize *PriorityCall
	SetPool    *PoolCall
	SetCaps    *CapsCall
	Report     *Report
	Decision   *models.Decision
	Archived   *Archived     // finished tasks are in the archive
	Expire     uint64        // the archive has forgotten all before this place
	Join       *models.Agent // an agent is there
	Rejoin     *Rejoin       // an agent of another host is there, with what it has
	Leave      string        // an agent is gone: its reports have ended
	Tick       bool          // a decision interval has passed
	Open       bool          // the daemon begins: what the last one left unfinished is taken back
	Probe      bool          // write a record that changes nothing, after a write failed
	Drain      bool          // accept and dispatch no more
	Cut        bool          // kill what still runs; it goes back into the queue
	Abandon    bool          // take back what is still out, killed or not
}

// RetryCall sends tasks round again.
type RetryCall struct {
	Selection      models.Selection
	WithDependents bool
	back           []recalled // those of the selection that are archived
}

// PriorityCall changes tasks' priority.
type PriorityCall struct {
	Selection models.Selection
	Priority  models.Priority
}

// PoolCall changes a pool.
type PoolCall struct {
	Name  string
	Patch models.PoolPatch
}

// Step takes in one thing that happened at a time, and moves on whatever can move.
func (c *Core) Step(now time.Time, in Input) *Output {
	c.now = now.UnixNano()
	if c.begun == 0 {
		c.begun = c.now
		for _, p := range c.poolList {
			p.measure.since = c.now
		}
	}
	o := &c.out
	*o = Output{Records: o.Records[:0], Commands: o.Commands[:0], Events: o.Events[:0], Final: o.Final[:0], Decide: o.Decide[:0], Tasks: o.Tasks[:0], Lost: o.Lost[:0]}
	c.fire()
	switch {
	case in.Submit != nil:
		o.Err = c.submit(in.Submit)
	case in.Cancel != nil:
		o.Err = c.cancel(in.Cancel)
	case in.Retry != nil:
		o.Err = c.retry(in.Retry)
	case in.Prioritize != nil:
		o.Err = c.prioritize(in.Prioritize)
	case in.SetPool != nil:
		o.Err = c.setPool(in.SetPool)
	case in.SetCaps != nil:
		o.Err = c.setCaps(in.SetCaps.Caps)
	case in.Report != nil:
		c.report(in.Report)
	case in.Archived != nil:
		c.forget(in.Archived)
	case in.Expire != 0:
		c.expire(in.Expire)
	case in.Decision != nil:
		c.decided(in.Decision)
	case in.Join != nil:
		c.join(in.Join)
	case in.Rejoin != nil:
		c.rejoin(in.Rejoin)
	case in.Leave != "":
		c.leave(in.Leave)
	case in.Tick:
		c.tick()
	case in.Open:
		c.open()
	case in.Probe:
		c.emit(Record{Kind: recOpened})
		if c.expired != 0 {
			c.emit(Record{Kind: recExpired, Body: binary.AppendUvarint(nil, c.expired)})
		}
	case in.Drain:
		c.draining = true
		for _, p := range c.poolList {
			p.dirty = true
		}
	case in.Cut:
		c.cut()
	case in.Abandon:
		c.abandon()
	}
	c.fire() // what came back just now may be past its deadline
	c.moveOn()
	c.sweep()
	return o
}

// Commit makes the steps since the last one hold: their records are on disk.
func (c *Core) Commit() {
	if c.undo.expired >= c.expired {
		c.expired = 0
	}
	for i := range c.undo.notes {
		c.measure.take(&c.undo.notes[i])
	}
	c.trimKeys()
	c.forgetUndo()
	clear(c.steps)
	c.steps = c.steps[:0]
}

func (c *Core) forgetUndo() {
	u := &c.undo
	clear(u.tasks)
	u.tasks, u.pools, u.keys, u.notes = u.tasks[:0], u.pools[:0], u.keys[:0], u.notes[:0]
	u.batch++
	u.expired = 0
	u.nextSeq, u.lease = c.nextSeq, c.lease
}

// Rollback forgets what the steps since the last Commit did to the durable
// state. What the world did (workers that came or went, agents) stays.
func (c *Core) Rollback() {
	u := &c.undo
	for i := len(u.tasks) - 1; i >= 0; i-- {
		e := &u.tasks[i]
		if c.unshelve(e) {
			continue
		}
		c.detach(e.t)
		if e.isNew {
			c.unlink(e.t)
			c.ids.remove(hashID(e.t.id), e.t.seq)
			c.tasks[e.t.seq] = nil
			e.t.reason = reasonNone // whoever still holds it must not take it for one that waits
			continue
		}
		*e.t = e.before
		if e.t.tries != c.notTried {
			*e.t.tries = e.tries
		}
		if e.t.part != nil {
			e.t.part.round = e.round
		}
		if e.t.shards != nil {
			e.t.shards.cut = *e.cut
		}
		e.t.queueAt, e.t.timerAt, e.t.activeAt = queue.Absent, queue.Absent, queue.Absent
		c.attach(e.t)
	}
	for i := len(u.pools) - 1; i >= 0; i-- {
		u.pools[i].p.patch = u.pools[i].patch
		c.setSpec(u.pools[i].p, u.pools[i].before)
	}
	for _, k := range u.keys {
		delete(c.keys, k)
	}
	c.keyList = c.keyList[:len(c.keyList)-len(u.keys)]
	c.nextSeq, c.lease, c.expired = u.nextSeq, u.lease, max(c.expired, u.expired)
	c.tasks, c.states = c.tasks[:c.nextSeq], c.states[:c.nextSeq]
	for _, p := range c.poolList {
		p.dirty = true
	}
	c.sweep()
	c.forgetUndo()
	clear(c.steps)
	c.steps = c.steps[:0]
}

// emit makes a change: it is applied and goes into the output.
func (c *Core) emit(r Record) bool {
	if r.At == 0 {
		r.At = c.now
	}
	if len(r.Text) > maxRecordText {
		r.Text = strings.ToValidUTF8(r.Text[:maxRecordText], "") + "…"
	}
	if err := c.apply(&r); err != nil {
		// A rule of the core is broken. The change is not made, and somebody is told.
		c.trouble("", "", fmt.Sprintf("a change was refused: %v", err))
		return false
	}
	c.out.Records = append(c.out.Records, r)
	return true
}

func (c *Core) trouble(pool, worker, text string) {
	c.out.Events = append(c.out.Events, models.Event{At: at(c.now), Kind: models.EventTrouble, Pool: pool, Worker: worker, Message: text})
}

// told adds the event of a task's new state.
func (c *Core) told(t *task) {
	e := models.Event{At: at(c.now), Kind: models.EventTask, TaskID: t.id, State: t.state.model(), Attempt: int(t.attempt), Pool: t.pool.spec.Name, Worker: t.last.worker, Message: t.text}
	if t.state == statePending {
		e.Worker = ""
		if e.Message == "" {
			e.Message = string(t.reason.model())
		}
	}
	c.out.Events = append(c.out.Events, e)
	if t.state.final() {
		c.out.Final = append(c.out.Final, t.seq)
	}
}

// bySeq is the task at a place, nil where there is none.
func (c *Core) bySeq(seq uint64) *task {
	if seq >= uint64(len(c.tasks)) {
		return nil
	}
	return c.tasks[seq]
}

// NextWake is when something is due by itself; ok is false where nothing is.
func (c *Core) NextWake() (time.Time, bool) {
	next := int64(0)
	if _, k, ok := c.timers.Peek(); ok {
		next = -k.Rank
	}
	for _, p := range c.poolList {
		if p.crash.until > c.now && (next == 0 || p.crash.until < next) {
			next = p.crash.until
		}
		if p.recallAt != 0 && (next == 0 || p.recallAt < next) {
			next = p.recallAt
		}
	}
	return time.Unix(0, next), next != 0
}

// maxFired bounds the tasks whose time has come in one step, so that a step stays short.
const maxFired = 5000

// fire moves on the tasks whose time has come.
func (c *Core) fire() {
	for range maxFired {
		t, k, ok := c.timers.Peek()
		if !ok || -k.Rank > c.now {
			break
		}
		if t.deadline != 0 && t.deadline <= c.now {
			c.conclude(t, stateFailed, "the deadline "+at(t.deadline).Format(time.RFC3339)+" has passed")
			continue
		}
		if !c.emit(Record{Kind: recReady, Seq: t.seq}) {
			c.timers.Remove(t)
			continue
		}
		c.told(t)
	}
	c.recallStale()
	for _, p := range c.poolList {
		if p.crash.until != 0 && p.crash.until <= c.now {
			p.crash.until = 0
			p.dirty = true
		}
	}
}
