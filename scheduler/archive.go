package scheduler

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"loadstar/models"
)

// Archive keeps finished tasks that have left memory. Its methods may be called
// from any goroutine.
type Archive interface {
	// Append makes one frame durable before it returns, and says under which number
	// it can be read: from 1, growing.
	Append(ctx context.Context, frame []byte) (number uint64, err error)
	// Read is the frame of a number. The error wraps models.ErrNotFound where it is
	// past the archive's bounds; any other says what is damaged.
	Read(ctx context.Context, number uint64) ([]byte, error)
	// First is the smallest number that can still be read; one more than the last
	// where there is none.
	First(ctx context.Context) (uint64, error)
}

// An archived frame is
//
//	version  1 byte, 1
//	base     varint, Unix ns that the images' times count from
//	tasks    each a uvarint place, and a uvarint length and its image, see appendImage
const archiveVersion = 1

const (
	archiveTasks  = 2048      // in a frame at most
	archiveBytes  = 256 << 10 // aimed at for a frame
	archiveRetry  = 30 * time.Second
	archiveExpire = time.Minute // between two looks at what the archive has forgotten
)

// shelving writes finished tasks to the archive, one frame at a time.
type shelving struct {
	busy    bool
	after   time.Time // not before, after a failure
	expired time.Time // when its bounds were looked at last
	failing bool
}

// shelve hands the tasks that finished first to the archive where more are in
// memory than are to be kept there. It is called between two batches.
func (s *Service) shelve(ctx context.Context) {
	if s.cfg.Archive == nil || s.shelving.busy || s.stalled != nil {
		return
	}
	now := s.cfg.Clock()
	excess := len(s.core.finals) - s.cfg.KeepFinished
	if excess <= 0 || now.Before(s.shelving.after) {
		if now.Sub(s.shelving.expired) >= archiveExpire {
			s.shelving.busy, s.shelving.expired = true, now
			s.aside.Go(func() { s.lookAtBounds(ctx) })
		}
		return
	}
	frame, a := s.core.pack(min(excess, archiveTasks), now.UnixNano())
	if len(a.Items) == 0 {
		return
	}
	s.shelving.busy = true
	s.aside.Go(func() { s.put(ctx, frame, a) })
}

// pack writes the images of the tasks that finished first.
func (c *Core) pack(n int, base int64) (frame []byte, a *Archived) {
	frame = binary.AppendVarint([]byte{archiveVersion}, base)
	a = &Archived{}
	var image []byte
	i := 0
	for ; i < len(c.finals) && n > 0 && len(frame) < archiveBytes; i++ {
		n--
		t := c.bySeq(c.finals[i])
		if t == nil || t.shelving || !t.archivable() {
			continue
		}
		image = t.appendImage(image[:0], base)
		if len(frame)+len(image)+2*binary.MaxVarintLen64 > MaxFrame {
			if len(a.Items) == 0 {
				continue // it would fill a frame alone: it stays in memory
			}
			break
		}
		t.shelving = true
		frame = appendBytes(binary.AppendUvarint(frame, t.seq), image)
		a.Items = append(a.Items, archivedItem{seq: t.seq, finished: t.finished, attempt: t.attempt})
	}
	c.finals = c.finals[i:]
	if cap(c.finals) > 4*len(c.finals)+1024 {
		c.finals = append([]uint64(nil), c.finals...)
	}
	return frame, a
}

// unpack takes back that tasks are on their way.
func (c *Core) unpack(a *Archived) {
	for i := range a.Items {
		if t := c.bySeq(a.Items[i].seq); t != nil && t.shelving {
			t.shelving = false
			c.finals = append(c.finals, t.seq)
		}
	}
}

// put appends a frame to the archive and then has its tasks forgotten.
func (s *Service) put(ctx context.Context, frame []byte, a *Archived) {
	number, err := s.cfg.Archive.Append(context.WithoutCancel(ctx), frame)
	r := request{answer: func(*Output, error) { s.shelved(a, err) }}
	if err == nil {
		a.Frame = number
		r.input = &Input{Archived: a}
		r.answer = func(_ *Output, err error) { s.shelved(a, err) }
	}
	s.tell(ctx, r)
}

// shelved is told what became of a frame, by the goroutine of Run.
func (s *Service) shelved(a *Archived, err error) {
	s.shelving.busy = false
	s.core.unpack(a) // what was not forgotten after all
	if err == nil {
		s.shelving.failing = false
		return
	}
	s.shelving.after = s.cfg.Clock().Add(archiveRetry)
	if !s.shelving.failing {
		s.cfg.Logger.Warn("finished tasks cannot be archived; they stay in memory until they can", "err", err)
		s.hub.publish([]models.Event{{At: s.cfg.Clock(), Kind: models.EventTrouble, Message: "finished tasks cannot be archived: " + err.Error()}})
	}
	s.shelving.failing = true
}

// lookAtBounds has the core forget what the archive has.
func (s *Service) lookAtBounds(ctx context.Context) {
	first, err := s.cfg.Archive.First(ctx)
	r := request{answer: func(*Output, error) { s.shelving.busy = false }}
	if err == nil && first > 1 {
		r.input = &Input{Expire: first}
	}
	s.tell(ctx, r)
}

// tell hands a request to the goroutine of Run where it still serves.
func (s *Service) tell(ctx context.Context, r request) {
	select {
	case s.inbox <- r:
	case <-ctx.Done():
	}
}

// shelfReader reads archived tasks, frame by frame; the last frame is kept.
type shelfReader struct {
	archive Archive
	number  uint64
	base    int64
	images  []recalled
}

