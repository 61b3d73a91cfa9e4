package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"loadstar/models"
)

// request is a call to the goroutine of Run.
type request struct {
	// input changes the state; nil only reads it.
	input *Input
	// answer is called by that goroutine when the input's records are on disk, or
	// with why they are not. It must not block.
	answer func(o *Output, err error)
	// attach is the agent that the input is about, which is there from now on.
	attach Agent
}

// settle is how long an early decision waits for more of the same burst.
const settle = 20 * time.Millisecond

// drive is the loop: take in all that is there, step, write, act.
func (s *Service) drive(ctx context.Context) error {
	s.begin(ctx)
	if errors.Is(s.stalled, models.ErrDeposed) {
		return fmt.Errorf("the scheduler steps down: %w", s.stalled)
	}
	close(s.ready)
	tick := time.NewTicker(s.cfg.watchEvery())
	defer tick.Stop()
	decide := time.NewTicker(s.cfg.DecisionInterval)
	defer decide.Stop()
	wake := time.NewTimer(time.Hour)
	defer wake.Stop()
	for {
		wake.Reset(s.untilDue())
		inbox, reports := s.inbox, s.reports
		if s.stalled != nil {
			reports = nil // they wait in their channel until the journal takes records again
		}
		s.batch.reset(s.cfg.Clock().UnixNano())
		select {
		case <-ctx.Done():
			return nil
		case r := <-inbox:
			s.take(r)
		case r := <-reports:
			s.report(r)
		case l := <-s.left:
			s.depart(l)
		case <-tick.C:
			if s.stalled == nil {
				s.step(Input{Tick: true})
			}
		case <-decide.C:
			if s.stalled == nil {
				s.decide(s.core.Pools())
			}
		case <-wake.C:
			s.due()
		}
		s.fill()
		s.commit(ctx)
		if errors.Is(s.stalled, models.ErrDeposed) {
			return fmt.Errorf("the scheduler steps down: %w", s.stalled)
		}
		s.checkDrain(ctx)
	}
}

// begin makes the agents known and takes back what the last run left.
func (s *Service) begin(ctx context.Context) {
	s.batch.reset(s.cfg.Clock().UnixNano())
	s.open()
	s.commit(ctx)
	s.batch.reset(s.cfg.Clock().UnixNano())
	s.decide(s.core.Pools())
	s.commit(ctx)
}

func (s *Service) open() {
	s.effects.opened = true
	s.step(Input{Open: true})
	for _, a := range s.cfg.Agents {
		info := a.Info()
		s.step(Input{Join: &info})
	}
}

// fill takes in what else has come, up to about one frame.
func (s *Service) fill() {
	for len(s.batch.bytes) < targetFrame {
		reports := s.reports
		if s.stalled != nil {
			reports = nil
		}
		select {
		case r := <-reports:
			s.report(r)
		case r := <-s.inbox:
			s.take(r)
		case l := <-s.left:
			s.depart(l)
		default:
			return
		}
	}
}

// untilDue is the time to the next thing that happens by itself.
func (s *Service) untilDue() time.Duration {
	next := time.Hour
	now := s.cfg.Clock()
	sooner := func(t time.Time) { next = min(next, max(0, t.Sub(now))) }
	if s.stalled != nil {
		return s.cfg.RetryEvery
	}
	if t, ok := s.core.NextWake(); ok {
		sooner(t)
	}
	if !s.decideAt.IsZero() {
		sooner(s.decideAt)
	}
	for _, d := range s.drainers {
		if !d.killAt.IsZero() {
			sooner(d.killAt)
		}
	}
	return next
}

// due does what its time has come for.
func (s *Service) due() {
	if s.stalled != nil {
		s.resume()
		return
	}
	if !s.decideAt.IsZero() && !s.cfg.Clock().Before(s.decideAt) {
		s.decideAt = time.Time{}
		pools := make([]string, 0, len(s.early))
		for _, name := range s.core.Pools() {
			if s.early[name] {
				pools = append(pools, name)
			}
		}
		clear(s.early)
		s.decide(pools)
		return
	}
	s.step(Input{})
}

