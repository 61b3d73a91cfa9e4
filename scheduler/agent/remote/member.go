package remote

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"loadstar/models"
	"loadstar/scheduler"
	"loadstar/scheduler/route"
	"loadstar/scheduler/worker"
)

// MemberConfig configures a Member.
type MemberConfig struct {
	// Conn is the connection to NATS; the Member does not close it.
	Conn *nats.Conn
	// Agent runs the work; somebody else runs it, for longer than the Member.
	Agent scheduler.Agent
	// Logs is where Agent keeps what its attempts print.
	Logs *worker.LogStore
	// RefusedFor is how long a Member that was never let in asks in spite of being
	// refused, as by a name that is taken. Default: 15s.
	RefusedFor time.Duration
	// Program is this program's version, for the daemon's log.
	Program string
	// Logger takes what happens. Default: none.
	Logger *slog.Logger
}

// Validate checks the config; the error is a *models.FieldError.
func (c *MemberConfig) Validate() error {
	switch {
	case c.Conn == nil:
		return models.Invalid("agent.conn", "there is no connection")
	case c.Agent == nil:
		return models.Invalid("agent.agent", "there is none")
	case c.Logs == nil:
		return models.Invalid("agent.logs", "there is no log store")
	}
	info := c.Agent.Info()
	return checkAgent(&info)
}

// Member is a host that joins a daemon elsewhere.
type Member struct {
	cfg         MemberConfig
	log         *slog.Logger
	incarnation string
	drainOnce   sync.Once
	drain       chan struct{}

	// Of the goroutine of Run.
	info     models.Agent
	draining bool
	attempts map[scheduler.Held]*tracked
	visit    *visit // nil while it has not joined
	visits   int
	asking   *asking // nil while it does not ask to
	askAt    time.Time
	since    time.Time // when it began to ask without being let in
	was      bool      // it has been let in before
	outs     []scheduler.Report
	buf      []byte
}

// tracked is an attempt that runs here, or that ended within the last minute.
type tracked struct {
	attempt  int
	worker   string // of this host; empty for exec and http
	started  *scheduler.Started
	finished *scheduler.Finished
	endedAt  time.Time
	pump     *pump // of its output in the present session; nil where there is none
	copied   bool  // all of its output has arrived
	dropped  bool  // of a session that is over: nobody wants to hear of it
}

// asking is a request to join under way.
type asking struct {
	visit  *visit
	answer chan joined // one, or closed where none came
	cancel context.CancelFunc
}

// visit is one session.
type visit struct {
	number  int
	token   string
	link    conduit
	packets chan *nats.Msg
	sub     *nats.Subscription
	pieces  chan piece
	workers map[string]bool // by this host's names
	waiting []waiting
	stop    context.CancelFunc // ends the pumps
	ctx     context.Context    //nolint:containedctx // of the pumps, which end with the session
}

// NewMember makes a Member; it joins in Run.
func NewMember(cfg MemberConfig) (*Member, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.RefusedFor = cmp.Or(cfg.RefusedFor, 15*time.Second)
	return &Member{
		cfg: cfg, log: cfg.Logger, incarnation: rand.Text(), drain: make(chan struct{}),
		info: cfg.Agent.Info(), attempts: map[scheduler.Held]*tracked{},
	}, nil
}

// Drain has the Member take no more, finish what runs, and leave. It may be called
// more than once.
func (m *Member) Drain() { m.drainOnce.Do(func() { close(m.drain) }) }

const (
	askTimeout = 3 * time.Second
	askEvery   = time.Second
	// remember is how long a result is told again in a new session, and rememberMax
	// how many are.
	remember    = time.Minute
	rememberMax = 1000
)

