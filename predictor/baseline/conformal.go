package baseline

import (
	"math"
	"math/bits"
)

const (
	conformalBins  = 48   // of the logarithm of a ratio, a sixth of an octave each
	conformalLow   = -4.0 // log2 of the least ratio told apart
	conformalAlpha = 0.1  // wanted below P10, and above P90
	conformalRate  = 0.01 // of the adaptive level, a step
	conformalHalf  = 150  // steps after which an error weighs half
	conformalPrior = 30   // so many steps without a need for change are presumed
	leastStretch   = 0.2
	mostStretch    = 12.0
)

// Conformal corrects the distance of P10 and P90 from P50, so that a tenth of what
// happens falls below the one and a tenth above the other: conformalized quantile
// regression (Romano et al. 2019) in its normalised, one-sided form, with the
// level moved as adaptive conformal inference does (Gibbs and Candès 2021), so
// that it holds when the series changes. Steps ahead are pooled in ranges that
// double: 1, 2 to 3, 4 to 7, and so on. Errors fade with a half-life of 150 steps
// and are kept as a histogram of their ratio to the room that the model gave, so
// that learning and applying cost next to nothing.
//
// It corrects the spread only: a median that is off stays off.
type Conformal struct {
	ranges []conformalRange
}

type conformalRange struct {
	share float64 // of a step that one target of the range is
	sides [2]conformalSide
}

type conformalSide struct {
	histogram     [conformalBins]float64
	total, weight float64
	level         float64
	stretch       float64
}

// NewConformal changes nothing until it has learnt.
func NewConformal(horizon int) *Conformal {
	c := &Conformal{}
	for i := range horizon {
		at := rangeOf(i)
		if at == len(c.ranges) {
			r := conformalRange{}
			for k := range r.sides {
				r.sides[k] = conformalSide{weight: 1, level: 1 - conformalAlpha, stretch: 1}
			}
			c.ranges = append(c.ranges, r)
		}
		c.ranges[at].share++
	}
	for i := range c.ranges {
		c.ranges[i].share = 1 / c.ranges[i].share
	}
	return c
}

// rangeOf is the range of index i of a forecast.
func rangeOf(i int) int { return bits.Len(uint(i+1)) - 1 } //nolint:gosec // an index is not negative

// Stretch is what the distances below and above P50 are multiplied by at an index.
func (c *Conformal) Stretch(i int) (below, above float64) {
	r := &c.ranges[min(rangeOf(i), len(c.ranges)-1)]
	return r.sides[0].stretch, r.sides[1].stretch
}

// Used is a copy of all factors, which Learn wants back.
func (c *Conformal) Used() []float32 {
	out := make([]float32, 0, 2*len(c.ranges))
	for i := range c.ranges {
		out = append(out, float32(c.ranges[i].sides[0].stretch), float32(c.ranges[i].sides[1].stretch))
	}
	return out
}

// Apply corrects a forecast in place. floor is the least room that is widened,
// so that a model that gives none can be.
func (c *Conformal) Apply(q Quantiles, floor float64) {
	for i, mid := range q.P50 {
		below, above := c.Stretch(i)
		q.P10[i] = mid - stretched(mid-q.P10[i], below, floor)
		q.P90[i] = mid + stretched(q.P90[i]-mid, above, floor)
	}
}

func stretched(room, by, floor float64) float64 {
	if by > 1 {
		return by * max(room, floor)
	}
	return by * room
}

// Learn takes what happened at index i of a forecast that was corrected by used.
func (c *Conformal) Learn(i int, y, p10, p50, p90, floor float64, used []float32) {
	at := rangeOf(i)
	if at >= len(c.ranges) || 2*at+1 >= len(used) || math.IsNaN(y) {
		return
	}
	r := &c.ranges[at]
	floor = max(floor, 1e-12*(1+math.Abs(p50)))
	r.sides[0].learn(p50-y, p50-p10, float64(used[2*at]), floor, r.share)
	r.sides[1].learn(y-p50, p90-p50, float64(used[2*at+1]), floor, r.share)
}

func (s *conformalSide) learn(away, room, used, floor, share float64) {
	s.weight *= math.Exp2(share / conformalHalf)
	if s.weight > 1e12 {
		for i := range s.histogram {
			s.histogram[i] /= s.weight
		}
		s.total /= s.weight
		s.weight = 1
	}
	bin := 0
	if away > 0 {
		at := (math.Log2(used*away/max(room, used*floor)) - conformalLow) * 6
		bin = int(min(max(at, 0), conformalBins-1))
	}
	s.histogram[bin] += share * s.weight
	s.total += share * s.weight
	miss := 0.0
	if away > room {
		miss = 1
	}
	s.level = min(max(s.level+conformalRate*share*(miss-conformalAlpha), 0.75), 0.995)
	n := s.total / s.weight
	s.stretch = min(max((n*s.quantile()+conformalPrior)/(n+conformalPrior), leastStretch), mostStretch)
}

// quantile is the ratio below which the level's share of the errors lies.
func (s *conformalSide) quantile() float64 {
	want, sum := s.level*s.total, 0.0
	for i, h := range s.histogram {
		if sum+h >= want && h > 0 {
			return math.Exp2(conformalLow + (float64(i)+(want-sum)/h)/6)
		}
		sum += h
	}
	return mostStretch
}
