package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// startTimeout bounds the embedded server's start, in which it reads its index.
const startTimeout = time.Minute

// link is one connection to JetStream: to a server inside the process, or to an
// external cluster. A link whose storage has failed is replaced, not mended.
type link struct {
	embedded *natsserver.Server // nil for an external one
	conn     *nats.Conn
	js       jetstream.JetStream
	// failed is done once the server's storage refused a write; its cause says why.
	failed context.Context //nolint:containedctx // a state with a cause, not a call's context
	fail   context.CancelCauseFunc
}

// errStorage is the cause of failed.
var errStorage = errors.New("the journal's storage failed")

func dial(cfg Config) (*link, error) {
	l := &link{}
	l.failed, l.fail = context.WithCancelCause(context.Background())
	options := []nats.Option{nats.Name("loadstar journal"), nats.NoCallbacksAfterClientClose()}
	url := cfg.URL
	if url == "" {
		ns, err := startServer(cfg, l)
		if err != nil {
			return nil, err
		}
		l.embedded = ns
		options = append(options, nats.InProcessServer(ns), nats.NoReconnect(), nats.PingInterval(time.Hour))
	} else {
		options = append(options, nats.MaxReconnects(-1))
		if cfg.Creds != "" {
			options = append(options, nats.UserCredentials(cfg.Creds))
		}
	}
	conn, err := nats.Connect(url, options...)
	if err != nil {
		l.close()
		return nil, fmt.Errorf("journal: connect to NATS: %w", err)
	}
	l.conn = conn
	if l.js, err = jetstream.New(conn); err != nil {
		l.close()
		return nil, fmt.Errorf("journal: %w", err)
	}
	return l, nil
}

func startServer(cfg Config, l *link) (*natsserver.Server, error) {
	ns, err := natsserver.NewServer(&natsserver.Options{
		ServerName:             "loadstar",
		DontListen:             true,
		NoSigs:                 true,
		NoSystemAccount:        true, // its statistics would wake the process for nobody
		DisableJetStreamBanner: true,
		JetStream:              true,
		StoreDir:               cfg.Dir,
		SyncAlways:             true, // the default syncs every two minutes
		// Without bounds of its own nats-server takes three quarters of what is free
		// at its start for good, and refuses writes on a disk that has space again.
		JetStreamMaxMemory: 16 << 20,
		JetStreamMaxStore:  1 << 60,
	})
	if err != nil {
		return nil, fmt.Errorf("journal: embedded NATS: %w", err)
	}
	ns.SetLoggerV2(&serverLog{log: cfg.Logger, fail: l.fail}, false, false, false)
	ns.Start()
	if err := awaitReady(ns, l); err != nil {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, err
	}
	return ns, nil
}

// awaitReady waits until the server can be used; one whose storage fails as it
// starts would never be ready.
func awaitReady(ns *natsserver.Server, l *link) error {
	for deadline := time.Now().Add(startTimeout); ; {
		const pause = 100 * time.Millisecond
		ready := ns.ReadyForConnections(pause)
		if err := context.Cause(l.failed); err != nil {
			_, told := refusal(err)
			return fmt.Errorf("journal: start the embedded NATS server: %w", told)
		}
		switch {
		case ready && ns.JetStreamEnabled():
			return nil
		case time.Now().After(deadline):
			return errors.New("journal: the embedded NATS server did not start; log level debug says why")
		case ready:
			time.Sleep(pause)
		}
	}
}

func (l *link) close() {
	if l.conn != nil {
		l.conn.Close()
	}
	if l.embedded != nil {
		l.embedded.Shutdown()
		l.embedded.WaitForShutdown()
	}
	l.fail(ErrClosed)
}

// broken is why the link must be replaced, or nil.
func (l *link) broken() error {
	if l.failed.Err() != nil {
		return context.Cause(l.failed)
	}
	if l.embedded != nil && !l.embedded.JetStreamEnabled() {
		return errStorage
	}
	return nil
}

// publish sends one message and waits for its acknowledgement. It ends early when
// the server says in its log that it cannot write: it would never answer.
func (l *link) publish(ctx context.Context, subject string, data []byte, expectLast uint64, fenced bool) (uint64, error) {
	if err := l.broken(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(l.failed, func() { cancel(context.Cause(l.failed)) }) //nolint:contextcheck // two contexts are joined here
	defer stop()
	var options []jetstream.PublishOpt
	if fenced {
		options = append(options, jetstream.WithExpectLastSequence(expectLast))
	}
	ack, err := l.js.Publish(ctx, subject, data, options...)
	if err == nil {
		return ack.Sequence, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return 0, err
}

// Codes of the server's refusals, from its errors.json.
const (
	codeWrongLastSequence       = 10071
	codeInsufficientResources   = 10023
	codeAccountResourceExceeded = 10002
	codeStorageExceeded         = 10047
	codeStoreFailed             = 10077
)

// refusal makes a failed publish one of this package's errors. settled is true
// where the answer itself says that nothing was stored.
func refusal(err error) (settled bool, told error) {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeWrongLastSequence:
			return false, err // perhaps our own, whose acknowledgement was lost
		case codeInsufficientResources, codeAccountResourceExceeded, codeStorageExceeded:
			return true, fmt.Errorf("%w: %s", ErrNoSpace, api.Description)
		case codeStoreFailed:
			if strings.Contains(api.Description, "maximum bytes") || saysNoSpace(api.Description) {
				return true, fmt.Errorf("%w: the stream's bound is reached", ErrNoSpace)
			}
		}
		return true, err
	}
	if isNoSpace(err) {
		return false, fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return false, err
}

// serverLog passes nats-server's log on at debug, and listens for what the server
// tells nobody else: that a write failed.
type serverLog struct {
	log  *slog.Logger
	fail context.CancelCauseFunc
}

// Noticef and the others implement nats-server's Logger.
func (s *serverLog) Noticef(format string, v ...any) { s.say("notice", format, v) }
func (s *serverLog) Warnf(format string, v ...any)   { s.say("warning", format, v) }
func (s *serverLog) Debugf(format string, v ...any)  { s.say("debug", format, v) }
func (s *serverLog) Tracef(format string, v ...any)  { s.say("trace", format, v) }

func (s *serverLog) Fatalf(format string, v ...any) {
	s.say("fatal", format, v)
	s.fail(fmt.Errorf("%w: %s", errStorage, fmt.Sprintf(format, v...)))
}

func (s *serverLog) Errorf(format string, v ...any) {
	s.say("error", format, v)
	text := fmt.Sprintf(format, v...)
	for _, sign := range []string{"Critical write error", "failed to store a msg", "will be DISABLED", "disabling JetStream"} {
		if strings.Contains(text, sign) || saysNoSpace(text) {
			s.fail(fmt.Errorf("%w: %s", errStorage, text))
			return
		}
	}
}

func (s *serverLog) say(level, format string, v []any) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.log.Debug("nats-server: "+strings.TrimSpace(fmt.Sprintf(format, v...)), "level", level)
	}
}
