// Package api serves the daemon over HTTP: REST under /v1, an event stream,
// /healthz, /readyz, /metrics and /openapi.json. It decides nothing: it reads a
// request, asks the part that is behind the interface, and writes the answer.
//
// It imports models and its own wire and socket packages; what it serves comes
// in through the interfaces Tasks, Logs, Metrics and Forecasts.
//
// A request passes these, outermost first:
//
//	record    the status and the duration, for the log and the metrics
//	recover   a panic becomes a 500 problem
//	deadlines every read and write is given a moment, never the whole call
//	token     over TCP; the unix socket is guarded by its mode
//	ready     503 until the journal has been replayed
//	mux       404 and 405 as problems
//	huma      parameters are read and checked, the handler called
//
// Errors are RFC 9457 problem documents: 422 for bad input of any kind (bad JSON
// too), 404, 409, 413, 401, 503 with Retry-After, 500.
//
// Nothing waits for a slow client: events are dropped for it, and a write that
// does not get on within Config.WriteTimeout ends its connection.
package api
