package scheduler

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"loadstar/models"
	"loadstar/scheduler/queue"
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

func (s *sim) checkReplay() error {
	live := s.core
	defer func() { s.core = live }()
	s.newCore()
	if _, err := s.load(s.core); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if got := s.state(); !bytes.Equal(got, s.digest) {
		return fmt.Errorf("the replayed state is not the live one%s", difference(s.core, live))
	}
	return s.checkIndexes()
}

// difference names the first task that two cores do not agree on.
func difference(a, b *Core) string {
	for seq := range min(a.nextSeq, b.nextSeq) {
		if x, y := a.tasks[seq], b.tasks[seq]; !bytes.Equal(x.appendImage(nil, 0), y.appendImage(nil, 0)) {
			return fmt.Sprintf(": %s is\n%+v and\n%+v", x.id, *x, *y)
		}
	}
	return fmt.Sprintf(": %d tasks and %d, lease %d and %d, keys %v and %v", a.nextSeq, b.nextSeq, a.lease, b.lease, a.keyList, b.keyList)
}

// record takes note of what was written, and that no end was written twice.
func (s *sim) record() error {
	for _, r := range s.pending {
		switch r.Kind {
		case recEnded:
			t := s.core.tasks[r.Seq]
			n := 0
			for _, a := range append(slices.Clone(t.past), t.last) {
				if a.finished == r.At && a.outcome == r.Outcome {
					n = int(a.number)
				}
			}
			if n == 0 {
				return fmt.Errorf("the end of %s is not among its attempts", t.id)
			}
			if s.ended[r.Seq] == nil {
				s.ended[r.Seq] = map[int]bool{}
			}
			if s.ended[r.Seq][n] {
				return fmt.Errorf("the end of attempt %d of %s was recorded twice", n, t.id)
			}
			s.ended[r.Seq][n] = true
		case recRetried:
			delete(s.finals, s.core.tasks[r.Seq].id)
			s.count.Retried++
		}
	}
	return nil
}

// check holds the rules against what everybody may see now.
func (s *sim) check() error {
	for id := range s.told {
		if s.core.byID[id] == nil {
			return fmt.Errorf("acknowledged task %s is lost", id)
		}
	}
	for _, t := range s.core.tasks {
		if was, ok := s.finals[t.id]; ok && was != t.state.model() {
			return fmt.Errorf("%s was %s and is %s", t.id, was, t.state.model())
		}
		if t.state.final() {
			if t.state == stateSuccess && s.finals[t.id] == "" {
				s.count.Succeeded++
			}
			s.finals[t.id] = t.state.model()
		}
		attempts := append(slices.Clone(t.past), t.last)
		if t.last.number == 0 {
			attempts = attempts[:len(attempts)-1]
		}
		seen := s.outcomes[t.id]
		if seen == nil {
			seen = map[int]string{}
			s.outcomes[t.id] = seen
		}
		for i := range attempts {
			a := &attempts[i]
			if i > 0 && a.number <= attempts[i-1].number {
				return fmt.Errorf("%s: attempt %d follows attempt %d", t.id, a.number, attempts[i-1].number)
			}
			if a.outcome == outcomeNone && (i < len(attempts)-1 || !t.state.active()) {
				return fmt.Errorf("%s: attempt %d has no end while it is %s", t.id, a.number, t.state.model())
			}
			if was := seen[int(a.number)]; was != "" && was != a.outcome.String() {
				return fmt.Errorf("%s: attempt %d ended %s and then %s", t.id, a.number, was, a.outcome)
			}
			if a.outcome != outcomeNone {
				seen[int(a.number)] = a.outcome.String()
			}
		}
		if t.state == stateSuccess {
			if got := s.results[t.lease]; got != string(models.Success) {
				return fmt.Errorf("%s is SUCCESS, but its agent said %q", t.id, got)
			}
		}
	}
	return nil
}

