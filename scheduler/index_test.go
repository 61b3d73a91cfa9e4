package scheduler

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestTheIndexFindsWhatAMapWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x idIndex
		ids := map[uint64]string{}
		hash := func(id string) uint64 {
			if id[0] == '!' { // those collide in all of their bits
				return 7 << 32
			}
			return hashID(id)
		}
		find := func(id string) (uint64, bool) {
			return x.find(hash(id), func(seq uint64) bool { return ids[seq] == id })
		}
		next := uint64(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			id := rapid.SampledFrom([]string{"!", "a"}).Draw(t, "kind") + fmt.Sprint(rapid.IntRange(0, 60).Draw(t, "id"))
			seq, there := find(id)
			if there {
				x.remove(hash(id), seq)
				delete(ids, seq)
			} else {
				x.put(hash(id), next)
				ids[next] = id
				next++
			}
		}
		if x.used != len(ids) {
			t.Fatalf("%d places, want %d", x.used, len(ids))
		}
		for seq, id := range ids {
			if got, ok := find(id); !ok || got != seq {
				t.Fatalf("%s is at %d (%v), want %d", id, got, ok, seq)
			}
		}
		if _, ok := find("another"); ok {
			t.Fatal("an id that was never put was found")
		}
	})
}

// hashID stands in archives and snapshots.
func TestTheHashOfAnIDStaysAsItIs(t *testing.T) {
	for id, want := range map[string]uint64{"": 0xefd01f60ba992926, "task-001": 0x8bc2ef29d16f9dd2} {
		if got := hashID(id); got != want {
			t.Errorf("%q: %#x, want %#x", id, got, want)
		}
	}
}
