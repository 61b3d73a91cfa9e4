package models

import (
	"errors"
	"fmt"
	"strings"
)

// What a caller must tell apart; every error that crosses the API wraps one.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")    // the same id with another body, or a state that does not allow the call
	ErrInvalid     = errors.New("invalid")     // bad input; usually a *FieldError
	ErrUnavailable = errors.New("unavailable") // not now: disk full, draining, no leader
	ErrDeposed     = errors.New("another daemon leads")
)

// FieldError is bad input: which field, what is wrong with it, and where it stood.
// It wraps ErrInvalid.
type FieldError struct {
	Source  string // the file's name, "-" for standard input, empty for a request's body
	Line    int    // 1-based line of the document in Source, 0 where unknown
	TaskID  string // the task's id where it has one
	Field   string // the JSON name of the field, dotted where nested
	Problem string // what is wrong, without the field's name
}

func (e *FieldError) Error() string {
	var b strings.Builder
	switch {
	case e.Source != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", e.Source, e.Line)
	case e.Source != "":
		b.WriteString(e.Source + ": ")
	case e.Line > 1:
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.TaskID != "" {
		fmt.Fprintf(&b, "task %s: ", e.TaskID)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

// Unwrap makes errors.Is(err, ErrInvalid) hold.
func (e *FieldError) Unwrap() error { return ErrInvalid }

// Invalid is a *FieldError for one field.
func Invalid(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
