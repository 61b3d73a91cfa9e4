package scheduler

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"loadstar/models"
	"loadstar/scheduler/route"
)

var (
	simSeed  = flag.Uint64("seed", 0, "run the simulation of this seed alone")
	simSeeds = flag.Uint64("seeds", 0, "how many seeds to simulate (default 2000, or 300 with -short)")
	simSteps = flag.Int("steps", 200, "steps of one simulation")
)

// TestSimulatedFaultsLoseNothingAndCountNothingTwice drives the core through
// thousands of random histories with lost agents, dying workers, reports that
// come twice, late or out of order, writes that fail, crashes at any append, a
// second leader, and clocks that jump both ways. After each step it holds the
// rules of the house against what the core did; see model.
// go test ./scheduler -run Simulated -seed N repeats one.
func TestSimulatedFaultsLoseNothingAndCountNothingTwice(t *testing.T) {
	first, last := simRange(2000, 300)
	total, err := simulateAll(first, last, *simSteps)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", total)
	if *simSeed != 0 {
		return
	}
	// A simulation that never gets anywhere proves nothing.
	for name, n := range total.all() {
		if n == 0 {
			t.Errorf("it never came to this: %s", name)
		}
	}
}

// simRange is the seeds that the flags ask for.
func simRange(usual, short uint64) (first, last uint64) {
	switch {
	case *simSeed != 0:
		return *simSeed, *simSeed
	case *simSeeds != 0:
		return 1, *simSeeds
	case testing.Short():
		return 1, short
	}
	return 1, usual
}

// simulateAll runs seeds on all CPUs; the error is of the smallest one that failed.
func simulateAll(first, last uint64, steps int) (counters, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(2000)) // the live heap is tiny, so the collector would run all the time
	var (
		next   atomic.Uint64
		failed atomic.Uint64
		mu     sync.Mutex
		total  counters
		first1 error
		group  sync.WaitGroup
	)
	next.Store(first)
	failed.Store(last + 1)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			s := newSim()
			for seed := next.Add(1) - 1; seed <= last && seed < failed.Load(); seed = next.Add(1) - 1 {
				runtime.Gosched() // before the scheduler of goroutines interrupts, which costs more
				err := s.run(seed, steps)
				if err == nil {
					continue
				}
				mu.Lock()
				if seed < failed.Load() {
					failed.Store(seed)
					first1 = fmt.Errorf("seed %d: %w", seed, err)
				}
				mu.Unlock()
			}
			mu.Lock()
			total.add(&s.count)
			mu.Unlock()
		})
	}
	group.Wait()
	return total, first1
}

// counters say what the simulations went through.
type counters struct {
	Steps, Submitted, Repeated, Conflicts, Assigned, Succeeded, Closed, Crashes, Takeovers, Refused, Stale, Lost, Retried, Drained, Snapshots, Ahead, Recalled int
}

func (c *counters) all() map[string]int {
	return map[string]int{
		"submitted": c.Submitted, "repeated": c.Repeated, "conflicts": c.Conflicts, "assigned": c.Assigned, "succeeded": c.Succeeded, "closed": c.Closed,
		"crashes": c.Crashes, "takeovers": c.Takeovers, "refused writes": c.Refused, "stale reports": c.Stale, "lost": c.Lost, "retried": c.Retried,
		"drained": c.Drained, "snapshots": c.Snapshots, "held until a slot was free": c.Ahead, "recalled": c.Recalled,
	}
}

func (c *counters) add(o *counters) {
	for i, p := range []*int{&c.Steps, &c.Submitted, &c.Repeated, &c.Conflicts, &c.Assigned, &c.Succeeded, &c.Closed, &c.Crashes, &c.Takeovers, &c.Refused, &c.Stale, &c.Lost, &c.Retried, &c.Drained, &c.Snapshots, &c.Ahead, &c.Recalled} {
		*p += []int{o.Steps, o.Submitted, o.Repeated, o.Conflicts, o.Assigned, o.Succeeded, o.Closed, o.Crashes, o.Takeovers, o.Refused, o.Stale, o.Lost, o.Retried, o.Drained, o.Snapshots, o.Ahead, o.Recalled}[i]
	}
}

