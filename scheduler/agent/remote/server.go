package remote

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"loadstar/models"
)

// agentUser is the name that agents log in with; the token is their password.
const agentUser = "loadstar-agent"

// ServerConfig configures a Server.
type ServerConfig struct {
	// Listen is where agents connect, as in 0.0.0.0:4222; port 0 is any free one.
	Listen string
	// Token is what agents must show.
	Token string
	// TLS is the listener's certificate. Default: none, plain TCP.
	TLS *tls.Config
	// Logger takes nats-server's log at debug. Default: none.
	Logger *slog.Logger
}

// Validate checks the config; the error is a *models.FieldError.
func (c *ServerConfig) Validate() error {
	if _, _, err := c.address(); err != nil {
		return err
	}
	if c.Token == "" {
		return models.Invalid("nats_token", "listening on %s needs one", c.Listen)
	}
	return nil
}

func (c *ServerConfig) address() (host string, port int, err error) {
	host, text, err := net.SplitHostPort(c.Listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, models.Invalid("nats_listen", "%q is not host:port", c.Listen)
	}
	return host, port, nil
}

// Server is a NATS server in this process for the agents of other hosts. It keeps
// nothing, and the journal's server is another one: an agent has no way to it.
type Server struct {
	server *natsserver.Server
	conn   *nats.Conn
}

// Listen starts the server.
func Listen(cfg ServerConfig) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	host, port, err := cfg.address()
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = natsserver.RANDOM_PORT
	}
	own := make([]byte, 16)
	_, _ = rand.Read(own) // it never fails
	password := hex.EncodeToString(own)
	allowed := &natsserver.SubjectPermission{Allow: append(Subjects(), "_INBOX.>")}
	options := &natsserver.Options{
		ServerName: "loadstar-fleet", Host: host, Port: port, NoSigs: true, NoSystemAccount: true,
		MaxConn: maxAgents, TLSConfig: cfg.TLS, TLS: cfg.TLS != nil, TLSTimeout: 5,
		Users: []*natsserver.User{
			{Username: agentUser, Password: cfg.Token, Permissions: &natsserver.Permissions{Publish: allowed, Subscribe: allowed}},
			{Username: "loadstar-daemon", Password: password},
		},
	}
	ns, err := natsserver.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("nats_listen: %w", err)
	}
	log := &serverLog{log: cfg.Logger}
	if log.log == nil {
		log.log = slog.New(slog.DiscardHandler)
	}
	ns.SetLoggerV2(log, false, false, false)
	// The server would try for as long as it is waited for: better to find out before.
	probe, err := net.Listen("tcp", cfg.Listen) //nolint:noctx // it does not wait
	if err != nil {
		return nil, fmt.Errorf("nats_listen: %w", err)
	}
	_ = probe.Close()
	ns.Start()
	s := &Server{server: ns}
	if !ns.ReadyForConnections(startTimeout) {
		s.Close()
		return nil, errors.New("nats_listen: the server did not start; log level debug says why")
	}
	s.conn, err = nats.Connect("", nats.InProcessServer(ns), nats.UserInfo("loadstar-daemon", password), nats.Name("loadstar daemon"), nats.NoReconnect())
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("nats_listen: %w", err)
	}
	return s, nil
}

const (
	maxAgents    = 10_000
	startTimeout = 30 * time.Second
)

// Conn is the daemon's own connection.
func (s *Server) Conn() *nats.Conn { return s.conn }

// URL is where agents connect.
func (s *Server) URL() string { return s.server.ClientURL() }

// Close ends the server.
func (s *Server) Close() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

// DialConfig says how to reach NATS.
type DialConfig struct {
	// URL of the server, or of several with commas between.
	URL string
	// Token of a daemon's own server. Default: none, what stands in the URL counts.
	Token string
	// Creds is a NATS credentials file. Default: none.
	Creds string
	// Name of the connection.
	Name string
	// Logger is told of a connection that was lost, and of its coming back.
	Logger *slog.Logger
}

// DialUntil is Dial for a server that may not be there yet: it tries until ctx ends
// or the server refuses the credentials.
func DialUntil(ctx context.Context, cfg DialConfig) (*nats.Conn, error) {
	for said := false; ; said = true {
		conn, err := Dial(cfg)
		if err == nil {
			return conn, nil
		}
		if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, nats.ErrTimeout) {
			return nil, err
		}
		if !said {
			cfg.Logger.Warn("nobody answers yet; trying on", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(time.Second):
		}
	}
}

// Dial connects, and keeps the connection up from then on.
func Dial(cfg DialConfig) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(cfg.Name), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second), nats.NoCallbacksAfterClientClose(), nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			cfg.Logger.Warn("the connection to NATS is lost; it is tried again", "err", err)
		}),
		nats.ReconnectHandler(func(c *nats.Conn) { cfg.Logger.Info("connected to NATS again", "url", c.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { cfg.Logger.Warn("NATS", "err", err) }),
	}
	if cfg.Token != "" {
		options = append(options, nats.UserInfo(agentUser, cfg.Token))
	}
	if cfg.Creds != "" {
		options = append(options, nats.UserCredentials(cfg.Creds))
	}
	conn, err := nats.Connect(cfg.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return conn, nil
}

// serverLog passes nats-server's log on at debug, its errors at warn.
type serverLog struct{ log *slog.Logger }

// Noticef and the others implement nats-server's Logger.
func (s *serverLog) Noticef(format string, v ...any) { s.log.Debug(say(format, v)) }
func (s *serverLog) Warnf(format string, v ...any)   { s.log.Debug(say(format, v)) }
func (s *serverLog) Debugf(format string, v ...any)  { s.log.Debug(say(format, v)) }
func (s *serverLog) Tracef(format string, v ...any)  { s.log.Debug(say(format, v)) }
func (s *serverLog) Errorf(format string, v ...any)  { s.log.Warn(say(format, v)) }
func (s *serverLog) Fatalf(format string, v ...any)  { s.log.Error(say(format, v)) }

func say(format string, v []any) string {
	return "nats-server: " + strings.TrimSpace(fmt.Sprintf(format, v...))
}
