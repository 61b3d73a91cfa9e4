package history

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"loadstar/models"
)

// Store holds every series in every tier. All methods may be called at once from
// several goroutines.
type Store struct {
	cfg  Config
	log  *slog.Logger
	logs []Log // one a tier; nil without a log

	flushing sync.Mutex // one Flush at a time, and frames in order; never taken with mu held

	mu     sync.Mutex // guards what follows
	series map[string]*series
	names  []string // sorted
	counts Counts
	rewind int64 // unix nanoseconds that the logs have yet to be cut at; noRewind where not
	closed bool
}

const noRewind = math.MaxInt64

// series is one name's rings, finest first; a BaseOnly series has one.
type series struct {
	name  string
	rings []*ring
	need  []int // values of rings[i] that make one of rings[i+1]
}

// Counts says what became of samples that were not plainly kept, since Open.
type Counts struct {
	Duplicates    int // a second value for a step; it took the place of the first
	Late          int // put in place behind a newer value
	TooOld        int // behind the reach of the finest tier: dropped
	Refused       int // not finite, a name or a time out of bounds, or one series too many: dropped
	DamagedFrames int // left out when the logs were read
	OtherFrames   int // of a step that is no tier (any more), or of a later format: left out
}

// Open makes a store and fills it from its logs. Damaged frames are left out,
// counted and logged; a log that cannot be read at all is an error.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Store{cfg: cfg, log: cfg.Logger, series: map[string]*series{}, rewind: noRewind}
	if err := s.openLogs(ctx); err != nil {
		return nil, err
	}
	if err := s.replay(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// BaseStep is the step of the finest tier: what Append expects a value for.
func (s *Store) BaseStep() time.Duration { return s.cfg.Tiers[0].Step }

// Steps are the steps of all tiers, finest first.
func (s *Store) Steps() []time.Duration {
	steps := make([]time.Duration, len(s.cfg.Tiers))
	for i, t := range s.cfg.Tiers {
		steps[i] = t.Step
	}
	return steps
}

// Append takes a tick's samples, each the mean of the base step that its time
// lies in; a sample without a time is taken to be of the step at. It does no I/O.
func (s *Store) Append(at time.Time, samples []models.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range samples {
		m := &samples[i]
		when := m.At
		if when.IsZero() {
			when = at
		}
		v := float32(m.Value)
		if !finite(v) || !inTime(when) {
			s.counts.Refused++
			continue
		}
		ser := s.seriesFor(m.Series)
		if ser == nil {
			s.counts.Refused++
			continue
		}
		r := ser.rings[0]
		index := floorDiv(when.UnixNano(), r.step)
		if r.used && index <= r.last {
			if !isAbsent(r.at(index)) {
				s.counts.Duplicates++
			} else if index >= r.reach() {
				s.counts.Late++
			}
		}
		if !ser.put(0, index, v) {
			s.counts.TooOld++
		}
	}
}

// put sets a value of a tier and makes anew what rests on it; false says that it is too old.
func (ser *series) put(tier int, index int64, v float32) bool {
	r := ser.rings[tier]
	if tier+1 < len(ser.rings) && r.used && index > r.last {
		// What the newest step belongs to is over once a later one begins; its
		// values may be out of reach after this one.
		ratio := ser.rings[tier+1].step / r.step
		if p := floorDiv(r.last, ratio); p != floorDiv(index, ratio) {
			ser.derive(tier, p, ratio)
		}
	}
	if !r.set(index, v) {
		return false
	}
	if tier+1 < len(ser.rings) {
		ratio := ser.rings[tier+1].step / r.step
		if p := floorDiv(index, ratio); r.last >= (p+1)*ratio-1 {
			ser.derive(tier, p, ratio)
		}
	}
	return true
}

// derive makes the value p of the tier above from its values in this one, where
// all of its steps are still within reach and enough of them have one.
func (ser *series) derive(tier int, p, ratio int64) {
	r := ser.rings[tier]
	if !r.used || p*ratio < r.reach() {
		return
	}
	sum, n := 0.0, 0
	for i := max(p*ratio, r.first); i < (p+1)*ratio && i <= r.last; i++ {
		if v := r.values[mod(i, len(r.values))]; !isAbsent(v) {
			sum += float64(v)
			n++
		}
	}
	if n == 0 || n < ser.need[tier] {
		return
	}
	above := ser.rings[tier+1]
	mean := float32(sum / float64(n))
	if above.at(p) == mean {
		return
	}
	ser.put(tier+1, p, mean)
}

// seriesFor finds or makes a series; nil where its name is refused or there are too many.
func (s *Store) seriesFor(name string) *series {
	if ser, ok := s.series[name]; ok {
		return ser
	}
	if checkName(name) != nil || len(s.series) >= s.cfg.MaxSeries {
		return nil
	}
	ser := s.newSeries(name)
	s.series[name] = ser
	i, _ := slices.BinarySearch(s.names, name)
	s.names = slices.Insert(s.names, i, name)
	return ser
}

// newSeries is a series without values, not yet in the store.
func (s *Store) newSeries(name string) *series {
	rule := s.cfg.Rule(name)
	tiers := s.cfg.Tiers
	if rule.BaseOnly {
		tiers = tiers[:1]
	}
	ser := &series{name: name}
	for i, t := range tiers {
		ser.rings = append(ser.rings, newRing(t))
		if i > 0 {
			need := int(t.Step/tiers[i-1].Step+1) / 2
			if rule.Sparse {
				need = 1
			}
			ser.need = append(ser.need, need)
		}
	}
	return ser
}

// Rewind forgets every value of a step that ends after to. The collector calls it
// when the clock was set back: what was recorded for the time that is now ahead
// would stand in the way of what will be.
func (s *Store) Rewind(to time.Time) {
	if !inTime(to) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ahead := to.UnixNano(), false
	for _, ser := range s.series {
		for _, r := range ser.rings {
			if r.used && (r.last+1)*r.step > t {
				ahead = true
				r.cut(t)
			}
		}
	}
	if ahead {
		s.rewind = min(s.rewind, t)
	}
}

// Series lists what there is: one entry a name and tier with values, by name and
// then step. Gaps are the newest 200 of each, and shared: not to be changed.
func (s *Store) Series() []models.SeriesInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]models.SeriesInfo, 0, len(s.names)*len(s.cfg.Tiers))
	for _, name := range s.names {
		for _, r := range s.series[name].rings {
			if r.used {
				out = append(out, info(name, r))
			}
		}
	}
	return out
}