// Run joins, and joins again whenever it has to, until it is drained (nil), ctx
// ends (nil; what runs goes back to the daemon) or it is refused for good.
func (m *Member) Run(ctx context.Context) error {
	defer m.leave()
	drain := m.drain
	timer := time.NewTimer(0)
	defer timer.Stop()
	m.since = time.Now()
	for {
		if m.draining && m.done() {
			return nil
		}
		now := time.Now()
		if m.visit == nil && m.asking == nil && !now.Before(m.askAt) {
			if err := m.ask(ctx); err != nil {
				return err
			}
		}
		m.flush(now)
		timer.Reset(m.untilDue(now))
		var packets chan *nats.Msg
		var pieces chan piece
		var answer chan joined
		if v := m.visit; v != nil {
			packets = v.packets
			if v.link.bytes < outputAhead {
				pieces = v.pieces
			}
		}
		if m.asking != nil {
			answer = m.asking.answer
		}
		select {
		case <-ctx.Done():
			return nil
		case <-drain:
			drain = nil
			m.draining = true
			m.beat()
		case r, ok := <-m.cfg.Agent.Reports():
			if !ok {
				return errors.New("the agent has stopped")
			}
			m.report(&r)
			m.moreReports()
		case p := <-packets:
			m.packet(p)
		case p := <-pieces:
			m.piece(p)
		case a, ok := <-answer:
			if err := m.answered(a, ok); err != nil {
				return err
			}
		case <-timer.C:
		}
	}
}

// moreReports takes in what else the agent has to say, so that it travels together.
func (m *Member) moreReports() {
	const most = 256
	for range most {
		select {
		case r, ok := <-m.cfg.Agent.Reports():
			if !ok {
				return // found again by Run
			}
			m.report(&r)
		default:
			return
		}
	}
}

// untilDue is the time until something happens by itself.
func (m *Member) untilDue(now time.Time) time.Duration {
	next := time.Hour
	if m.visit == nil {
		if m.asking == nil {
			next = max(0, m.askAt.Sub(now))
		}
		return next
	}
	if d, ok := m.visit.link.due(now); ok {
		next = min(next, d)
	}
	for _, w := range m.visit.waiting {
		next = min(next, max(0, w.until.Sub(now)))
	}
	return next
}

// done reports whether nothing is left to do here, and all of it was heard.
func (m *Member) done() bool {
	for _, t := range m.attempts {
		if t.finished == nil {
			return false
		}
	}
	if v := m.visit; v != nil {
		return len(v.waiting) == 0 && len(m.outs) == 0 && v.link.idle()
	}
	return len(m.attempts) == 0
}

// leave says goodbye.
func (m *Member) leave() {
	if m.asking != nil {
		m.asking.cancel()
		m.close(m.asking.visit)
	}
	if m.visit == nil {
		return
	}
	m.send(&packet{flags: flagBye, ack: m.visit.link.seen})
	if err := m.cfg.Conn.FlushTimeout(time.Second); err != nil {
		m.log.Warn("the daemon may not have heard the goodbye", "err", err)
	}
	m.close(m.visit)
}

func (m *Member) close(v *visit) {
	v.stop()
	_ = v.sub.Unsubscribe() // the connection may be closed
}

// ask sends a request to join, with all that is here.
func (m *Member) ask(ctx context.Context) error {
	m.forget(time.Now())
	m.visits++
	v := &visit{
		number: m.visits, token: rand.Text(), packets: make(chan *nats.Msg, 4*window),
		pieces: make(chan piece), workers: map[string]bool{},
	}
	sub, err := m.cfg.Conn.ChanSubscribe(downSubject+v.token, v.packets)
	if err != nil {
		return fmt.Errorf("fleet: subscribe: %w", err)
	}
	v.sub = sub
	v.ctx, v.stop = context.WithCancel(ctx)
	j := joining{Protocol: protocol, Program: m.cfg.Program, Incarnation: m.incarnation, Session: v.token, Agent: m.info}
	if m.draining {
		j.Agent.State = route.Draining
	}
	for _, h := range m.holds() {
		j.Holds = append(j.Holds, heldAttempt(h))
	}
	text, err := json.Marshal(j)
	if err != nil {
		m.close(v)
		return fmt.Errorf("fleet: %w", err)
	}
	asking := &asking{visit: v, answer: make(chan joined, 1)}
	ctx, asking.cancel = context.WithTimeout(ctx, askTimeout)
	m.asking = asking
	go func() { // ends with ctx
		defer close(asking.answer)
		reply, err := m.cfg.Conn.RequestWithContext(ctx, joinSubject, text)
		if err != nil {
			return
		}
		var a joined
		if err := json.Unmarshal(reply.Data, &a); err != nil {
			a = joined{Error: "the answer makes no sense: " + err.Error(), Again: true}
		}
		asking.answer <- a
	}()
	return nil
}

