package keda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"loadstar/models"
	"loadstar/scheduler/api/keda/externalscaler"
)

// Config configures a Server.
type Config struct {
	// Pools is every pool as it stands; needed.
	Pools func(ctx context.Context) ([]models.PoolStatus, error)
	// TLS secures the connections. Default: none.
	TLS credentials.TransportCredentials
	// Look is how often a stream looks whether something has changed. Default: 1s.
	Look time.Duration
	// Logger takes what KEDA asked for in vain. Default: none.
	Logger *slog.Logger
}

// Validate checks the configuration; the error is a *models.FieldError.
func (c *Config) Validate() error {
	switch {
	case c.Pools == nil:
		return models.Invalid("pools", "there is no way to find them")
	case c.Look < 0:
		return models.Invalid("look", "%s is negative", c.Look)
	}
	return nil
}

// Server is the external scaler.
type Server struct {
	externalscaler.UnimplementedExternalScalerServer

	cfg Config
}

// New makes a Server; the error is a *models.FieldError.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Look == 0 {
		cfg.Look = time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg}, nil
}

// Serve answers on l until ctx ends, and closes it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(1 << 20),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
	}
	if s.cfg.TLS != nil {
		options = append(options, grpc.Creds(s.cfg.TLS))
	}
	server := grpc.NewServer(options...)
	externalscaler.RegisterExternalScalerServer(server, s)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve keda on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	server.Stop() // its streams never end by themselves
	if err := <-failed; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("stop serving keda: %w", err)
	}
	return nil
}

const metadataPool = "pool"

// pool is the one that a ScaledObject names.
func (s *Server) pool(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*models.PoolStatus, error) {
	object := ref.GetNamespace() + "/" + ref.GetName()
	name := ref.GetScalerMetadata()[metadataPool]
	if name == "" {
		return nil, s.refused(object, codes.InvalidArgument, fmt.Sprintf("the metadata of %s names no %q", object, metadataPool))
	}
	pools, err := s.cfg.Pools(ctx)
	if err != nil {
		return nil, s.refused(object, codes.Unavailable, "the pools are not known now: "+err.Error())
	}
	var names []string
	for i := range pools {
		if pools[i].Name == name {
			return &pools[i], nil
		}
		names = append(names, pools[i].Name)
	}
	return nil, s.refused(object, codes.NotFound, fmt.Sprintf("%s asks for pool %q; there are %s", object, name, strings.Join(names, ", ")))
}

func (s *Server) refused(object string, code codes.Code, why string) error {
	s.cfg.Logger.Warn("keda was refused", "object", object, "why", why)
	return status.Error(code, why)
}

// active reports whether a pool has or wants workers. One that scales to zero has
// nothing queued, nobody busy and none wanted.
func active(p *models.PoolStatus) bool { return wanted(p) > 0 || p.Queued > 0 || p.Busy > 0 }

// wanted is how many workers the pool's last decision asked for, acted on or not: a
// pool that only recommends is what a deployment elsewhere follows.
func wanted(p *models.PoolStatus) int {
	if p.Decision != nil {
		return p.Decision.Want
	}
	return p.Wanted
}

func metricName(pool string) string { return "loadstar-workers-" + pool }

// IsActive says whether the pool needs any worker.
func (s *Server) IsActive(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	p, err := s.pool(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &externalscaler.IsActiveResponse{Result: active(p)}, nil
}

// StreamIsActive says so at once and whenever it changes.
func (s *Server) StreamIsActive(ref *externalscaler.ScaledObjectRef, stream grpc.ServerStreamingServer[externalscaler.IsActiveResponse]) error {
	last, first := false, true
	return s.follow(stream.Context(), ref, func(p *models.PoolStatus) error {
		if now := active(p); first || now != last {
			first, last = false, now
			return stream.Send(&externalscaler.IsActiveResponse{Result: now})
		}
		return nil
	})
}

// GetMetricSpec asks for one replica a wanted worker.
func (s *Server) GetMetricSpec(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	p, err := s.pool(ctx, ref)
	if err != nil {
		return nil, err
	}
	return spec(p.Name), nil
}

func spec(pool string) *externalscaler.GetMetricSpecResponse {
	return &externalscaler.GetMetricSpecResponse{MetricSpecs: []*externalscaler.MetricSpec{{MetricName: metricName(pool), TargetSizeFloat: 1}}}
}

// StreamMetricSpec says the spec once: it never changes.
func (s *Server) StreamMetricSpec(ref *externalscaler.ScaledObjectRef, stream grpc.ServerStreamingServer[externalscaler.GetMetricSpecResponse]) error {
	p, err := s.pool(stream.Context(), ref)
	if err != nil {
		return err
	}
	if err := stream.Send(spec(p.Name)); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// GetMetrics is the number of workers that the pool's last decision asked for.
func (s *Server) GetMetrics(ctx context.Context, r *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	p, err := s.pool(ctx, r.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	name := metricName(p.Name)
	if asked := r.GetMetricName(); asked != "" && !strings.HasSuffix(asked, name) { // KEDA puts s0- before it
		return nil, s.refused(r.GetScaledObjectRef().GetName(), codes.NotFound, fmt.Sprintf("there is no metric %q, but %s", asked, name))
	}
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{{
		MetricName: name, MetricValueFloat: float64(wanted(p)),
	}}}, nil
}

// follow looks at a pool now and again until the client is gone.
func (s *Server) follow(ctx context.Context, ref *externalscaler.ScaledObjectRef, look func(*models.PoolStatus) error) error {
	tick := time.NewTicker(s.cfg.Look)
	defer tick.Stop()
	for {
		p, err := s.pool(ctx, ref)
		if err != nil {
			return err
		}
		if err := look(p); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