// What the simulated core is told; small, so that every bound is met.
const (
	simKeys       = 4
	simMissed     = 3
	simMaxDeaths  = 3
	simAgeEvery   = 200 * time.Millisecond
	simMaxBackoff = 5 * time.Second
	simPrefetch   = time.Second
	simCoolDown   = 8 * time.Second
	simPlenty     = 60 // tasks of a history; then there are fewer submissions, as each makes every restart longer
)

// sim is one simulated history: the world around a core. It is used again for the
// next seed.
type sim struct {
	pcg    rand.PCG
	rng    *rand.Rand
	count  counters
	now    int64 // Unix ns
	core   *Core
	model  model
	steady bool // the clock has not been set
	jumps  int  // how often it was
	ahead  bool // tasks are so short that some are assigned before there is a slot for them
	pools  []models.PoolSpec
	caps   map[string]int // over all pools: the configuration's, and so not durable

	// The journal, and what waits to be written.
	frames   [][]byte
	chunks   [][]byte
	frameNo  uint64
	batch    batch
	commands []Directed
	taken    []Report
	left     []string
	opened   bool

	// What the world knows.
	agents   []*simAgent
	reports  []Report
	results  []outcome // by lease: what its agent said first
	ran      []bool    // by lease: it was handed to an agent
	names    []string  // of all tasks that could be
	next     int       // the next name
	places   []int64   // by name; -1 where it was never accepted
	subs     []simSubmission
	fresh    []simSubmission // those of the batch under way
	draining bool
	cutting  bool
	drainAt  int // steps until the next part of a drain
}

// simSubmission is a call that was accepted, and where its tasks went.
type simSubmission struct {
	sub    *Submission
	places []uint64
}

func newSim() *sim {
	s := &sim{}
	s.rng = rand.New(&s.pcg)
	for _, info := range simAgents() {
		s.agents = append(s.agents, &simAgent{info: info})
	}
	s.batch.largest = 300 // so that groups of several frames are usual
	return s
}

func (s *sim) reset(seed uint64) {
	s.pcg.Seed(seed, 7)
	s.now = 1_700_000_000e9
	s.jumps = 0
	s.steady, s.draining, s.cutting, s.opened = true, false, false, false
	s.pools = simPools()
	s.caps = map[string]int{"user": 2}
	for i := range s.pools {
		s.pools[i].Max = 1 + s.rng.IntN(3)
	}
	s.ahead = seed%2 == 1
	s.frames, s.chunks, s.frameNo = s.frames[:0], nil, 1
	s.reports, s.results, s.ran = s.reports[:0], s.results[:0], s.ran[:0]
	s.next, s.places, s.subs, s.fresh = 0, s.places[:0], s.subs[:0], s.fresh[:0]
	infos := simAgents()
	for i, a := range s.agents {
		*a = simAgent{info: infos[i], runs: a.runs[:0], workers: a.workers[:0], started: a.started[:0], slots: map[string]int{}}
	}
	s.model.reset(s.pools, infos)
	s.forget()
	s.newCore()
}

func (s *sim) newCore() {
	core, err := NewCore(CoreConfig{
		AgeEvery: simAgeEvery, MaxBackoff: simMaxBackoff, Seed: s.rng.Uint64() | 1, KeepKeys: simKeys,
		OwnAgents: []string{"a", "b"}, Caps: s.caps, Balance: route.Balance{Every: time.Second, CoolDown: simCoolDown, Spread: 0.1}, MissedTicks: simMissed, MaxDeaths: simMaxDeaths, KeepDecisions: 4,
		PrefetchWork: simPrefetch,
	}, s.pools)
	if err != nil {
		panic(err)
	}
	s.core = core
	if s.ahead {
		for _, p := range core.poolList {
			p.measure.runs, p.measure.mean = measuredRuns, simPrefetch.Seconds()/4
		}
	}
}

func (s *sim) time() time.Time { return time.Unix(0, s.now) }

// id is the name of a task; number is the reverse.
func (s *sim) id(n int) string {
	for len(s.names) <= n {
		s.names = append(s.names, fmt.Sprint("t", len(s.names)))
	}
	return s.names[n]
}

func (s *sim) number(id string) int {
	n := 0
	for i := 1; i < len(id); i++ {
		n = n*10 + int(id[i]-'0')
	}
	for len(s.places) <= n {
		s.places = append(s.places, -1)
	}
	return n
}

