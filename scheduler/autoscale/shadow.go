package autoscale

import "math"

// pipe is how many steps ahead a shadow's starting workers may be due.
const pipe = 128

// shadow is a pool that is sized by one candidate and serves what really arrives:
// what the candidate would have cost. It is a fluid: tasks of the mean run time,
// spread evenly over a step.
type shadow struct {
	signal, size    int32
	ready, starting int32
	need            int32   // what the candidate asks for
	backlog         float64 // tasks
	late            float64 // tasks, fading
	paid            float64 // worker-seconds, fading
}

// serve takes in a step's arrivals, of which one worker serves each tasks in the
// step and can have most before it that are not late yet, and says how many wait
// too long. up workers are ready now that were starting.
func (s *shadow) serve(up int16, tasks, each, most float64) (late float64) {
	s.ready += int32(up)
	s.starting -= int32(up)
	workers := float64(s.ready)
	change := tasks - workers*each
	if s.backlog == 0 && change <= 0 {
		return 0
	}
	late = tasks * lateShare(s.backlog, change, workers*most)
	s.backlog = math.Max(0, s.backlog+change)
	return late
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

// resize starts workers, which are added to those due when they will be ready, or
// stops idle ones.
func (s *shadow) resize(want, busy int32, due *int16) {
	have := s.ready + s.starting
	switch {
	case have < want:
		n := min(want-have, int32(math.MaxInt16-*due))
		s.starting += n
		*due += int16(n) //nolint:gosec // bounded above
	case have > want && s.backlog == 0 && s.ready > busy:
		s.ready -= min(have-want, s.ready-busy)
	}
}
