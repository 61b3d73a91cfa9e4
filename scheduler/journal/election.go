package journal

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"loadstar/models"
)

const (
	leaderStream  = "LOADSTAR_LEADER"
	leaderSubject = "loadstar.leader"
)

// ElectionConfig says how daemons on one cluster agree who leads.
type ElectionConfig struct {
	// URL and Creds are the cluster's, as in Config.
	URL, Creds string
	// Replicas is how many of the cluster's servers keep the lease. Default 1.
	Replicas int
	// Name is who this is, for the others to tell.
	Name string
	// TTL is how long a lease holds that is not renewed; it is renewed three times as
	// often. Default 10 s.
	TTL time.Duration
	// Standby is told who leads whenever that changes while this one does not.
	// Default: nobody is.
	Standby func(leader string)
	// Logger takes what happens. Default: none.
	Logger *slog.Logger
}

// Validate checks the configuration; the error is a *models.FieldError.
func (c *ElectionConfig) Validate() error {
	switch {
	case c.URL == "":
		return models.Invalid("nats", "an election needs a cluster")
	case c.Name == "":
		return models.Invalid("agent_id", "it is empty")
	case c.TTL < 0:
		return models.Invalid("ttl", "%s is negative", c.TTL)
	}
	return nil
}

// Election lets one of several daemons lead.
//
// The lease is the last message of a stream of one subject, and only who knows its
// sequence may write the next one: a renewal, or a taking over. Nobody compares
// clocks. A follower takes over when the sequence has not moved for TTL by its own
// clock; the leader steps down when it could not renew for two thirds of it. The
// journal's fence holds beside that, whatever the clocks do.
//
// JetStream's own expiry is not used: a plain update of a key drops it.
type Election struct {
	cfg   ElectionConfig
	conn  *nats.Conn
	js    jetstream.JetStream
	epoch string // of this process's present claim

	seq  uint64 // of the lease as last seen
	seen time.Time
}

// lease is what stands in the message.
type lease struct {
	Name  string `json:"name"`
	Epoch string `json:"epoch"`
	Over  bool   `json:"over,omitempty"` // its holder has resigned
}

// NewElection connects. Close it in the end.
func NewElection(ctx context.Context, cfg ElectionConfig) (*Election, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.TTL = cmp.Or(cfg.TTL, 10*time.Second)
	cfg.Replicas = max(1, cfg.Replicas)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Standby == nil {
		cfg.Standby = func(string) {}
	}
	options := []nats.Option{nats.Name("loadstar election " + cfg.Name), nats.MaxReconnects(-1), nats.NoCallbacksAfterClientClose()}
	if cfg.Creds != "" {
		options = append(options, nats.UserCredentials(cfg.Creds))
	}
	conn, err := nats.Connect(cfg.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("election: connect to NATS: %w", err)
	}
	e := &Election{cfg: cfg, conn: conn}
	if e.js, err = jetstream.New(conn); err == nil {
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		_, err = e.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: leaderStream, Description: "Loadstar: which daemon leads", Subjects: []string{leaderSubject},
			Storage: jetstream.FileStorage, Replicas: cfg.Replicas, MaxMsgsPerSubject: 1, AllowDirect: false,
		})
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("election: %w", err)
	}
	return e, nil
}

// Close ends the connection; a lease that is held runs out, or see Resign.
func (e *Election) Close() { e.conn.Close() }

// callTimeout bounds one call to the cluster.
func (e *Election) callTimeout() time.Duration { return e.cfg.TTL / 3 }

// Lead waits until this daemon leads, or ctx ends.
func (e *Election) Lead(ctx context.Context) error {
	e.epoch, e.seq, e.seen = rand.Text(), 0, time.Time{}
	told, complained := "", false
	for {
		now := time.Now()
		held, seq, err := e.look(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if !complained {
				complained = true
				e.cfg.Logger.Warn("who leads is not known", "err", err)
			}
		case seq != e.seq || e.seen.IsZero():
			e.seq, e.seen = seq, now
		}
		if err == nil && seq > 0 && held.Epoch == e.epoch && !held.Over {
			return nil // written, and its acknowledgement was lost
		}
		free := err == nil && (seq == 0 || held.Over || now.Sub(e.seen) >= e.cfg.TTL)
		if free && e.write(ctx, lease{Name: e.cfg.Name, Epoch: e.epoch}) == nil {
			e.cfg.Logger.Info("this daemon leads", "before", held.Name)
			return nil
		}
		if err == nil && held.Name != told {
			told, complained = held.Name, false
			e.cfg.Logger.Info("standing by", "leader", told)
			e.cfg.Standby(told)
		}
		if err := pause(ctx, e.cfg.TTL/10); err != nil {
			return err
		}
	}
}

// Hold renews the lease until it is lost, which is models.ErrDeposed, or ctx ends.
func (e *Election) Hold(ctx context.Context) error {
	good := e.seen
	for {
		if err := pause(ctx, e.cfg.TTL/3); err != nil {
			return err
		}
		began := time.Now()
		err := e.write(ctx, lease{Name: e.cfg.Name, Epoch: e.epoch})
		switch {
		case err == nil:
			good = began
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, models.ErrDeposed):
			return err
		}
		e.cfg.Logger.Warn("the lease of the leader was not renewed", "err", err)
		if time.Since(good) >= 2*e.cfg.TTL/3 {
			return fmt.Errorf("the lease could not be renewed for %s: %w", time.Since(good).Round(time.Millisecond), models.ErrDeposed)
		}
	}
}

// Resign gives the lease back, so that another need not wait for it to run out.
func (e *Election) Resign(ctx context.Context) {
	if err := e.write(ctx, lease{Name: e.cfg.Name, Epoch: e.epoch, Over: true}); err != nil {
		e.cfg.Logger.Debug("the lease runs out by itself", "err", err)
	}
}

// look reads the lease; seq is 0 where there never was one.
func (e *Election) look(ctx context.Context) (l lease, seq uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, e.callTimeout())
	defer cancel()
	stream, err := e.js.Stream(ctx, leaderStream)
	if err != nil {
		return l, 0, fmt.Errorf("read the lease: %w", err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, leaderSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return l, 0, nil
	}
	if err != nil {
		return l, 0, fmt.Errorf("read the lease: %w", err)
	}
	if err := json.Unmarshal(msg.Data, &l); err != nil { // whoever wrote it, the sequence tells
		l = lease{Name: "unknown"}
	}
	return l, msg.Sequence, nil
}

// write writes the lease behind the one that was seen. models.ErrDeposed: somebody
// else has.
func (e *Election) write(ctx context.Context, l lease) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	began := time.Now()
	call, cancel := context.WithTimeout(ctx, e.callTimeout())
	defer cancel()
	ack, err := e.js.Publish(call, leaderSubject, text, jetstream.WithExpectLastSequencePerSubject(e.seq))
	if err == nil {
		e.seq, e.seen = ack.Sequence, began
		return nil
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != codeWrongLastSequence {
		return fmt.Errorf("write the lease: %w", err)
	}
	// Perhaps our own, whose acknowledgement was lost.
	held, seq, err := e.look(ctx)
	if err != nil {
		return err
	}
	if held.Epoch != e.epoch {
		return fmt.Errorf("%s has the lease: %w", held.Name, models.ErrDeposed)
	}
	e.seq, e.seen = seq, began
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