// step takes one input in and keeps what it asks for until it is on disk.
func (s *Service) step(in Input) *Output {
	now := s.cfg.Clock()
	o := s.core.Step(now, in)
	for i := range o.Records {
		s.batch.add(&o.Records[i])
	}
	e := &s.effects
	e.commands = append(e.commands, o.Commands...)
	e.events = append(e.events, o.Events...)
	e.final = append(e.final, o.Final...)
	for _, id := range o.Lost {
		s.dismiss(id)
	}
	for _, name := range o.Decide {
		s.early[name] = true
		if s.decideAt.IsZero() {
			s.decideAt = now.Add(settle)
		}
	}
	return o
}

// take serves a call. While the journal refuses, those that would change the
// state are refused at once; reading goes on.
func (s *Service) take(r request) {
	if r.input == nil {
		s.effects.answers = append(s.effects.answers, func(error) { r.answer(nil, nil) }) // what is read is on disk by then, or undone
		return
	}
	if s.stalled != nil {
		r.answer(nil, s.refusal())
		return
	}
	if r.attach != nil {
		s.attach(r.attach)
	}
	o := s.step(*r.input)
	if o.Err != nil {
		err := o.Err
		s.effects.answers = append(s.effects.answers, func(error) { r.answer(nil, err) })
		return
	}
	kept := &Output{Tasks: append([]uint64(nil), o.Tasks...), Bulk: o.Bulk}
	s.effects.answers = append(s.effects.answers, func(err error) { r.answer(kept, err) })
}

func (s *Service) refusal() error {
	return fmt.Errorf("the journal takes no records now, so nothing was changed (%s): %w", s.stalled.Error(), models.ErrUnavailable)
}

func (s *Service) report(r Report) {
	s.step(Input{Report: &r})
	if r.Heartbeat == nil {
		s.effects.again = append(s.effects.again, r)
	}
}

func (s *Service) leave(id string) {
	if s.stalled != nil {
		s.held.left = append(s.held.left, id)
		return
	}
	s.step(Input{Leave: id})
	s.effects.left = append(s.effects.left, id)
}

// commit writes what the batch changed and then acts on it; where that fails, the
// change is undone, those who asked are told, and the reports are kept.
func (s *Service) commit(ctx context.Context) {
	if err := s.write(ctx); err != nil {
		s.fail(err)
		return
	}
	if s.cfg.Telemetry != nil && len(s.core.steps) > 0 {
		s.cfg.Telemetry.Offer(s.core.steps)
	}
	s.core.Commit()
	if s.retried != nil && len(s.batch.bytes) > 0 {
		s.cfg.Logger.Info("the journal takes records again")
		s.retried = nil
	}
	e := &s.effects
	s.send(e.commands)
	for _, answer := range e.answers {
		answer(nil)
	}
	s.wakeWaiters(e.final)
	s.tellFailed(e.final)
	s.hub.publish(e.events)
	e.reset()
	s.shelve(ctx)
	if s.written > max(int(s.cfg.SnapshotEvery), s.lastSize) {
		s.snapshot(ctx)
	}
}

func (s *Service) tellFailed(final []uint64) {
	if s.cfg.Alerts == nil {
		return
	}
	for _, seq := range final {
		if t := s.core.bySeq(seq); t != nil && t.state == stateFailed && t.part == nil { // a shard's failure is its parent's to tell
			s.cfg.Alerts.Offer(t.id)
		}
	}
}

func (s *Service) write(ctx context.Context) error {
	if len(s.batch.bytes) == 0 {
		return nil
	}
	// A write is not broken off: what came of it would not be known.
	ctx = context.WithoutCancel(ctx)
	frames := s.batch.cut(s.number)
	for _, f := range frames {
		if err := s.cfg.Journal.Append(ctx, f); err != nil {
			return err
		}
		s.written += len(f)
	}
	s.number += uint64(len(frames))
	s.commits++
	return nil
}

