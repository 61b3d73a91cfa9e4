package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"loadstar/models"
)

// TestWhatIsMendedIsAStateThatTheSchedulerCouldBeIn takes logs of simulated
// histories, loses parts of them, and mends what is left: the counters must be
// right, its own snapshot must be read back, and where nothing is lost, nothing may
// be missing.
func TestWhatIsMendedIsAStateThatTheSchedulerCouldBeIn(t *testing.T) {
	s := newSim()
	for seed := uint64(1); seed <= 150; seed++ {
		if err := s.run(seed, 80); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		rng := rand.New(rand.NewPCG(seed, 3))
		r := Remains{Chunks: slices.Clone(s.chunks)}
		for _, f := range s.frames {
			r.Frames = append(r.Frames, RemainingFrame{Data: f})
		}
		whole := seed%5 == 0
		for n := rng.IntN(4); !whole && n >= 0; n-- {
			if len(r.Frames) > 2 {
				i := rng.IntN(len(r.Frames) - 1)
				r.Frames = slices.Delete(r.Frames, i, i+1)
				r.Frames[i].Gap = true
			}
			if len(r.Chunks) > 0 && rng.IntN(3) == 0 {
				i := rng.IntN(len(r.Chunks))
				r.Chunks = slices.Delete(r.Chunks, i, i+1)
			}
		}
		m, err := Mend(CoreConfig{AgeEvery: simAgeEvery, KeepKeys: simKeys}, s.pools, r, s.time())
		if err != nil {
			t.Fatal(err)
		}
		again := restoreMended(t, s.pools, m)
		if err := checkIndexes(again, false); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if whole && (m.Dropped > 0 || m.Missing > 0 || again.known() != s.core.known()) {
			t.Fatalf("seed %d: of a whole journal %d records are dropped and %d tasks missing: %v", seed, m.Dropped, m.Missing, m.Why)
		}
		for _, was := range s.core.tasks { // a success that is kept is one that was
			if is := again.find(was.id); is != nil && is.state == stateSuccess && was.state != stateSuccess {
				t.Fatalf("seed %d: %s was %s, and is mended to %s", seed, was.id, was.state.model(), is.state.model())
			}
		}
		if again.lease <= s.core.lease {
			t.Fatalf("seed %d: leases go on behind %d, and %d was given out", seed, again.lease, s.core.lease)
		}
	}
}

func restoreMended(t *testing.T, pools []models.PoolSpec, m *Mended) *Core {
	t.Helper()
	core, err := NewCore(CoreConfig{AgeEvery: simAgeEvery, KeepKeys: simKeys}, pools)
	if err != nil {
		t.Fatal(err)
	}
	restore := restorer{core: core}
	for _, c := range m.Chunks {
		if err := restore.chunk(c); err != nil {
			t.Fatalf("what was mended is refused: %v", err)
		}
	}
	total := 0
	for _, n := range m.Tasks {
		total += n
	}
	if total != core.known() {
		t.Fatalf("%d tasks are told, %d are there", total, core.known())
	}
	return core
}

// FuzzMend mends what may be anything.
func FuzzMend(f *testing.F) {
	core := lab(f, 1)
	var b batch
	b.reset(0)
	o := core.Step(time.Unix(1e9, 0), Input{Submit: batchOf(f, 0, 3)})
	for i := range o.Records {
		b.add(&o.Records[i])
	}
	f.Add(core.snapshot(1, 0)[0], slices.Clone(b.cut(1)[0]), true)
	f.Fuzz(func(t *testing.T, chunk, frame []byte, gap bool) {
		if h, _, err := splitFrame(chunk); err != nil || h.number > 1000 {
			return
		}
		// The counters of a snapshot may ask for much memory.
		huge := false
		(&mender{}).each([][]byte{chunk, frame}, func(r *Record) {
			huge = huge || asksForMuch(r)
		})
		if huge {
			return
		}
		m, err := Mend(CoreConfig{}, simPools(), Remains{Chunks: [][]byte{chunk}, Frames: []RemainingFrame{{Data: frame}, {Data: frame, Gap: gap}}}, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		core, err := NewCore(CoreConfig{}, simPools())
		if err != nil {
			t.Fatal(err)
		}
		restore := restorer{core: core}
		for _, c := range m.Chunks {
			if err := restore.chunk(c); err != nil {
				t.Fatalf("what was mended is refused: %v", err)
			}
		}
		if err := checkIndexes(core, false); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRestore reads damaged snapshots: it must refuse or accept, and hold together.
func FuzzRestore(f *testing.F) {
	core := lab(f, 1)
	core.Step(time.Unix(1e9, 0), Input{Submit: batchOf(f, 0, 3)})
	core.Commit()
	f.Add(core.snapshot(1, 0)[0])
	f.Fuzz(func(t *testing.T, data []byte) {
		huge := false
		(&mender{}).each([][]byte{data}, func(r *Record) {
			huge = huge || asksForMuch(r)
		})
		if huge {
			return
		}
		core, err := NewCore(CoreConfig{}, simPools())
		if err != nil {
			t.Fatal(err)
		}
		restore := restorer{core: core}
		_ = restore.chunk(data)
		if err := checkIndexes(core, false); err != nil {
			t.Fatal(err)
		}
	})
}

// asksForMuch reports whether a record would have much memory taken.
func asksForMuch(r *Record) bool {
	if r.Kind != recMeta {
		return r.Seq > 1000
	}
	d := decoder{b: r.Body}
	frame, next := d.uvarint(), d.uvarint()
	return frame > 1000 || next > 1000
}
