package autoscale

import (
	"fmt"
	"math"
	"time"

	"loadstar/models"
)

// signalKind is where an expectation of the load comes from.
type signalKind uint8

const (
	signalRate     signalKind = iota // the mean rate of a window
	signalWeek                       // the same time a week ago
	signalDay                        // the same time on the last day of the same kind, workday or weekend
	signalDays                       // the mean of the last few such days
	signalForecast                   // a quantile of the forecaster's champion
)

// holdKind is for how long an expectation is held when it falls: a worker that is
// needed again within the lead is cheaper kept than started anew.
type holdKind uint8

const (
	holdNone   holdKind = iota
	holdLead            // one lead
	holdLonger          // two leads, five minutes at least
	holdLong            // half an hour, four leads at least
)

func (h holdKind) seconds(leadS float64) float64 {
	switch h {
	case holdLead:
		return math.Ceil(leadS)
	case holdLonger:
		return math.Max(300, math.Ceil(2*leadS))
	case holdLong:
		return math.Max(1800, math.Ceil(4*leadS))
	}
	return 0
}

// signal is an expectation of the offered load, in busy workers, from now until a
// worker that is started now can serve.
type signal struct {
	kind   signalKind
	window float64 // s, of signalRate
	level  float64 // of signalForecast
	hold   holdKind
	holdS  float64 // s; the largest value of so long counts

	value float64 // of this step
	known bool
	load  float64 // with the hold
	moved bool    // it is another than before
	highs highs
	tasks float64 // arrived while it was known, fading
	spanS float64 // likewise, s
}

func (s *signal) String() string {
	text := ""
	switch s.kind {
	case signalRate:
		text = "the mean rate of " + brief(s.window)
	case signalWeek:
		text = "the same time a week ago"
	case signalDay:
		text = "the same time on the last day of this kind"
	case signalDays:
		text = fmt.Sprintf("the same time on the last %d days of this kind", patternDays)
	case signalForecast:
		text = fmt.Sprintf("the forecast's P%.0f", 100*s.level)
	}
	if s.holdS > 0 {
		text += ", the highest of " + brief(s.holdS)
	}
	return text
}

func brief(s float64) string {
	return models.Duration(time.Duration(s) * time.Second).String()
}

// highs is a running maximum: the values that are larger than all newer ones.
type highs struct {
	at     []int64
	values []float64
}

func (h *highs) add(now int64, v float64, span int64) float64 {
	n := len(h.values)
	for n > 0 && h.values[n-1] <= v {
		n--
	}
	h.at, h.values = append(h.at[:n], now), append(h.values[:n], v)
	old := 0
	for now-h.at[old] > span {
		old++
	}
	h.at, h.values = h.at[old:], h.values[old:]
	return h.values[0]
}

const (
	minute      = int64(time.Minute)
	dayMinutes  = 24 * 60
	keepMinutes = 15 * dayMinutes // of arrivals
	patternDays = 4
)

// arrivals remembers what has arrived: step by step for a while, and by the minute.
type arrivals struct {
	at      []int64 // ends of the newest steps
	counts  []float64
	minutes []float32 // ring of keepMinutes, by the minute since 1970
	first   int64     // the first minute known; 0 is none
	newest  int64     // the newest minute counted in
}

const keepSteps = 2048

func (m *arrivals) add(now int64, tasks float64) {
	if len(m.at) == 2*keepSteps {
		m.at = append(m.at[:0], m.at[keepSteps:]...)
		m.counts = append(m.counts[:0], m.counts[keepSteps:]...)
	}
	m.at, m.counts = append(m.at, now), append(m.counts, tasks)
	if m.minutes == nil {
		m.minutes = make([]float32, keepMinutes)
	}
	at := (now - 1) / minute
	if m.first == 0 {
		m.first, m.newest = at, at
	}
	for k := max(m.newest, at-keepMinutes) + 1; k <= at; k++ {
		m.minutes[k%keepMinutes] = 0
	}
	m.newest = max(m.newest, at)
	m.minutes[at%keepMinutes] += float32(tasks)
}

// rate is the mean of a window, in tasks a second.
func (m *arrivals) rate(windowS float64) float64 {
	last := len(m.at) - 1
	if last < 1 {
		return 0
	}
	from := m.at[last] - int64(windowS*1e9)
	sum, i := 0.0, last
	for ; i > 0 && m.at[i] > from; i-- {
		sum += m.counts[i]
	}
	return sum / (float64(m.at[last]-m.at[i]) / 1e9)
}

// minuteAt is the rate in a whole minute that has passed, in tasks a second.
func (m *arrivals) minuteAt(at int64) (rate float64, ok bool) {
	if at <= m.first || at >= m.newest || at <= m.newest-keepMinutes {
		return 0, false
	}
	return float64(m.minutes[at%keepMinutes]) / 60, true
}

// weekend reports whether a minute is on a Saturday or Sunday (UTC).
func weekend(at int64) bool {
	day := (at/dayMinutes + 4) % 7 // 1 January 1970 was a Thursday
	return day == 0 || day == 6
}

// before is the largest rate, over the minutes from now to ahead, of the means over
// at most n earlier days that a filter lets pass, the newest first.
func (m *arrivals) before(now int64, ahead float64, n int, pass func(minute, back int64) bool) (rate float64, ok bool) {
	last := (now + int64(ahead*1e9)) / minute
	for at := now / minute; at <= last; at++ {
		sum, seen := 0.0, 0
		for back := int64(1); back*dayMinutes < keepMinutes && seen < n; back++ {
			if !pass(at, back) {
				continue
			}
			if r, known := m.minuteAt(at - back*dayMinutes); known {
				sum += r
				seen++
			}
		}
		if seen > 0 {
			rate, ok = math.Max(rate, sum/float64(seen)), true
		}
	}
	return rate, ok
}

func sameKind(at, back int64) bool { return weekend(at) == weekend(at-back*dayMinutes) }

func aWeek(_, back int64) bool { return back == 7 }

// read takes a signal's value of this step, in busy workers.
func (s *signal) read(m *arrivals, in *models.DecisionInput, serviceS float64) {
	now := in.Now.UnixNano()
	rate, ok := 0.0, true
	switch s.kind {
	case signalRate:
		rate = m.rate(s.window)
	case signalWeek:
		rate, ok = m.before(now, in.LeadS, 1, aWeek)
	case signalDay:
		rate, ok = m.before(now, in.LeadS, 1, sameKind)
	case signalDays:
		rate, ok = m.before(now, in.LeadS, patternDays, sameKind)
	case signalForecast:
		s.value, s.known = ahead(in, s.level)
		return
	}
	s.value, s.known = rate*serviceS, ok
}

// ahead is the largest value of a quantile of the forecast load from now until a
// worker that is started now can serve.
func ahead(in *models.DecisionInput, level float64) (load float64, ok bool) {
	f := in.Forecast
	if f == nil || !(f.StepS > 0) || len(f.Levels) == 0 {
		return 0, false
	}
	step := time.Duration(f.StepS * float64(time.Second))
	until := in.Now.Add(time.Duration(in.LeadS * float64(time.Second)))
	for i, q := range f.Values {
		begins := f.IssuedAt.Add(time.Duration(i) * step)
		if !begins.Add(step).After(in.Now) {
			continue
		}
		if begins.After(until) {
			break
		}
		n := min(len(q), len(f.Levels))
		if n == 0 {
			continue
		}
		if v := quantileAt(f.Levels[:n], q[:n], level); !math.IsNaN(v) && !math.IsInf(v, 0) {
			load, ok = math.Max(load, v), true
		}
	}
	return load, ok
}
