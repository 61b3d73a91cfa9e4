package scheduler

import (
	"fmt"
	"strings"
	"time"

	"loadstar/models"
)

// DecisionInput is what the core knows for a decision on a pool's size; the host
// and the forecast are for the caller to fill in (they say unknown). lag is the
// age that metrics may have.
func (c *Core) DecisionInput(name string, now time.Time, interval, lag time.Duration) (models.PoolSpec, models.DecisionInput, bool) {
	p := c.pools[name]
	if p == nil || !p.configured {
		return models.PoolSpec{}, models.DecisionInput{}, false
	}
	ns := now.UnixNano()
	in := models.DecisionInput{
		Now: now, Ready: p.ready(), Busy: p.held(), Starting: p.starting, Queued: c.runnable(p) + p.ahead + c.uncut(p),
		OldestWaitS: p.oldestWait(ns), ArrivalsPerS: p.measure.arrivalRate(ns),
		ServiceS: p.measure.mean, ServiceCV2: p.measure.cv2(), IntervalS: interval.Seconds(),
		FreeMemory: -1, HostCPU: -1, HostCPUForecast: -1, Arrived: p.measure.totals.Arrived,
	}
	if p.exec() {
		in.Ready = p.spec.Max
	}
	in.LeadS = p.coldStartS() + interval.Seconds() + lag.Seconds()
	if len(p.idle) > 0 {
		in.IdleS = seconds(ns - p.idle[0].idleSince)
	}
	for i := len(p.decisions) - 1; i >= 0 && now.Sub(p.decisions[i].At) <= c.cfg.ScaleInWindow; i-- {
		in.RecentNeedMax = max(in.RecentNeedMax, p.decisions[i].Reactive)
	}
	return p.spec, in, true
}

func (p *pool) coldStartS() float64 {
	if p.exec() {
		return 0
	}
	return p.measure.coldP90(p.spec.ColdStart)
}

func (p *pool) oldestWait(now int64) float64 {
	since := p.oldest.front()
	if since == 0 {
		return 0
	}
	return seconds(now - since)
}

// Pools are the names of the configured pools, in order.
func (c *Core) Pools() []string {
	var names []string
	for _, p := range c.poolList {
		if p.configured {
			names = append(names, p.spec.Name)
		}
	}
	return names
}

// decided takes in a decision on a pool's size and acts on it where it applies.
func (c *Core) decided(d *models.Decision) {
	p := c.pools[d.Pool]
	if p == nil || !p.configured {
		return
	}
	before := -1
	if p.decision != nil {
		before = p.decision.Want
	}
	kept := *d
	if was := p.decision; was != nil && was.Inputs.Forecast != nil && kept.Inputs.Forecast != nil {
		if f := was.Inputs.Forecast; f.Series == kept.Inputs.Forecast.Series && f.IssuedAt.Equal(kept.Inputs.Forecast.IssuedAt) && f.Scored == kept.Inputs.Forecast.Scored {
			kept.Inputs.Forecast = f // one copy of each forecast, not one a decision
		}
	}
	p.decision = &kept
	p.decisions = append(p.decisions, kept)
	if n := len(p.decisions); n >= 2*c.cfg.KeepDecisions {
		p.decisions = append([]models.Decision(nil), p.decisions[n-c.cfg.KeepDecisions:]...)
	}
	if d.Applied {
		p.want = d.Want
	}
	p.dirty = true
	if d.Want != before {
		c.out.Events = append(c.out.Events, models.Event{At: at(c.now), Kind: models.EventPool, Pool: d.Pool, Message: d.Reason})
	}
}

// Decisions are the newest decisions on a pool made at or before a time, the
// newest first.
func (c *Core) Decisions(name string, before time.Time, limit int) ([]models.Decision, error) {
	p := c.pools[name]
	if p == nil || !p.configured {
		return nil, fmt.Errorf("pool %q: %w", name, models.ErrNotFound)
	}
	out := []models.Decision{}
	for i := len(p.decisions) - 1; i >= 0 && (limit <= 0 || len(out) < limit); i-- {
		if before.IsZero() || !p.decisions[i].At.After(before) {
			out = append(out, p.decisions[i])
		}
	}
	return out, nil
}

