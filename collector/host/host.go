package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/net"

	"loadstar/collector/cgroup"
	"loadstar/models"
)

// Counters is one reading of everything that only grows.
type Counters struct {
	At    time.Time
	Cores []Times
	Disks map[string]Traffic // physical devices: read and written
	Links map[string]Traffic // loopback excluded: received and sent
}

// Traffic is bytes since the device was there.
type Traffic struct{ In, Out uint64 }

// Times is CPU time in seconds since boot.
type Times struct{ Busy, Total float64 }

// Rates is what two readings say together. A pointer is nil where they say nothing.
type Rates struct {
	CPU       *float64  // percent of all cores
	Cores     []float64 // percent each; empty where unknown
	DiskRead  *float64  // bytes/s
	DiskWrite *float64
	NetRx     *float64
	NetTx     *float64
}

// Reading is the host at one moment.
type Reading struct {
	Status models.HostStatus
	Rates  Rates // what is in Status' rates, told apart from zero
}

// Probe reads the host. It is for one goroutine.
type Probe struct {
	hostname string
	cgroup   cgroup.Reader
	limits   cgroup.Usage
	limitsAt time.Time
	links    links
	last     *Counters
	cores    int
}

// New makes a probe; its first reading has no rates.
func New() *Probe {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	return &Probe{hostname: hostname, cgroup: cgroup.Host(), cores: runtime.NumCPU(), links: hostLinks()}
}

// limitsEvery is how often the cgroup's limits are read again: they change rarely.
const limitsEvery = 10 * time.Second

// Read takes one reading. What cannot be read is left out and joined into the
// error; the reading stands all the same where the memory and CPU were read.
func (p *Probe) Read(ctx context.Context, now time.Time) (Reading, error) {
	s := models.HostStatus{At: now, Hostname: p.hostname, PressureCPU: -1, PressureIO: -1, Cores: []float64{}}
	c, err := p.readCounters(ctx, now)
	errs := []error{err}
	if m, err := mem.VirtualMemoryWithContext(ctx); err != nil {
		errs = append(errs, fmt.Errorf("memory: %w", err))
	} else {
		s.MemoryTotal, s.MemoryUsed = models.Bytes(m.Total), models.Bytes(m.Total-min(m.Available, m.Total))        //nolint:gosec // less than 2^63
		s.SwapTotal, s.SwapUsed = models.Bytes(m.SwapTotal), models.Bytes(m.SwapTotal-min(m.SwapFree, m.SwapTotal)) //nolint:gosec // less than 2^63
	}
	if l, err := load.AvgWithContext(ctx); err != nil {
		errs = append(errs, fmt.Errorf("load: %w", err))
	} else {
		s.Load1, s.Load5, s.Load15 = l.Load1, l.Load5, l.Load15
	}
	if now.Sub(p.limitsAt).Abs() >= limitsEvery {
		if p.limits, err = p.cgroup.Usage(); err != nil {
			errs = append(errs, err)
		}
		p.limitsAt = now
	}
	s.CPULimit, s.MemoryLimit = float64(p.cores), p.limits.Memory
	if p.limits.CPUs > 0 {
		s.CPULimit = min(s.CPULimit, p.limits.CPUs)
	}
	if pressure, ok := p.cgroup.Pressure("cpu"); ok {
		s.PressureCPU = pressure
	}
	if pressure, ok := p.cgroup.Pressure("io"); ok {
		s.PressureIO = pressure
	}
	r := Between(p.last, &c)
	p.last = &c
	for _, f := range []struct {
		into *float64
		from *float64
	}{{&s.CPU, r.CPU}, {&s.DiskRead, r.DiskRead}, {&s.DiskWrite, r.DiskWrite}, {&s.NetRx, r.NetRx}, {&s.NetTx, r.NetTx}} {
		if f.from != nil {
			*f.into = *f.from
		}
	}
	if r.Cores != nil {
		s.Cores = r.Cores
	}
	return Reading{Status: s, Rates: r}, errors.Join(errs...)
}

func (p *Probe) readCounters(ctx context.Context, now time.Time) (Counters, error) {
	c := Counters{At: now} // a map stays nil where it could not be read
	var errs []error
	if cores, err := cpu.TimesWithContext(ctx, true); err != nil {
		errs = append(errs, fmt.Errorf("cpu: %w", err))
	} else {
		for i := range cores {
			c.Cores = append(c.Cores, timesOf(&cores[i]))
		}
	}
	if disks, err := disk.IOCountersWithContext(ctx); err != nil {
		errs = append(errs, fmt.Errorf("disks: %w", err))
	} else {
		c.Disks = make(map[string]Traffic, len(disks))
		for name, d := range disks {
			if isWholeDisk(name, func(other string) bool { _, ok := disks[other]; return ok }) {
				c.Disks[name] = Traffic{In: d.ReadBytes, Out: d.WriteBytes}
			}
		}
	}
	if links, err := net.IOCountersWithContext(ctx, true); err != nil {
		errs = append(errs, fmt.Errorf("network: %w", err))
	} else {
		names := make([]string, len(links))
		for i := range links {
			names[i] = links[i].Name
		}
		counted := p.links.counted(names)
		c.Links = make(map[string]Traffic, len(links))
		for _, l := range links {
			if counted[l.Name] {
				c.Links[l.Name] = Traffic{In: l.BytesRecv, Out: l.BytesSent}
			}
		}
	}
	return c, errors.Join(errs...)
}

