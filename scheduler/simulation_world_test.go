package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"loadstar/models"
)

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
	case cmd.Recall != nil:
		for i, r := range a.runs {
			if r.Lease == cmd.Recall.Lease && !a.started[r.Lease] {
				a.runs = slices.Delete(a.runs, i, i+1)
				s.say(Report{Agent: d.Agent, Returned: &Returned{TaskID: r.Task.TaskID, Lease: r.Lease}})
				break
			}
		}
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
	if !a.started[r.Lease] && s.rng.IntN(16) == 0 { // it gives back what it has not begun
		a.runs = slices.Delete(a.runs, i, i+1)
		s.say(Report{Agent: a.info.ID, Returned: &Returned{TaskID: r.Task.TaskID, Lease: r.Lease}})
		return
	}
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
