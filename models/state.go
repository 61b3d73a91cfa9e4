package models

import (
	"errors"
	"fmt"
	"strings"
)

// State is where a task stands. The six values are written exactly so in JSON,
// in CSV and on screen.
type State string

// The states of a task; see the package comment for how they follow each other.
const (
	Pending   State = "PENDING"
	Assigned  State = "ASSIGNED"
	Running   State = "RUNNING"
	Success   State = "SUCCESS"
	Failed    State = "FAILED"
	Cancelled State = "CANCELLED"
)

// States lists every state in the order in which a task passes them.
func States() []State {
	return []State{Pending, Assigned, Running, Success, Failed, Cancelled}
}

// ErrInvalidTransition says that a state may not follow another.
var ErrInvalidTransition = errors.New("invalid state transition")

// Final reports whether a task in this state does nothing more by itself.
func (s State) Final() bool { return s == Success || s == Failed || s == Cancelled }

// CanBecome reports whether next may follow s.
func (s State) CanBecome(next State) bool {
	switch s {
	case Pending:
		return next == Assigned || next == Cancelled || next == Failed
	case Assigned:
		return next == Running || next == Pending || next == Cancelled
	case Running:
		return next == Success || next == Failed || next == Pending || next == Cancelled
	case Failed, Cancelled:
		return next == Pending
	case Success:
		return false
	}
	return false
}

// CheckTransition returns an error wrapping ErrInvalidTransition where next may
// not follow s.
func CheckTransition(s, next State) error {
	if s.CanBecome(next) {
		return nil
	}
	return fmt.Errorf("%w: %s to %s", ErrInvalidTransition, s, next)
}

// ParseState reads a state's name in any case.
func ParseState(text string) (State, error) {
	for _, s := range States() {
		if strings.EqualFold(text, string(s)) {
			return s, nil
		}
	}
	return "", fmt.Errorf("state: %q is not one of PENDING, ASSIGNED, RUNNING, SUCCESS, FAILED, CANCELLED", text)
}

// Reason says why a task is PENDING.
type Reason string

// The reasons a task may wait for.
const (
	ReasonNone      Reason = ""
	ReasonQueued    Reason = "queued"    // ready; waits for a free worker
	ReasonBlocked   Reason = "blocked"   // waits for its dependencies
	ReasonScheduled Reason = "scheduled" // waits for not_before
	ReasonBackoff   Reason = "backoff"   // waits before the next attempt
	ReasonNoAgent   Reason = "no_agent"  // nobody has what it asks for
)