// fail undoes a batch that could not be written.
func (s *Service) fail(err error) {
	s.core.Rollback()
	e := &s.effects
	first := s.retried == nil
	s.retried = nil
	s.stalled = err
	if first {
		s.cfg.Logger.Error("the journal takes no records: changes are refused until it does", "err", err)
		s.hub.publish([]models.Event{{At: s.cfg.Clock(), Kind: models.EventTrouble, Message: "the journal takes no records: " + err.Error()}})
	}
	kept := e.commands[:0]
	for _, d := range e.commands {
		if d.Always {
			kept = append(kept, d)
		}
	}
	s.send(kept)
	refusal := s.refusal()
	for _, answer := range e.answers {
		answer(refusal)
	}
	s.held.again = append(s.held.again, e.again...)
	s.held.left = append(s.held.left, e.left...)
	s.held.opened = s.held.opened || e.opened
	e.reset()
}

// resume takes in again what the journal refused, together with what comes now.
// Something is written in any case: to see whether the journal takes records, and
// to take the place of a refused frame that is in the log all the same.
func (s *Service) resume() {
	was := s.stalled
	s.stalled = nil
	again, left, opened := s.held.again, s.held.left, s.held.opened
	s.held = held{}
	s.retried = was
	s.step(Input{Probe: true})
	if opened {
		s.open()
	}
	for _, r := range again {
		s.report(r)
	}
	for _, id := range left {
		s.leave(id)
	}
	s.step(Input{Tick: true})
}

// send hands commands to their agents, in order, in one call each.
func (s *Service) send(commands []Directed) {
	if len(commands) == 0 {
		return
	}
	for _, m := range s.fleet {
		var mine []Command
		for i := range commands {
			if commands[i].Agent == m.id {
				mine = append(mine, commands[i].Command)
			}
		}
		if len(mine) > 0 {
			m.agent.Send(mine)
		}
	}
}

// decide has the size of pools decided and acts on it.
func (s *Service) decide(pools []string) {
	for _, name := range pools {
		if spec, in, ok := s.decisionInput(name); ok {
			d := s.cfg.Sizer(spec, in)
			s.step(Input{Decision: &d})
		}
	}
}

// decisionInput is what a decision on a pool looks at now.
func (s *Service) decisionInput(name string) (models.PoolSpec, models.DecisionInput, bool) {
	spec, in, ok := s.core.DecisionInput(name, s.cfg.Clock(), s.cfg.DecisionInterval, s.cfg.MetricLag)
	if !ok {
		return spec, in, false
	}
	if m := s.cfg.Metrics; m != nil {
		if h, ok := m.Host(); ok {
			in.HostCPU = h.CPU / 100
			in.FreeMemory = freeMemory(&h)
		}
	}
	if f := s.cfg.Forecasts; f != nil {
		if share, ok := f.HostCPU(time.Duration(in.LeadS * float64(time.Second))); ok {
			in.HostCPUForecast = share
		}
		if d, ok := f.Demand(name); ok {
			in.Forecast = &d
		}
	}
	return spec, in, true
}

// freeMemory is what new workers may take: the host's, within the cgroup's limit.
func freeMemory(h *models.HostStatus) models.Bytes {
	total := h.MemoryTotal
	if h.MemoryLimit > 0 {
		total = min(total, h.MemoryLimit)
	}
	if total <= 0 {
		return -1
	}
	return max(0, min(h.MemoryTotal-h.MemoryUsed, total))
}

// snapshot stores the whole state, so that the next start has little to replay.
func (s *Service) snapshot(ctx context.Context) {
	began := time.Now()
	chunks := s.core.snapshot(s.number, s.cfg.Clock().UnixNano())
	size := 0
	for _, c := range chunks {
		size += len(c)
	}
	if err := s.cfg.Journal.Snapshot(context.WithoutCancel(ctx), chunks); err != nil {
		if !errors.Is(err, context.Canceled) {
			s.cfg.Logger.Warn("no snapshot could be stored; the journal goes on growing", "err", err)
		}
		s.lastSize = s.written + int(s.cfg.SnapshotEvery) // try again after as much more
		return
	}
	s.written, s.lastSize = 0, size
	s.cfg.Logger.Debug("a snapshot is stored", "tasks", s.core.known(), "bytes", size, "took", time.Since(began))
}
