package host

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"

	"loadstar/models"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func counters(after time.Duration, busy, total float64, bytes uint64) *Counters {
	return &Counters{
		At: noon.Add(after), Cores: []Times{{busy / 2, total / 2}, {busy / 2, total / 2}},
		Disks: map[string]Traffic{"sda": {bytes, bytes}, "sdb": {0, bytes}}, Links: map[string]Traffic{"eth0": {3 * bytes, 4 * bytes}},
	}
}

func ptr(v float64) *float64 { return &v }

func TestTwoReadingsMakeARate(t *testing.T) {
	got := Between(counters(0, 10, 100, 1000), counters(2*time.Second, 11, 104, 3000))
	want := Rates{CPU: ptr(25), Cores: []float64{25, 25}, DiskRead: ptr(1000), DiskWrite: ptr(2000), NetRx: ptr(3000), NetTx: ptr(4000)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWhatIsNoRateIsLeftOut(t *testing.T) {
	before := counters(0, 10, 100, 1000)
	for name, c := range map[string]struct{ before, after *Counters }{
		"the first reading":  {nil, before},
		"a clock set back":   {before, counters(-time.Hour, 11, 104, 2000)},
		"a clock set ahead":  {before, counters(time.Hour, 11, 104, 2000)},
		"two in one instant": {before, counters(0, 11, 104, 2000)},
	} {
		if d := cmp.Diff(Rates{}, Between(c.before, c.after)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if got := Between(before, counters(time.Second, 5, 50, 10)); got.CPU != nil || got.DiskRead != nil || got.Cores != nil {
		t.Errorf("counters that began anew gave %+v", got)
	}
}

func TestGuestTimeIsNotCountedTwice(t *testing.T) {
	got := timesOf(&cpu.TimesStat{User: 10, Guest: 4, System: 5, Idle: 80, Iowait: 3, Steal: 2})
	if d := cmp.Diff(Times{Busy: 17, Total: 100}, got); d != "" {
		t.Error(d)
	}
}

func TestADeviceThatComesOrGoesMakesNoRateOfAllItEverCarried(t *testing.T) {
	before, after := counters(0, 10, 100, 1000), counters(time.Second, 11, 104, 3000)
	delete(before.Disks, "sdb") // comes, with 3000 bytes written long ago
	delete(after.Links, "eth0") // goes
	after.Cores = append(after.Cores, Times{500, 1000})
	got := Between(before, after)
	want := Rates{DiskRead: ptr(2000), DiskWrite: ptr(2000)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestACounterThatBeganAnewLeavesTheOthersTheirRates(t *testing.T) {
	before, after := counters(0, 10, 100, 1000), counters(time.Second, 11, 104, 3000)
	after.Disks["sdb"] = Traffic{0, 5} // of 1000 before
	after.Links["eth0"] = Traffic{1, 14000}
	want := Rates{CPU: ptr(25), Cores: []float64{25, 25}, DiskRead: ptr(2000), NetTx: ptr(10000)}
	if d := cmp.Diff(want, Between(before, after)); d != "" {
		t.Error(d)
	}
}

func TestAHostWithoutDisksOrLinksReadsNoughtAndOneThatCannotBeReadNothing(t *testing.T) {
	before, after := counters(0, 10, 100, 1000), counters(time.Second, 11, 104, 3000)
	before.Disks, after.Disks = map[string]Traffic{}, map[string]Traffic{}
	after.Links = nil
	got := Between(before, after)
	if got.DiskRead == nil || *got.DiskRead != 0 || got.NetRx != nil {
		t.Errorf("%+v", got)
	}
}

func TestBytesAreCountedWhereTheyHitTheDisk(t *testing.T) {
	for _, c := range []struct{ all, want string }{
		{"sda sda1 sda2 sdb dm-0 loop7 md0 sr0 zram0", "sda sdb"},
		{"nvme0n1 nvme0n1p1 nvme0n1p15 nvme0c0n1 nvme1n1", "nvme0n1 nvme1n1"},
		{"mmcblk0 mmcblk0p1 nbd1 nbd12 nbd1p1", "mmcblk0 nbd1 nbd12"},
		{"xvda1 xvdb xvdb1", "xvda1 xvdb"},
		{"vda vda15 disk0", "vda disk0"},
	} {
		names := strings.Fields(c.all)
		var got []string
		for _, name := range names {
			if isWholeDisk(name, func(other string) bool { return slices.Contains(names, other) }) {
				got = append(got, name)
			}
		}
		if d := cmp.Diff(strings.Fields(c.want), got); d != "" {
			t.Errorf("%s: %s", c.all, d)
		}
	}
}

func TestBytesAreCountedOnceOnTheWire(t *testing.T) {
	for name, c := range map[string]struct{ devices, all, want string }{
		"a host":         {"eth0 wlan0", "lo eth0 wlan0 docker0 veth12 br0 bond0 eth0.100", "eth0 wlan0"},
		"a container":    {"", "lo eth0 tun0", "eth0"},
		"a small server": {"", "lo0 en0 bond0 ifb1 dummy0 wg0 enp3s0", "en0 enp3s0"},
	} {
		sys := fstest.MapFS{}
		for _, d := range strings.Fields(c.devices) {
			sys["class/net/"+d+"/device"] = &fstest.MapFile{}
		}
		l := links{sys: sys}
		for range 2 { // the second time from memory
			var got []string
			counted := l.counted(strings.Fields(c.all))
			for _, link := range strings.Fields(c.all) {
				if counted[link] {
					got = append(got, link)
				}
			}
			if d := cmp.Diff(strings.Fields(c.want), got); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
	}
}

// TestARecordedHostIsReadAsItStands reads /proc as two moments of a host left it.
func TestARecordedHostIsReadAsItStands(t *testing.T) {
	p := New()
	p.links.sys = fstest.MapFS{"class/net/ens5/device": &fstest.MapFile{}}
	at := func(moment string) context.Context {
		dir := filepath.Join("testdata", moment, "proc")
		return context.WithValue(t.Context(), common.EnvKey, common.EnvMap{common.HostProcEnvKey: dir})
	}
	first, err := p.Read(at("first"), noon)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Rates{}, first.Rates); d != "" {
		t.Errorf("the first reading is a rate: %s", d)
	}
	second, err := p.Read(at("second"), noon.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		// Of 200 ticks 50 busy: user 30 (its 10 guest ticks included), system 15, steal 5.
		models.SeriesCPU: 25, "host.cpu.0": 40, "host.cpu.1": 10,
		models.SeriesMemory: 100 * (1 - 6./8), models.SeriesSwap: 25, models.SeriesLoad: 0.75,
		// vda 2048 + 4096 sectors; its partition and dm-0 on it are the same bytes.
		models.SeriesDiskRead: 1 << 20, models.SeriesDiskWrite: 2 << 20, models.SeriesIO: 3 << 20,
		models.SeriesNetRx: 1000, models.SeriesNetTx: 500, models.SeriesNetwork: 1500,
	}
	got := map[string]float64{}
	for _, s := range second.Samples() {
		got[s.Series] = s.Value
	}
	if d := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-9)); d != "" {
		t.Error(d)
	}
}

func TestThisHostCanBeRead(t *testing.T) {
	p := New()
	first, err := p.Read(context.Background(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if first.Rates.CPU != nil || first.Status.MemoryTotal <= 0 || first.Status.MemoryUsed <= 0 || first.Status.CPULimit <= 0 {
		t.Errorf("%+v", first)
	}
	second, err := p.Read(context.Background(), noon.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range second.Samples() {
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.Value < 0 || seen[s.Series] {
			t.Errorf("%+v", s)
		}
		seen[s.Series] = true
	}
	if !seen[models.SeriesMemory] || !seen[models.SeriesLoad] || !seen[models.SeriesNetwork] {
		t.Errorf("%v", seen)
	}
}

func BenchmarkRead(b *testing.B) {
	p := New()
	for b.Loop() {
		if _, err := p.Read(context.Background(), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
