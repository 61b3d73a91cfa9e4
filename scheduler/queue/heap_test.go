package queue_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loadstar/scheduler/queue"
)

type entry struct {
	id  uint64
	key queue.Key
	pos int32
}

func position(e *entry) *int32 { return &e.pos }

// TestHeapAgreesWithASortedList holds every operation against a list that is
// sorted anew each time.
func TestHeapAgreesWithASortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := queue.New(position)
		var naive []*entry
		var all []*entry
		check := func() {
			slices.SortFunc(naive, func(a, b *entry) int {
				if a.key.Before(b.key) {
					return -1
				}
				return 1
			})
			if h.Len() != len(naive) {
				t.Fatalf("%d entries, want %d", h.Len(), len(naive))
			}
			first, _, ok := h.Peek()
			if ok != (len(naive) > 0) || ok && first != naive[0] {
				t.Fatalf("first is %v, want %v", first, naive)
			}
			for i, e := range naive {
				if !h.Contains(e) || h.Rank(e) != i {
					t.Fatalf("entry %d has rank %d, want %d", e.id, h.Rank(e), i)
				}
			}
		}
		pick := func(t *rapid.T) *entry {
			if len(all) == 0 {
				t.Skip("nothing yet")
			}
			return rapid.SampledFrom(all).Draw(t, "entry")
		}
		key := func(t *rapid.T, id uint64) queue.Key {
			return queue.Aged(rapid.IntRange(0, 100).Draw(t, "priority"), rapid.Int64Range(0, 50).Draw(t, "ready"), 3, id)
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				e := &entry{id: uint64(len(all)), pos: queue.Absent}
				e.key = key(t, e.id)
				all, naive = append(all, e), append(naive, e)
				h.Push(e, e.key)
			},
			"move": func(t *rapid.T) {
				e := pick(t)
				if !h.Contains(e) {
					naive = append(naive, e)
				}
				e.key = key(t, e.id)
				h.Push(e, e.key)
			},
			"remove": func(t *rapid.T) {
				e := pick(t)
				i := slices.Index(naive, e)
				if h.Remove(e) != (i >= 0) {
					t.Fatalf("removal of entry %d, which is at %d", e.id, i)
				}
				if i >= 0 {
					naive = slices.Delete(naive, i, i+1)
				}
				if h.Rank(e) != -1 {
					t.Fatal("a removed entry has a rank")
				}
			},
			"pop": func(t *rapid.T) {
				e, ok := h.Pop()
				if ok != (len(naive) > 0) || ok && e != naive[0] {
					t.Fatalf("popped %v of %v", e, naive)
				}
				if ok {
					naive = naive[1:]
				}
			},
			"": func(*rapid.T) { check() },
		})
	})
}

// TestAgedKeyOrdersAsEffectivePriorityDoes compares the time-invariant key with the definition.
func TestAgedKeyOrdersAsEffectivePriorityDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const every = 10 * time.Second
		p := [2]int{rapid.IntRange(0, 100).Draw(t, "p0"), rapid.IntRange(0, 100).Draw(t, "p1")}
		r := [2]int64{rapid.Int64Range(0, 1e12).Draw(t, "r0"), rapid.Int64Range(0, 1e12).Draw(t, "r1")}
		now := int64(1e12) + rapid.Int64Range(0, 1e12).Draw(t, "now")
		// Scaled by every, so that the comparison is exact.
		effective := func(i int) int64 { return int64(p[i])*int64(every) + now - r[i] }
		k0, k1 := queue.Aged(p[0], r[0], every, 0), queue.Aged(p[1], r[1], every, 1)
		if want := effective(0) >= effective(1); k0.Before(k1) != want {
			t.Fatalf("before: %v, want %v", k0.Before(k1), want)
		}
	})
}

