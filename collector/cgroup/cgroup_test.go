package cgroup

import (
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func tree(files map[string]string) Reader {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return NewReader(m)
}

func TestTheTightestLimitOnTheWayUpCounts(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  Usage
	}{
		"no cgroups at all":           {nil, Usage{}},
		"cgroup v1 that says nothing": {map[string]string{"proc/self/cgroup": "12:memory:/x\n1:name=systemd:/x\n"}, Usage{}},
		"cgroup v1 beside an empty v2": {map[string]string{
			"proc/self/cgroup": "9:name=systemd:/\n4:memory:/a/b\n2:cpu,cpuacct:/a\n0::/\n",
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "77\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4096\n", "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "99\n",
			"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "250000\n", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
			"sys/fs/cgroup/cpu/a/cpu.stat":       "nr_periods 5\nnr_throttled 2\nthrottled_time 9\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
		}, Usage{CPUs: 2.5, Memory: 4096, MemoryCurrent: 77, Periods: 5, Throttled: 2}},
		"cgroup v1 in a container": {map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/123\n2:cpu,cpuacct:/docker/123\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":         "50000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, Usage{CPUs: 0.5, Memory: 1 << 20}},
		"no limit": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
			"sys/fs/cgroup/a/b/memory.current": "4096\n",
		}, Usage{MemoryCurrent: 4096}},
		"its own": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n", "sys/fs/cgroup/a/b/memory.max": "1073741824\n",
			"sys/fs/cgroup/a/b/cpu.stat": "usage_usec 12\nnr_periods 10\nnr_throttled 3\n",
		}, Usage{CPUs: 1.5, Memory: 1 << 30, Periods: 10, Throttled: 3}},
		"its parent's": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n",
			"sys/fs/cgroup/a/memory.max": "1000\n",
		}, Usage{CPUs: 0.5, Memory: 1000}},
		"in a container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, Usage{CPUs: 2}},
	} {
		got, err := tree(c.files).Usage()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestALimitThatIsNoNumberIsAnErrorNamingTheFile(t *testing.T) {
	_, err := tree(map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "lots 100000\n"}).Usage()
	if err == nil || !strings.Contains(err.Error(), "cpu.max") {
		t.Error(err)
	}
}

func TestPressureIsTheShareOfTheLastTenSeconds(t *testing.T) {
	r := tree(map[string]string{"proc/pressure/cpu": "some avg10=12.50 avg60=1.00 avg300=0.00 total=12\nfull avg10=0.00\n", "proc/pressure/io": "full avg10=1.00\n"})
	if v, ok := r.Pressure("cpu"); !ok || v != 12.5 {
		t.Errorf("%g %v", v, ok)
	}
	for _, resource := range []string{"io", "memory"} {
		if v, ok := r.Pressure(resource); ok {
			t.Errorf("%s: %g", resource, v)
		}
	}
}

func FuzzUsage(f *testing.F) {
	f.Add("0::/a\n", "max 100000", "max", "nr_periods 1")
	f.Add("0::/../../a\n", "1 0", "-1", "nr_periods x")
	f.Add("4:memory:/a\n2:cpu:/a\n", "1e300 1e-300", "5", "")
	f.Fuzz(func(t *testing.T, group, cpu, memory, stat string) {
		m := fstest.MapFS{
			"proc/self/cgroup":           {Data: []byte(group)},
			"sys/fs/cgroup/a/cpu.max":    {Data: []byte(cpu)},
			"sys/fs/cgroup/a/memory.max": {Data: []byte(memory)},
			"sys/fs/cgroup/a/cpu.stat":   {Data: []byte(stat)},

			"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us":         {Data: []byte(cpu)},
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": {Data: []byte(memory)},
		}
		u, err := NewReader(m).Usage()
		if err == nil && (!(u.CPUs >= 0) || math.IsInf(u.CPUs, 0) || u.Memory < 0) {
			t.Fatalf("%+v", u)
		}
	})
}
