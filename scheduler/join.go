package scheduler

import (
	"context"
	"slices"

	"loadstar/models"
)

// member is an agent that is there.
type member struct {
	id    string
	agent Agent
}

// leaving says that an agent's reports have ended.
type leaving struct {
	id    string
	agent Agent
}

// Dismissed is an Agent that wants to know when it counts as lost: what it had
// is given to others from then on, and it has to join again.
type Dismissed interface {
	// Dismiss must not wait.
	Dismiss()
}

// Join makes an agent of another host known, with all that it has, durably; one
// of the same name takes the place of the former. Commands may reach the agent
// before Join returns. Where it returns nil, Carry is to be called.
func (s *Service) Join(ctx context.Context, a Agent, holds []Held) error {
	info := a.Info()
	for _, own := range s.cfg.Agents {
		if own.Info().ID == info.ID {
			return models.Invalid("id", "%q is the daemon's own agent", info.ID)
		}
	}
	in := &Input{Rejoin: &Rejoin{Agent: info, Holds: holds}}
	return s.ask(ctx, request{input: in, attach: a}, func(*Output) {})
}

// Carry carries the reports of an agent that has joined until they end, which
// loses it, or ctx does.
func (s *Service) Carry(ctx context.Context, a Agent) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx, at the latest when the agent's reports do
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.forward(ctx, a)
}

// forward carries an agent's reports into the inbox.
func (s *Service) forward(ctx context.Context, a Agent) {
	id := a.Info().ID
	for {
		select {
		case r, ok := <-a.Reports():
			if !ok {
				select {
				case s.left <- leaving{id: id, agent: a}:
				case <-ctx.Done():
				}
				return
			}
			r.Agent = id
			select {
			case s.reports <- r:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// attach enters an agent, in the place of the one of its name.
func (s *Service) attach(a Agent) {
	id := a.Info().ID
	s.detach(id)
	s.fleet = append(s.fleet, member{id: id, agent: a})
}

// detach takes an agent off the list and gives it back, nil where there is none.
func (s *Service) detach(id string) Agent {
	i := slices.IndexFunc(s.fleet, func(m member) bool { return m.id == id })
	if i < 0 {
		return nil
	}
	a := s.fleet[i].agent
	s.fleet = slices.Delete(s.fleet, i, i+1)
	return a
}

// dismiss tells an agent that it counts as lost.
func (s *Service) dismiss(id string) {
	i := slices.IndexFunc(s.fleet, func(m member) bool { return m.id == id })
	if i < 0 {
		return
	}
	if d, ok := s.fleet[i].agent.(Dismissed); ok {
		s.detach(id)
		d.Dismiss()
	}
}

// depart loses an agent whose reports have ended, unless another one has taken
// its place.
func (s *Service) depart(l leaving) {
	i := slices.IndexFunc(s.fleet, func(m member) bool { return m.agent == l.agent })
	if i < 0 {
		return
	}
	s.fleet = slices.Delete(s.fleet, i, i+1)
	s.leave(l.id)
}
