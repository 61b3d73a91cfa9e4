package models

// QueueStatus is what waits in a pool, by priority, and how long what left it had waited.
type QueueStatus struct {
	Pool        string      `json:"pool"`
	Queued      int         `json:"queued"`        // tasks ready to run that wait for a worker
	Waiting     int         `json:"waiting"`       // tasks blocked, scheduled or in backoff
	OldestWaitS float64     `json:"oldest_wait_s"` // of the queued ones
	Bands       []QueueBand `json:"bands"`         // critical, high, normal, low: always all four
	Counters    PoolTotals  `json:"counters"`
}

// QueueBand is the part of a queue with priorities From to To.
type QueueBand struct {
	Name        string    `json:"name"`
	From        Priority  `json:"from"`
	To          Priority  `json:"to"`
	Queued      int       `json:"queued"`
	OldestWaitS float64   `json:"oldest_wait_s"`     // of the queued ones
	AtMost      bool      `json:"at_most,omitempty"` // that the oldest wait is at most so long is all that is known
	Started     uint64    `json:"started"`           // attempts since the daemon started
	WaitMS      Quantiles `json:"wait_ms"`           // ready to start, of the last attempts that started
}

// Bands of priority, the most urgent first; each begins half way to the next name.
const bandCount = 4

// PriorityBands are the bands that a queue is told by, the most urgent first.
func PriorityBands() [bandCount]QueueBand {
	return [bandCount]QueueBand{
		{Name: "critical", From: 80, To: 100},
		{Name: "high", From: 60, To: 79},
		{Name: "normal", From: 40, To: 59},
		{Name: "low", From: 0, To: 39},
	}
}

// PriorityBand is the index of a priority's band in PriorityBands.
func PriorityBand(p Priority) int {
	switch {
	case p >= 80:
		return 0
	case p >= 60:
		return 1
	case p >= 40:
		return 2
	}
	return 3
}
