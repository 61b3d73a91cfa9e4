package scheduler

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"loadstar/models"
)

var (
	simSeed  = flag.Uint64("seed", 0, "run the simulation of this seed alone")
	simSeeds = flag.Uint64("seeds", 0, "how many seeds to simulate (default 800, or 200 with -short)")
	simSteps = flag.Int("steps", 150, "steps of one simulation")
)

// TestNothingIsLostAndNothingCountsTwiceWhateverFails drives the core through
// thousands of random histories with lost agents, dying workers, reports that
// come twice, late or out of order, writes that fail, crashes and clocks that
// jump, and holds the rules of the house against it after each commit.
// go test -run Whatever ./scheduler -seed N repeats one.
func TestNothingIsLostAndNothingCountsTwiceWhateverFails(t *testing.T) {
	first, last := uint64(1), *simSeeds
	switch {
	case *simSeed != 0:
		first, last = *simSeed, *simSeed
	case last == 0 && testing.Short():
		last = 200
	case last == 0:
		last = 800
	}
	var total counters
	for seed := first; seed <= last; seed++ {
		if err := simulate(seed, *simSteps, &total); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("%+v", total)
	if *simSeed != 0 {
		return
	}
	// A simulation that never gets anywhere proves nothing.
	if total.Succeeded == 0 || total.Crashes == 0 || total.Refused == 0 || total.Stale == 0 || total.Lost == 0 || total.Retried == 0 || total.Cascaded == 0 {
		t.Errorf("something never happened: %+v", total)
	}
}

// counters say what the simulations went through.
type counters struct{ Steps, Submitted, Succeeded, Crashes, Refused, Stale, Lost, Retried, Cascaded int }

// sim is one simulated history: the world around a core.
type sim struct {
	rng    *rand.Rand
	now    time.Time
	core   *Core
	count  *counters
	steady bool // the clock has not been set

	// The journal, and what waits to be written.
	frames   [][]byte
	chunks   [][]byte
	number   uint64
	batch    batch
	pending  []Record
	commands []Directed
	acks     []string
	retries  []string
	taken    []Report
	left     []string
	fate     int    // what becomes of the next write
	digest   []byte // of the durable state at the last commit, where a check is to come

	// What the world knows.
	agents   map[string]*simAgent
	reports  []Report
	told     map[string]bool           // acknowledged tasks
	finals   map[string]models.State   // by id, until it is retried
	outcomes map[string]map[int]string // by id and attempt
	ended    map[uint64]map[int]bool   // ends recorded, by place and attempt
	results  map[Lease]string          // what agents said first
	ran      map[Lease]bool            // leases handed to an agent
	names    []string
}

type simAgent struct {
	info    models.Agent
	runs    []*Run
	started map[Lease]bool
	workers []string
}

func simPools() []models.PoolSpec {
	return []models.PoolSpec{
		{Name: "default", Kind: models.KindExec, Max: 2},
		{Name: "gpu", Kind: models.KindStdio, Command: []string{"w"}, Max: 2},
	}
}

func (s *sim) newCore() {
	core, err := NewCore(CoreConfig{AgeEvery: time.Second, MaxBackoff: 5 * time.Second, Seed: s.rng.Uint64() | 1, KeepKeys: 4}, simPools())
	if err != nil {
		panic(err)
	}
	s.core = core
}

func simulate(seed uint64, steps int, count *counters) error {
	s := &sim{
		rng: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1_700_000_000, 0), count: count, number: 1, steady: true,
		agents: map[string]*simAgent{}, told: map[string]bool{}, finals: map[string]models.State{},
		outcomes: map[string]map[int]string{}, results: map[Lease]string{}, ended: map[uint64]map[int]bool{}, ran: map[Lease]bool{},
	}
	for _, info := range []models.Agent{{ID: "a", State: "ready", Slots: 3}, {ID: "b", State: "ready", Capabilities: []string{"gpu"}}} {
		s.agents[info.ID] = &simAgent{info: info, started: map[Lease]bool{}}
	}
	s.newCore()
	s.fate = -1
	s.open()
	if err := s.commit(); err != nil {
		return err
	}
	for i := range steps {
		s.count.Steps++
		if err := s.act(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		if err := s.checkIndexes(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		if s.rng.IntN(3) == 0 {
			if err := s.end(); err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
		}
	}
	return s.settle()
}

// step puts one input to the core and checks what it gives at once.
func (s *sim) step(in Input) (*Output, error) {
	o := s.core.Step(s.now, in)
	assigned := map[*pool]bool{}
	for _, r := range o.Records {
		s.pending = append(s.pending, r)
		s.batch.add(&r)
		switch r.Kind {
		case recAssigned:
			t := s.core.tasks[r.Seq]
			if d := t.blocker(); d != nil && t.rule != ruleRun { // with run, one that failed may go round again meanwhile
				return o, fmt.Errorf("%s was assigned while %s is %s", t.id, d.id, d.state.model())
			}
			assigned[t.pool] = true
		case recEnded:
			if r.Outcome == outcomeLost {
				s.count.Lost++
			}
		case recClosed:
			s.count.Cascaded++
		}
	}
	for _, e := range o.Events {
		if e.Kind == models.EventTrouble && bytes.Contains([]byte(e.Message), []byte("refused:")) {
			return o, errors.New(e.Message)
		}
	}
	for p := range assigned {
		if p.busy() > p.spec.Max {
			return o, fmt.Errorf("pool %s has %d tasks, more than %d", p.spec.Name, p.busy(), p.spec.Max)
		}
	}
	s.commands = append(s.commands, o.Commands...)
	return o, nil
}

func (s *sim) open() {
	s.batch.reset(s.now.UnixNano())
	_, _ = s.step(Input{Open: true})
	for _, id := range []string{"a", "b"} {
		info := s.agents[id].info
		_, _ = s.step(Input{Join: &info})
	}
}

// end writes what waits, or fails to, or the daemon dies before or after.
func (s *sim) end() error {
	switch s.fate {
	case 0:
		return s.refuse()
	case 1:
		return s.crash(false)
	case 2:
		return s.crash(true)
	}
	return s.commit()
}

func (s *sim) write(ok bool) {
	for _, f := range s.batch.cut(s.number) {
		s.frames = append(s.frames, f)
		if ok {
			s.number++
		}
	}
}

func (s *sim) commit() error {
	s.write(true)
	s.core.Commit()
	if err := s.record(); err != nil {
		return err
	}
	for _, c := range s.commands {
		s.obey(c)
	}
	for _, id := range s.acks {
		s.told[id] = true
	}
	s.forget()
	if err := s.check(); err != nil {
		return err
	}
	replay := s.rng.IntN(16) == 0
	if s.fate = s.rng.IntN(20); s.fate == 0 || replay {
		s.digest = s.state()
	}
	if replay {
		if err := s.checkReplay(); err != nil {
			return err
		}
	}
	if s.rng.IntN(24) == 0 {
		s.chunks, s.frames = s.core.snapshot(s.number, s.now.UnixNano()), nil
	}
	return nil
}

func (s *sim) forget() {
	s.pending, s.commands, s.acks, s.retries, s.taken, s.left = nil, nil, nil, nil, nil, nil
	s.batch.reset(s.now.UnixNano())
}

func (s *sim) state() []byte { return bytes.Join(s.core.snapshot(0, 0), nil) }

// refuse is a write that fails; sometimes the frame is in the log all the same.
func (s *sim) refuse() error {
	s.count.Refused++
	if s.rng.IntN(2) == 0 {
		s.write(false)
		if n := len(s.batch.frames); n > 0 && s.rng.IntN(2) == 0 { // only its beginning
			s.frames = s.frames[:len(s.frames)-s.rng.IntN(n)]
		}
	}
	s.core.Rollback()
	if got := s.state(); !bytes.Equal(got, s.digest) {
		return errors.New("the rollback did not bring back the last commit")
	}
	if err := s.checkIndexes(); err != nil {
		return fmt.Errorf("after a rollback: %w", err)
	}
	commands, again, left := s.commands, s.taken, s.left
	s.forget()
	for _, c := range commands {
		if c.Always {
			s.obey(c)
		}
	}
	if _, err := s.step(Input{Probe: true}); err != nil {
		return err
	}
	for _, r := range again {
		if err := s.report(r); err != nil {
			return err
		}
	}
	for _, id := range left {
		if _, err := s.step(Input{Leave: id}); err != nil {
			return err
		}
		s.left = append(s.left, id)
		info := s.agents[id].info
		if _, err := s.step(Input{Join: &info}); err != nil {
			return err
		}
	}
	return s.commit()
}

// crash loses the core, with or without what waits in the log. The agents'
// processes are lost too, but their late reports may still come.
func (s *sim) crash(written bool) error {
	s.count.Crashes++
	if written {
		s.write(true)
		if err := s.record(); err != nil {
			return err
		}
	}
	s.forget()
	if err := s.reload(); err != nil {
		return err
	}
	for _, a := range s.agents {
		for _, r := range a.runs {
			if s.rng.IntN(2) == 0 {
				s.reports = append(s.reports, s.finished(a, r))
			}
		}
		a.runs, a.workers = nil, nil
	}
	s.open()
	return s.commit()
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

func (s *sim) reload() error {
	s.newCore()
	number, err := s.load(s.core)
	s.number = number
	return err
}

func (s *sim) report(r Report) error {
	before := s.core.refused
	_, err := s.step(Input{Report: &r})
	s.count.Stale += int(s.core.refused - before)
	s.taken = append(s.taken, r)
	return err
}

func (s *sim) agent() *simAgent { return s.agents[[]string{"a", "b"}[s.rng.IntN(2)]] }

func (s *sim) name() string {
	if len(s.names) == 0 {
		return "none"
	}
	return s.names[s.rng.IntN(len(s.names))]
}
