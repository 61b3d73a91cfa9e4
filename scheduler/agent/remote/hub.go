package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/worker"
)

// Scheduler is what a Hub joins agents to; *scheduler.Service implements it.
type Scheduler interface {
	Join(ctx context.Context, a scheduler.Agent, holds []scheduler.Held) error
	Carry(ctx context.Context, a scheduler.Agent)
}

// HubConfig configures a Hub.
type HubConfig struct {
	// Conn is the connection to NATS; the Hub does not close it.
	Conn *nats.Conn
	// Scheduler is joined to.
	Scheduler Scheduler
	// Logs keeps what the agents' attempts print.
	Logs *worker.LogStore
	// Logger takes who comes and goes. Default: none.
	Logger *slog.Logger
}

// Validate checks the config; the error is a *models.FieldError.
func (c *HubConfig) Validate() error {
	switch {
	case c.Conn == nil:
		return models.Invalid("fleet.conn", "there is no connection")
	case c.Scheduler == nil:
		return models.Invalid("fleet.scheduler", "there is none")
	case c.Logs == nil:
		return models.Invalid("fleet.logs", "there is no log store")
	}
	return nil
}

// Hub lets agents of other hosts join.
type Hub struct {
	cfg HubConfig

	mu       sync.Mutex
	sessions map[string]*session // by token
	agents   map[string]*session // by agent
}

// NewHub makes a Hub; nobody can join before Run.
func NewHub(cfg HubConfig) (*Hub, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Hub{cfg: cfg, sessions: map[string]*session{}, agents: map[string]*session{}}, nil
}

// joinQueue is how many joins may wait; those beyond it are asked for again.
const joinQueue = 256

// Run serves until ctx ends. The agents then go on by themselves and join whoever
// serves next.
func (h *Hub) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	joins := make(chan *nats.Msg, joinQueue)
	asked, err := h.cfg.Conn.ChanSubscribe(joinSubject, joins)
	if err != nil {
		cancel()
		return fmt.Errorf("fleet: subscribe: %w", err)
	}
	up, err := h.cfg.Conn.Subscribe(upSubject+"*", h.packet)
	if err != nil {
		cancel()
		return errors.Join(fmt.Errorf("fleet: subscribe: %w", err), asked.Unsubscribe())
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	defer func() { _, _ = asked.Unsubscribe(), up.Unsubscribe() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-joins:
			if s := h.join(ctx, m); s != nil {
				running.Go(func() { h.serve(ctx, s) })
			}
		}
	}
}

// packet hands a packet to its session; one that is not known is told so.
func (h *Hub) packet(m *nats.Msg) {
	token := strings.TrimPrefix(m.Subject, upSubject)
	h.mu.Lock()
	s := h.sessions[token]
	h.mu.Unlock()
	if s == nil {
		_ = h.cfg.Conn.Publish(downSubject+token, appendPacket(nil, &packet{flags: flagGone}))
		return
	}
	select {
	case s.packets <- m.Data:
	default: // it is sent again
	}
}

// join lets an agent in; nil where it was refused, or is there already.
func (h *Hub) join(ctx context.Context, m *nats.Msg) *session {
	var j joining
	answer := func(a joined) {
		text, err := json.Marshal(a)
		if err == nil {
			err = m.Respond(text)
		}
		if err != nil {
			h.cfg.Logger.Warn("an agent that asked to join could not be answered", "agent", j.Agent.ID, "err", err)
		}
	}
	if err := json.Unmarshal(m.Data, &j); err != nil {
		answer(joined{Error: "the request to join makes no sense: " + err.Error()})
		return nil
	}
	if err := j.check(); err != nil {
		answer(joined{Error: err.Error()})
		return nil
	}
	s, old, refused := h.enter(&j)
	if refused != nil {
		answer(*refused)
		return nil
	}
	holds := make([]scheduler.Held, len(j.Holds))
	for i, a := range j.Holds {
		holds[i] = scheduler.Held(a)
	}
	joinCtx, cancel := context.WithTimeout(ctx, joinTimeout)
	err := h.cfg.Scheduler.Join(joinCtx, s, holds)
	cancel()
	if err != nil {
		s.log.Warn("an agent was refused", "host", j.Agent.Host, "err", err)
		h.drop(s, old)
		answer(joined{Error: err.Error(), Again: !errors.Is(err, models.ErrInvalid)})
		return nil
	}
	if old != nil {
		old.Dismiss()
	}
	s.log.Info("an agent has joined", "host", j.Agent.Host, "slots", j.Agent.Slots, "capabilities", j.Agent.Capabilities, "program", j.Program, "has", len(j.Holds))
	answer(joined{})
	return s
}

// serve speaks to an agent until it leaves.
func (h *Hub) serve(ctx context.Context, s *session) {
	var carrying sync.WaitGroup
	defer carrying.Wait()
	carrying.Go(func() { h.cfg.Scheduler.Carry(ctx, s) })
	s.serve(ctx)
	h.drop(s, nil)
	s.log.Info("an agent is gone")
}

// joinTimeout bounds how long the scheduler may take to let an agent in.
const joinTimeout = 5 * time.Second

// maxHolds bounds what an agent may claim to have.
const maxHolds = 1 << 20

func (j *joining) check() error {
	switch {
	case j.Protocol != protocol:
		return fmt.Errorf("the agent speaks version %d of the fleet's protocol, the daemon %d: both must be of the same release", j.Protocol, protocol)
	case len(j.Session) < 16 || strings.ContainsAny(j.Session, ".*> \t"):
		return models.Invalid("session", "%q is no token", j.Session)
	case len(j.Holds) > maxHolds:
		return models.Invalid("holds", "%d attempts are too many", len(j.Holds))
	}
	return checkAgent(&j.Agent)
}

// impostorSilence is how long the process behind an agent's name must be silent
// before another may take the name.
const impostorSilence = 6 * time.Second

// enter books a session; old is the one that it takes the place of. Asked for a
// second time, it was entered before and the answer is the same.
func (h *Hub) enter(j *joining) (s, old *session, refused *joined) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[j.Session] != nil {
		return nil, nil, &joined{}
	}
	old = h.agents[j.Agent.ID]
	if old != nil && old.incarnation != j.Incarnation && time.Since(*old.heard.Load()) < impostorSilence {
		return nil, nil, &joined{Again: true, Error: fmt.Sprintf("an agent named %s is here already, from host %s", j.Agent.ID, cmp.Or(old.Info().Host, "unknown"))}
	}
	s = newSession(h, j)
	h.sessions[j.Session], h.agents[j.Agent.ID] = s, s
	return s, old, nil
}

// drop forgets a session, and has old again in its place where that is not nil.
func (h *Hub) drop(s, old *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.token)
	if h.agents[s.id] != s {
		return
	}
	delete(h.agents, s.id)
	if old != nil && h.sessions[old.token] == old {
		h.agents[s.id] = old
	}
}
