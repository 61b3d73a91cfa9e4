package scheduler

import (
	"context"
	"time"

	"loadstar/models"
)

// Bounds on what is looked at for one answer about the queues.
const (
	bandWindow = 256  // starts of a band that its quantiles are taken over
	bandScan   = 4096 // waiting tasks that are looked at for the oldest of each band
	bandCount  = 4
)

// bands counts a pool's queue by priority.
type bands [bandCount]band

type band struct {
	queued  int
	started uint64
	waits   []float32 // ms, of the last starts
	at      int
}

func (b *bands) of(priority uint8) *band { return &b[models.PriorityBand(models.Priority(priority))] }

func (b *band) begun(wait int64) {
	b.started++
	if len(b.waits) < bandWindow {
		b.waits = append(b.waits, millis(wait))
		return
	}
	b.waits[b.at] = millis(wait)
	b.at = (b.at + 1) % bandWindow
}

// Queues are the configured pools' queues by name.
func (c *Core) Queues(now time.Time) []models.QueueStatus {
	out := []models.QueueStatus{}
	for _, p := range c.poolList {
		if !p.configured {
			continue
		}
		ns := now.UnixNano()
		q := models.QueueStatus{Pool: p.spec.Name, Queued: p.queued, Waiting: p.waiting, OldestWaitS: p.oldestWait(ns), Counters: p.measure.totals}
		known := models.PriorityBands()
		for i := range known {
			b := &p.bands[i]
			known[i].Queued, known[i].Started = b.queued, b.started
			waits := sampleRing{samples: b.waits}
			known[i].WaitMS = waits.quantiles()
		}
		p.oldestByBand(ns, known[:])
		q.Bands = known[:]
		out = append(out, q)
	}
	return out
}

// oldestByBand finds each band's longest wait. Tasks stand in the order in which
// they became ready, so the first of a band is its oldest; a band of which none is
// among those looked at has waited less than the last of them.
func (p *pool) oldestByBand(now int64, into []models.QueueBand) {
	missing := 0
	for i := range into {
		if into[i].Queued > 0 {
			missing++
		}
	}
	see := func(w waiting) {
		b := &into[models.PriorityBand(models.Priority(w.t.priority))]
		if age := seconds(now - w.ready); w.waits() && age > b.OldestWaitS {
			if b.OldestWaitS == 0 {
				missing--
			}
			b.OldestWaitS = age
		}
	}
	for _, w := range p.oldest.aside {
		see(w)
	}
	last := int64(0)
	for i, w := range p.oldest.entries[p.oldest.head:] {
		if missing <= 0 || i >= bandScan {
			break
		}
		see(w)
		last = w.ready
	}
	for i := range into {
		if b := &into[i]; b.Queued > 0 && b.OldestWaitS == 0 && last > 0 {
			b.OldestWaitS, b.AtMost = seconds(now-last), true
		}
	}
}

// Queues are the pools' queues by priority.
func (s *Service) Queues(ctx context.Context) ([]models.QueueStatus, error) {
	return read(ctx, s, func(c *Core, now time.Time) ([]models.QueueStatus, error) { return c.Queues(now), nil })
}
