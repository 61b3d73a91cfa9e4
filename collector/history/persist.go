package history

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// lazySteps is how many new steps of a coarser tier are worth a frame. Until then
// they can be made again from the tier below, whose reach is far longer.
const lazySteps = 60

// minAge is how long any tier's frames are kept: so long after a kill the coarser
// tiers can still be made from the finer.
const minAge = 24 * time.Hour

// closeTimeout bounds the last write.
const closeTimeout = 10 * time.Second

func (s *Store) openLogs(ctx context.Context) error {
	s.logs = make([]Log, len(s.cfg.Tiers))
	for i, t := range s.cfg.Tiers {
		if s.cfg.Logs == nil {
			s.logs[i] = s.cfg.Store
			continue
		}
		var err error
		if s.logs[i], err = s.cfg.Logs(ctx, "history-"+stepName(t.Step), max(t.Reach()+t.Reach()/8, minAge)); err != nil {
			return fmt.Errorf("history: open the log of the %s tier: %w", t.Step, err)
		}
	}
	return nil
}

// stepName is a step as a word: "1s", "10s", "1m", "15m".
func stepName(step time.Duration) string {
	switch {
	case step%time.Hour == 0:
		return fmt.Sprintf("%dh", step/time.Hour)
	case step%time.Minute == 0:
		return fmt.Sprintf("%dm", step/time.Minute)
	case step%time.Second == 0:
		return fmt.Sprintf("%ds", step/time.Second)
	}
	return fmt.Sprintf("%dms", step/time.Millisecond)
}

// persistent says whether anything outlives the process.
func (s *Store) persistent() bool { return s.cfg.Store != nil || s.cfg.Logs != nil }

// replay fills the rings from the logs and then derives what was not written any more.
func (s *Store) replay(ctx context.Context) error {
	if !s.persistent() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, log := range s.logs {
		if i > 0 && s.cfg.Store != nil {
			break // one log has them all
		}
		err := log.Replay(ctx, func(_ time.Time, data []byte) error {
			s.apply(data)
			return nil
		})
		if err != nil {
			return fmt.Errorf("history: read the log: %w", err)
		}
	}
	for _, ser := range s.series {
		for _, r := range ser.rings {
			r.unsaved = r.last + 1
		}
	}
	for _, ser := range s.series {
		ser.deriveAll()
	}
	if n := s.counts.DamagedFrames; n > 0 {
		s.log.Warn("frames of the sample history are damaged and were left out: there may be gaps", "frames", n)
	}
	if n := s.counts.OtherFrames; n > 0 {
		s.log.Info("frames of the sample history are of other tiers or of another version and were left out", "frames", n)
	}
	return nil
}

// apply puts one frame's values in place.
func (s *Store) apply(data []byte) {
	f, err := decodeFrame(data)
	tier := -1
	if err == nil {
		for i, t := range s.cfg.Tiers {
			if t.Step == time.Duration(f.stepMS)*time.Millisecond {
				tier = i
			}
		}
	}
	switch {
	case errors.Is(err, errDamaged):
		s.counts.DamagedFrames++
		return
	case err != nil || tier < 0:
		s.counts.OtherFrames++
		return
	}
	if f.kind == kindRewind {
		for _, ser := range s.series {
			if tier < len(ser.rings) {
				ser.rings[tier].cut(f.at)
			}
		}
		return
	}
	for _, r := range f.runs {
		ser := s.seriesFor(r.name)
		if ser == nil || tier >= len(ser.rings) {
			continue
		}
		for i, v := range r.values {
			if !isAbsent(v) {
				ser.rings[tier].set(r.first+int64(i), v)
			}
		}
	}
}

// deriveAll makes the coarser values that are missing and whose steps are over.
func (ser *series) deriveAll() {
	for tier := 0; tier+1 < len(ser.rings); tier++ {
		r, above := ser.rings[tier], ser.rings[tier+1]
		if !r.used {
			continue
		}
		ratio := above.step / r.step
		for p := floorDiv(r.first, ratio); (p+1)*ratio-1 <= r.last; p++ {
			if isAbsent(above.at(p)) {
				ser.derive(tier, p, ratio)
			}
		}
	}
}

// Run writes what is new every FlushEvery until ctx ends; the last write is
// Close's. A write that fails is tried again the next time, and said once.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.cfg.FlushEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := s.Flush(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			s.log.Error("the sample history is not being written; trying on", "error", err)
		case err == nil && failing:
			s.log.Info("the sample history is being written again")
		}
		failing = err != nil
	}
}

