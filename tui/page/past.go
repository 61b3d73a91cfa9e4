package page

import (
	"slices"
	"time"

	"loadstar/models"
)

// keepStatuses bounds what is kept of the past: pools, queues and agents over all
// moments. A pool and its decision take about two kilobytes.
const keepStatuses = 2000

// nearMoment is how far back a kept moment may lie that stands for another one.
const nearMoment = 15 * time.Second

// LoadMoment asks for the host and the pools as they were. It is answered by MomentLoaded.
type LoadMoment struct {
	At    time.Time
	Pools []models.PoolStatus // as they are now: what is configured is not kept
}

// MomentLoaded is what the daemon's history tells of a moment.
type MomentLoaded struct {
	At     time.Time
	Host   models.HostStatus
	Pools  []models.PoolStatus
	Points map[string][]models.Point // of what small graphs show, up to the moment
}

// Kept is what the screen remembers of the moments that it has seen, the oldest first.
type Kept []keptMoment

type keptMoment struct {
	at   time.Time
	data Data // without what is cut from the newest data instead
}

// With is the memory with what some results have told at a moment.
func (k Kept) With(at time.Time, d Data, results []any) Kept {
	d.Events, d.Trails, d.marks = nil, nil, nil
	var host, stats, pools, queues, agents bool
	for _, r := range results {
		switch r.(type) {
		case HostLoaded:
			host = true
		case StatsLoaded:
			stats = true
		case PoolsLoaded:
			pools = true
		case QueuesLoaded:
			queues = true
		case AgentsLoaded:
			agents = true
		}
	}
	d.HasHost, d.HasStats, d.HasPools = d.HasHost && host, d.HasStats && stats, d.HasPools && pools
	d.HasQueues, d.HasAgents = d.HasQueues && queues, d.HasAgents && agents
	if !pools {
		d.Pools = nil
	}
	if !queues {
		d.Queues, d.Rates = nil, nil
	}
	if !agents {
		d.Agents = nil
	}
	if !host && !pools && !queues && !agents || len(k) > 0 && !at.After(k[len(k)-1].at) {
		return k
	}
	next := append(slices.Clip(k), keptMoment{at, d})
	size := 0
	for i := range next {
		size += 1 + len(next[i].data.Pools) + len(next[i].data.Queues) + len(next[i].data.Agents)/4
	}
	for size > keepStatuses && len(next) > 8 { // the older half is remembered half as often
		half := len(next) / 2
		thin := make(Kept, 0, len(next))
		size = 0
		for i := range next {
			if i < half && i%2 == 1 {
				continue
			}
			thin = append(thin, next[i])
			size += 1 + len(next[i].data.Pools) + len(next[i].data.Queues) + len(next[i].data.Agents)/4
		}
		next = thin
	}
	return next
}

// At is the data of a moment as far as the screen knows it: events and trails of
// the newest data up to then, the rest from what is kept.
func (k Kept) At(t time.Time, newest Data) Data {
	d := Data{Info: newest.Info, Trails: make(map[string]Trail, len(newest.Trails))}
	for name, trail := range newest.Trails {
		d.Trails[name] = trail.until(t)
	}
	n, _ := slices.BinarySearchFunc(newest.Events, t, func(e models.Event, t time.Time) int {
		if e.At.After(t) {
			return 1
		}
		return -1
	})
	d.Events = newest.Events[:n]
	for i := len(k) - 1; i >= 0; i-- {
		m := &k[i]
		if m.at.After(t) {
			continue
		}
		if t.Sub(m.at) > nearMoment {
			break
		}
		d = d.filled(&m.data)
	}
	return d
}

// filled is the data with what another has and it has not.
func (d Data) filled(k *Data) Data {
	if !d.HasHost && k.HasHost {
		d.Host, d.HasHost = k.Host, true
	}
	if !d.HasStats && k.HasStats {
		d.Stats, d.HasStats = k.Stats, true
	}
	if !d.HasPools && k.HasPools {
		d.Pools, d.HasPools = k.Pools, true
	}
	if !d.HasQueues && k.HasQueues {
		d.Queues, d.Rates, d.HasQueues = k.Queues, k.Rates, true
	}
	if !d.HasAgents && k.HasAgents {
		d.Agents, d.HasAgents = k.Agents, true
	}
	return d
}