// TestNothingStarvesUnderAStreamOfUrgentWork pops one entry a second while an
// urgent one arrives each second: the old low one must come out in time.
func TestNothingStarvesUnderAStreamOfUrgentWork(t *testing.T) {
	const every = time.Second
	h := queue.New(position)
	low := &entry{pos: queue.Absent}
	h.Push(low, queue.Aged(0, 0, every, 0))
	for i := range 200 {
		e := &entry{id: uint64(i + 1), pos: queue.Absent}
		h.Push(e, queue.Aged(100, int64(i)*int64(every), every, e.id))
		got, _ := h.Pop()
		if got == low {
			if i < 99 {
				t.Fatalf("it came out after %d s, before it had aged", i)
			}
			return
		}
	}
	t.Fatal("the low one starved")
}

func BenchmarkPushPop(b *testing.B) {
	for name, n := range map[string]int{"1k": 1000, "1M": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			h := queue.New(position)
			entries := make([]entry, n)
			for i := range entries {
				entries[i] = entry{id: uint64(i), pos: queue.Absent}
				h.Push(&entries[i], queue.Aged(rng.IntN(101), int64(i), time.Second, uint64(i)))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				e, _ := h.Pop()
				h.Push(e, queue.Aged(rng.IntN(101), int64(n+i), time.Second, e.id))
			}
		})
	}
}

func BenchmarkReprioritise1M(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	h := queue.New(position)
	entries := make([]entry, 1_000_000)
	for i := range entries {
		entries[i] = entry{id: uint64(i), pos: queue.Absent}
		h.Push(&entries[i], queue.Aged(50, int64(i), time.Second, uint64(i)))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		e := &entries[rng.IntN(len(entries))]
		h.Push(e, queue.Aged(rng.IntN(101), int64(e.id), time.Second, e.id))
	}
}

// TestReorderedHeapTakesEntriesByTheirNewKeys gives every entry another key at once.
func TestReorderedHeapTakesEntriesByTheirNewKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := queue.New(position)
		keys := rapid.SliceOf(rapid.Int64Range(0, 20)).Draw(t, "keys")
		for i := range keys {
			h.Push(&entry{id: uint64(i), pos: queue.Absent}, queue.Aged(50, int64(i), 1, uint64(i)))
		}
		h.Reorder(func(e *entry) queue.Key {
			e.key = queue.Earliest(keys[e.id], e.id)
			return e.key
		})
		var last queue.Key
		for i := range keys {
			e, ok := h.Pop()
			if !ok || e.pos != queue.Absent || i > 0 && !last.Before(e.key) {
				t.Fatalf("entry %v came at %d, after %v", e, i, last)
			}
			last = e.key
		}
	})
}

// TestAnEntryIsOvertakenOnlyByWhatCameWithinItsHeadStart lets entries of any
// priority come at any rate, more than are taken included. Whatever is taken before
// an entry was there when it came, or came less than (100 - priority) intervals
// after it: however much urgent work comes, nothing starves.
func TestAnEntryIsOvertakenOnlyByWhatCameWithinItsHeadStart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const every = 10
		type arrival struct {
			entry
			priority int
			at       int64
		}
		h := queue.New(func(a *arrival) *int32 { return &a.pos })
		var now int64
		var all, taken []*arrival
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now += rapid.Int64Range(0, 300).Draw(t, "later")
			if rapid.IntRange(0, 2).Draw(t, "take") == 0 {
				if a, ok := h.Pop(); ok {
					taken = append(taken, a)
				}
				continue
			}
			a := &arrival{entry: entry{id: uint64(len(all)), pos: queue.Absent}, priority: rapid.IntRange(0, 100).Draw(t, "priority"), at: now}
			h.Push(a, queue.Aged(a.priority, now, every, a.id))
			all = append(all, a)
		}
		for a, ok := h.Pop(); ok; a, ok = h.Pop() {
			taken = append(taken, a)
		}
		for i, a := range taken {
			for _, b := range taken[:i] {
				if head := int64(100-a.priority) * every; b.at > a.at+head {
					t.Fatalf("entry %d of priority %d, there since %d, was overtaken by one that came at %d", a.id, a.priority, a.at, b.at)
				}
			}
		}
	})
}
