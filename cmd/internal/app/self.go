package app

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"loadstar/models"
)

// self measures the daemon's own cost. The CPU share is over the time between two
// readings that are at least minSelf apart.
type self struct {
	mu   sync.Mutex
	at   time.Time
	used time.Duration
	cpu  float64 // percent of one core
}

const minSelf = 2 * time.Second

func (s *self) read(now time.Time) (cpuPercent float64, rss models.Bytes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if passed := now.Sub(s.at); passed >= minSelf {
		used := cpuTime()
		if !s.at.IsZero() {
			s.cpu = 100 * (used - s.used).Seconds() / passed.Seconds()
		}
		s.at, s.used = now, used
	}
	return s.cpu, residentBytes()
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentBytes is the resident set from /proc; 0 where there is none.
func residentBytes() models.Bytes {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return models.Bytes(pages * int64(os.Getpagesize()))
}
