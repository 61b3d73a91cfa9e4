package models

import (
	"strings"
	"time"
)

// Names of the host's series. All values are means over their step.
const (
	SeriesCPU       = "host.cpu"        // percent of all cores, 0 to 100
	SeriesMemory    = "host.memory"     // percent of memory in use (total - available), 0 to 100
	SeriesSwap      = "host.swap"       // percent of swap in use, 0 to 100
	SeriesLoad      = "host.load1"      // load average over one minute
	SeriesDiskRead  = "host.disk_read"  // bytes/s
	SeriesDiskWrite = "host.disk_write" // bytes/s
	SeriesIO        = "host.io"         // bytes/s, read + written
	SeriesNetRx     = "host.net_rx"     // bytes/s, loopback excluded
	SeriesNetTx     = "host.net_tx"     // bytes/s, loopback excluded
	SeriesNetwork   = "host.network"    // bytes/s, received + sent
)

// Names of a pool's series, made by PoolSeries.
const (
	PoolArrivals = "arrivals" // tasks/s that became ready to run
	PoolQueue    = "queue"    // tasks that wait for a worker
	PoolBusy     = "busy"     // workers with a task
	PoolWait     = "wait"     // mean seconds waited by the tasks that started
	PoolRun      = "run"      // mean seconds run by the tasks that finished
	PoolLoad     = "load"     // offered load: arrivals x service time, in busy workers
)

// PoolSeries is the name of one of a pool's series, as in "pool.default.load".
func PoolSeries(pool, what string) string { return "pool." + pool + "." + what }

// ParsePoolSeries takes a name made by PoolSeries apart.
func ParsePoolSeries(name string) (pool, what string, ok bool) {
	rest, ok := strings.CutPrefix(name, "pool.")
	if !ok {
		return "", "", false
	}
	i := strings.LastIndexByte(rest, '.')
	if i < 1 || i == len(rest)-1 {
		return "", "", false
	}
	return rest[:i], rest[i+1:], true
}

// Unit is a series' unit by its name: "%", "B/s", "tasks/s", "s", "workers", "tasks" or "".
func Unit(series string) string {
	if _, what, ok := ParsePoolSeries(series); ok {
		switch what {
		case PoolArrivals:
			return "tasks/s"
		case PoolQueue:
			return "tasks"
		case PoolBusy, PoolLoad:
			return "workers"
		case PoolWait, PoolRun:
			return "s"
		}
		return ""
	}
	switch series {
	case SeriesDiskRead, SeriesDiskWrite, SeriesIO, SeriesNetRx, SeriesNetTx, SeriesNetwork:
		return "B/s"
	case SeriesLoad:
		return ""
	}
	if strings.HasPrefix(series, SeriesCPU) || series == SeriesMemory || series == SeriesSwap {
		return "%"
	}
	return ""
}

// Point is one value of a series. At is the start of the step it is the mean of.
// A step without a value has no point: there is no NaN.
type Point struct {
	At    time.Time `json:"at"`
	Value float64   `json:"value"`
}

// Sample is one value of a named series at a moment.
type Sample struct {
	Series string
	At     time.Time
	Value  float64
}

// Gap is a stretch without values, From inclusive, To exclusive.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// SeriesInfo is what is known of a series at one of its steps.
type SeriesInfo struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	StepS  float64   `json:"step_s"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Points int       `json:"points"`
	Gaps   []Gap     `json:"gaps,omitempty"`
	Last   float64   `json:"last"`
}

// HostStatus is the host as the collector saw it last.
type HostStatus struct {
	At          time.Time `json:"at"`
	Hostname    string    `json:"hostname"`
	CPU         float64   `json:"cpu"`          // percent, 0 to 100
	Cores       []float64 `json:"cores"`        // percent each
	CPULimit    float64   `json:"cpu_limit"`    // cores that the cgroup allows
	MemoryUsed  Bytes     `json:"memory_used"`  // total - available
	MemoryTotal Bytes     `json:"memory_total"` //
	MemoryLimit Bytes     `json:"memory_limit"` // the cgroup's, 0 where there is none
	SwapUsed    Bytes     `json:"swap_used"`
	SwapTotal   Bytes     `json:"swap_total"`
	Load1       float64   `json:"load1"`
	Load5       float64   `json:"load5"`
	Load15      float64   `json:"load15"`
	DiskRead    float64   `json:"disk_read"`    // bytes/s
	DiskWrite   float64   `json:"disk_write"`   // bytes/s
	NetRx       float64   `json:"net_rx"`       // bytes/s
	NetTx       float64   `json:"net_tx"`       // bytes/s
	PressureCPU float64   `json:"pressure_cpu"` // PSI "some" avg10, percent; -1 where the kernel has none
	PressureIO  float64   `json:"pressure_io"`  // likewise
}
