package page

import (
	"time"

	"loadstar/models"
)

// ratesOver is the time that rates are taken over, as far as the screen has watched.
const ratesOver = 15 * time.Second

// queueMark is what the counters of the queues were at a moment.
type queueMark struct {
	at     time.Time
	totals map[string]models.PoolTotals
	starts map[string][]uint64 // by band
}

// Rate is how fast a queue moves; Known is false while the screen has seen it only once.
type Rate struct {
	Known                   bool
	In, Out, Done           float64   // tasks/s that became ready, attempts/s started and finished
	MeanWaitS, MeanRunS     float64   // of those that started and ended meanwhile
	Started, FinishedDuring uint64    // how many those are
	Bands                   []float64 // attempts/s started, by band
}

func markOf(at time.Time, queues []models.QueueStatus) queueMark {
	m := queueMark{at: at, totals: make(map[string]models.PoolTotals, len(queues)), starts: make(map[string][]uint64, len(queues))}
	for i := range queues {
		q := &queues[i]
		m.totals[q.Pool] = q.Counters
		starts := make([]uint64, len(q.Bands))
		for k := range q.Bands {
			starts[k] = q.Bands[k].Started
		}
		m.starts[q.Pool] = starts
	}
	return m
}

// withQueues is the data with the queues as they are at a time, and their rates
// since the oldest mark that is not too old.
func (d Data) withQueues(at time.Time, queues []models.QueueStatus) Data {
	d.Queues, d.HasQueues = queues, true
	now := markOf(at, queues)
	marks := make([]queueMark, 0, len(d.marks)+1)
	for _, m := range d.marks {
		if age := at.Sub(m.at); age > 0 && age <= ratesOver {
			marks = append(marks, m)
		}
	}
	rates := make(map[string]Rate, len(queues))
	if len(marks) > 0 {
		for i := range queues {
			rates[queues[i].Pool] = rateBetween(&marks[0], &now, queues[i].Pool)
		}
	}
	d.marks, d.Rates = append(marks, now), rates
	return d
}

// rateBetween compares two marks; counters that went back belong to a new daemon.
func rateBetween(a, b *queueMark, pool string) Rate {
	was, ok := a.totals[pool]
	is := b.totals[pool]
	s := b.at.Sub(a.at).Seconds()
	if !ok || !(s > 0) || is.Arrived < was.Arrived || is.Started < was.Started || is.Finished < was.Finished {
		return Rate{}
	}
	r := Rate{
		Known: true, In: float64(is.Arrived-was.Arrived) / s, Out: float64(is.Started-was.Started) / s, Done: float64(is.Finished-was.Finished) / s,
		Started: is.Started - was.Started, FinishedDuring: is.Finished - was.Finished,
	}
	if r.Started > 0 {
		r.MeanWaitS = max(0, is.WaitS-was.WaitS) / float64(r.Started)
	}
	if r.FinishedDuring > 0 {
		r.MeanRunS = max(0, is.RunS-was.RunS) / float64(r.FinishedDuring)
	}
	before := a.starts[pool]
	for i, n := range b.starts[pool] {
		v := 0.0
		if i < len(before) && n >= before[i] {
			v = float64(n-before[i]) / s
		}
		r.Bands = append(r.Bands, v)
	}
	return r
}
