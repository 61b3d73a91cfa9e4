package remote

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/worker"
	"loadstar/scheduler/worker/mailbox"
)

// session is one agent of another host, as long as it is heard; to the scheduler
// it is the agent itself.
type session struct {
	hub         *Hub
	id, token   string
	incarnation string
	log         *slog.Logger
	info        models.Agent
	packets     chan []byte
	commands    *mailbox.Box[scheduler.Command]
	reports     chan scheduler.Report
	heard       atomic.Pointer[time.Time]
	dismissOnce sync.Once
	dismissed   chan struct{}

	// Of the goroutine of serve.
	link    conduit
	pending []scheduler.Report // not yet taken by the scheduler
	outputs map[outputKey]*worker.LogWriter
	buf     []byte
}

var (
	_ scheduler.Agent     = (*session)(nil)
	_ scheduler.Dismissed = (*session)(nil)
)

type outputKey struct {
	taskID  string
	attempt int
}

func newSession(h *Hub, j *joining) *session {
	const packets, reports = 4 * window, 256
	s := &session{
		hub: h, id: j.Agent.ID, token: j.Session, incarnation: j.Incarnation, info: j.Agent,
		log:     h.cfg.Logger.With("agent", j.Agent.ID),
		packets: make(chan []byte, packets), commands: mailbox.New[scheduler.Command](), reports: make(chan scheduler.Report, reports),
		dismissed: make(chan struct{}), outputs: map[outputKey]*worker.LogWriter{},
	}
	now := time.Now()
	s.heard.Store(&now)
	return s
}

// Info is who the agent was when it joined.
func (s *session) Info() models.Agent { return s.info }

// Send queues commands, in order. It never blocks.
func (s *session) Send(commands []scheduler.Command) { s.commands.Put(commands...) }

// Reports delivers what the agent tells; it is closed when the session ends.
func (s *session) Reports() <-chan scheduler.Report { return s.reports }

// Dismiss ends the session: the agent counts as lost and has to join again.
func (s *session) Dismiss() { s.dismissOnce.Do(func() { close(s.dismissed) }) }

// serve speaks to the agent until the session ends. Where ctx ends it, the agent
// is not lost: it joins whoever serves next.
func (s *session) serve(ctx context.Context) {
	defer s.closeOutputs()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		s.link.flush(time.Now(), s.send)
		if d, ok := s.link.due(time.Now()); ok {
			again.Reset(d)
		}
		var next scheduler.Report
		out := s.reports
		if len(s.pending) == 0 {
			out = nil
		} else {
			next = s.pending[0]
		}
		select {
		case <-ctx.Done():
			return
		case <-s.dismissed:
			close(s.reports)
			return
		case out <- next:
			s.pending[0] = scheduler.Report{}
			s.pending = s.pending[1:]
		case raw := <-s.packets:
			if !s.take(raw) {
				if s.handOver(ctx) {
					close(s.reports)
				}
				return
			}
		case <-s.commands.Wake():
			s.sendCommands(s.commands.Take())
		case <-again.C:
		}
	}
}

// handOver gives the scheduler what an agent has said before its goodbye; false
// where ctx ends first.
func (s *session) handOver(ctx context.Context) bool {
	for _, r := range s.pending {
		select {
		case s.reports <- r:
		case <-s.dismissed:
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (s *session) send(p *packet) {
	s.buf = appendPacket(s.buf[:0], p)
	if err := s.hub.cfg.Conn.Publish(downSubject+s.token, s.buf); err != nil {
		s.log.Debug("a packet was not sent", "err", err)
	}
}

func (s *session) sendCommands(commands []scheduler.Command) {
	if err := encodeBatches(kindCommands, commands, s.link.put); err != nil {
		s.log.Error("commands were not sent", "err", err)
	}
}

// take takes in a packet; false says that the agent has left.
func (s *session) take(raw []byte) bool {
	p, err := decodePacket(raw)
	if err != nil {
		s.log.Warn("a packet is refused", "err", err)
		return true
	}
	now := time.Now()
	s.heard.Store(&now)
	if p.flags&flagBeat != 0 {
		s.beat(p.data)
		s.link.owed = true
	}
	s.link.take(&p, s.message)
	return p.flags&flagBye == 0
}

func (s *session) beat(data []byte) {
	var a models.Agent
	if err := json.Unmarshal(data, &a); err != nil {
		s.log.Warn("a heartbeat is refused", "err", err)
		return
	}
	a.ID = s.id
	if err := checkAgent(&a); err != nil {
		s.log.Warn("a heartbeat is refused", "err", err)
		return
	}
	r := scheduler.Report{Heartbeat: &a}
	if n := len(s.pending); n > 0 && s.pending[n-1].Heartbeat != nil {
		s.pending[n-1] = r // the scheduler is busy; the newest will do
		return
	}
	s.pending = append(s.pending, r)
}

func (s *session) message(m []byte) {
	var err error
	switch {
	case len(m) > 0 && m[0] == kindOutput:
		var pieces []output
		pieces, err = decodeBatch[output](m, kindOutput)
		for i := range pieces {
			s.output(&pieces[i])
		}
	default:
		var reports []scheduler.Report
		reports, err = decodeBatch[scheduler.Report](m, kindReports)
		for _, r := range reports {
			r.Heartbeat = nil
			s.pending = append(s.pending, r)
		}
	}
	if err != nil {
		s.log.Warn("a message is refused", "err", err)
	}
}

// output keeps a piece of an attempt's output.
func (s *session) output(o *output) {
	key := outputKey{o.TaskID, o.Attempt}
	w := s.outputs[key]
	if w == nil {
		var err error
		if w, err = s.hub.cfg.Logs.Create(o.TaskID, o.Attempt); err != nil {
			s.log.Warn("output is not kept", "err", err)
			return
		}
		s.outputs[key] = w
	}
	_, _ = w.Write(o.Data) // it never fails
	if o.End {
		delete(s.outputs, key)
		_ = w.Close()
	}
}

func (s *session) closeOutputs() {
	for _, w := range s.outputs {
		_ = w.Close()
	}
	s.outputs = nil
}