// PoolStatus is one pool as it stands.
func (c *Core) PoolStatus(name string, now time.Time) (models.PoolStatus, error) {
	p := c.pools[name]
	if p == nil || !p.configured {
		return models.PoolStatus{}, fmt.Errorf("pool %q: %w", name, models.ErrNotFound)
	}
	return p.status(now.UnixNano()), nil
}

// PoolStatuses are the configured pools by name.
func (c *Core) PoolStatuses(now time.Time) []models.PoolStatus {
	out := []models.PoolStatus{}
	for _, p := range c.poolList {
		if p.configured {
			out = append(out, p.status(now.UnixNano()))
		}
	}
	return out
}

func (p *pool) status(now int64) models.PoolStatus {
	s := models.PoolStatus{
		PoolSpec: p.spec, Ready: p.ready(), Busy: p.busy(), Starting: p.starting, Wanted: p.want,
		Queued: p.queued, Waiting: p.waiting, OldestWaitS: p.oldestWait(now),
		ColdStartS: p.coldStartS(), ColdStarts: p.measure.coldN, Prestarted: p.prestarted,
		ServiceS: p.measure.mean, ServiceCV2: p.measure.cv2(), ArrivalsPerS: p.measure.arrivalRate(now),
		Trouble: p.crash.trouble, Counters: p.measure.totals,
	}
	if p.exec() {
		s.Ready, s.Wanted = p.ceiling(), p.ceiling()
	}
	if p.decision != nil {
		d := *p.decision
		s.Decision = &d
	}
	return s
}

// Agents are those that have joined, in the order in which they did.
func (c *Core) Agents() []models.Agent {
	out := c.agentViews()
	for i := range out {
		if out[i].Slots > 0 {
			continue
		}
		for _, p := range c.poolList { // it sets no limit of its own, so the pools' are what holds
			if p.configured {
				out[i].Slots += p.spec.Max
			}
		}
	}
	return out
}

// Stats counts and measures; UptimeS is the caller's to fill in.
func (c *Core) Stats(now time.Time) models.Stats {
	s := models.Stats{Tasks: map[models.State]int{}, Pools: []models.PoolCount{}}
	for code := range stateCode(stateCount) {
		s.Tasks[code.model()] = 0
	}
	for _, p := range c.poolList {
		count := models.PoolCount{Name: p.spec.Name, Tasks: map[models.State]int{}}
		for code, n := range p.counts {
			n += p.gone[code]
			count.Tasks[stateCode(code).model()] = n
			s.Tasks[stateCode(code).model()] += n
		}
		s.Pools = append(s.Pools, count)
	}
	s.SubmitToStart, s.SubmitToDone = c.measure.start.quantiles(), c.measure.done.quantiles()
	n, span := c.measure.finished.over(now.UnixNano(), rateWindow)
	s.LateResults = c.lateResults
	s.TasksPerS = float64(n) / min(span, max(1, seconds(now.UnixNano()-c.begun)))
	return s
}