// WithMoment is the data with what the daemon's history tells, where it lacks it.
func (d Data) WithMoment(m MomentLoaded) Data {
	told := Data{Host: m.Host, HasHost: !m.Host.At.IsZero(), Pools: m.Pools, HasPools: true, HasQueues: true}
	for i := range m.Pools {
		p := &m.Pools[i]
		told.Queues = append(told.Queues, models.QueueStatus{Pool: p.Name, Queued: p.Queued, OldestWaitS: p.OldestWaitS})
	}
	d = d.filled(&told)
	trails := copyTrails(d.Trails)
	for name, points := range m.Points {
		if len(points) == 0 || len(trails[name].values) > len(points) {
			continue
		}
		var t Trail
		for _, p := range points {
			t = t.with(p.At, p.Value)
		}
		trails[name] = t
	}
	d.Trails = trails
	return d
}

// until is the trail up to a moment.
func (t Trail) until(at time.Time) Trail {
	cut := int(t.end - at.Unix())
	switch {
	case cut <= 0:
		return t
	case cut >= len(t.values):
		return Trail{}
	}
	return Trail{end: at.Unix(), values: t.values[:len(t.values)-cut]}
}

// HostOf is the host of a moment from its series' values then; the zero value
// where nothing is known.
func HostOf(at time.Time, now *models.HostStatus, values map[string]float64) models.HostStatus {
	h := models.HostStatus{Hostname: now.Hostname, MemoryTotal: now.MemoryTotal, MemoryLimit: now.MemoryLimit, SwapTotal: now.SwapTotal, CPULimit: now.CPULimit, PressureCPU: -1}
	if len(values) == 0 {
		return h
	}
	h.At, h.CPU = at, values[models.SeriesCPU]
	h.MemoryUsed = models.Bytes(values[models.SeriesMemory] / 100 * float64(memoryOf(now)))
	h.SwapUsed = models.Bytes(values[models.SeriesSwap] / 100 * float64(now.SwapTotal))
	h.DiskRead, h.DiskWrite = values[models.SeriesDiskRead], values[models.SeriesDiskWrite]
	h.NetRx, h.NetTx, h.Load1 = values[models.SeriesNetRx], values[models.SeriesNetTx], values[models.SeriesLoad]
	h.Load5, h.Load15 = -1, -1 // they are no series
	return h
}

// PoolOf is a pool as a decision saw it.
func PoolOf(now *models.PoolStatus, d *models.Decision) models.PoolStatus {
	in := &d.Inputs
	p := models.PoolStatus{
		PoolSpec: now.PoolSpec, Ready: in.Ready, Busy: in.Busy, Starting: in.Starting, Wanted: d.Want, Queued: in.Queued, OldestWaitS: in.OldestWaitS,
		ColdStartS: now.ColdStartS, ColdStarts: now.ColdStarts, ServiceS: in.ServiceS, ServiceCV2: in.ServiceCV2, ArrivalsPerS: in.ArrivalsPerS, Decision: d,
	}
	p.Policy = d.Policy
	return p
}

// ForecastOf is the champion's newest forecast that was made by a moment, from kept
// rows; nil where there is none.
func ForecastOf(rows []models.ForecastRow, at time.Time) *models.Forecast {
	var issued time.Time
	for i := range rows {
		if r := &rows[i]; r.Champion && !r.IssuedAt.After(at) && r.IssuedAt.After(issued) {
			issued = r.IssuedAt
		}
	}
	if issued.IsZero() {
		return nil
	}
	var own []models.ForecastRow
	for i := range rows {
		if rows[i].Champion && rows[i].IssuedAt.Equal(issued) {
			own = append(own, rows[i])
		}
	}
	slices.SortFunc(own, func(a, b models.ForecastRow) int { return a.Horizon - b.Horizon })
	f := &models.Forecast{Series: own[0].Series, IssuedAt: own[0].TargetAt, StepS: own[0].StepS, Model: own[0].Model, Champion: true}
	for i := range own {
		if own[i].Horizon != own[0].Horizon+i { // a step is missing: what follows would be drawn at another's place
			break
		}
		f.P10, f.P50, f.P90 = append(f.P10, own[i].P10), append(f.P50, own[i].P50), append(f.P90, own[i].P90)
	}
	return f
}
