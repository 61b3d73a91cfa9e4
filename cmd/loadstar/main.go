// Command loadstar is the whole of Loadstar: daemon, command line and screen.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"loadstar/cmd/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
