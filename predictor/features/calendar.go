package features

import (
	"math"
	"time"
)

// Clock places the steps of a series in the day, in the week and in its season.
// The offset of the zone is that of one moment, given to At, for all steps of a
// window: a window that spans a change of daylight saving time is off by the
// change on its older side.
type Clock struct {
	Start  time.Time // of step 0, in the zone of the calendar
	Step   time.Duration
	Season int // steps, 0 for none
}

// Circle is a position on a circle, as its sine and cosine.
type Circle struct{ Sin, Cos float64 }

func circle(part, whole int64) Circle {
	s, c := math.Sincos(2 * math.Pi * float64(part) / float64(whole))
	return Circle{s, c}
}

// Moment is where a step stands. A series without a season has the zero Circle there.
type Moment struct{ Day, Week, Season Circle }

const (
	day  = int64(24 * time.Hour)
	week = 7 * day
)

// At returns the position of any step near the origin.
func (c Clock) At(origin int) func(step int) Moment {
	at := c.Start.Add(time.Duration(origin) * c.Step)
	_, offset := at.Zone()
	local := at.Add(time.Duration(offset) * time.Second)
	inWeek := wrap(local.Unix()-4*86400, 7*86400)*int64(time.Second) + int64(local.Nanosecond()) // 1970-01-05 was a Monday
	index := int64(0)
	if c.Season > 0 && c.Step > 0 {
		// The phase counts steps since 1970 in absolute time, so it is the same in
		// every stretch of one series.
		perStep := int64(c.Step)
		seconds, nanos := at.Unix(), int64(at.Nanosecond())
		if perStep%int64(time.Second) == 0 {
			index = floorDiv(seconds, perStep/int64(time.Second))
		} else {
			index = floorDiv(seconds%(1<<32)*int64(time.Second)+nanos, perStep)
		}
	}
	return func(step int) Moment {
		since := wrap(inWeek+wrap(int64(step-origin)*wrap(int64(c.Step), week), week), week)
		m := Moment{Day: circle(since%day, day), Week: circle(since, week)}
		if c.Season > 0 {
			m.Season = circle(wrap(index+int64(step-origin), int64(c.Season)), int64(c.Season))
		}
		return m
	}
}

func wrap(v, size int64) int64 {
	v %= size
	if v < 0 {
		v += size
	}
	return v
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
