package scheduler

import (
	"fmt"
	"time"

	"loadstar/models"
)

// Remains is what can be read of a damaged journal.
type Remains struct {
	// Chunks are those of the newest snapshot that can be read, in order.
	Chunks [][]byte
	// Frames are those behind it that can be read, in order.
	Frames []RemainingFrame
}

// RemainingFrame is a frame that can be read; Gap says that some before it are missing.
type RemainingFrame struct {
	Data []byte
	Gap  bool
}

// Mended is the state that a damaged journal still tells.
type Mended struct {
	// Chunks are a snapshot of it, to begin a new journal with.
	Chunks [][]byte
	// Tasks are those that are kept, by state.
	Tasks map[models.State]int
	// Kept is how many records were applied.
	Kept int
	// Dropped is how many could be read and did not fit what is left: they tell of
	// what stood in a lost part. Why has the first of the reasons.
	Dropped int
	Why     []string
	// Missing is how many places in the order of submission no task is known for:
	// tasks that are lost as a whole. Those submitted last, if the end is lost, are
	// not among them.
	Missing int
}

// keepReasons is how many reasons Mended.Why has at most.
const keepReasons = 10

// leaseGap is how far the leases go on behind a repair, so that none that stood in
// a lost part is given out again.
const leaseGap = 1 << 20

// Mend makes a state of what is left of a journal. Every record goes through the
// very rules that it went through when it was made, so the state is one that the
// scheduler could be in; a record that the rules refuse is dropped.
func Mend(cfg CoreConfig, pools []models.PoolSpec, r Remains, now time.Time) (*Mended, error) {
	core, err := NewCore(cfg, pools)
	if err != nil {
		return nil, err
	}
	m := &mender{core: core, out: &Mended{Tasks: map[models.State]int{}}}
	m.snapshot(r.Chunks)
	m.frames(r.Frames)
	return m.finish(now), nil
}

type mender struct {
	core *Core
	out  *Mended
}

func (m *mender) drop(err error) {
	m.out.Dropped++
	if len(m.out.Why) < keepReasons {
		m.out.Why = append(m.out.Why, err.Error())
	}
}

// snapshot takes in the chunks. Where the first is missing, with the counters in
// it, they are found again from the tasks.
func (m *mender) snapshot(chunks [][]byte) {
	last := uint64(0)
	m.each(chunks, func(r *Record) {
		if r.Kind == recImage && r.Seq < maxTasks {
			last = max(last, r.Seq+1)
		}
	})
	if last > 0 {
		m.core.grow(last - 1)
	}
	m.each(chunks, m.apply)
}

// each visits the records of frames or chunks; what cannot be read to its end is
// told by apply alone.
func (m *mender) each(parts [][]byte, visit func(r *Record)) {
	for _, data := range parts {
		h, rest, err := splitFrame(data)
		var r Record
		var n int
		for ; err == nil && len(rest) > 0; rest = rest[n:] {
			if n, err = decodeRecord(rest, h.base, &r); err == nil {
				visit(&r)
			}
		}
	}
}

func (m *mender) apply(r *Record) {
	if err := m.core.Restore(r); err != nil {
		m.drop(err)
		return
	}
	m.out.Kept++
}

// frames replays in runs without a gap, as a start would.
func (m *mender) frames(frames []RemainingFrame) {
	replay := m.replay(max(1, m.core.snapshotFrame))
	for _, f := range frames {
		h, _, err := splitFrame(f.Data)
		if err != nil {
			m.drop(err)
			continue
		}
		if h.number < m.core.snapshotFrame {
			continue // the snapshot covers it
		}
		if f.Gap || h.number > replay.next {
			m.end(replay, false)
			replay = m.replay(h.number)
		}
		if err := replay.frame(f.Data); err != nil {
			m.drop(err)
		}
	}
	m.end(replay, true)
}

func (m *mender) replay(next uint64) *replayer {
	return &replayer{next: next, apply: func(r *Record) error { m.apply(r); return nil }}
}

// end applies what is held. At the end of the log a group without its end was never
// acknowledged; before a gap it may have been.
func (m *mender) end(p *replayer, last bool) {
	_, dropped, err := p.end()
	if err == nil && dropped > 0 && !last {
		err = fmt.Errorf("%d frames of a group without its end", dropped)
	}
	if err != nil {
		m.drop(err)
	}
}

// finish forgets the keys of tasks that are lost, and writes what is left.
func (m *mender) finish(now time.Time) *Mended {
	c := m.core
	kept := c.keyList[:0]
	for _, k := range c.keyList {
		if c.keyStands(c.keys[k]) {
			kept = append(kept, k)
			continue
		}
		delete(c.keys, k)
		m.drop(fmt.Errorf("%w: key %q names tasks that are lost", errRecord, k))
	}
	c.keyList = kept
	c.lease += leaseGap
	for seq, t := range c.tasks {
		if c.shelf.get(uint64(seq)) != nil { //nolint:gosec // not negative
			m.out.Tasks[c.states[seq].model()]++
			continue
		}
		if t == nil {
			m.out.Missing++
			continue
		}
		m.out.Tasks[t.state.model()]++
	}
	m.out.Chunks = c.snapshot(1, now.UnixNano())
	return m.out
}

func (c *Core) keyStands(used usedKey) bool {
	for _, run := range used.runs {
		for seq := run.first; seq < run.first+run.count; seq++ {
			if c.bySeq(seq) == nil && c.shelf.get(seq) == nil {
				return false
			}
		}
	}
	return true
}