// image is a task as it stands in the archive.
func (r *shelfReader) image(ctx context.Context, e *shelved) (*recalled, error) {
	if r.archive == nil {
		return nil, errors.New("it is archived, and there is no archive")
	}
	if r.number != uint64(e.frame) {
		data, err := r.archive.Read(ctx, uint64(e.frame))
		if err == nil {
			err = r.read(data)
		}
		if err != nil {
			r.number = 0
			return nil, fmt.Errorf("frame %d of the archive: %w", e.frame, err)
		}
		r.number = uint64(e.frame)
	}
	if int(e.item) >= len(r.images) {
		return nil, fmt.Errorf("frame %d of the archive: %w: it has %d tasks", e.frame, errRecord, len(r.images))
	}
	return &r.images[e.item], nil
}

func (r *shelfReader) read(data []byte) error {
	d := decoder{b: data}
	if v := d.byte(); d.err == nil && v != archiveVersion {
		d.fail("format %d is not known; it was written by a newer version", v)
	}
	r.base = d.varint()
	r.images = r.images[:0]
	for d.err == nil && len(d.b) > 0 {
		r.images = append(r.images, recalled{seq: d.uvarint(), base: r.base, image: d.bytes()})
	}
	return d.err
}

// task reads a whole archived task.
func (r *shelfReader) task(ctx context.Context, g *glance) error {
	back, err := r.image(ctx, &g.shelved)
	if err != nil {
		return err
	}
	t, _, err := readImage(&Record{Kind: recRecalled, At: back.base, Seq: back.seq, Body: back.image}, &tries{}, nil)
	if err == nil && (back.seq != g.task.seq || hashID(t.id) != g.shelved.hash) {
		err = fmt.Errorf("%w: it holds task %s at place %d", errRecord, t.id, back.seq)
	}
	if err != nil {
		return fmt.Errorf("frame %d of the archive: %w", g.shelved.frame, err)
	}
	g.task, g.shelved = *t, shelved{}
	return nil
}

// glanceAt is the task at a place, in memory or not.
func (c *Core) glanceAt(seq uint64) glance {
	if t := c.bySeq(seq); t != nil {
		return c.glance(t)
	}
	g := glance{task: task{seq: seq, tries: c.notTried}}
	if e := c.shelf.get(seq); e != nil {
		g.shelved, g.task.state = *e, c.states[seq]
	}
	return g
}

// views reads what is archived, off the goroutine of Run, and makes all of it
// ready for a reader.
func (s *Service) views(ctx context.Context, glances []glance) ([]models.Task, error) {
	r := shelfReader{archive: s.cfg.Archive}
	for i := range glances {
		if glances[i].shelved.frame == 0 {
			continue
		}
		if err := r.task(ctx, &glances[i]); err != nil {
			return nil, fmt.Errorf("an archived task: %w", err)
		}
	}
	return views(glances), nil
}

// page reads a page of a listing. What cannot be read is left out, and told in the
// log. archived is how many it found that the listing's total does not count.
func (s *Service) page(ctx context.Context, f *models.TaskFilter, l *listing) (out []models.Task, archived int, err error) {
	r := shelfReader{archive: s.cfg.Archive}
	out = make([]models.Task, 0, len(l.tasks))
	for i := range l.tasks {
		g := &l.tasks[i]
		shelved := g.shelved.frame != 0
		if shelved {
			if err := r.task(ctx, g); err != nil {
				if ctx.Err() != nil {
					return nil, 0, ctx.Err()
				}
				if !errors.Is(err, models.ErrNotFound) {
					s.cfg.Logger.Warn("an archived task cannot be read, and is left out of a listing", "err", err)
				}
				continue
			}
		}
		v := g.view()
		if shelved && l.deep {
			if !f.Matches(&v) {
				continue
			}
			archived++
		}
		out = append(out, v)
	}
	return out, archived, nil
}

// recallable reads what a retry needs of the archive.
func (s *Service) recallable(ctx context.Context, sel *models.Selection) ([]recalled, error) {
	if s.cfg.Archive == nil {
		return nil, nil
	}
	deep := false
	candidates, err := read(ctx, s, func(c *Core, _ time.Time) (out []glance, _ error) {
		for _, id := range sel.IDs {
			if seq, e := c.shelvedTask(id); e != nil && c.states[seq] != stateSuccess {
				out = append(out, c.glanceAt(seq))
			}
		}
		if sel.Filter == nil || c.shelf.used == 0 {
			return out, nil
		}
		m := c.matcher(sel.Filter)
		deep = m.deep
		c.shelf.each(func(seq uint64, e *shelved) bool {
			if c.states[seq] != stateSuccess && m.shelved(c.states[seq], c.numbered[e.pool]) {
				out = append(out, c.glanceAt(seq))
			}
			return sel.Filter.Limit == 0 || deep || len(out) < sel.Filter.Limit
		})
		return out, nil
	})
	if err != nil {
		return nil, err
	}
	r := shelfReader{archive: s.cfg.Archive}
	var back []recalled
	for i := range candidates {
		g := &candidates[i]
		kept, err := r.image(ctx, &g.shelved)
		if err == nil {
			err = r.task(ctx, g)
		}
		if err != nil && sel.Filter != nil { // the others are not held up by it
			s.cfg.Logger.Warn("an archived task cannot be read, and is not retried", "err", err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("an archived task: %w", err)
		}
		if v := g.view(); deep && !sel.Filter.Matches(&v) {
			continue
		}
		back = append(back, *kept)
	}
	return back, nil
}
