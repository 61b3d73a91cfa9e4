package scheduler

import (
	"fmt"
	"slices"
	"time"

	"loadstar/models"
)

// simPools are a pool of each kind, and one with a need of its own.
func simPools() []models.PoolSpec {
	pools := []models.PoolSpec{
		{Name: "default", Kind: models.KindExec, Max: 2, Caps: map[string]int{"team": 2, "team=a": 1}},
		{Name: "gpu", Kind: models.KindStdio, Command: []string{"w"}, Max: 2},
		{Name: "heavy", Kind: models.KindExec, Capabilities: []string{"big"}, Max: 2},
		{Name: "web", Kind: models.KindHTTP, URL: "http://localhost:1", Max: 2},
	}
	for i := range pools {
		pools[i] = pools[i].WithDefaults()
	}
	return pools
}

// simAgents are hosts that differ in all that counts.
func simAgents() []models.Agent {
	return []models.Agent{
		{ID: "a", State: "ready", Slots: 3, CPUs: 4, MemoryTotal: 4 << 30},
		{ID: "b", State: "ready", Capabilities: []string{"gpu"}},
		{ID: "c", State: "ready", Capabilities: []string{"gpu", "big"}, Slots: 2, CPUs: 2, MemoryTotal: 1 << 30},
	}
}

// simRemote is the agent of another host: it lives on where the daemon dies.
const simRemote = "c"

type simAgent struct {
	info    models.Agent
	runs    []*Run
	started []Lease
	slots   map[string]int // by pool: what it was told to run at once, at most
	workers []string
	gone    bool
}

func (a *simAgent) remote() bool { return a.info.ID == simRemote }

// join is an agent that is there, for the first time or again. One of another host
// says what it has: what it runs, and what has ended and was perhaps not heard.
func (s *sim) join(a *simAgent) error {
	a.gone = false
	info := a.info
	if !a.remote() {
		_, err := s.step(Input{Join: &info})
		return err
	}
	a.workers = a.workers[:0]
	a.runs = slices.DeleteFunc(a.runs, func(r *Run) bool { return r.Worker != "" })
	r := &Rejoin{Agent: info}
	for _, run := range a.runs {
		r.Holds = append(r.Holds, Held{TaskID: run.Task.TaskID, Lease: run.Lease})
	}
	for i := range s.reports {
		if f := s.reports[i].Finished; f != nil && s.reports[i].Agent == info.ID && s.rng.IntN(4) > 0 {
			r.Holds = append(r.Holds, Held{TaskID: f.TaskID, Lease: f.Lease})
		}
	}
	_, err := s.step(Input{Rejoin: r})
	return err
}

func (a *simAgent) hasStarted(l Lease) bool { return slices.Contains(a.started, l) }

// before takes in what an input says of agents and workers.
func (s *sim) before(in *Input) {
	m := &s.model
	heard := func(i int, info *models.Agent) {
		a := &m.agents[i]
		a.missed = 0
		a.joined = a.joined || in.Join != nil || in.Rejoin != nil
		if !a.joined {
			return
		}
		if info != nil || a.state == simLost {
			a.state = simReady
			if info != nil && info.State == "draining" {
				a.state = simDraining
			}
		}
	}
	switch r := in.Report; {
	case in.Join != nil:
		heard(m.agentAt(in.Join.ID), in.Join)
	case in.Rejoin != nil:
		i := m.agentAt(in.Rejoin.Agent.ID)
		heard(i, &in.Rejoin.Agent)
		m.agents[i].beats, m.agents[i].await = true, 0
		m.dropWorkers(i)
	case in.Open:
		for i := range m.agents {
			if a := &m.agents[i]; a.remote && m.has(i) {
				a.await = simMissed + 1
			}
		}
	case in.Leave != "":
		m.lose(m.agentAt(in.Leave))
	case in.Tick:
		for i := range m.agents {
			a := &m.agents[i]
			if a.missed++; a.beats && a.state != simLost && a.missed > simMissed {
				m.lose(i)
			}
			a.await = max(0, a.await-1)
		}
	case in.Decision != nil:
		p := &m.pools[m.poolAt(in.Decision.Pool)]
		p.ceiling = -1
		if len(in.Decision.Caps) > 0 && in.Decision.Applied {
			p.ceiling = in.Decision.Want
		}
	case r != nil:
		i := m.agentAt(r.Agent)
		heard(i, r.Heartbeat)
		switch {
		case r.Heartbeat != nil:
			m.agents[i].beats = true
		case r.WorkerReady != nil:
			if w := m.worker(r.WorkerReady.Worker); w != nil && w.agent == i {
				w.ready = true
			}
		case r.WorkerGone != nil:
			if w := m.worker(r.WorkerGone.Worker); w != nil && w.agent == i {
				m.dropWorker(w.id)
			}
		}
	}
}