// Info is what Series says of one name and step; models.ErrNotFound where the
// series or the tier is not there.
func (s *Store) Info(name string, step time.Duration) (models.SeriesInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.ring(name, step)
	if err != nil {
		return models.SeriesInfo{}, err
	}
	if !r.used {
		return models.SeriesInfo{}, fmt.Errorf("series %s has no values at a step of %s: %w", name, step, models.ErrNotFound)
	}
	return info(name, r), nil
}

func info(name string, r *ring) models.SeriesInfo {
	return models.SeriesInfo{
		Name: name, Unit: models.Unit(name), StepS: time.Duration(r.step).Seconds(),
		From: r.time(r.first), To: r.time(r.last + 1),
		Points: r.present, Gaps: slices.Clip(r.gapsOf()), Last: float64(r.at(r.last)),
	}
}

// Range copies the points of a tier with from <= At < to, oldest first. A tier
// that has no values yet gives none; models.ErrNotFound where the series is not
// known or no tier has that step. A zero from or to is no bound.
func (s *Store) Range(name string, step time.Duration, from, to time.Time) ([]models.Point, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.ring(name, step)
	if err != nil {
		return nil, err
	}
	return r.points(bound(from, math.MinInt64), bound(to, math.MaxInt64)), nil
}

func (s *Store) ring(name string, step time.Duration) (*ring, error) {
	ser, ok := s.series[name]
	if !ok {
		return nil, fmt.Errorf("series %s: %w", name, models.ErrNotFound)
	}
	for _, r := range ser.rings {
		if r.step == int64(step) {
			return r, nil
		}
	}
	return nil, fmt.Errorf("series %s is not kept at a step of %s: %w", name, step, models.ErrNotFound)
}

// Counts says what was not plainly kept so far.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// bound is a time in unix nanoseconds, held within what they can say.
func bound(t time.Time, zero int64) int64 {
	switch {
	case t.IsZero():
		return zero
	case t.Year() < 1678:
		return math.MinInt64
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}

// inTime says whether a sample may bear this time: from 1970 to 2200, so that
// indexes cannot overflow.
func inTime(t time.Time) bool {
	const first, last = 0, 7258118400 // 1970 and 2200
	sec := t.Unix()
	return sec >= first && sec < last
}

func finite(v float32) bool {
	return !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
}

// maxName is the longest name of a series, in bytes.
const maxName = 200

// checkName refuses names that a table, a CSV or a log could not carry.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return models.Invalid("series", "a name has 1 to %d bytes", maxName)
	}
	for _, c := range name {
		if c <= ' ' || c == ',' || c == '"' || c == 0x7f || c == '\uFFFD' {
			return models.Invalid("series", "%q has a character that a name may not have", name)
		}
	}
	return nil
}