// Flush writes what is new and due: of the finest tier all, of the others what
// cannot be made again or has become much. After an error nothing is lost: it is
// written again the next time.
func (s *Store) Flush(ctx context.Context) error { return s.flush(ctx, false) }

// Close writes what is new in every tier. The store can be read afterwards, but
// nothing is written any more. A second Close does nothing.
func (s *Store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.flush(ctx, true)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return err
}

// batch is what one Flush writes.
type batch struct {
	frames [][][]byte // of each tier
	taken  []mark
	rewind int64
}

// mark is a stretch that a batch holds, to be owed again should it fail.
type mark struct {
	ring   *ring
	from   int64
	urgent bool
}

func (s *Store) flush(ctx context.Context, all bool) error {
	if !s.persistent() {
		return nil
	}
	s.flushing.Lock()
	defer s.flushing.Unlock()
	b := s.take(all)
	for tier, frames := range b.frames {
		for _, f := range frames {
			if err := s.logs[tier].Append(ctx, f); err != nil {
				s.giveBack(b)
				return fmt.Errorf("history: write the %s tier: %w", s.cfg.Tiers[tier].Step, err)
			}
		}
	}
	return nil
}

// take encodes what is due and counts it as saved.
func (s *Store) take(all bool) batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := batch{frames: make([][][]byte, len(s.cfg.Tiers)), rewind: s.rewind}
	if s.closed {
		b.rewind = noRewind
		return b
	}
	s.rewind = noRewind
	for tier, t := range s.cfg.Tiers {
		stepMS := uint64(t.Step / time.Millisecond)
		if b.rewind != noRewind {
			b.frames[tier] = append(b.frames[tier], encodeRewind(stepMS, b.rewind))
		}
		due := s.due(tier, all)
		for _, d := range due {
			r := d.ser.rings[tier]
			b.taken = append(b.taken, mark{ring: r, from: r.unsaved, urgent: r.urgent})
			r.unsaved, r.urgent = r.last+1, false
		}
		b.frames[tier] = append(b.frames[tier], encodeTier(tier, stepMS, due)...)
	}
	return b
}

func (s *Store) giveBack(b batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rewind = min(s.rewind, b.rewind)
	for _, m := range b.taken {
		if m.ring.used {
			m.ring.unsaved = min(m.ring.unsaved, m.from)
			m.ring.urgent = m.ring.urgent || m.urgent
		}
	}
}

// dueRun is a stretch of a series that is to be written.
type dueRun struct {
	ser      *series
	from, to int64 // indexes, to exclusive
}

// due are the stretches of a tier to be written. When any series of a coarser
// tier has enough, all are written: they share a frame.
func (s *Store) due(tier int, all bool) []dueRun {
	var out []dueRun
	write := all || tier == 0
	for _, name := range s.names {
		ser := s.series[name]
		if tier >= len(ser.rings) || !ser.rings[tier].used {
			continue
		}
		r := ser.rings[tier]
		from := max(r.unsaved, r.first)
		if from > r.last {
			continue
		}
		write = write || r.urgent || r.last-from+1 >= lazySteps
		out = append(out, dueRun{ser: ser, from: from, to: r.last + 1})
	}
	if !write {
		return nil
	}
	return out
}

// encodeTier makes the frames of the stretches: one for each window of frameSteps
// steps, or more where that would be too large.
func encodeTier(tier int, stepMS uint64, due []dueRun) [][]byte {
	windows := map[int64]bool{}
	var order []int64
	for _, d := range due {
		for w := floorDiv(d.from, frameSteps); w <= floorDiv(d.to-1, frameSteps); w++ {
			if !windows[w] {
				windows[w] = true
				order = append(order, w)
			}
		}
	}
	var frames [][]byte
	for _, w := range order {
		base := w * frameSteps
		var runs [][]byte
		size := 0
		emit := func() {
			if len(runs) > 0 {
				frames = append(frames, encodeValues(stepMS, base, runs))
			}
			runs, size = nil, 0
		}
		for _, d := range due {
			from, to := max(d.from, base), min(d.to, base+frameSteps)
			if from >= to {
				continue
			}
			if encoded := encodeRun(d.ser.stretch(tier, from, to), base); encoded != nil {
				runs = append(runs, encoded)
				size += len(encoded)
			}
			if size >= frameTarget || len(runs) == maxRuns {
				emit()
			}
		}
		emit()
	}
	return frames
}

// stretch copies a part of a ring, absent steps included.
func (ser *series) stretch(tier int, from, to int64) run {
	r := run{name: ser.name, first: from, values: make([]float32, to-from)}
	for i := range r.values {
		r.values[i] = ser.rings[tier].at(from + int64(i))
	}
	return r
}
