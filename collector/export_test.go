package collector

import (
	"context"
	"time"
)

// Sample takes one sample, as Run does on the whole second.
func Sample(c *Collector, now time.Time) { c.sample(context.Background(), now) }
