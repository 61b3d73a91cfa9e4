// Package wire holds what the API and its client both say over HTTP and nobody
// else needs: the problem document (RFC 9457) with its mapping to and from the
// errors of package models, and the bodies of the calls that take or give more
// than a model.
//
// It imports models and the standard library only, so that a client need not
// carry the server.
package wire
