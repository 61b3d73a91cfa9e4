package autoscale

import "loadstar/models"

// Sizer decides for many pools: Decide, with an Advisor for each pool whose workers
// have a cold start. It is for one goroutine.
type Sizer struct {
	advisors map[string]*Advisor
}

// NewSizer returns one that has seen nothing.
func NewSizer() *Sizer { return &Sizer{advisors: map[string]*Advisor{}} }

// Decide has the pool's advisor take in the input and decides with its advice, which
// is then part of the decision's inputs: Decide with those gives the same again.
func (s *Sizer) Decide(p models.PoolSpec, in models.DecisionInput) models.Decision {
	if !p.Kind.Slots() && p.Policy != models.PolicyStatic {
		a := s.advisors[p.Name]
		if a == nil {
			a = NewAdvisor()
			s.advisors[p.Name] = a
		}
		clean(&in)
		in.Advice = a.Step(p, &in)
	}
	return Decide(p, in)
}