func (m *model) lose(i int) {
	m.agents[i].state = simLost
	m.dropWorkers(i)
}

// has reports whether an agent has a task.
func (m *model) has(i int) bool {
	return slices.ContainsFunc(m.tasks, func(t modelTask) bool { return t.state.active() && t.agent == i })
}

func (m *model) dropWorkers(i int) {
	for j := len(m.workers) - 1; j >= 0; j-- {
		if m.workers[j].agent == i {
			m.dropWorker(m.workers[j].id)
		}
	}
}

// after takes in what a command does to the workers.
func (s *sim) after(d *Directed) error {
	m := &s.model
	switch cmd := &d.Command; {
	case cmd.StartWorker != nil:
		i := m.agentAt(d.Agent)
		m.workers = append(m.workers, modelWorker{id: cmd.StartWorker.Worker, pool: m.poolAt(cmd.StartWorker.Pool.Name), agent: i, task: -1})
		m.agents[i].slots++
	case cmd.Recall != nil:
		return s.recalled(d)
	case cmd.StopWorker != nil:
		if w := m.worker(cmd.StopWorker.Worker); w != nil && m.agents[w.agent].info.ID == d.Agent {
			w.stopping = true
		}
	}
	return nil
}

// recalled holds a move against what it must be about: an attempt that has not
// begun, of a task that was not moved just before.
func (s *sim) recalled(d *Directed) error {
	if d.Always { // it waits there for a slot; only moves between agents are rationed
		return nil
	}
	s.count.Recalled++
	name := s.number(d.Command.Recall.TaskID)
	t := &s.model.tasks[s.places[name]]
	if t.lease != d.Command.Recall.Lease || t.state != stateAssigned || s.model.agents[t.agent].info.ID != d.Agent {
		return fmt.Errorf("%v is recalled from %s under lease %d", t, d.Agent, d.Command.Recall.Lease)
	}
	if since := s.now - t.moved; t.moved != 0 && t.jumps == s.jumps && since < int64(simCoolDown) {
		return fmt.Errorf("%v is moved again after %s", t, time.Duration(since))
	}
	t.moved, t.jumps = s.now, s.jumps
	return nil
}

// obey is what an agent does with a command.
func (s *sim) obey(d *Directed) error {
	a := s.agents[s.model.agentAt(d.Agent)]
	if a.remote() && a.gone && s.rng.IntN(2) == 0 {
		return nil // it is lost on the way
	}
	switch cmd := &d.Command; {
	case cmd.StartWorker != nil:
		a.workers = append(a.workers, cmd.StartWorker.Worker)
		s.reports = append(s.reports, Report{Agent: d.Agent, WorkerReady: &WorkerReady{Worker: cmd.StartWorker.Worker, ColdStart: time.Second}})
	case cmd.StopWorker != nil:
		s.dropWorker(a, cmd.StopWorker.Worker, "")
	case cmd.Limit != nil:
		a.slots[cmd.Limit.Pool] = cmd.Limit.Slots
	case cmd.Run != nil:
		if cmd.Run.Worker == "" {
			a.slots[cmd.Run.Task.Pool] = cmd.Run.Slots
		}
		return s.begin(a, cmd.Run)
	case cmd.Recall != nil:
		if i := a.runAt(cmd.Recall.Lease); i >= 0 && !a.hasStarted(cmd.Recall.Lease) {
			s.giveBack(a, i)
		}
	case cmd.Kill != nil:
		if i := a.runAt(cmd.Kill.Lease); i >= 0 {
			r := a.runs[i]
			a.runs = slices.Delete(a.runs, i, i+1)
			s.say(Report{Agent: d.Agent, Finished: &Finished{TaskID: r.Task.TaskID, Lease: r.Lease, Outcome: "CANCELLED"}})
		}
	}
	return nil
}

// begin takes a run on. It must be the one that the journal knows of by now.
func (s *sim) begin(a *simAgent, r *Run) error {
	for int(r.Lease) >= len(s.ran) { //nolint:gosec // small
		s.ran = append(s.ran, false)
		s.results = append(s.results, outcomeNone)
	}
	if s.ran[r.Lease] {
		return fmt.Errorf("lease %d was handed out twice", r.Lease)
	}
	s.ran[r.Lease] = true
	at := s.places[s.number(r.Task.TaskID)]
	if at < 0 {
		return fmt.Errorf("task %s is run and was never accepted", r.Task.TaskID)
	}
	if t := &s.model.tasks[at]; t.lease == r.Lease && (int(t.attempt) != r.Attempt || t.worker != r.Worker) && t.state.active() {
		return fmt.Errorf("%v is run as attempt %d on worker %q", t, r.Attempt, r.Worker)
	}
	a.runs = append(a.runs, r)
	return nil
}

func (a *simAgent) runAt(l Lease) int {
	return slices.IndexFunc(a.runs, func(r *Run) bool { return r.Lease == l })
}

