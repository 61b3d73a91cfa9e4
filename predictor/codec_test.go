package predictor

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
	"loadstar/predictor/baseline"
)

func drawIssue(t *rapid.T) *issue {
	h := rapid.IntRange(1, 40).Draw(t, "h")
	i := &issue{at: rapid.Int64().Draw(t, "at"), horizon: h}
	for range rapid.IntRange(1, 4).Draw(t, "models") {
		q := baseline.NewQuantiles(h)
		for k := range h {
			q.P10[k] = rapid.Float64Range(-huge, huge).Draw(t, "p10")
			q.P50[k] = q.P10[k] + rapid.Float64Range(0, 1e9).Draw(t, "up")
			q.P90[k] = q.P50[k] + rapid.Float64Range(0, 1e9).Draw(t, "up")
		}
		i.models = append(i.models, pack(rapid.StringMatching(`[a-z]{1,12}`).Draw(t, "name"), q))
	}
	i.champion = rapid.IntRange(0, len(i.models)-1).Draw(t, "champion")
	return i
}

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []*issue
		frame := newFrame()
		for range rapid.IntRange(0, 5).Draw(t, "records") {
			i := drawIssue(t)
			want = append(want, i)
			frame = appendRecord(frame, "pool.default.load", 60_000, i)
		}
		var got []*issue
		err := readFrame(sealFrame(frame), func(series string, step time.Duration, i *issue) {
			if series != "pool.default.load" || step != time.Minute {
				t.Fatalf("%s at %s", series, step)
			}
			got = append(got, i)
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(issue{}, packed{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestPackingIsWithinItsResolutionAndKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(0, 1e12), 3, 60).Draw(t, "v")
		h := len(v) / 3
		q := baseline.Quantiles{P10: v[:h], P50: v[h : 2*h], P90: v[2*h : 3*h]}
		if err := q.Settle(0, huge); err != nil {
			t.Fatal(err)
		}
		p := pack("m", q)
		if !p.sound() || p.horizon() != h {
			t.Fatal("not sound")
		}
		low, high := math.Inf(1), math.Inf(-1)
		for i := range h {
			low, high = min(low, q.P10[i]), max(high, q.P90[i])
		}
		got := p.unpack()
		for i := range h {
			if d := math.Abs(got.P50[i] - q.P50[i]); d > (high-low)/65535 {
				t.Fatalf("step %d: off by %g", i, d)
			}
		}
	})
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	frame := newFrame()
	frame = appendRecord(frame, "host.cpu", 10_000, &issue{at: 1, horizon: 1, models: []packed{
		pack(models.ModelLast, baseline.Quantiles{P10: []float64{1}, P50: []float64{2}, P90: []float64{3}}),
	}})
	frame = sealFrame(frame)
	for bit := range 8 * len(frame) {
		frame[bit/8] ^= 1 << (bit % 8)
		if err := readFrame(frame, func(string, time.Duration, *issue) {}); !errors.Is(err, ErrFrame) {
			t.Errorf("bit %d: %v", bit, err)
		}
		frame[bit/8] ^= 1 << (bit % 8)
	}
}

func FuzzReadFrame(f *testing.F) {
	frame := appendRecord(newFrame(), "host.cpu", 10_000, &issue{at: 1, horizon: 2, models: []packed{
		pack(models.ModelLast, baseline.Quantiles{P10: []float64{1, 1}, P50: []float64{2, 2}, P90: []float64{3, 4}}),
	}})
	f.Add(frame[2:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		// The checksum is right, so that what is behind it is reached.
		sealed := sealFrame(append(newFrame(), body...))
		err := readFrame(sealed, func(series string, step time.Duration, i *issue) {
			if series == "" || step <= 0 || i.champion >= len(i.models) || i.horizon < 1 || i.horizon > maxHorizon {
				t.Fatalf("%q %s %+v", series, step, i)
			}
			for _, m := range i.models {
				if q := m.unpack(); len(q.P50) != i.horizon || q.Settle(-math.MaxFloat64, math.MaxFloat64) != nil {
					t.Fatalf("model %q", m.name)
				}
			}
		})
		if err != nil && !errors.Is(err, ErrFrame) {
			t.Fatal(err)
		}
		_ = readFrame(body, func(string, time.Duration, *issue) {})
	})
}
