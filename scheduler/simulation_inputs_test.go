package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"loadstar/models"
)

// act is one random thing that happens.
func (s *sim) act() (err error) {
	s.now += int64(s.rng.IntN(400)) * int64(time.Millisecond)
	if s.draining {
		if s.drainAt--; s.drainAt <= 0 {
			return s.drainOn()
		}
	}
	switch n := s.rng.IntN(1000); {
	case n < 110 && (s.next < simPlenty || n < 30):
		err = s.submit()
	case n >= 110 && n < 130:
		err = s.repeat()
	case n < 470:
		err = s.deliver()
	case n < 700:
		s.work()
	case n < 720:
		if a := s.agent(); len(a.workers) > 0 {
			s.dropWorker(a, a.workers[s.rng.IntN(len(a.workers))], "signal: killed")
		}
	case n < 745:
		err = s.turn()
	case n < 770:
		err = s.heartbeat()
	case n < 800:
		_, err = s.step(Input{Cancel: s.selection()})
	case n < 835:
		_, err = s.step(Input{Retry: &RetryCall{Selection: *s.selection(), WithDependents: s.rng.IntN(2) == 0}})
	case n < 860:
		_, err = s.step(Input{Prioritize: &PriorityCall{Selection: *s.selection(), Priority: models.Priority(s.rng.IntN(101))}})
	case n < 885:
		err = s.setPool()
	case n < 925:
		err = s.decide()
	case n < 970:
		_, err = s.step(Input{Tick: true})
	case n < 976:
		_, err = s.step(Input{Probe: true})
	case n < 979:
		caps := map[string]int{"user": 1 + s.rng.IntN(3)}
		if s.rng.IntN(2) == 0 {
			caps["team=b"] = 1
		}
		s.caps = caps
		_, err = s.step(Input{SetCaps: &CapsCall{Caps: caps}})
	case n < 981:
		if !s.draining {
			s.draining, s.drainAt = true, 1+s.rng.IntN(12)
			_, err = s.step(Input{Drain: true})
		}
	default: // the clock is set, or the host slept
		s.now += int64(s.rng.IntN(7200)-3000) * int64(time.Second) / 100
		s.steady = false
		s.jumps++
		_, err = s.step(Input{})
	}
	return err
}

// drainOn kills what still runs, and then takes it back and stops; a new daemon starts.
func (s *sim) drainOn() error {
	if !s.cutting {
		s.cutting, s.drainAt = true, 1+s.rng.IntN(12)
		_, err := s.step(Input{Cut: true})
		return err
	}
	s.count.Drained++
	if _, err := s.step(Input{Abandon: true}); err != nil {
		return err
	}
	return s.crash(true)
}

// name is a task that was submitted once, more likely one of the last.
func (s *sim) name() string {
	if s.next == 0 {
		return "none"
	}
	if s.rng.IntN(2) == 0 {
		return s.id(s.next - 1 - s.rng.IntN(min(s.next, 20)))
	}
	return s.id(s.rng.IntN(s.next))
}

func (s *sim) selection() *models.Selection {
	if s.rng.IntN(6) == 0 {
		f := &models.TaskFilter{States: []models.State{models.Pending, models.Failed, models.Running}}
		if s.rng.IntN(4) > 0 {
			f.Pool = s.pools[s.rng.IntN(len(s.pools))].Name
			f.Limit = 1 + s.rng.IntN(5)
		}
		return &models.Selection{Filter: f}
	}
	return &models.Selection{IDs: []string{s.name(), s.name()}}
}

func (s *sim) setPool() error {
	most, least, paused := 1+s.rng.IntN(3), 0, s.rng.IntN(4) == 0
	if s.rng.IntN(3) == 0 {
		least = 1
	}
	p := s.pools[s.rng.IntN(len(s.pools))]
	patch := models.PoolPatch{Max: &most, Paused: &paused}
	if p.Kind == models.KindStdio {
		patch.Min = &least
	}
	if s.rng.IntN(4) == 0 {
		patch.Max, patch.Min = nil, nil
		all := models.DispatchPolicies()
		patch.Dispatch = &all[s.rng.IntN(len(all))]
	}
	if s.rng.IntN(3) == 0 {
		patch.Caps = map[string]int{simTeams[s.rng.IntN(len(simTeams))]: s.rng.IntN(3)}
	}
	_, err := s.step(Input{SetPool: &PoolCall{Name: p.Name, Patch: patch}})
	return err
}

