package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"

	"loadstar/cmd/internal/config"
	"loadstar/models"
	"loadstar/scheduler/api"
	"loadstar/scheduler/journal"
)

// elected runs serve whenever this daemon leads those on its cluster, and stands by
// meanwhile: the API then says who leads. It ends when ctx does, or serve for
// another reason than having been deposed, which lost tells it.
func elected(ctx context.Context, cfg config.Config, log *slog.Logger, serve func(ctx context.Context, lost <-chan error) error) error {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return err
	}
	standby := &api.Standby{}
	name := cfg.AgentID
	if cfg.Listen != "" {
		name += " (" + cfg.Listen + ")"
	}
	e, err := journal.NewElection(ctx, journal.ElectionConfig{
		URL: cfg.NATS, Creds: cfg.NATSCreds, Name: name, TTL: cfg.LeaderLease.Std(), Standby: standby.SetLeader, Logger: log,
	})
	if err != nil {
		return err
	}
	defer e.Close()
	for {
		if err := standBy(ctx, cfg, standby, e.Lead); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		err := hold(ctx, e, serve)
		resign, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.LeaderLease.Std()/3)
		e.Resign(resign)
		cancel()
		if ctx.Err() != nil || !errors.Is(err, models.ErrDeposed) {
			return err
		}
		log.Warn("this daemon does not lead any more", "why", err)
	}
}

// hold serves while the lease is renewed.
func hold(ctx context.Context, e *journal.Election, serve func(ctx context.Context, lost <-chan error) error) error {
	holding, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the drain is over
	lost := make(chan error, 1)
	var held sync.WaitGroup
	held.Go(func() {
		if err := e.Hold(holding); holding.Err() == nil {
			lost <- err
		}
	})
	err := serve(ctx, lost)
	stop()
	held.Wait()
	return err
}

// standBy serves the API of a follower until wait returns.
func standBy(ctx context.Context, cfg config.Config, s *api.Standby, wait func(context.Context) error) error {
	unix, err := api.ListenUnix(cfg.SocketPath()) //nolint:contextcheck // its probe has a limit of its own
	if err != nil {
		return err
	}
	listeners := []net.Listener{unix}
	if cfg.Listen != "" {
		tcp, err := listenTCP(ctx, cfg)
		if err != nil {
			return errors.Join(err, unix.Close())
		}
		listeners = append(listeners, tcp)
	}
	serving, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, l := range listeners {
		running.Go(func() { _ = api.Serve(serving, l, s) }) // it ends with what it was asked to
	}
	err = wait(ctx)
	stop()
	running.Wait()
	return err
}
