package autoscale

import "math"

// pipe is how many steps ahead a shadow's starting workers may be due.
const pipe = 128

// shadow is a pool that is sized by one candidate and serves what really arrives:
// what the candidate would have cost. It is a fluid: tasks of the mean run time,
// spread evenly over a step.
type shadow struct {
	signal, size    int
	ready, starting int
	backlog         float64     // tasks
	due             [pipe]int16 // starting workers by the step at which they are ready
	late            float64     // tasks, fading
	paid            float64     // worker-seconds, fading
}

// serve takes in a step's arrivals and says how many of them wait too long.
func (s *shadow) serve(at int, tasks, dt, service, slo float64) (late, paid float64) {
	up := int(s.due[at])
	s.due[at] = 0
	s.ready += up
	s.starting -= up
	capacity := float64(s.ready) * dt / service
	late = tasks * lateShare(s.backlog, tasks-capacity, float64(s.ready)*slo/service)
	s.backlog = math.Max(0, s.backlog+tasks-capacity)
	return late, float64(s.ready+s.starting) * dt
}

// lateShare is the share of evenly spread arrivals that find more than limit tasks
// before them, of a backlog that changes by change meanwhile.
func lateShare(backlog, change, limit float64) float64 {
	switch {
	case change > 0:
		return 1 - math.Min(1, math.Max(0, (limit-backlog)/change))
	case backlog <= limit:
		return 0
	case change == 0:
		return 1
	}
	return math.Min(1, (limit-backlog)/change)
}

// resize starts workers, to be ready at a step, or stops idle ones.
func (s *shadow) resize(want, at, busy int) {
	have := s.ready + s.starting
	switch {
	case have < want:
		n := min(want-have, math.MaxInt16-int(s.due[at]))
		s.starting += n
		s.due[at] += int16(n) //nolint:gosec // bounded above
	case have > want && s.backlog == 0:
		s.ready -= max(0, min(have-want, s.ready-busy))
	}
}
