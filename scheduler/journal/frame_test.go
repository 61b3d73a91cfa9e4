package journal

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestAnyFlippedBitOfAFrameIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "payload")
		seq := rapid.Uint64().Draw(t, "seq")
		prev := rapid.Uint32().Draw(t, "prev")
		k := kind(rapid.Uint8Range(uint8(kindFrame), uint8(kindLog)).Draw(t, "kind"))
		message, sum := appendFrame(nil, k, seq, prev, payload)
		h, got, err := decodeFrame(message)
		if err != nil {
			t.Fatal(err)
		}
		if (h != header{kind: k, seq: seq, prev: prev, sum: sum}) || !bytes.Equal(got, payload) || sumOf(message) != sum {
			t.Fatalf("got %+v %x", h, got)
		}
		bit := rapid.IntRange(0, len(message)*8-1).Draw(t, "bit")
		message[bit/8] ^= 1 << (bit % 8)
		if _, _, err := decodeFrame(message); err == nil {
			t.Fatal("a flipped bit is not seen")
		}
	})
}

func FuzzDecodeFrame(f *testing.F) {
	whole, _ := appendFrame(nil, kindFrame, 7, 9, []byte("payload"))
	f.Add(whole)
	f.Add(whole[:20])
	f.Fuzz(func(t *testing.T, data []byte) {
		h, payload, err := decodeFrame(data)
		if err != nil {
			return
		}
		again, _ := appendFrame(nil, h.kind, h.seq, h.prev, payload)
		if !bytes.Equal(again, data) {
			t.Fatalf("%x is read as what is written %x", data, again)
		}
	})
}

func FuzzScanBlock(f *testing.F) {
	f.Add(make([]byte, 64), uint64(0))
	f.Add([]byte("\x32\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00aaaaaaaa\x02\x00subj"), uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, acked uint64) {
		s := scan{stream: journalStream, acked: acked}
		if bad := s.block(data, 1); bad != nil {
			if bad.Offset < 0 || bad.Offset > int64(len(data)) || bad.Why == "" {
				t.Fatalf("%+v", bad)
			}
			s.name(bad, data[bad.Offset:])
			if bad.Seq == 0 {
				t.Fatal("damage without a sequence")
			}
		}
		decodeMark(data)
	})
}

// FuzzSalvage reads damaged block files of both streams: it must take whole frames
// alone, in order, each at most once.
func FuzzSalvage(f *testing.F) {
	var both []byte
	sum := uint32(0)
	for seq := range uint64(3) {
		message, own := appendFrame(nil, kindFrame, seq+1, sum, []byte{byte(seq)})
		sum = own
		both = append(append(both, message...), 1, 2, 3)
	}
	chunk, last := appendFrame(nil, kindChunk, 0, 0, []byte("chunk"))
	end, _ := appendFrame(nil, kindManifest, 1, last, []byte(`{"generation":1,"count":1,"covered":2}`))
	f.Add(both, append(append([]byte(chunkSubjects+".1"), chunk...), end...), uint64(5))
	f.Fuzz(func(t *testing.T, frames, snapshots []byte, acked uint64) {
		var r Remains
		covered, chain := r.snapshot(r.block(nil, snapshots, "1.blk", snapshotStream, 0, true))
		r.follow(r.block(nil, frames, "1.blk", journalStream, acked, true), covered, chain, acked)
		before := uint64(0)
		for i, f := range r.Frames {
			if i > 0 && f.Seq <= before {
				t.Fatalf("frame %d follows frame %d", f.Seq, before)
			}
			before = f.Seq
		}
		for i := range r.Damage {
			if r.Damage[i].String() == "" || r.Damage[i].From > r.Damage[i].To {
				t.Fatalf("%+v", r.Damage[i])
			}
		}
	})
}