// answered begins the session, or asks again later; the error is a refusal for good.
func (m *Member) answered(a joined, came bool) error {
	v := m.asking.visit
	m.asking.cancel()
	m.asking = nil
	if came && a.Error == "" {
		m.begin(v)
		return nil
	}
	m.close(v)
	m.askAt = time.Now().Add(askEvery/2 + mrand.N(askEvery)) //nolint:gosec // so that not all ask at once
	switch {
	case !came:
		m.log.Debug("no daemon answers yet")
	case !a.Again, !m.was && time.Since(m.since) > m.cfg.RefusedFor:
		return fmt.Errorf("the daemon refuses: %s", a.Error)
	default:
		m.log.Warn("the daemon refuses, asking again", "why", a.Error)
	}
	return nil
}

// holds are the attempts to claim: those that run, and those whose results are
// told again, the newest, in the order of their leases.
func (m *Member) holds() []scheduler.Held {
	var out, ended []scheduler.Held
	for h, t := range m.attempts {
		switch {
		case t.dropped || t.worker != "":
		case t.finished == nil:
			out = append(out, h)
		default:
			ended = append(ended, h)
		}
	}
	byLease := func(a, b scheduler.Held) int { return int(int64(a.Lease) - int64(b.Lease)) } //nolint:gosec // they are counted from 1
	slices.SortFunc(ended, byLease)
	out = append(out, ended[max(0, len(ended)-rememberMax):]...)
	slices.SortFunc(out, byLease)
	return out
}

// begin opens the session: what is here is told again.
func (m *Member) begin(v *visit) {
	m.visit, m.was, m.outs = v, true, nil
	m.log.Info("joined", "attempts", len(m.attempts))
	for _, h := range m.holds() {
		t := m.attempts[h]
		if t.started != nil {
			m.outs = append(m.outs, scheduler.Report{Started: t.started})
			if !t.copied {
				m.copyOutput(h, t)
			}
		}
		if t.finished != nil {
			m.tellFinished(t)
		}
	}
	m.beat()
}

// end closes the session: what belonged to it alone is ended.
func (m *Member) end() {
	v := m.visit
	m.visit = nil
	m.close(v)
	m.outs = nil
	for _, t := range m.attempts {
		if t.pump != nil {
			t.copied = t.copied || t.pump.lastPart != 0 && v.link.acked >= t.pump.lastPart
			t.pump = nil
		}
	}
	var commands []scheduler.Command
	for h, t := range m.attempts {
		if t.worker != "" && t.finished == nil {
			t.dropped = true
			commands = append(commands, scheduler.Command{Kill: &scheduler.Kill{TaskID: h.TaskID, Lease: h.Lease, Grace: killGrace}})
		}
	}
	for w := range v.workers {
		commands = append(commands, scheduler.Command{StopWorker: &scheduler.StopWorker{Worker: w}})
	}
	m.cfg.Agent.Send(commands)
	m.since = time.Now()
	m.askAt = m.since
	m.log.Warn("the daemon does not know this agent any more; joining again")
}

// killGrace is the time from SIGTERM to SIGKILL for an attempt on a worker whose
// session is over.
const killGrace = 5 * time.Second

// forget drops the results that are too old to be told again.
func (m *Member) forget(now time.Time) {
	for h, t := range m.attempts {
		if t.finished != nil && (t.dropped || t.worker != "" || now.Sub(t.endedAt) > remember) {
			delete(m.attempts, h)
		}
	}
}

func (m *Member) flush(now time.Time) {
	v := m.visit
	if v == nil {
		return
	}
	v.waiting = slices.DeleteFunc(v.waiting, func(w waiting) bool {
		if w.attempt.pump.lastPart == 0 && now.Before(w.until) {
			return false
		}
		m.outs = append(m.outs, scheduler.Report{Finished: w.attempt.finished})
		return true
	})
	if err := encodeBatches(kindReports, m.outs, v.link.put); err != nil {
		m.log.Error("reports were not sent", "err", err)
	}
	clear(m.outs)
	m.outs = m.outs[:0]
	v.link.flush(now, m.send)
}

func (m *Member) send(p *packet) {
	m.buf = appendPacket(m.buf[:0], p)
	if err := m.cfg.Conn.Publish(upSubject+m.visit.token, m.buf); err != nil {
		m.log.Debug("a packet was not sent", "err", err)
	}
}

// beat sends a heartbeat.
func (m *Member) beat() {
	if m.visit == nil {
		return
	}
	info := m.info
	if m.draining {
		info.State = route.Draining
	}
	text, err := json.Marshal(info)
	if err != nil {
		m.log.Error("no heartbeat was sent", "err", err)
		return
	}
	m.send(&packet{flags: flagBeat, ack: m.visit.link.seen, data: text})
}

