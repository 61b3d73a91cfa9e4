package scheduler

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func anyRecord(t *rapid.T) Record {
	text := rapid.StringN(0, 20, -1)
	r := Record{Kind: rapid.SampledFrom([]RecordKind{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, recBegun, recCut}).Draw(t, "kind"), At: rapid.Int64().Draw(t, "at") / 4}
	switch r.Kind {
	case recSubmitted, recImage, recCut:
		r.Seq, r.Body = rapid.Uint64().Draw(t, "seq"), []byte(text.Draw(t, "body"))
	case recReady, recReturned, recCancelWanted, recRetried, recStarted, recBegun:
		r.Seq, r.Text = rapid.Uint64().Draw(t, "seq"), text.Draw(t, "text")
	case recAssigned:
		r.Seq, r.Lease = rapid.Uint64().Draw(t, "seq"), Lease(rapid.Uint64().Draw(t, "lease"))
		r.Agent, r.Worker = text.Draw(t, "agent"), text.Draw(t, "worker")
	case recEnded:
		r.Seq, r.State = rapid.Uint64().Draw(t, "seq"), stateCode(rapid.IntRange(0, stateCount-1).Draw(t, "state"))
		r.Outcome = outcome(rapid.IntRange(0, outcomeCount-1).Draw(t, "outcome"))
		r.Death, r.HasExit, r.Exit = rapid.Bool().Draw(t, "death"), rapid.Bool().Draw(t, "has exit"), rapid.Int32().Draw(t, "exit")
		r.Until, r.Text = rapid.Int64Range(1, 1<<60).Draw(t, "until"), text.Draw(t, "text")
	case recClosed:
		r.Seq, r.State, r.Text = rapid.Uint64().Draw(t, "seq"), stateCode(rapid.IntRange(0, stateCount-1).Draw(t, "state")), text.Draw(t, "text")
	case recPrioritized:
		r.Seq, r.Priority = rapid.Uint64().Draw(t, "seq"), rapid.Byte().Draw(t, "priority")
	case recPool, recKey:
		r.Text, r.Body = text.Draw(t, "text"), []byte(text.Draw(t, "body"))
	case recMeta:
		r.Body = []byte(text.Draw(t, "body"))
	}
	return r
}

func TestRecordsReadBackAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const base = 12345
		records := rapid.SliceOfN(rapid.Custom(anyRecord), 1, 5).Draw(t, "records")
		var b []byte
		for i := range records {
			b = appendRecord(b, &records[i], base)
		}
		for i := range records {
			var got Record
			n, err := decodeRecord(b, base, &got)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(records[i], got, cmp.Comparer(bytes.Equal)); d != "" {
				t.Fatal(d)
			}
			for cut := range n { // no beginning of a record is a record
				if _, err := decodeRecord(b[:cut], base, &got); !errors.Is(err, errRecord) {
					t.Fatalf("cut off at %d of %d: %v", cut, n, err)
				}
			}
			b = b[n:]
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(appendRecord(nil, &Record{Kind: recAssigned, At: 5, Seq: 1, Lease: 2, Agent: "a", Worker: "w"}, 0), int64(0))
	f.Add(appendRecord(nil, &Record{Kind: recEnded, At: 5, Seq: 1, Outcome: outcomeFailed, State: stateFailed, Exit: -1, HasExit: true}, 7), int64(7))
	f.Fuzz(func(t *testing.T, data []byte, base int64) {
		var r Record
		n, err := decodeRecord(data, base, &r)
		if err != nil {
			if !errors.Is(err, errRecord) {
				t.Fatal(err)
			}
			return
		}
		if n <= 0 || n > len(data) {
			t.Fatalf("took %d of %d bytes", n, len(data))
		}
		var again Record
		if _, err := decodeRecord(appendRecord(nil, &r, base), base, &again); err != nil {
			t.Fatalf("%+v is written so that it cannot be read: %v", r, err)
		}
		if d := cmp.Diff(r, again, cmp.Comparer(bytes.Equal)); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzReplay feeds damaged frames to a core: it must refuse or accept, and hold together.
func FuzzReplay(f *testing.F) {
	var b batch
	b.reset(100)
	for _, r := range []Record{
		{Kind: recSubmitted, At: 100, Body: []byte(`{"task_id":"a","priority":"high","pool":"default","run":["x"]}`)},
		{Kind: recAssigned, At: 101, Lease: 1, Agent: "a"},
		{Kind: recStarted, At: 102},
		{Kind: recEnded, At: 103, State: stateSuccess, Outcome: outcomeSuccess},
	} {
		b.add(&r)
	}
	f.Add(slices.Clone(b.cut(1)[0]))
	f.Fuzz(func(t *testing.T, data []byte) {
		core, err := NewCore(CoreConfig{}, simPools())
		if err != nil {
			t.Fatal(err)
		}
		replay := replayer{apply: func(r *Record) error {
			if r.Kind == recMeta { // its counters may ask for much memory
				return errRecord
			}
			return core.Restore(r)
		}, next: 1}
		if replay.frame(data) == nil {
			_, _, _ = replay.end()
		}
		if err := checkIndexes(core, true); err != nil {
			t.Fatal(err)
		}
		chunks := core.snapshot(1, 0)
		again, err := NewCore(CoreConfig{}, simPools())
		if err != nil {
			t.Fatal(err)
		}
		restore := restorer{core: again}
		for _, c := range chunks {
			if err := restore.chunk(c); err != nil {
				t.Fatalf("its own snapshot is refused: %v", err)
			}
		}
	})
}

func TestAGroupOfFramesIsAppliedWholeOrNotAtAll(t *testing.T) {
	group := func(number uint64, sizes ...int) [][]byte {
		var b batch
		b.reset(0)
		for i, n := range sizes {
			b.add(&Record{Kind: recSubmitted, Seq: number*100 + uint64(i), Body: make([]byte, n)})
		}
		return slices.Clone(b.cut(number))
	}
	big := group(2, MaxFrame/2, MaxFrame/2, MaxFrame/2)
	if len(big) < 2 {
		t.Fatalf("%d frames", len(big))
	}
	n := uint64(len(big))
	for _, f := range big {
		if len(f) > MaxFrame {
			t.Fatalf("a frame of %d bytes", len(f))
		}
	}
	for name, c := range map[string]struct {
		frames [][]byte
		want   []uint64 // places applied
		next   uint64
		bad    bool
	}{
		"whole":                     {append(group(1, 1), big...), []uint64{100, 200, 201, 202}, 2 + n, false},
		"its end is missing":        {append(group(1, 1), big[:n-1]...), []uint64{100}, 2, false},
		"given up and begun anew":   {slices.Concat(group(1, 1), big[:1], group(2, 1, 1)), []uint64{100, 200, 201}, 3, false},
		"a refused frame is doomed": {slices.Concat(group(1, 1), group(2, 3, 3), group(2, 1), group(3, 1)), []uint64{100, 200, 300}, 4, false},
		"a gap":                     {slices.Concat(group(1, 1), group(3, 1)), nil, 0, true},
		"an old frame":              {slices.Concat(group(1, 1), group(2, 1), group(3, 1), group(1, 1)), nil, 0, true},
	} {
		var got []uint64
		p := replayer{next: 1, apply: func(r *Record) error { got = append(got, r.Seq); return nil }}
		var err error
		for _, f := range c.frames {
			if err = p.frame(f); err != nil {
				break
			}
		}
		if c.bad {
			if err == nil {
				t.Errorf("%s: it was accepted", name)
			}
			continue
		}
		next, _, err2 := p.end()
		if err != nil || err2 != nil || next != c.next || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v applied, next %d, %v, %v", name, got, next, err, err2)
		}
	}
}
