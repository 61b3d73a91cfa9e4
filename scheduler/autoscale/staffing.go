package autoscale

import "math"

// sizing says how many workers pay for a load: as long as one more saves late
// tasks that are worth more than the worker. late tasks a second that a worker
// saves, times price, is worker-seconds a second, so that a worker pays where
//
//	price × E[λ (P(W > t | λ, n) − P(W > t | λ, n+1))] >= 1
//
// One price for all loads is what gives the fewest worker-hours for a share of late
// tasks over all of them: a small pool, in which an idle worker weighs more and a
// late share fewer tasks, is staffed less tightly than a large one. (One share for
// all loads, as Workers has it, is what a target for every moment would ask for.)
// The expectation is over loads that lie log-normally about the expected one.
type sizing struct {
	spread float64 // standard deviation of the logarithm of the load
	price  float64 // worker-seconds that a late task counts as

	serviceS, scv, waitS float64
	grid                 []float64 // equally likely factors of the load
	reach                []float64 // by workers: the largest load, in busy workers, for which they are enough
}

const (
	tableDrift  = 0.1 // relative change of the service time's moments that makes a table worthless
	spreadGrid  = 7
	reachHalves = 14 // halvings in the search for a reach: to a 16,000th
)

// fit makes the table anew where it no longer holds, and says so.
func (s *sizing) fit(serviceS, scv, waitS float64) bool {
	near := func(a, b float64) bool { return math.Abs(a-b) <= tableDrift*math.Max(b, 0.2) }
	if len(s.reach) > 0 && math.Abs(serviceS-s.serviceS) <= tableDrift*s.serviceS && near(scv, s.scv) && waitS == s.waitS {
		return false
	}
	s.serviceS, s.scv, s.waitS, s.reach = serviceS, scv, waitS, append(s.reach[:0], 0)
	if len(s.grid) > 0 {
		return true
	}
	s.grid = []float64{1}
	if s.spread > 0 {
		s.grid = s.grid[:0]
		for k := range spreadGrid {
			z := math.Sqrt2 * math.Erfinv(2*(float64(k)+0.5)/spreadGrid-1)
			s.grid = append(s.grid, math.Exp(s.spread*z))
		}
	}
	return true
}

// need is the number of workers for a load, at most limit.
func (s *sizing) need(load float64, limit int) int {
	if !(load > leastLoad) { // NaN too
		return 0
	}
	for s.reach[len(s.reach)-1] < load && len(s.reach) <= limit {
		s.reach = append(s.reach, s.most(len(s.reach)))
	}
	low, high := 0, len(s.reach)-1
	if s.reach[high] < load {
		return limit
	}
	for high-low > 1 {
		if mid := (low + high) / 2; s.reach[mid] < load {
			low = mid
		} else {
			high = mid
		}
	}
	return min(high, limit)
}

// most is the largest load, at most n, for which one more worker than n does not pay.
func (s *sizing) most(n int) float64 {
	low, high := s.reach[n-1], float64(n)
	for range reachHalves {
		if mid := (low + high) / 2; s.saves(mid, n)*s.price < 1 {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// saves is how many late tasks a second one more worker than n spares.
func (s *sizing) saves(load float64, n int) float64 {
	sum := 0.0
	for _, factor := range s.grid {
		a := load * factor
		q := newQueueModel(a, s.serviceS, s.scv)
		for range n {
			q.next()
		}
		before := q.waitExceeds(s.waitS)
		q.next()
		after := q.waitExceeds(s.waitS)
		if float64(n+1) <= a { // both fall behind: what the worker serves is not late
			before, after = 1, 1-1/a
		}
		sum += a / s.serviceS * (before - after)
	}
	return sum / float64(len(s.grid))
}
