package host

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shirou/gopsutil/v3/cpu"

	"loadstar/models"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func counters(after time.Duration, busy, total float64, bytes uint64) *Counters {
	return &Counters{
		At: noon.Add(after), CPU: Times{busy, total}, Cores: []Times{{busy / 2, total / 2}, {busy / 2, total / 2}},
		DiskRead: bytes, DiskWrite: 2 * bytes, NetRx: 3 * bytes, NetTx: 4 * bytes,
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

func TestBytesAreCountedWhereTheyHitTheDiskAndTheWire(t *testing.T) {
	for name, want := range map[string]bool{
		"sda": true, "sda1": false, "vda": true, "vda15": false, "nvme0n1": true, "nvme0n1p2": false, "dm-0": false,
		"loop7": false, "md0": false, "mmcblk0": true, "mmcblk0p1": false, "zram0": false,
	} {
		if isWholeDisk(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	for name, want := range map[string]bool{"eth0": true, "enp3s0": true, "wlan0": true, "lo": false, "veth12ab": false, "docker0": false, "br-1": false} {
		if countsAsNetwork(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
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
