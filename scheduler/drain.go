package scheduler

import (
	"context"
	"time"
)

// drainer is a call of Drain under way.
type drainer struct {
	ctx    context.Context //nolint:containedctx // its end is what Drain waits for
	killAt time.Time       // when what does not end even when killed is given up; zero before it is killed
	done   chan error
}

// Drain stops accepting and dispatching and waits for what runs. When ctx ends,
// what still runs is killed, with the grace, and goes back into the queue,
// durably, as a lost attempt. It returns when nothing is out any more.
func (s *Service) Drain(ctx context.Context) error {
	d := &drainer{ctx: ctx, done: make(chan error, 1)}
	outer := context.WithoutCancel(ctx)
	if err := s.call(outer, &Input{Drain: true}, func(*Output) { s.drainers = append(s.drainers, d) }); err != nil {
		return err
	}
	select {
	case err := <-d.done:
		return err
	case <-s.ended:
		return errStopped
	case <-ctx.Done():
	}
	_ = s.call(outer, nil, func(*Output) {}) // the loop looks at the drain again
	select {
	case err := <-d.done:
		return err
	case <-s.ended:
		return errStopped
	}
}

// abandonSlack is how much longer than the grace is waited for a killed task's report.
const abandonSlack = time.Second

// checkDrain moves the drains under way on.
func (s *Service) checkDrain(ctx context.Context) {
	if len(s.drainers) == 0 {
		return
	}
	out := len(s.core.running()) > 0
	kept := s.drainers[:0]
	for _, d := range s.drainers {
		now := s.cfg.Clock()
		switch {
		case !out:
			d.done <- nil
			continue
		case s.stalled != nil:
			if d.ctx.Err() != nil { // what is out is found in the journal at the next start
				d.done <- s.refusal()
				continue
			}
		case !d.killAt.IsZero() && !now.Before(d.killAt):
			s.batch.reset(now.UnixNano())
			s.step(Input{Abandon: true})
			s.commit(ctx)
			if s.stalled == nil {
				d.done <- nil
				continue
			}
		case d.killAt.IsZero() && d.ctx.Err() != nil:
			d.killAt = now.Add(s.core.cfg.KillGrace + abandonSlack)
			s.batch.reset(now.UnixNano())
			s.step(Input{Cut: true})
			s.commit(ctx)
		}
		kept = append(kept, d)
	}
	s.drainers = kept
}