// timesOf sums a core's times. Guest time is inside user time already, and time
// that was stolen was not ours to use: it counts as busy, since waiting work felt it.
func timesOf(t *cpu.TimesStat) Times {
	busy := t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal
	return Times{Busy: busy, Total: busy + t.Idle + t.Iowait}
}

// Bounds of the time between two readings that still make a rate.
const (
	minApart = 100 * time.Millisecond
	maxApart = 30 * time.Second
)

// Between is the rates between two readings. Where the earlier one is missing, the
// clock jumped, or a counter went backwards, there is no rate.
func Between(before, after *Counters) Rates {
	var r Rates
	if before == nil || after == nil {
		return r
	}
	passed := after.At.Sub(before.At)
	if passed < minApart || passed > maxApart {
		return r
	}
	// A core that came or went would bring all that it ever did.
	if len(before.Cores) == len(after.Cores) && len(after.Cores) > 0 {
		r.CPU = share(sum(before.Cores), sum(after.Cores))
		for i := range after.Cores {
			v := share(before.Cores[i], after.Cores[i])
			if v == nil {
				r.Cores = nil
				break
			}
			r.Cores = append(r.Cores, *v)
		}
	}
	r.DiskRead, r.DiskWrite = rates(before.Disks, after.Disks, passed)
	r.NetRx, r.NetTx = rates(before.Links, after.Links, passed)
	return r
}

// rates is bytes/s over the devices that are in both readings: one that has just
// come has no rate yet. When a counter went backwards the sum is not known. No
// device in both is no rate, unless there were none before: that is a zero.
func rates(before, after map[string]Traffic, passed time.Duration) (in, out *float64) {
	var sum Traffic
	var resetIn, resetOut bool
	both := 0
	for name, a := range after {
		b, ok := before[name]
		if !ok {
			continue
		}
		both++
		resetIn, resetOut = resetIn || a.In < b.In, resetOut || a.Out < b.Out
		sum.In += a.In - b.In
		sum.Out += a.Out - b.Out
	}
	if both == 0 && len(before) > 0 || after == nil || before == nil {
		return nil, nil
	}
	if !resetIn {
		v := float64(sum.In) / passed.Seconds()
		in = &v
	}
	if !resetOut {
		v := float64(sum.Out) / passed.Seconds()
		out = &v
	}
	return in, out
}

func sum(cores []Times) (all Times) {
	for _, t := range cores {
		all.Busy += t.Busy
		all.Total += t.Total
	}
	return all
}

// share is the busy part of the time between two readings, in percent.
func share(before, after Times) *float64 {
	total, busy := after.Total-before.Total, after.Busy-before.Busy
	if !(total > 0) || busy < 0 || math.IsInf(total, 0) {
		return nil
	}
	v := 100 * math.Min(1, busy/total)
	return &v
}

// Samples is the reading as series, named as models names them.
func (r *Reading) Samples() []models.Sample {
	s := &r.Status
	var out []models.Sample
	add := func(series string, v *float64) {
		if v != nil && !math.IsNaN(*v) && !math.IsInf(*v, 0) {
			out = append(out, models.Sample{Series: series, At: s.At, Value: *v})
		}
	}
	add(models.SeriesCPU, r.Rates.CPU)
	for i := range r.Rates.Cores {
		add(fmt.Sprintf("%s.%d", models.SeriesCPU, i), &r.Rates.Cores[i])
	}
	if s.MemoryTotal > 0 {
		v := 100 * float64(s.MemoryUsed) / float64(s.MemoryTotal)
		add(models.SeriesMemory, &v)
		add(models.SeriesLoad, &s.Load1)
	}
	if s.SwapTotal > 0 {
		v := 100 * float64(s.SwapUsed) / float64(s.SwapTotal)
		add(models.SeriesSwap, &v)
	}
	for _, pair := range []struct {
		a, b              *float64
		nameA, nameB, sum string
	}{
		{r.Rates.DiskRead, r.Rates.DiskWrite, models.SeriesDiskRead, models.SeriesDiskWrite, models.SeriesIO},
		{r.Rates.NetRx, r.Rates.NetTx, models.SeriesNetRx, models.SeriesNetTx, models.SeriesNetwork},
	} {
		add(pair.nameA, pair.a)
		add(pair.nameB, pair.b)
		if pair.a != nil && pair.b != nil {
			sum := *pair.a + *pair.b
			add(pair.sum, &sum)
		}
	}
	return slices.Clip(out)
}
