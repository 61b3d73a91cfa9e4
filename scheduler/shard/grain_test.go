package shard_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"loadstar/scheduler/shard"
)

func measured(t *rapid.T) (m shard.Measure) {
	for range rapid.IntRange(0, 30).Draw(t, "shards") {
		m.Add(rapid.IntRange(-1, 1_000_000).Draw(t, "items"), time.Duration(rapid.Int64Range(-1, 1e10).Draw(t, "gap")), time.Duration(rapid.Int64Range(-1, 1e14).Draw(t, "run")))
	}
	return m
}

func TestAGrainIsAlwaysAPartOfWhatIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := shard.Input{Size: rapid.IntRange(0, 100).Draw(t, "size"), Total: rapid.IntRange(1, 1e9).Draw(t, "total"), Workers: rapid.IntRange(-1, 1000).Draw(t, "workers"), Measure: measured(t)}
		in.Left = rapid.IntRange(0, in.Total).Draw(t, "left")
		n := shard.Grain(in)
		if n < 0 || n > in.Left || n == 0 && in.Left > 0 {
			t.Fatalf("%d of %d left", n, in.Left)
		}
		if in.Size > 0 && n != min(in.Size, in.Left) {
			t.Fatalf("%d were asked for and %d given", in.Size, n)
		}
		if most := max(1, in.Total/(3*max(1, in.Workers))); in.Size == 0 && n > most {
			t.Fatalf("a shard of %d leaves less than three a worker: %d", n, most)
		}
		if again := shard.Grain(in); again != n {
			t.Fatalf("%d and then %d", n, again)
		}
		item, overhead, ok := in.Measure.Costs()
		if ok && (!(item > 0) || !(overhead >= 0) || math.IsInf(item+overhead, 0)) {
			t.Fatalf("costs %v and %v", item, overhead)
		}
	})
}

// TestTheOverheadIsHeldWhereThereIsEnoughToDo lets shards run that take exactly as
// long as a line says: the sizes must settle where the aims are met.
func TestTheOverheadIsHeldWhereThereIsEnoughToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		item := rapid.Float64Range(1e-5, 2).Draw(t, "item")
		start := rapid.Float64Range(0, 0.5).Draw(t, "start")
		gap := rapid.Float64Range(0.001, 0.01).Draw(t, "gap")
		workers := rapid.IntRange(1, 32).Draw(t, "workers")
		in := shard.Input{Total: 500_000_000, Left: 500_000_000, Workers: workers}
		n := 0
		for range 60 {
			n = shard.Grain(in)
			took := start + float64(n)*item
			in.Measure.Add(n, time.Duration(gap*1e9), time.Duration(took*1e9))
			in.Left -= n
		}
		share := (start + gap) / (start + gap + float64(n)*item)
		took := float64(n) * item
		if share > shard.MaxOverhead*1.2 {
			t.Fatalf("%d items of %gs with %gs beside them: %.1f%% overhead", n, item, start+gap, 100*share)
		}
		if longest := max(5, 25*(start+gap)) * 1.2; took > max(longest, item) || took < 0.8 && n < in.Left {
			t.Fatalf("%d items take %gs", n, took)
		}
	})
}

func TestTheLastShardsGrowSmaller(t *testing.T) {
	in := shard.Input{Total: 100_000, Left: 100_000, Workers: 4}
	for range 50 {
		in.Measure.Add(100, time.Millisecond, time.Second)
		in.Measure.Add(200, time.Millisecond, 2*time.Second)
	}
	in.Left = 100_000
	usual := shard.Grain(in)
	in.Left = 80
	if last := shard.Grain(in); usual < 100 || last > 10 {
		t.Errorf("%d in the middle and %d at the end", usual, last)
	}
}
