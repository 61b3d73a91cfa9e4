package collector

import (
	"math"
	"time"

	"loadstar/models"
)

// poolReading is a pool's totals at a moment.
type poolReading struct {
	at     time.Time
	totals models.PoolTotals
}

// poolSamples is the pools as series. A pool's series begin when it is first seen,
// those of its rates with the second reading; an interval without arrivals is a
// zero, one without a start or an end has no waiting or running time. Rates are
// left out where the clock was not steady, the reading is not about one interval
// after the one before, or totals began anew.
func (c *Collector) poolSamples(now time.Time, pools []models.PoolStatus, steady bool) []models.Sample {
	out := make([]models.Sample, 0, 6*len(pools))
	seen := make(map[string]poolReading, len(pools))
	for i := range pools {
		p := &pools[i]
		seen[p.Name] = poolReading{now, p.Counters}
		add := func(what string, v float64) {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				out = append(out, models.Sample{Series: models.PoolSeries(p.Name, what), At: now, Value: v})
			}
		}
		add(models.PoolQueue, float64(p.Queued))
		add(models.PoolBusy, float64(p.Busy))
		before, ok := c.pools[p.Name]
		if !ok || !steady || !about(now.Sub(before.at), c.cfg.Interval) || !grew(before.totals, p.Counters) {
			continue
		}
		rate := float64(p.Counters.Arrived-before.totals.Arrived) / now.Sub(before.at).Seconds()
		add(models.PoolArrivals, rate)
		// Before any task has ended nobody knows how much work an arrival is.
		if rate == 0 || p.ServiceS > 0 {
			add(models.PoolLoad, rate*p.ServiceS)
		}
		if n := p.Counters.Started - before.totals.Started; n > 0 {
			add(models.PoolWait, (p.Counters.WaitS-before.totals.WaitS)/float64(n))
		}
		if n := p.Counters.Finished - before.totals.Finished; n > 0 {
			add(models.PoolRun, (p.Counters.RunS-before.totals.RunS)/float64(n))
		}
	}
	c.pools = seen
	return out
}

// grew reports whether totals only went up: they begin anew with the daemon.
func grew(before, after models.PoolTotals) bool {
	return after.Arrived >= before.Arrived && after.Started >= before.Started && after.Finished >= before.Finished &&
		after.WaitS >= before.WaitS && after.RunS >= before.RunS
}
