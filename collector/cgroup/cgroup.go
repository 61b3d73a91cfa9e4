package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"

	"loadstar/models"
)

// Reader reads below a file system's root; New gives the host's own.
type Reader struct{ root fs.FS }

// NewReader reads /proc and /sys below root.
func NewReader(root fs.FS) Reader { return Reader{root} }

// Usage is the process's cgroup at one moment.
type Usage struct {
	CPUs          float64      // cores allowed, 0 where there is no limit
	Memory        models.Bytes // bytes allowed, 0 where there is no limit
	MemoryCurrent models.Bytes // bytes used by the cgroup, 0 unknown
	Periods       uint64       // enforcement periods so far
	Throttled     uint64       // of these, periods in which it was throttled
}

// Usage is the tightest limits of the process's cgroup and its parents, of v2 and
// of whatever controllers are mounted as v1. Without cgroups nothing is limited.
func (r Reader) Usage() (Usage, error) {
	groups, err := r.own()
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	if dir, ok := groups[""]; ok {
		if u, err = r.unified(dir); err != nil {
			return Usage{}, err
		}
	}
	for _, controller := range []string{"cpu", "memory"} {
		if dir, ok := groups[controller]; ok {
			if err := r.legacy(&u, controller, dir); err != nil {
				return Usage{}, err
			}
		}
	}
	return u, nil
}

// unified is v2.
func (r Reader) unified(dir string) (u Usage, err error) {
	if n, ok, err := r.number(path.Join(dir, "memory.current")); err != nil {
		return Usage{}, err
	} else if ok {
		u.MemoryCurrent = models.Bytes(n)
	}
	if u.Periods, u.Throttled, err = r.throttling(dir); err != nil {
		return Usage{}, err
	}
	for at := dir; ; at = path.Dir(at) {
		if err := r.tighten(&u, at); err != nil {
			return Usage{}, err
		}
		if at == mount || at == "." {
			return u, nil
		}
	}
}

// mount is where cgroups are, below the root.
const mount = "sys/fs/cgroup"

// own is the folders of the process's cgroups: of v2 by the empty name, of v1 by
// the controller's. In a container the path may be the host's, of which only the
// mount itself is to be seen; walking up ends there.
func (r Reader) own() (map[string]string, error) {
	text, err := r.read("proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	groups := map[string]string{}
	for line := range strings.Lines(string(text)) { // hierarchy:controllers:path
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		group := path.Clean("/" + fields[2])
		if fields[0] == "0" && fields[1] == "" {
			groups[""] = path.Join(mount, group)
			continue
		}
		for _, controller := range strings.Split(fields[1], ",") {
			groups[controller] = path.Join(mount, controller, group)
		}
	}
	return groups, nil
}

// noLimit is what v1 says for none: the largest number of pages there can be.
const noLimit = 1 << 62

// legacy tightens the limits by a v1 controller. Its folder is found under the
// controller's own name, which distributions link to a joint mount (cpu,cpuacct).
func (r Reader) legacy(u *Usage, controller, dir string) error {
	for at := dir; ; at = path.Dir(at) {
		switch controller {
		case "memory":
			limit, ok, err := r.number(path.Join(at, "memory.limit_in_bytes"))
			if err != nil {
				return err
			}
			if ok && limit < noLimit && (u.Memory == 0 || models.Bytes(limit) < u.Memory) {
				u.Memory = models.Bytes(limit)
			}
			used, ok, err := r.number(path.Join(at, "memory.usage_in_bytes"))
			if err != nil {
				return err
			}
			if ok && u.MemoryCurrent == 0 {
				u.MemoryCurrent = models.Bytes(used)
			}
		case "cpu":
			if err := r.legacyCPU(u, at); err != nil {
				return err
			}
		}
		if path.Dir(at) == mount || at == "." || at == mount {
			return nil
		}
	}
}

func (r Reader) legacyCPU(u *Usage, dir string) error {
	quota, err := r.read(path.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return err
	}
	period, err := r.read(path.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(string(quota)); text != "" && text != "-1" {
		cpus, err := parseCPUMax(text + " " + string(period))
		if err != nil {
			return fmt.Errorf("%s/cpu.cfs_quota_us: %w", dir, err)
		}
		if cpus > 0 && (u.CPUs == 0 || cpus < u.CPUs) {
			u.CPUs = cpus
		}
	}
	if u.Periods == 0 {
		u.Periods, u.Throttled, err = r.throttling(dir)
	}
	return err
}

// tighten lowers the limits to those of one folder.
func (r Reader) tighten(u *Usage, dir string) error {
	limit, ok, err := r.number(path.Join(dir, "memory.max"))
	if err != nil {
		return err
	}
	if ok && (u.Memory == 0 || models.Bytes(limit) < u.Memory) {
		u.Memory = models.Bytes(limit)
	}
	text, err := r.read(path.Join(dir, "cpu.max"))
	if err != nil || len(text) == 0 {
		return err
	}
	cpus, err := parseCPUMax(string(text))
	if err != nil {
		return fmt.Errorf("%s/cpu.max: %w", dir, err)
	}
	if cpus > 0 && (u.CPUs == 0 || cpus < u.CPUs) {
		u.CPUs = cpus
	}
	return nil
}

// parseCPUMax reads "max 100000" (no limit, 0) or "150000 100000" (1.5 cores).
func parseCPUMax(text string) (cpus float64, err error) {
	fields := strings.Fields(text)
	if len(fields) == 0 || fields[0] == "max" {
		return 0, nil
	}
	period := 100_000.0
	if len(fields) > 1 {
		if period, err = strconv.ParseFloat(fields[1], 64); err != nil || !(period > 0) {
			return 0, fmt.Errorf("period %q is not a number", fields[1])
		}
	}
	quota, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || !(quota > 0) || math.IsInf(quota/period, 0) {
		return 0, fmt.Errorf("quota %q is not a number", fields[0])
	}
	return quota / period, nil
}

func (r Reader) throttling(dir string) (periods, throttled uint64, err error) {
	text, err := r.read(path.Join(dir, "cpu.stat"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			continue // a field of another shape, from a newer kernel
		}
		switch key {
		case "nr_periods":
			periods = n
		case "nr_throttled":
			throttled = n
		}
	}
	return periods, throttled, nil
}

// number reads a file of one integer; ok is false where it is missing or says max.
func (r Reader) number(name string) (n int64, ok bool, err error) {
	text, err := r.read(name)
	value := strings.TrimSpace(string(text))
	if err != nil || value == "" || value == "max" {
		return 0, false, err
	}
	if n, err = strconv.ParseInt(value, 10, 64); err != nil || n < 0 {
		return 0, false, fmt.Errorf("%s: %q is not a number of bytes", name, value)
	}
	return n, true, nil
}

// read is a file's content, empty where it does not exist or may not be read.
func (r Reader) read(name string) ([]byte, error) {
	text, err := fs.ReadFile(r.root, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	return text, err
}

// Pressure is the share of the last ten seconds in which some task waited for a
// resource ("cpu", "memory" or "io"), in percent; ok is false where the kernel
// does not say.
func (r Reader) Pressure(resource string) (percent float64, ok bool) {
	text, err := fs.ReadFile(r.root, "proc/pressure/"+resource)
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		rest, some := strings.CutPrefix(lines.Text(), "some ")
		if !some {
			continue
		}
		for _, field := range strings.Fields(rest) {
			if v, is := strings.CutPrefix(field, "avg10="); is {
				percent, err := strconv.ParseFloat(v, 64)
				return percent, err == nil && percent >= 0 && percent <= 100
			}
		}
	}
	return 0, false
}
