package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"loadstar/models"
	"loadstar/scheduler/client"
)

// Exit codes, a part of the contract.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNoDaemon   = 3
	exitNotFound   = 4
	exitTaskFailed = 5
)

// usageError is a command line that makes no sense.
type usageError struct {
	err  error
	hint string // the command whose --help would have told
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

// taskFailedError says that everything went well but the task itself.
type taskFailedError struct{ text string }

func (e *taskFailedError) Error() string { return e.text }

// exitCode is the contract's code for an error.
func exitCode(err error) int {
	var bad *usageError
	var failed *taskFailedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &failed):
		return exitTaskFailed
	case errors.As(err, &bad):
		return exitUsage
	case errors.Is(err, client.ErrNoDaemon):
		return exitNoDaemon
	case errors.Is(err, models.ErrNotFound):
		return exitNotFound
	case errors.Is(err, models.ErrInvalid):
		return exitUsage
	}
	return exitFailed
}

// line is the error as one line for a person.
func line(err error) string {
	var bad *usageError
	text := err.Error()
	if errors.Is(err, context.Canceled) {
		text = "interrupted"
	}
	if errors.As(err, &bad) && bad.hint != "" {
		text += "; see `" + bad.hint + " --help`"
	}
	return clean(strings.TrimSpace(text))
}

// args wraps a check of cobra's so that its error counts as bad usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return &usageError{err: err, hint: cmd.CommandPath()}
		}
		return nil
	}
}
