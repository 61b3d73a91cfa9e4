package app

import (
	"context"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

// A training needs several times the memory that the daemon rests on, and the
// runtime gives back what it needed only slowly.
const (
	trimEvery = time.Minute
	trimAbove = 12 << 20 // bytes: free and not given back
)

// The collector of garbage is run the more often the larger the heap is, so that
// what lies about is bounded in bytes rather than doubling what is in use. While the
// journal is replayed nearly all that is allocated stays, so looking is in vain.
const (
	paceEvery      = 500 * time.Millisecond
	paceGarbage    = 96 << 20 // bytes that may lie about
	pacePercent    = 100      // of a small heap
	leastPercent   = 25
	loadingPercent = 200
)

// paceGC sets how often garbage is collected until ctx ends; loaded is closed when
// the journal has been replayed.
func paceGC(ctx context.Context, loaded <-chan struct{}) error {
	before := debug.SetGCPercent(loadingPercent)
	defer debug.SetGCPercent(before)
	select {
	case <-ctx.Done():
		return nil
	case <-loaded:
	}
	ticker := time.NewTicker(paceEvery)
	defer ticker.Stop()
	sample := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	for now := 0; ; {
		gometrics.Read(sample)
		live := sample[0].Value.Uint64()
		if now == 0 {
			live = sample[1].Value.Uint64() // no collection has counted it yet
		}
		want := int(min(max(paceGarbage*100/max(live, 1), leastPercent), pacePercent)) //nolint:gosec // bounded
		if now == 0 || want < now-5 || want > now+5 {
			debug.SetGCPercent(want)
			if now == 0 && live > paceGarbage {
				debug.FreeOSMemory()
			}
			now = want
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// paceGC is paceGC for the daemon's own journal.
func (d *Daemon) paceGC(ctx context.Context) error { return paceGC(ctx, d.scheduler.Ready()) }

// trimMemory gives free memory back to the system while there is much of it.
func trimMemory(ctx context.Context) error {
	ticker := time.NewTicker(trimEvery)
	defer ticker.Stop()
	sample := []gometrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		gometrics.Read(sample)
		free, used := sample[0].Value.Uint64(), sample[1].Value.Uint64()
		if free > trimAbove && free > used/4 { // a large heap in use is not collected for a small gain
			debug.FreeOSMemory()
		}
	}
}