// Explain says why a task is where it is.
func (c *Core) Explain(id string, now time.Time) (models.Explanation, error) {
	t := c.find(id)
	if t == nil {
		return models.Explanation{}, fmt.Errorf("task %s: %w", id, models.ErrNotFound)
	}
	m := c.view(t)
	e := models.Explanation{TaskID: t.id, State: m.State, Reason: m.Reason}
	fact := func(format string, args ...any) { e.Facts = append(e.Facts, fmt.Sprintf(format, args...)) }
	switch {
	case t.state == statePending:
		e.Text = "It is PENDING: " + m.Detail + "."
		if !strings.HasPrefix(m.Detail, "it ") && !strings.HasPrefix(m.Detail, "its ") {
			e.Text = "It is PENDING: it " + m.Detail + "."
		}
		switch t.reason {
		case reasonScheduled, reasonBackoff:
			e.Text = "It is PENDING and starts " + m.Detail + "."
			if t.reason == reasonBackoff {
				e.Text = "Its last attempt failed; it runs " + m.Detail + "."
			}
		case reasonQueued:
			if m.Reason == models.ReasonNoAgent {
				e.Text = "Nobody can take it: " + m.Detail + "."
			}
			if t.shards != nil {
				c.explainShards(t, fact)
				break
			}
			c.explainQueued(t, now, fact)
		}
		for _, d := range t.dependencies() {
			fact("depends on %s, which is %s", d.id, d.state.model())
		}
	case t.state.active() && t.shards != nil:
		e.Text = fmt.Sprintf("Its shards are on their way: %s.", m.Progress)
		if t.toCancel {
			e.Text = fmt.Sprintf("Its shards are being cancelled: %s.", m.Progress)
		}
		c.explainShards(t, fact)
	case t.state.active():
		e.Text = fmt.Sprintf("Attempt %d is %s on %s.", t.attempt, strings.ToLower(string(m.State)), where(&t.last))
		if t.toCancel {
			e.Text = fmt.Sprintf("Attempt %d on %s is being cancelled.", t.attempt, where(&t.last))
		}
		if t.last.started != 0 {
			fact("runs since %s", at(t.last.started).Format(time.RFC3339))
		}
		c.explainPlaced(t, fact)
	default:
		e.Text = ended(&m)
	}
	e.Facts = append(e.Facts, outcomes(&m)...)
	if t.retries > 0 {
		fact("%d of %d retries spent", t.retried, t.retries)
	}
	return e, nil
}

// ended says how a final task came to its end.
func ended(m *models.Task) string {
	when := ""
	if m.FinishedAt != nil {
		when = " at " + m.FinishedAt.Format(time.RFC3339)
	}
	if m.Error == "" {
		return fmt.Sprintf("It ended %s%s.", m.State, when)
	}
	return fmt.Sprintf("It ended %s%s: %s.", m.State, when, strings.TrimSuffix(m.Error, "."))
}

// outcomes says how each attempt ended.
func outcomes(m *models.Task) (facts []string) {
	for i := range m.Attempts {
		switch a := &m.Attempts[i]; {
		case a.Outcome == "":
		case a.Agent == "": // a parent's, which no agent has
			facts = append(facts, fmt.Sprintf("attempt %d ended %s%s", a.Attempt, a.Outcome, colon(a.Error)))
		default:
			facts = append(facts, fmt.Sprintf("attempt %d on %s ended %s%s", a.Attempt, a.Agent, a.Outcome, colon(a.Error)))
		}
	}
	return facts
}

func (c *Core) explainQueued(t *task, now time.Time, fact func(string, ...any)) {
	p := t.pool
	waited := time.Duration(max(0, now.UnixNano()-t.ready))
	if p.spec.Dispatch == models.DispatchFIFO {
		fact("waits for %s, and goes in the order of arrival: the pool's dispatch policy is fifo", waited.Round(time.Millisecond))
	} else {
		fact("priority %d, raised by %.1f for the %s that it has waited", t.priority, float64(waited)/float64(c.cfg.AgeEvery), waited.Round(time.Millisecond))
	}
	switch rank := t.class.queue.Rank(t); {
	case t.class.queue.Len() == p.queued:
		fact("%d tasks of its pool go before it", rank)
	case len(t.class.limits) > 0:
		fact("%d tasks under the same caps go before it", rank)
	default:
		fact("%d tasks that may go to the same agents go before it", rank)
	}
	for _, l := range t.class.limits {
		fact("cap of %s: %d of %d places are taken", l.name, l.used, l.most)
	}
	if p.exec() {
		fact("%d of %d slots of pool %s are taken", p.held(), p.ceiling(), p.spec.Name)
	} else {
		fact("pool %s has %d workers up, %d of them busy, %d starting, and wants %d", p.spec.Name, p.ready(), p.busy(), p.starting, p.want)
		if p.spec.Policy == models.PolicyRecommend {
			fact("the pool's policy is recommend, so no worker beyond its min of %d is started", p.spec.Min)
		}
	}
	if p.crash.trouble != "" {
		fact("%s", p.crash.trouble)
	}
	if c.draining {
		fact("the daemon is stopping and starts nothing more")
	}
	c.explainCandidates(t, fact)
}

func where(a *attempt) string {
	if a.worker != "" {
		return a.agent + ", worker " + a.worker
	}
	return a.agent
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}