// running is how many attempts of a slot pool have begun and not ended.
func (a *simAgent) running(pool string) (n int) {
	for _, r := range a.runs {
		if r.Worker == "" && r.Task.Pool == pool && a.hasStarted(r.Lease) {
			n++
		}
	}
	return n
}

func (s *sim) giveBack(a *simAgent, i int) {
	r := a.runs[i]
	a.runs = slices.Delete(a.runs, i, i+1)
	s.say(Report{Agent: a.info.ID, Returned: &Returned{TaskID: r.Task.TaskID, Lease: r.Lease}})
}

func (s *sim) dropWorker(a *simAgent, id, text string) {
	if i := slices.Index(a.workers, id); i >= 0 {
		a.workers = slices.Delete(a.workers, i, i+1)
		a.runs = slices.DeleteFunc(a.runs, func(r *Run) bool { return r.Worker == id })
		s.reports = append(s.reports, Report{Agent: a.info.ID, WorkerGone: &WorkerGone{Worker: id, Err: text}})
	}
}

// killRuns ends what an agent has; some of it may still be heard of.
func (s *sim) killRuns(a *simAgent) {
	for _, r := range a.runs {
		if s.rng.IntN(2) == 0 {
			s.say(s.finished(a, r))
		}
	}
	a.runs, a.workers, a.started = a.runs[:0], a.workers[:0], a.started[:0]
}

func (s *sim) say(r Report) {
	if f := r.Finished; f != nil && s.results[f.Lease] == outcomeNone {
		s.results[f.Lease], _ = outcomeOf(f.Outcome)
	}
	s.reports = append(s.reports, r)
}

// finished is an attempt's end. What was said of it once is said again.
func (s *sim) finished(a *simAgent, r *Run) Report {
	f := &Finished{TaskID: r.Task.TaskID, Lease: r.Lease, At: s.time(), Outcome: "SUCCESS"}
	if got := s.results[r.Lease]; got != outcomeNone {
		f.Outcome = got.String()
		return Report{Agent: a.info.ID, Finished: f}
	}
	switch s.rng.IntN(14) {
	case 0, 1, 2:
		code := 1
		f.Outcome, f.ExitCode, f.Err = "FAILED", &code, "exit status 1"
	case 3:
		f.Outcome, f.Err = "TIMEOUT", "it ran too long"
	case 4:
		f.Outcome, f.Err = "LOST", "its worker died"
	}
	return Report{Agent: a.info.ID, Finished: f}
}

func (s *sim) agent() *simAgent { return s.agents[s.rng.IntN(len(s.agents))] }

// work is an agent that begins an attempt, ends one or gives one back.
func (s *sim) work() {
	a := s.agent()
	if len(a.runs) == 0 || a.gone && !a.remote() {
		return
	}
	i := s.rng.IntN(len(a.runs))
	r := a.runs[i]
	if !a.hasStarted(r.Lease) {
		if r.Worker == "" && a.running(r.Task.Pool) >= a.slots[r.Task.Pool] {
			s.count.Ahead++
			return // it waits for a slot
		}
		switch s.rng.IntN(16) {
		case 0:
			s.giveBack(a, i)
			return
		case 1, 2: // it ends before it began
		default:
			a.started = append(a.started, r.Lease)
			s.say(Report{Agent: a.info.ID, Started: &Started{TaskID: r.Task.TaskID, Lease: r.Lease, At: s.time()}})
			return
		}
	}
	a.runs = slices.Delete(a.runs, i, i+1)
	s.say(s.finished(a, r))
}

// turn loses an agent, or brings one back; what it was doing may still be heard of.
func (s *sim) turn() error {
	a := s.agent()
	if !a.gone {
		if !a.remote() || s.rng.IntN(3) == 0 {
			s.killRuns(a)
		}
		a.gone = true
		if s.rng.IntN(3) == 0 {
			return nil // it is silent, and perhaps its silence is noticed
		}
		return s.leave(a.info.ID)
	}
	if a.remote() {
		return s.join(a)
	}
	s.killRuns(a)
	if err := s.leave(a.info.ID); err != nil {
		return err
	}
	return s.join(a)
}

// heartbeat is all agents telling how they are; one of them is busy with something else.
func (s *sim) heartbeat() error {
	hot := s.rng.IntN(len(s.agents))
	for i, a := range s.agents {
		if a.gone {
			continue
		}
		info := models.Agent{ID: a.info.ID, State: "ready", LoadScore: s.rng.Float64(), CPU: 0.2 * s.rng.Float64()}
		if i == hot {
			info.CPU, info.Memory = 1, 1
		}
		if s.rng.IntN(16) == 0 {
			info.State = "draining"
		}
		if err := s.report(Report{Agent: a.info.ID, Heartbeat: &info}); err != nil {
			return err
		}
	}
	return nil
}
