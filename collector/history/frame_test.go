package history

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var nanEqual = cmp.Options{cmpopts.EquateNaNs(), cmp.AllowUnexported(frame{}, run{})}

func TestAFrameComesBackAsItWas(t *testing.T) {
	value := rapid.OneOf(
		rapid.Just(float32(math.NaN())), rapid.SampledFrom([]float32{0, 0, 1, 2, 3, 100}), rapid.Float32(),
	)
	rapid.Check(t, func(t *rapid.T) {
		want := frame{kind: kindValues, stepMS: rapid.Uint64Range(1, 900_000).Draw(t, "step")}
		base := rapid.Int64Range(0, min(1<<33, int64(maxStepMS/want.stepMS)-frameSteps)).Draw(t, "base")
		var runs [][]byte
		for range rapid.IntRange(0, 5).Draw(t, "series") {
			r := run{name: rapid.StringMatching(`[a-z.]{1,200}`).Draw(t, "name")}
			offset := rapid.Int64Range(0, frameSteps-1).Draw(t, "offset")
			r.first = base + offset
			r.values = rapid.SliceOfN(value, 1, int(min(frameSteps-offset, 200))).Draw(t, "values")
			if encoded := encodeRun(r, base); encoded != nil {
				runs = append(runs, encoded)
				want.runs = append(want.runs, r)
			}
		}
		got, err := decodeFrame(encodeValues(want.stepMS, base, runs))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&want, got, nanEqual); d != "" {
			t.Fatal(d)
		}
	})
}

func TestSmallIntegersAndConstantsPackSmall(t *testing.T) {
	for name, c := range map[string]struct {
		value func(i int) float32
		most  int // bytes of 60 values
	}{
		"constant":       {func(int) float32 { return 12.3456 }, 4},
		"small integers": {func(i int) float32 { return float32(i * 7 % 5) }, 120},
		"noise":          {func(i int) float32 { return float32(math.Sin(float64(i))) }, 240},
	} {
		r := run{name: "a", values: make([]float32, 60)}
		for i := range r.values {
			r.values[i] = c.value(i)
		}
		const head = 1 + 1 + 1 + 1 + 1 // name, offset, count, mode
		if n := len(encodeRun(r, 0)) - head; n > c.most {
			t.Errorf("%s: %d bytes, want at most %d", name, n, c.most)
		}
	}
}

func TestAnyFlippedBitOfAFrameIsSeen(t *testing.T) {
	data := encodeValues(1000, 1_700_000_000, [][]byte{encodeRun(run{name: "host.cpu", first: 1_700_000_007, values: []float32{1, 2.5, 3}}, 1_700_000_000)})
	for i := range len(data) * 8 {
		data[i/8] ^= 1 << (i % 8)
		if _, err := decodeFrame(data); !errors.Is(err, errDamaged) {
			t.Fatalf("bit %d: %v", i, err)
		}
		data[i/8] ^= 1 << (i % 8)
	}
}

func TestALaterVersionIsNotCalledDamaged(t *testing.T) {
	if _, err := decodeFrame(seal([]byte{2, 1, 0, 0})); !errors.Is(err, errVersion) {
		t.Error(err)
	}
}

// FuzzDecodeFrame also seals what it is given, so that the checksum does not hide
// the decoder behind it.
func FuzzDecodeFrame(f *testing.F) {
	f.Add(encodeRewind(1000, 1e18))
	f.Add(encodeValues(60_000, 28_000_000, [][]byte{encodeRun(run{name: "a", first: 28_000_002, values: []float32{1, absent(), 3}}, 28_000_000)}))
	f.Add(encodeValues(1000, 5, [][]byte{encodeRun(run{name: "a", first: 6, values: []float32{1, 1}}, 5)}))
	f.Add([]byte{1, 1, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range [][]byte{data, seal(slices.Clone(data))} {
			got, err := decodeFrame(d)
			if err != nil {
				if !errors.Is(err, errDamaged) && !errors.Is(err, errVersion) {
					t.Fatal(err)
				}
				continue
			}
			for _, r := range got.runs {
				for _, v := range r.values {
					if !isAbsent(v) && !finite(v) {
						t.Fatalf("%v came out", v)
					}
				}
				if r.first < 0 || (r.first+int64(len(r.values))) > math.MaxInt64/int64(got.stepMS)/1e6 {
					t.Fatalf("index %d at %d ms", r.first, got.stepMS)
				}
			}
		}
	})
}
