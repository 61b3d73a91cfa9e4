package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"loadstar/scheduler/api/socket"
)

// ListenUnix serves on a unix socket with mode 0600. A socket that nobody answers
// on is replaced; a live one is refused (socket.ErrInUse).
func ListenUnix(path string) (net.Listener, error) { return socket.Listen(path) }

// stopGrace is how long calls under way may take once the daemon stops.
const stopGrace = 10 * time.Second

// stoppingKey finds, in a request's context, the context whose end means that the
// daemon is stopping.
type stoppingKey struct{}

// untilStopping is the request's context that ends as soon as the daemon begins to
// stop: for calls that would last. The others are let finish.
func untilStopping(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stopping, ok := ctx.Value(stoppingKey{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	stop := context.AfterFunc(stopping, cancel)
	return ctx, func() { stop(); cancel() }
}

// Serve answers on l until ctx ends, then stops: streams and waits end at once,
// other calls may take ten seconds more. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	calls, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.WithValue(calls, stoppingKey{}, ctx) },
		// Failed handshakes and the like: a client's affair. Ours are logged by the handler.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(calls, stopGrace)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		abort()
		err = server.Close()
	}
	if ended := <-failed; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("stop serving on %s: %w", l.Addr(), err)
	}
	return nil
}