// packet takes in what the daemon has sent.
func (m *Member) packet(msg *nats.Msg) {
	p, err := decodePacket(msg.Data)
	switch {
	case err != nil:
		m.log.Warn("a packet is refused", "err", err)
	case p.flags&flagGone != 0:
		m.end()
	default:
		m.visit.link.take(&p, m.message)
	}
}

func (m *Member) message(b []byte) {
	commands, err := decodeBatch[scheduler.Command](b, kindCommands)
	if err != nil {
		m.log.Warn("a message is refused", "err", err)
	}
	for i := range commands {
		m.command(&commands[i])
	}
	m.cfg.Agent.Send(commands)
}

// command notes what is about to be done, and gives workers names of their own in
// each session: the next daemon may count them from the start again.
func (m *Member) command(c *scheduler.Command) {
	v := m.visit
	switch {
	case c.StartWorker != nil:
		c.StartWorker.Worker = v.localName(c.StartWorker.Worker)
		v.workers[c.StartWorker.Worker] = true
	case c.StopWorker != nil:
		c.StopWorker.Worker = v.localName(c.StopWorker.Worker)
	case c.Run != nil:
		if c.Run.Worker != "" {
			c.Run.Worker = v.localName(c.Run.Worker)
		}
		h := scheduler.Held{TaskID: c.Run.Task.TaskID, Lease: c.Run.Lease}
		m.attempts[h] = &tracked{attempt: c.Run.Attempt, worker: c.Run.Worker}
	}
}

func (v *visit) localName(name string) string { return fmt.Sprintf("%s~%d", name, v.number) }

// wireName is a worker's name at the daemon; ok is false where it is of another session.
func (v *visit) wireName(local string) (name string, ok bool) {
	name, number, _ := strings.Cut(local, "~")
	return name, number == strconv.Itoa(v.number)
}

// report takes in what the agent says.
func (m *Member) report(r *scheduler.Report) {
	switch {
	case r.Heartbeat != nil:
		m.info = *r.Heartbeat
		m.forget(time.Now())
		m.beat()
	case r.Started != nil:
		h := scheduler.Held{TaskID: r.Started.TaskID, Lease: r.Started.Lease}
		if t := m.attempts[h]; t != nil {
			t.started = r.Started
			if m.visit != nil && !t.dropped {
				m.outs = append(m.outs, *r)
				m.copyOutput(h, t)
			}
		}
	case r.Finished != nil:
		h := scheduler.Held{TaskID: r.Finished.TaskID, Lease: r.Finished.Lease}
		if t := m.attempts[h]; t != nil {
			t.finished, t.endedAt = r.Finished, time.Now()
			if m.visit != nil && !t.dropped {
				m.tellFinished(t)
			}
		}
	case r.Returned != nil:
		delete(m.attempts, scheduler.Held{TaskID: r.Returned.TaskID, Lease: r.Returned.Lease})
		if m.visit != nil {
			m.outs = append(m.outs, *r)
		}
	case r.WorkerReady != nil:
		if m.visit == nil {
			return
		}
		if name, ok := m.visit.wireName(r.WorkerReady.Worker); ok {
			told := *r.WorkerReady
			told.Worker = name
			m.outs = append(m.outs, scheduler.Report{WorkerReady: &told})
		}
	case r.WorkerGone != nil:
		m.workerGone(r.WorkerGone.Worker)
		if m.visit == nil {
			return
		}
		if name, ok := m.visit.wireName(r.WorkerGone.Worker); ok {
			delete(m.visit.workers, r.WorkerGone.Worker)
			told := *r.WorkerGone
			told.Worker = name
			m.outs = append(m.outs, scheduler.Report{WorkerGone: &told})
		}
	}
}

// workerGone takes a worker's attempts off the books: what it was running will not
// be told, and what it has told must not come after its end.
func (m *Member) workerGone(local string) {
	for h, t := range m.attempts {
		if t.worker == local && t.finished == nil {
			delete(m.attempts, h)
		}
	}
	if m.visit == nil {
		return
	}
	m.visit.waiting = slices.DeleteFunc(m.visit.waiting, func(w waiting) bool {
		if w.attempt.worker != local {
			return false
		}
		m.outs = append(m.outs, scheduler.Report{Finished: w.attempt.finished})
		return true
	})
}
