// Package client speaks to a Loadstar daemon: over the unix socket in its state
// folder, or over a URL with a token. Its methods take and return the words of
// package models and are named as those of scheduler.Service.
//
// An error keeps the daemon's one line and its meaning: errors.Is holds for
// models.ErrNotFound, ErrConflict, ErrInvalid and ErrUnavailable, errors.As for
// *models.FieldError; ErrNoDaemon says that nobody answered at all.
//
// It imports models and scheduler/api/{wire,socket}; it owns no goroutine but
// the one behind Events, which ends with its context.
package client
