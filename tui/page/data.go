package page

import (
	"time"

	"loadstar/models"
)

// keepEvents is how many events the screen remembers; keepTrail how many seconds of
// the small graphs.
const (
	keepEvents = 2000
	keepTrail  = 600
)

// Data is what several pages show, as last heard. It is replaced, never changed:
// With gives the next one.
type Data struct {
	Info   models.DaemonInfo
	Host   models.HostStatus
	Stats  models.Stats
	Pools  []models.PoolStatus
	Events []models.Event // oldest first
	Trails map[string]Trail

	Queues []models.QueueStatus
	Rates  map[string]Rate // of the queues, by pool
	Agents []models.Agent

	HasHost, HasStats, HasPools, HasQueues, HasAgents bool

	marks []queueMark // of the queues' counters, the oldest first
}

// Names of trails that are no series of the daemon.
const (
	trailDone = "tasks_per_s"
)

// With is the data after a result; results that it does not hold change nothing.
func (d Data) With(msg any) Data {
	switch m := msg.(type) {
	case InfoLoaded:
		d.Info = m.Info
	case HostLoaded:
		d.Host, d.HasHost = m.Host, true
		d.Trails = d.withTrails(m.Host.At, hostValues(&m.Host))
	case StatsLoaded:
		d.Stats, d.HasStats = m.Stats, true
		if d.HasHost {
			d.Trails = d.withTrails(d.Host.At, map[string]float64{trailDone: m.Stats.TasksPerS})
		}
	case PoolsLoaded:
		d.Pools, d.HasPools = m.Pools, true
		values := map[string]float64{}
		for i := range m.Pools {
			p := &m.Pools[i]
			values[models.PoolSeries(p.Name, models.PoolQueue)] = float64(p.Queued)
			values[models.PoolSeries(p.Name, models.PoolBusy)] = float64(p.Busy)
		}
		if d.HasHost {
			d.Trails = d.withTrails(d.Host.At, values)
		}
	case QueuesLoaded:
		d = d.withQueues(m.At, m.Queues)
	case AgentsLoaded:
		d.Agents, d.HasAgents = m.Agents, true
	case PoolSet:
		pools := make([]models.PoolStatus, len(d.Pools))
		copy(pools, d.Pools)
		for i := range pools {
			if pools[i].Name == m.Pool.Name {
				pools[i] = m.Pool
			}
		}
		d.Pools = pools
	case TrailsLoaded:
		trails := copyTrails(d.Trails)
		for name, points := range m.Points {
			t := trails[name]
			for _, p := range points {
				t = t.with(p.At, p.Value)
			}
			trails[name] = t
		}
		d.Trails = trails
	case Events:
		all := append(append(make([]models.Event, 0, len(d.Events)+len(m.Events)), d.Events...), m.Events...)
		d.Events = all[max(0, len(all)-keepEvents):]
	}
	return d
}

func hostValues(h *models.HostStatus) map[string]float64 {
	return map[string]float64{
		models.SeriesCPU:       h.CPU,
		models.SeriesMemory:    100 * share(h.MemoryUsed, memoryOf(h)),
		models.SeriesSwap:      100 * share(h.SwapUsed, h.SwapTotal),
		models.SeriesIO:        h.DiskRead + h.DiskWrite,
		models.SeriesNetwork:   h.NetRx + h.NetTx,
		models.SeriesDiskRead:  h.DiskRead,
		models.SeriesDiskWrite: h.DiskWrite,
		models.SeriesNetRx:     h.NetRx,
		models.SeriesNetTx:     h.NetTx,
	}
}

// memoryOf is the memory that there is for us: the cgroup's limit where it is the less.
func memoryOf(h *models.HostStatus) models.Bytes {
	if h.MemoryLimit > 0 && h.MemoryLimit < h.MemoryTotal {
		return h.MemoryLimit
	}
	return h.MemoryTotal
}

func share(part, whole models.Bytes) float64 {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func copyTrails(from map[string]Trail) map[string]Trail {
	to := make(map[string]Trail, len(from)+4)
	for k, v := range from {
		to[k] = v
	}
	return to
}

func (d Data) withTrails(at time.Time, values map[string]float64) map[string]Trail {
	trails := copyTrails(d.Trails)
	for name, v := range values {
		trails[name] = trails[name].with(at, v)
	}
	return trails
}

// Pool is a pool by its name, nil where there is none.
func (d *Data) Pool(name string) *models.PoolStatus {
	for i := range d.Pools {
		if d.Pools[i].Name == name {
			return &d.Pools[i]
		}
	}
	return nil
}

// Trail is the last minutes of a value, one a second; -1 where it is not known.
type Trail struct {
	end    int64 // Unix second of the last value
	values []float64
}

// with is the trail with the value at a time. Times may repeat and may come from
// the past; seconds left out are gaps.
func (t Trail) with(at time.Time, v float64) Trail {
	sec := at.Unix()
	switch {
	case len(t.values) == 0 || sec-t.end > keepTrail:
		return Trail{end: sec, values: []float64{v}}
	case sec <= t.end:
		i := len(t.values) - 1 - int(t.end-sec)
		values := t.values
		if i < 0 { // before the first: room in front
			if -i+len(values) > keepTrail {
				return t
			}
			values = append(gaps(-i), values...)
			i = 0
		} else {
			values = append([]float64(nil), values...)
		}
		values[i] = v
		return Trail{end: t.end, values: values}
	}
	values := make([]float64, 0, len(t.values)+int(sec-t.end))
	values = append(values, t.values...)
	if missing := int(sec - t.end - 1); missing > 0 {
		fill := -1.0
		if missing <= 2 { // a late poll is no gap in what is measured
			fill = values[len(values)-1]
		}
		for range missing {
			values = append(values, fill)
		}
	}
	values = append(values, v)
	return Trail{end: sec, values: values[max(0, len(values)-keepTrail):]}
}

func gaps(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = -1
	}
	return out
}

// Values are the trail's values, the newest last.
func (t Trail) Values() []float64 { return t.values }

// Last is the newest value's time.
func (t Trail) Last() time.Time { return time.Unix(t.end, 0) }

// over is the largest value and the mean of the last n.
func (t Trail) over(n int) (top, mean float64) {
	values := t.values[max(0, len(t.values)-n):]
	count := 0
	for _, v := range values {
		if v >= 0 {
			top = max(top, v)
			mean += v
			count++
		}
	}
	if count > 0 {
		mean /= float64(count)
	}
	return top, mean
}
