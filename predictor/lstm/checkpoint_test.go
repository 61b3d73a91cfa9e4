package lstm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// smallModel trains in a moment.
func smallModel(t testing.TB, prev *Model) (*Model, Data) {
	t.Helper()
	return smallModelOn(t, detectKernels(), prev)
}

func smallModelOn(t testing.TB, k *kernels, prev *Model) (*Model, Data) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	data := Data{Start: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC), Step: time.Minute, Season: 12}
	for i := range 120 {
		data.Values = append(data.Values, 10+5*math.Sin(2*math.Pi*float64(i)/12)+rng.NormFloat64())
	}
	m, err := trainWith(context.Background(), k, Config{Context: 8, Horizon: 4, Hidden: 8, Epochs: 4, Seed: 3}, data, prev, TrainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m, data
}

func mustForecast(t testing.TB, m *Model, data Data) Quantiles {
	t.Helper()
	q, err := m.Forecast(data)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestEqualSeedsGiveEqualModels(t *testing.T) {
	a, data := smallModel(t, nil)
	b, _ := smallModel(t, nil)
	if d := cmp.Diff(mustForecast(t, a, data), mustForecast(t, b, data)); d != "" {
		t.Error(d)
	}
}

func TestTrainingComesToTheSameOnEveryKernel(t *testing.T) {
	want, data := smallModelOn(t, portable(), nil)
	q := mustForecast(t, want, data)
	everyKernel(t, func(t *testing.T, k *kernels) {
		m, _ := smallModelOn(t, k, nil)
		for h, v := range mustForecast(t, m, data).All {
			for i := range v {
				if math.Abs(v[i]-q.All[h][i]) > 0.02 { // of values from 5 to 15: rounding differs, and grows as it trains
					t.Errorf("step %d, level %d: %v, portable %v", h+1, i, v[i], q.All[h][i])
				}
			}
		}
	})
}

func TestASavedModelForecastsAndResumesAsTheOriginal(t *testing.T) {
	m, data := smallModel(t, nil)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m.Info(), loaded.Info()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(mustForecast(t, m, data), mustForecast(t, loaded, data)); d != "" {
		t.Error(d)
	}
	a, _ := smallModel(t, m)
	b, _ := smallModel(t, loaded)
	if d := cmp.Diff(mustForecast(t, a, data), mustForecast(t, b, data)); d != "" {
		t.Errorf("training on from the file differs: %s", d)
	}
	if a.Info().Batches < m.Info().Batches {
		t.Errorf("training on forgot the optimiser's steps: %d, then %d", m.Info().Batches, a.Info().Batches)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("saving left %v beside the model", left)
	}
}

func TestADamagedCheckpointIsRefused(t *testing.T) {
	m, _ := smallModel(t, nil)
	good, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	head := 8 + int(binary.LittleEndian.Uint64(good))
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, data := range map[string][]byte{
		"empty":             {},
		"no header":         good[:8],
		"torn in header":    good[:head-10],
		"torn in tensors":   good[:len(good)-4],
		"longer":            append(bytes.Clone(good), 0, 0, 0, 0),
		"a huge header":     edit(func(b []byte) []byte { binary.LittleEndian.PutUint64(b, math.MaxUint64); return b }),
		"a flipped bit":     edit(func(b []byte) []byte { b[len(b)-7] ^= 4; return b }),
		"another format":    bytes.Replace(good, []byte(checkpointFormat), []byte("loadstar.lsxm"), 1),
		"another version":   bytes.Replace(good, []byte(`"version":"1"`), []byte(`"version":"9"`), 1),
		"a renamed tensor":  bytes.Replace(good, []byte("head.weight"), []byte("head.wright"), 1),
		"another shape":     bytes.Replace(good, []byte(`"shape":[4,2]`), []byte(`"shape":[2,4]`), 1),
		"another dtype":     bytes.Replace(good, []byte(`"F32"`), []byte(`"F16"`), 1),
		"a changed setting": bytes.Replace(good, []byte(`\"Horizon\":4`), []byte(`\"Horizon\":5`), 1),
	} {
		if bytes.Equal(data, good) {
			t.Errorf("%s: the damage did nothing", name)
		}
		if _, err := decode(data); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestWeightsThatAreNotFiniteAreNeitherSavedNorLoaded(t *testing.T) {
	m, _ := smallModel(t, nil)
	path := filepath.Join(t.TempDir(), "model")
	m.w.head[3] = float32(math.Inf(1))
	if err := m.Save(path); !errors.Is(err, ErrNotFinite) {
		t.Errorf("saving: %v", err)
	}
	m.w.head[3] = 0
	good, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	head := 8 + int(binary.LittleEndian.Uint64(good))
	sum := digestOf(t, good, head)
	binary.LittleEndian.PutUint32(good[head+40:], math.Float32bits(float32(math.NaN())))
	good = bytes.Replace(good, []byte(sum), []byte(digestOf(t, good, head)), 1)
	if _, err := decode(good); !errors.Is(err, ErrDamaged) || !bytes.Contains([]byte(err.Error()), []byte("not finite")) {
		t.Errorf("loading: %v", err)
	}
}

// digestOf computes the checksum that a checkpoint should carry.
func digestOf(t *testing.T, data []byte, head int) string {
	t.Helper()
	_, meta, err := decodeHeader(data[8:head])
	if err != nil {
		t.Fatal(err)
	}
	return digest([]byte(meta["model"]), data[head:])
}

// FuzzLoad patches a good file, with the checksum made right again or not, and
// reads the patch as a file of its own.
func FuzzLoad(f *testing.F) {
	m, data := smallModel(f, nil)
	good, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	head := 8 + int(binary.LittleEndian.Uint64(good))
	f.Add(uint32(0), []byte{}, true)
	f.Add(uint32(8), []byte(`{"__metadata__":{}}`), false)
	f.Add(uint32(bytes.Index(good, []byte(`\"Hidden\":8`))+11), []byte("9"), true)
	f.Add(uint32(head+4), []byte{0xff, 0xff, 0x7f, 0x7f}, true)
	f.Add(uint32(len(good)-4), []byte{0xff, 0xff, 0xff, 0xff}, true)
	f.Add(uint32(0), []byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"), false)
	check := func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("not told as damage: %v", err)
			}
			return
		}
		d := data
		d.Step = m.s.Step
		q, err := m.Forecast(d)
		if errors.Is(err, ErrNotFinite) {
			return // weights near the end of float32
		}
		if err != nil {
			t.Fatal(err)
		}
		for h := range q.P50 {
			for _, v := range q.All[h] {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("a model that was accepted forecasts %v", v)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, mend bool) {
		b := bytes.Clone(good)
		copy(b[int(at)%len(b):], patch)
		if mend {
			if _, meta, err := decodeHeader(b[8:head]); err == nil {
				b = bytes.Replace(b, []byte(meta["sha256"]), []byte(digest([]byte(meta["model"]), b[head:])), 1)
			}
		}
		check(t, b)
		check(t, patch)
	})
}
