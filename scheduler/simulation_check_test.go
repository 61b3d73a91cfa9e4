package scheduler

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"loadstar/models"
	"loadstar/scheduler/queue"
)

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
		bands           [bandCount]int
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
			y.bands[models.PriorityBand(models.Priority(t.priority))]++
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
		for i := range p.bands {
			if p.bands[i].queued != y.bands[i] {
				return fmt.Errorf("pool %s: band %d holds %d, want %d", p.spec.Name, i, p.bands[i].queued, y.bands[i])
			}
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