// spec makes a task that some agent could take.
func (s *sim) spec(id string) models.TaskSpec {
	spec := models.NewTaskSpec()
	spec.TaskID, spec.Priority = id, models.Priority(s.rng.IntN(101))
	pool := &s.pools[s.rng.IntN(len(s.pools))]
	if spec.Pool = pool.Name; pool.Kind == models.KindExec {
		spec.Run = simRun
	} else {
		spec.Description = "x"
	}
	spec.Retries = s.rng.IntN(3)
	spec.OnDependencyFailure = simRules[s.rng.IntN(len(simRules))]
	if s.rng.IntN(3) == 0 {
		spec.Labels = simLabels[s.rng.IntN(len(simLabels))]
		if s.rng.IntN(3) == 0 {
			spec.Affinity = &models.Affinity{Label: "team"}
		}
	}
	switch s.rng.IntN(12) {
	case 0:
		spec.Capabilities = simGPU
	case 1:
		spec.Capabilities = simBoth
	case 2:
		if spec.AssignedTo = "c"; pool.Name != "heavy" {
			spec.AssignedTo = s.agent().info.ID
		}
	case 3:
		later := s.time().Add(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
		spec.NotBefore = &later
	case 4:
		soon := s.time().Add(time.Duration(s.rng.IntN(20000)) * time.Millisecond)
		spec.Deadline = &soon
	case 5:
		spec.Backoff = models.Duration(time.Duration(s.rng.IntN(4000)) * time.Millisecond)
	case 6, 7:
		spec.Resources = &models.Resources{CPU: float64(1+s.rng.IntN(4)) / 2, Memory: models.Bytes(s.rng.IntN(3)) << 28}
	}
	return spec
}

var (
	simRun   = []string{"true"}
	simGPU   = []string{"gpu"}
	simBoth  = []string{"big", "gpu"}
	simRules = []string{"", "cancel", "run", "wait"}
	simTeams = []string{"team", "team=a", "team=b", "user"}

	simLabels = []map[string]string{{"team": "a"}, {"team": "b", "user": "u"}, {"team": "c"}, {"team": "a", "user": "v"}}
)

func (s *sim) submit() error {
	n := 1 + s.rng.IntN(3)
	specs := make([]models.TaskSpec, n)
	for i := range specs {
		spec := s.spec(s.id(s.next + i))
		if i+1 < n && s.rng.IntN(2) == 0 { // on one that comes later in the same call
			spec.Dependencies = append(spec.Dependencies, s.id(s.next+i+1))
		}
		if d := s.name(); d != "none" && s.rng.IntN(3) == 0 && s.there(d) && !slices.Contains(spec.Dependencies, d) {
			spec.Dependencies = append(spec.Dependencies, d)
		}
		specs[i] = spec
	}
	key := ""
	if s.rng.IntN(3) == 0 {
		key = fmt.Sprint("key", s.rng.IntN(s.next+1))
	}
	sub, err := NewSubmission(specs, key, nil)
	if err != nil {
		return err
	}
	used := slices.Contains(s.model.keys, key)
	o, err := s.step(Input{Submit: sub})
	switch {
	case err != nil:
		return err
	case s.draining:
		if !errors.Is(o.Err, models.ErrUnavailable) {
			return fmt.Errorf("a submission to a daemon that stops: %v", o.Err) //nolint:errorlint // shown
		}
		return nil
	case used:
		s.count.Conflicts++
		if !errors.Is(o.Err, models.ErrConflict) {
			return fmt.Errorf("key %q was used for something else, and that is answered with %v", key, o.Err) //nolint:errorlint // shown
		}
		return nil
	case o.Err != nil:
		return o.Err
	case len(o.Tasks) != n:
		return fmt.Errorf("%d tasks were accepted of %d", len(o.Tasks), n)
	}
	for i := range specs {
		if t := s.model.at(o.Tasks[i]); t == nil || t.body == nil || t.name != s.next+i {
			return fmt.Errorf("the answer names place %d for %s, which has %v", o.Tasks[i], specs[i].TaskID, t)
		}
	}
	s.fresh = append(s.fresh, simSubmission{sub, slices.Clone(o.Tasks)})
	s.next += n
	return nil
}

// there reports whether a task was accepted and not taken back.
func (s *sim) there(id string) bool {
	at := s.places[s.number(id)]
	if at < 0 {
		return false
	}
	t := s.model.at(uint64(at)) //nolint:gosec // a place
	return t != nil && t.body != nil && s.id(t.name) == id
}

// repeat hands in again what was accepted: it must be answered in the same way and
// change nothing. The same id with another document must be refused.
func (s *sim) repeat() error {
	if len(s.subs) == 0 || s.draining {
		return nil
	}
	was := s.subs[len(s.subs)-1-s.rng.IntN(min(len(s.subs), 8))]
	if s.rng.IntN(3) == 0 {
		spec := was.sub.Specs[0]
		spec.Description += "another"
		sub, err := NewSubmission([]models.TaskSpec{spec}, "", nil)
		if err != nil {
			return err
		}
		s.count.Conflicts++
		o, err := s.step(Input{Submit: sub})
		if err == nil && !errors.Is(o.Err, models.ErrConflict) {
			err = fmt.Errorf("another document for %s was answered with %v", spec.TaskID, o.Err) //nolint:errorlint // shown
		}
		return err
	}
	sub := *was.sub
	if sub.Key != "" && !slices.Contains(s.model.keys, sub.Key) {
		sub.Key = "" // it may stand for something else by now
	}
	s.count.Repeated++
	o, err := s.step(Input{Submit: &sub})
	switch {
	case err != nil:
		return err
	case errors.Is(o.Err, models.ErrConflict) && sub.Key != "": // the key was used again after it was forgotten
		return nil
	case o.Err != nil || !slices.Equal(o.Tasks, was.places):
		return fmt.Errorf("a repeated submission was answered with %v, %v, and before with %v", o.Tasks, o.Err, was.places) //nolint:errorlint // shown
	}
	return nil
}

// deliver brings a report, in any order, and sometimes will again.
func (s *sim) deliver() error {
	if len(s.reports) == 0 {
		return nil
	}
	i := s.rng.IntN(len(s.reports))
	r := s.reports[i]
	if s.rng.IntN(64) == 0 { // somebody else tells it
		r.Agent = s.agent().info.ID
		return s.report(r)
	}
	if s.rng.IntN(8) != 0 {
		last := len(s.reports) - 1
		s.reports[i] = s.reports[last]
		s.reports = s.reports[:last]
	}
	return s.report(r)
}

func (s *sim) decide() error {
	name := s.pools[s.rng.IntN(len(s.pools))].Name
	_, err := s.step(Input{Decision: s.decision(name)})
	return err
}

func (s *sim) decision(name string) *models.Decision {
	spec, in, _ := s.core.DecisionInput(name, s.time(), time.Second, 0)
	d := &models.Decision{Pool: name, At: s.time(), Inputs: in, Want: min(spec.Max, max(spec.Min, in.Queued+in.Busy)), Applied: true}
	if spec.Kind.Slots() && s.rng.IntN(4) == 0 {
		d.Want = s.rng.IntN(spec.Max + 1)
		d.Caps = []models.Cap{{Name: "headroom_memory", After: d.Want}}
	}
	return d
}

// settle lets the world calm down: then everything that can end must have ended.
func (s *sim) settle() error {
	if s.draining {
		s.cutting = true
		if err := s.drainOn(); err != nil {
			return err
		}
	}
	ten, no := 10, false
	for i := range s.pools {
		if _, err := s.step(Input{SetPool: &PoolCall{Name: s.pools[i].Name, Patch: models.PoolPatch{Max: &ten, Paused: &no}}}); err != nil {
			return err
		}
	}
	for _, a := range s.agents {
		s.killRuns(a)
		if err := s.leave(a.info.ID); err != nil {
			return err
		}
		if err := s.join(a); err != nil {
			return err
		}
	}
	if err := s.commit(); err != nil {
		return err
	}
	for range 400 {
		s.now += int64(6 * time.Second)
		for _, a := range s.agents {
			for _, r := range a.runs {
				s.say(s.finished(a, r))
			}
			a.runs = a.runs[:0]
		}
		for i := range s.reports { // those that they lead to come at the next commit
			if err := s.report(s.reports[i]); err != nil {
				return err
			}
		}
		s.reports = s.reports[:0]
		for i := range s.pools {
			d := s.decision(s.pools[i].Name)
			d.Caps, d.Want = nil, max(1, d.Want)
			if _, err := s.step(Input{Decision: d}); err != nil {
				return err
			}
		}
		if err := s.commit(); err != nil {
			return err
		}
		if s.quiet() {
			break
		}
	}
	if !s.quiet() {
		return s.unfinished()
	}
	if err := s.checkAll(); err != nil {
		return err
	}
	last := s.core
	s.newCore()
	if _, err := s.load(s.core); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if d := difference(s.core, last); d != "" {
		return fmt.Errorf("the replayed state is not the one that was written: %s", d)
	}
	return nil
}

func (s *sim) unfinished() error {
	for _, t := range s.core.tasks {
		if !t.state.final() && (t.reason != reasonBlocked || !stuck(t)) {
			e, _ := s.core.Explain(t.id, s.time())
			if d := t.blocker(); d != nil {
				e, _ = s.core.Explain(d.id, s.time())
			}
			text, _ := json.Marshal(e)
			return fmt.Errorf("%s never ended: %s", t.id, text)
		}
	}
	return nil
}
