package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
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
	At        time.Time
	CPU       Times
	Cores     []Times
	DiskRead  uint64 // bytes since boot, physical devices
	DiskWrite uint64
	NetRx     uint64 // bytes since boot, loopback excluded
	NetTx     uint64
}

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
	last     *Counters
	cores    int
}

// New makes a probe; its first reading has no rates.
func New() *Probe {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	return &Probe{hostname: hostname, cgroup: cgroup.Host(), cores: runtime.NumCPU()}
}

// limitsEvery is how often the cgroup's limits are read again: they change rarely.
const limitsEvery = 10 * time.Second

// Read takes one reading. What cannot be read is left out and joined into the
// error; the reading stands all the same where the memory and CPU were read.
func (p *Probe) Read(ctx context.Context, now time.Time) (Reading, error) {
	s := models.HostStatus{At: now, Hostname: p.hostname, PressureCPU: -1, Cores: []float64{}}
	c, err := readCounters(ctx, now)
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

func readCounters(ctx context.Context, now time.Time) (Counters, error) {
	c := Counters{At: now}
	var errs []error
	if cores, err := cpu.TimesWithContext(ctx, true); err != nil {
		errs = append(errs, fmt.Errorf("cpu: %w", err))
	} else {
		for i := range cores {
			t := timesOf(&cores[i])
			c.Cores = append(c.Cores, t)
			c.CPU.Busy += t.Busy
			c.CPU.Total += t.Total
		}
	}
	if disks, err := disk.IOCountersWithContext(ctx); err != nil {
		errs = append(errs, fmt.Errorf("disks: %w", err))
	} else {
		for name, d := range disks {
			if isWholeDisk(name) {
				c.DiskRead += d.ReadBytes
				c.DiskWrite += d.WriteBytes
			}
		}
	}
	if links, err := net.IOCountersWithContext(ctx, true); err != nil {
		errs = append(errs, fmt.Errorf("network: %w", err))
	} else {
		for _, l := range links {
			if countsAsNetwork(l.Name) {
				c.NetRx += l.BytesRecv
				c.NetTx += l.BytesSent
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

var (
	partition = regexp.MustCompile(`^((sd|vd|xvd|hd)[a-z]+\d+|(nvme\d+n\d+|mmcblk\d+|nbd\d+)p\d+)$`)
	virtual   = regexp.MustCompile(`^(loop|ram|zram|dm-|md|sr|fd|drbd|zd)\d*`)
	notLink   = regexp.MustCompile(`^(lo\d*|veth.*|docker\d*|br-.*|virbr.*|cni.*|flannel.*|cali.*|tun\d*|tap\d*)$`)
)

// isWholeDisk leaves out partitions and what is stacked on other devices: their
// bytes are counted where they hit the disk.
func isWholeDisk(name string) bool { return !partition.MatchString(name) && !virtual.MatchString(name) }

// countsAsNetwork leaves out loopback and links that carry another link's bytes again.
func countsAsNetwork(name string) bool { return !notLink.MatchString(name) }

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
	r.CPU = share(before.CPU, after.CPU)
	if len(before.Cores) == len(after.Cores) {
		for i := range after.Cores {
			v := share(before.Cores[i], after.Cores[i])
			if v == nil {
				r.Cores = nil
				break
			}
			r.Cores = append(r.Cores, *v)
		}
	}
	rate := func(from, to uint64) *float64 {
		if to < from {
			return nil
		}
		v := float64(to-from) / passed.Seconds()
		return &v
	}
	r.DiskRead, r.DiskWrite = rate(before.DiskRead, after.DiskRead), rate(before.DiskWrite, after.DiskWrite)
	r.NetRx, r.NetTx = rate(before.NetRx, after.NetRx), rate(before.NetTx, after.NetTx)
	return r
}

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
