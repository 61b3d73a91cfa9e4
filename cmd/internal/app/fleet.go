package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"loadstar/cmd/internal/config"
	"loadstar/scheduler"
	"loadstar/scheduler/agent/remote"
	"loadstar/scheduler/worker"
)

// fleet is what agents of other hosts join by.
type fleet struct {
	server *remote.Server // nil with a cluster
	conn   *nats.Conn
	hub    *remote.Hub
}

// openFleet is the cluster that the configuration names, or a server of our own;
// nil where it names neither.
func openFleet(cfg config.Config, s *scheduler.Service, logs *worker.LogStore, log *slog.Logger) (f *fleet, err error) {
	f = &fleet{}
	defer func() {
		if err != nil {
			_ = f.close()
			f = nil
		}
	}()
	switch {
	case cfg.NATSListen != "":
		certificate, err := serverTLS(cfg)
		if err != nil {
			return f, err
		}
		if f.server, err = remote.Listen(remote.ServerConfig{Listen: cfg.NATSListen, Token: cfg.NATSToken, TLS: certificate, Logger: log}); err != nil {
			return f, err
		}
		f.conn = f.server.Conn()
		log.Info("agents may join", "nats", f.server.URL())
	case cfg.NATS != "":
		if f.conn, err = remote.Dial(remote.DialConfig{URL: cfg.NATS, Creds: cfg.NATSCreds, Name: "loadstar fleet", Logger: log}); err != nil {
			return f, err
		}
	default:
		return nil, nil //nolint:nilnil // off is not an error
	}
	f.hub, err = remote.NewHub(remote.HubConfig{Conn: f.conn, Scheduler: s, Logs: logs, Logger: log})
	return f, err
}

func (f *fleet) close() error {
	if f.server != nil {
		f.server.Close()
		return nil
	}
	if f.conn != nil {
		f.conn.Close()
	}
	return nil
}

// serverTLS is the certificate that the configuration names for its listeners, nil
// where it names none.
func serverTLS(cfg config.Config) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil //nolint:nilnil // plain TCP is not an error
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}