func (s *sim) run(seed uint64, steps int) error {
	s.reset(seed)
	if err := s.open(); err != nil {
		return err
	}
	if err := s.commit(); err != nil {
		return err
	}
	for i := range steps {
		s.count.Steps++
		err := s.act()
		if err == nil && s.rng.IntN(3) == 0 {
			err = s.end()
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return s.settle()
}

// step puts one input to the core and holds what it gives against the model.
func (s *sim) step(in Input) (*Output, error) {
	s.model.touched = s.model.touched[:0]
	s.before(&in)
	lease := s.model.lease
	o := s.core.Step(s.time(), in)
	for i := range o.Records {
		r := &o.Records[i]
		if err := s.take(r, &in); err != nil {
			return o, err
		}
		s.batch.add(r)
	}
	for i := range o.Events {
		if e := &o.Events[i]; e.Kind == models.EventTrouble && bytes.Contains([]byte(e.Message), []byte("refused:")) {
			return o, errors.New(e.Message)
		}
	}
	for i := range o.Commands {
		if err := s.withinSlots(&o.Commands[i]); err != nil {
			return o, err
		}
		if err := s.after(&o.Commands[i]); err != nil {
			return o, err
		}
	}
	s.commands = append(s.commands, o.Commands...)
	if err := s.nobodyHas(&in, lease); err != nil {
		return o, err
	}
	return o, s.compare()
}

// withinSlots holds the slots that agents are told against what the pool may have
// at once: as no agent runs more than it was told, no pool does either.
func (s *sim) withinSlots(d *Directed) error {
	var p *pool
	switch {
	case d.Command.Run != nil && d.Command.Run.Worker == "":
		p = s.core.find(d.Command.Run.Task.TaskID).pool
	case d.Command.Limit != nil:
		p = s.core.pools[d.Command.Limit.Pool]
	default:
		return nil
	}
	ahead := 0
	for i := range p.shares {
		if n := p.shares[i]; n.ahead < 0 || n.ahead > n.tasks {
			return fmt.Errorf("agent %s has %d tasks of pool %s, and %d of them wait there", s.core.agents[i].info.ID, n.tasks, p.spec.Name, n.ahead)
		}
		ahead += p.shares[i].ahead
	}
	if ahead != p.ahead {
		return fmt.Errorf("%d tasks of pool %s wait on agents, and %d are counted", ahead, p.spec.Name, p.ahead)
	}
	if p.held() > p.ceiling() {
		return fmt.Errorf("pool %s may have %d tasks begin, more than %d", p.spec.Name, p.held(), p.ceiling())
	}
	return nil
}

// open is the begin of a daemon: the agents that are there join.
func (s *sim) open() error {
	s.opened = true
	if _, err := s.step(Input{Open: true}); err != nil {
		return err
	}
	for _, a := range s.agents {
		if a.gone || a.remote() && s.rng.IntN(3) == 0 {
			a.gone = true
			continue
		}
		if err := s.join(a); err != nil {
			return err
		}
	}
	return nil
}

// end writes what waits, or fails to, or the daemon dies on the way, or another
// one takes over.
func (s *sim) end() error {
	switch n := s.rng.IntN(200); {
	case n < 7:
		return s.refuse()
	case n < 9:
		return s.crash(false)
	case n < 11:
		return s.crash(true)
	case n < 12:
		return s.takeover()
	}
	return s.commit()
}

// write appends the batch to the log: all of it, or only its first frames.
func (s *sim) write(part bool) {
	frames := s.batch.cut(s.frameNo)
	if part {
		s.frames = append(s.frames, frames[:s.rng.IntN(max(1, len(frames)))]...)
		return
	}
	s.frames = append(s.frames, frames...)
	s.frameNo += uint64(len(frames))
}

func (s *sim) commit() error {
	s.write(false)
	s.core.Commit()
	s.model.commit()
	for i := range s.commands {
		if err := s.obey(&s.commands[i]); err != nil {
			return err
		}
	}
	s.subs = append(s.subs, s.fresh...)
	s.forget()
	if s.rng.IntN(32) == 0 {
		s.count.Snapshots++
		s.chunks, s.frames = s.core.snapshot(s.frameNo, s.now), s.frames[:0]
	}
	return nil
}

func (s *sim) forget() {
	s.commands, s.taken, s.left, s.fresh = s.commands[:0], s.taken[:0], s.left[:0], s.fresh[:0]
	s.opened = false
	s.batch.reset(s.now)
}

// refuse is a write that fails; sometimes the frames are in the log all the same,
// or some of them.
func (s *sim) refuse() error {
	s.count.Refused++
	switch s.rng.IntN(4) {
	case 0:
		s.write(true)
	case 1:
		s.frames = append(s.frames, s.batch.cut(s.frameNo)...)
	}
	s.core.Rollback()
	s.model.rollback()
	if err := s.checkAll(); err != nil {
		return fmt.Errorf("after a rollback: %w", err)
	}
	commands := append([]Directed(nil), s.commands...)
	again := append([]Report(nil), s.taken...)
	left := append([]string(nil), s.left...)
	opened := s.opened
	s.forget()
	for i := range commands {
		if commands[i].Always {
			if err := s.obey(&commands[i]); err != nil {
				return err
			}
		}
	}
	if _, err := s.step(Input{Probe: true}); err != nil {
		return err
	}
	if opened {
		if err := s.open(); err != nil {
			return err
		}
	}
	for i := range again {
		if err := s.report(again[i]); err != nil {
			return err
		}
	}
	for _, id := range left {
		if err := s.leave(id); err != nil {
			return err
		}
	}
	if _, err := s.step(Input{Tick: true}); err != nil {
		return err
	}
	return s.commit()
}

// crash loses the core, with or without what waits in the log. The agents'
// processes are lost too, but their late reports may still come.
func (s *sim) crash(written bool) error {
	s.count.Crashes++
	if written {
		s.write(false)
		s.core.Commit()
		s.model.commit()
	} else {
		s.write(true)
		s.core.Rollback()
		s.model.rollback()
	}
	s.forget()
	for _, a := range s.agents {
		if !a.remote() {
			s.killRuns(a)
		}
	}
	return s.reopen()
}

// takeover is another daemon that becomes the leader: the appends of the one before
// are refused from then on. What it has told the agents before, they may still do.
func (s *sim) takeover() error {
	s.count.Takeovers++
	s.core.Rollback()
	s.model.rollback()
	for i := range s.commands {
		if c := &s.commands[i]; c.Always {
			if err := s.obey(c); err != nil {
				return err
			}
		}
	}
	s.forget()
	for _, a := range s.agents {
		a.workers = a.workers[:0] // they end with the leader that they were started for
		if s.rng.IntN(2) == 0 {
			s.killRuns(a)
		}
	}
	return s.reopen()
}

// reopen starts a core from the log. It must be in the very state in which the one
// before was.
func (s *sim) reopen() error {
	last := s.core
	s.newCore()
	number, err := s.load(s.core)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	s.frameNo = number
	if d := difference(s.core, last); d != "" {
		return fmt.Errorf("the replayed state is not the one that was written: %s", d)
	}
	s.model.forget()
	s.draining, s.cutting, s.drainAt = false, false, 0
	if err := s.checkAll(); err != nil {
		return fmt.Errorf("after a replay: %w", err)
	}
	if err := s.open(); err != nil {
		return err
	}
	return s.end()
}

// load is what the driver does at its start.
func (s *sim) load(core *Core) (uint64, error) {
	chunks := restorer{core: core}
	for _, c := range s.chunks {
		if err := chunks.chunk(c); err != nil {
			return 0, err
		}
	}
	replay := replayer{apply: core.Restore, next: max(1, core.snapshotFrame)}
	for _, f := range s.frames {
		if err := replay.frame(f); err != nil {
			return 0, err
		}
	}
	number, _, err := replay.end()
	return number, err
}

func (s *sim) report(r Report) error {
	before := s.core.refused
	_, err := s.step(Input{Report: &r})
	s.count.Stale += int(s.core.refused - before) //nolint:gosec // a count
	if r.Heartbeat == nil {
		s.taken = append(s.taken, r)
	}
	return err
}

func (s *sim) leave(id string) error {
	_, err := s.step(Input{Leave: id})
	s.left = append(s.left, id)
	return err
}