// checkIndexes counts everything anew that the core keeps count of.
func (s *sim) checkIndexes() error {
	c := s.core
	type tally struct {
		counts          [stateCount]int
		queued, waiting int
		oldest          int64
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
		if int(t.seq) != seq || c.byID[t.id] != t || c.states[seq] != t.state {
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
		if got := p.oldest.front(); (got == 0) != (y.queued == 0) || s.steady && got != y.oldest {
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

// obey is what an agent does with a command.
func (s *sim) obey(d Directed) {
	a := s.agents[d.Agent]
	switch cmd := d.Command; {
	case cmd.StartWorker != nil:
		a.workers = append(a.workers, cmd.StartWorker.Worker)
		s.reports = append(s.reports, Report{Agent: d.Agent, WorkerReady: &WorkerReady{Worker: cmd.StartWorker.Worker, ColdStart: time.Second}})
	case cmd.StopWorker != nil:
		s.dropWorker(a, cmd.StopWorker.Worker, "")
	case cmd.Run != nil:
		if s.ran[cmd.Run.Lease] {
			panic(fmt.Sprintf("lease %d was given out twice", cmd.Run.Lease))
		}
		s.ran[cmd.Run.Lease] = true
		a.runs = append(a.runs, cmd.Run)
	case cmd.Kill != nil:
		for i, r := range a.runs {
			if r.Lease == cmd.Kill.Lease {
				a.runs = slices.Delete(a.runs, i, i+1)
				s.say(Report{Agent: d.Agent, Finished: &Finished{TaskID: r.Task.TaskID, Lease: r.Lease, Outcome: "CANCELLED"}})
				break
			}
		}
	}
}

func (s *sim) dropWorker(a *simAgent, id, text string) {
	if i := slices.Index(a.workers, id); i >= 0 {
		a.workers = slices.Delete(a.workers, i, i+1)
		a.runs = slices.DeleteFunc(a.runs, func(r *Run) bool { return r.Worker == id })
		s.reports = append(s.reports, Report{Agent: a.info.ID, WorkerGone: &WorkerGone{Worker: id, Err: text}})
	}
}

func (s *sim) say(r Report) {
	if f := r.Finished; f != nil && s.results[f.Lease] == "" {
		s.results[f.Lease] = f.Outcome
	}
	s.reports = append(s.reports, r)
}

func (s *sim) finished(a *simAgent, r *Run) Report {
	f := &Finished{TaskID: r.Task.TaskID, Lease: r.Lease, At: s.now, Outcome: "SUCCESS"}
	if got := s.results[r.Lease]; got != "" {
		f.Outcome = got
	} else {
		switch s.rng.IntN(6) {
		case 0, 1:
			code := 1
			f.Outcome, f.ExitCode, f.Err = "FAILED", &code, "exit status 1"
		case 2:
			f.Outcome, f.Err = "TIMEOUT", "it ran too long"
		}
		s.results[r.Lease] = f.Outcome
	}
	return Report{Agent: a.info.ID, Finished: f}
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

// act is one random thing that happens.
func (s *sim) act() (err error) {
	s.now = s.now.Add(time.Duration(s.rng.IntN(400)) * time.Millisecond)
	switch n := s.rng.IntN(100); {
	case n < 18:
		err = s.submit()
	case n < 50:
		err = s.deliver()
	case n < 66:
		s.work()
	case n < 69:
		if a := s.agent(); len(a.workers) > 0 {
			s.dropWorker(a, a.workers[s.rng.IntN(len(a.workers))], "signal: killed")
		}
	case n < 72:
		err = s.loseAgent()
	case n < 76:
		_, err = s.step(Input{Cancel: &models.Selection{IDs: []string{s.name(), s.name()}}})
	case n < 80:
		_, err = s.step(Input{Retry: &RetryCall{Selection: models.Selection{IDs: []string{s.name(), s.name()}}, WithDependents: s.rng.IntN(2) == 0}})
	case n < 83:
		_, err = s.step(Input{Prioritize: &PriorityCall{Selection: models.Selection{Filter: &models.TaskFilter{Pool: "default", States: []models.State{models.Pending}}}, Priority: models.Priority(s.rng.IntN(101))}})
	case n < 86:
		most, paused := 1+s.rng.IntN(3), s.rng.IntN(4) == 0
		_, err = s.step(Input{SetPool: &PoolCall{Name: []string{"default", "gpu"}[s.rng.IntN(2)], Patch: models.PoolPatch{Max: &most, Paused: &paused}}})
	case n < 94:
		err = s.decide()
	case n < 97:
		_, err = s.step(Input{Tick: true})
	default: // the clock is set, or the host slept
		s.now = s.now.Add(time.Duration(s.rng.IntN(7200)-3000) * time.Second / 100)
		s.steady = false
		_, err = s.step(Input{})
	}
	return err
}

func (s *sim) submit() error {
	n := 1 + s.rng.IntN(4)
	specs := make([]models.TaskSpec, n)
	fresh := make([]string, n)
	for i := range specs {
		fresh[i] = fmt.Sprintf("t%d", len(s.names)+i)
	}
	for i := range specs {
		spec := models.NewTaskSpec()
		spec.TaskID, spec.Priority = fresh[i], models.Priority(s.rng.IntN(101))
		if spec.Run = []string{"true"}; s.rng.IntN(2) == 0 {
			spec.Pool, spec.Run, spec.Description = "gpu", nil, "x"
		}
		spec.Retries = s.rng.IntN(3)
		spec.OnDependencyFailure = []string{"", "cancel", "run", "wait"}[s.rng.IntN(4)]
		if i+1 < n && s.rng.IntN(2) == 0 { // on one that comes later in the same call
			spec.Dependencies = append(spec.Dependencies, fresh[i+1])
		}
		if d := s.name(); s.rng.IntN(3) == 0 && s.told[d] {
			spec.Dependencies = append(spec.Dependencies, d)
		}
		switch s.rng.IntN(10) {
		case 0:
			spec.Capabilities = []string{"gpu"}
		case 1:
			spec.AssignedTo = []string{"a", "b"}[s.rng.IntN(2)]
		case 2:
			later := s.now.Add(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
			spec.NotBefore = &later
		case 3:
			soon := s.now.Add(time.Duration(s.rng.IntN(20000)) * time.Millisecond)
			spec.Deadline = &soon
		}
		specs[i] = spec
	}
	key := ""
	if s.rng.IntN(4) == 0 {
		key = fmt.Sprint("key", len(s.names))
	}
	sub, err := NewSubmission(specs, key, nil)
	if err != nil {
		return err
	}
	o, err := s.step(Input{Submit: sub})
	switch {
	case err != nil:
		return err
	case errors.Is(o.Err, models.ErrInvalid): // a dependency that a refused write took along
		return nil
	case o.Err != nil:
		return o.Err
	case len(o.Tasks) != n:
		return fmt.Errorf("%d tasks were accepted of %d", len(o.Tasks), n)
	}
	s.count.Submitted += n
	s.names = append(s.names, fresh...)
	s.acks = append(s.acks, fresh...)
	return nil
}

// deliver brings a report, in any order, and sometimes will again.
func (s *sim) deliver() error {
	if len(s.reports) == 0 {
		return nil
	}
	i := s.rng.IntN(len(s.reports))
	r := s.reports[i]
	if s.rng.IntN(8) != 0 {
		s.reports = slices.Delete(s.reports, i, i+1)
	}
	return s.report(r)
}

// work is an agent that begins an attempt or ends one.
func (s *sim) work() {
	a := s.agent()
	if len(a.runs) == 0 {
		return
	}
	i := s.rng.IntN(len(a.runs))
	r := a.runs[i]
	if !a.started[r.Lease] && s.rng.IntN(8) != 0 {
		a.started[r.Lease] = true
		s.say(Report{Agent: a.info.ID, Started: &Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: s.now}})
		return
	}
	a.runs = slices.Delete(a.runs, i, i+1)
	s.say(s.finished(a, r))
}

// loseAgent loses one; what it was doing may still be heard of.
func (s *sim) loseAgent() error {
	a := s.agent()
	for _, r := range a.runs {
		if s.rng.IntN(2) == 0 {
			s.say(s.finished(a, r))
		}
	}
	a.runs, a.workers = nil, nil
	if _, err := s.step(Input{Leave: a.info.ID}); err != nil {
		return err
	}
	s.left = append(s.left, a.info.ID)
	info := a.info
	_, err := s.step(Input{Join: &info})
	return err
}

func (s *sim) decide() error {
	for _, name := range s.core.Pools() {
		spec, in, _ := s.core.DecisionInput(name, s.now, time.Second, 0)
		d := models.Decision{Pool: name, At: s.now, Inputs: in, Want: min(spec.Max, max(spec.Min, in.Queued+in.Busy)), Applied: true}
		if spec.Kind == models.KindExec && s.rng.IntN(4) == 0 {
			d.Want = s.rng.IntN(spec.Max + 1)
			d.Caps = []models.Cap{{Name: "headroom_memory", After: d.Want}}
		}
		if _, err := s.step(Input{Decision: &d}); err != nil {
			return err
		}
	}
	return nil
}

// settle lets the world calm down: then everything that can end must have ended.
func (s *sim) settle() error {
	ten, no := 10, false
	for _, name := range []string{"default", "gpu"} {
		if _, err := s.step(Input{SetPool: &PoolCall{Name: name, Patch: models.PoolPatch{Max: &ten, Paused: &no}}}); err != nil {
			return err
		}
	}
	if err := s.commit(); err != nil {
		return err
	}
	for range 400 {
		s.now = s.now.Add(2 * time.Second)
		for _, id := range []string{"a", "b"} {
			a := s.agents[id]
			for _, r := range a.runs {
				s.say(s.finished(a, r))
			}
			a.runs = nil
		}
		for len(s.reports) > 0 {
			r := s.reports[0]
			s.reports = s.reports[1:]
			if err := s.report(r); err != nil {
				return err
			}
		}
		if err := s.decide(); err != nil {
			return err
		}
		if err := s.commit(); err != nil {
			return err
		}
		if s.quiet() {
			if err := s.checkIndexes(); err != nil {
				return err
			}
			s.digest = s.state()
			return s.checkReplay()
		}
	}
	for _, t := range s.core.tasks {
		if !t.state.final() && (t.reason != reasonBlocked || !stuck(t)) {
			e, _ := s.core.Explain(t.id, s.now)
			if d := t.blocker(); d != nil {
				e, _ = s.core.Explain(d.id, s.now)
			}
			return fmt.Errorf("%s never ended: %+v", t.id, e)
		}
	}
	return nil
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
