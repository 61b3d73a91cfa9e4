package simulate

import (
	"math"
	"time"
)

// Office makes up the requests of each minute of so many days of an office, from
// Monday on: 6 a minute at night and on weekends, on workdays 60 to 80 from 8 to 18,
// and 240 in the first five minutes of each hour from 9 to 17; Poisson numbers. The
// first day is OfficeStart.
func Office(days int, seed uint64) []float64 {
	counts := make([]float64, days*24*60)
	for i := range counts {
		minute, workday := i%(24*60), i/(24*60)%7 < 5
		mean := 6.0
		if hour := minute / 60; workday && hour >= 8 && hour < 18 {
			mean = 60 + 20*math.Sin(math.Pi*float64(minute-8*60)/(10*60))
			if hour >= 9 && hour <= 17 && minute%60 < 5 {
				mean = 240
			}
		}
		counts[i] = float64(poisson(stream(seed, streamOffice, i), mean))
	}
	return counts
}

// OfficeStart is a Monday's midnight.
func OfficeStart() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }
