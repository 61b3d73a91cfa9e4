package app

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"

	"loadstar/scheduler/api/keda"
)

// kedaServer is the external scaler with its listener.
type kedaServer struct {
	*keda.Server
	listener net.Listener
}

// Run serves until ctx ends.
func (k *kedaServer) Run(ctx context.Context) error { return k.Serve(ctx, k.listener) }

// openKEDA is nil where the configuration asks for none.
func (d *Daemon) openKEDA(ctx context.Context) (*kedaServer, error) {
	if d.cfg.KEDAListen == "" {
		return nil, nil //nolint:nilnil // off is not an error
	}
	cfg := keda.Config{Pools: d.scheduler.Pools, Logger: d.log}
	certificate, err := serverTLS(d.cfg)
	if err != nil {
		return nil, err
	}
	if certificate != nil {
		cfg.TLS = credentials.NewTLS(certificate)
	}
	server, err := keda.New(cfg)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", d.cfg.KEDAListen)
	if err != nil {
		return nil, fmt.Errorf("keda_listen: %w", err)
	}
	return &kedaServer{Server: server, listener: l}, nil
}
