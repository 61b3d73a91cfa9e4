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
