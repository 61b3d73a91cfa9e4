package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"loadstar/scheduler/api/wire"
)

// wrap is the way of a request up to the mux, as drawn in the package comment.
func (a *API) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(inner http.ResponseWriter, r *http.Request) {
		w := &writer{ResponseWriter: inner, control: http.NewResponseController(inner), timeout: a.cfg.WriteTimeout}
		started := time.Now()
		defer func() { //nolint:contextcheck // the request holds it
			took := time.Since(started)
			a.count.add(r.Method, w.status)
			a.cfg.Logger.DebugContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", w.status, "took", took)
		}()
		defer w.finish()
		defer a.recoverPanic(w, r)
		w.extend()
		if r.Body != nil && r.Body != http.NoBody {
			_ = w.control.SetReadDeadline(started.Add(a.cfg.ReadTimeout)) // see extend
			r.Body = &body{ReadCloser: r.Body, control: w.control, timeout: a.cfg.ReadTimeout}
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if p := a.refusal(r); p != nil {
			writeProblem(w, p)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// recoverPanic makes a panic a 500 problem, where the answer has not begun, and
// breaks the connection otherwise: a cut answer must not look whole.
func (a *API) recoverPanic(w *writer, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	a.cfg.Logger.ErrorContext(r.Context(), "a request made the daemon stumble", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if w.sent {
		panic(http.ErrAbortHandler)
	}
	w.status = 0
	writeProblem(w, wire.New(http.StatusInternalServerError, "the daemon stumbled over this request; its log says where"))
}

// refusal is why a request goes no further: no token, or too early.
func (a *API) refusal(r *http.Request) *wire.Problem {
	path := r.URL.Path
	if path == "/healthz" || path == "/readyz" {
		return nil
	}
	if !overUnix(r.Context()) && !a.authorized(r) {
		detail := "a token is needed: Authorization: Bearer TOKEN"
		if a.cfg.Token == "" {
			detail = "this daemon has no token set, and serves nothing over TCP without one"
		}
		return wire.New(http.StatusUnauthorized, detail)
	}
	if strings.HasPrefix(path, "/v1/") && path != "/v1/info" && !a.cfg.Ready() {
		return starting()
	}
	return nil
}

func overUnix(ctx context.Context) bool {
	addr, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	return ok && addr.Network() == "unix"
}

// authorized compares digests, so that neither the token's bytes nor its length
// show in the time that it takes.
func (a *API) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(a.cfg.Token)), sha256.Sum256([]byte(strings.TrimSpace(token)))
	same := subtle.ConstantTimeCompare(want[:], got[:]) == 1
	return same && a.cfg.Token != "" && strings.EqualFold(scheme, "Bearer")
}

// route is the mux, with problems in place of its plain texts.
func (a *API) route(w http.ResponseWriter, r *http.Request) {
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.mux.ServeHTTP(w, r) // not h: the mux fills in the path's values
		return
	}
	told := &note{header: http.Header{}}
	h.ServeHTTP(told, r)
	if told.status == http.StatusMethodNotAllowed {
		allow := told.header.Get("Allow")
		w.Header().Set("Allow", allow)
		writeProblem(w, wire.New(told.status, fmt.Sprintf("%s is not possible here, %s is", wire.OneLine(r.Method), allow)))
		return
	}
	writeProblem(w, wire.New(http.StatusNotFound, fmt.Sprintf("there is nothing at %q; /openapi.json lists what there is", r.URL.Path)))
}

// note takes down what a handler answers, without its text.
type note struct {
	header http.Header
	status int
}

func (n *note) Header() http.Header         { return n.header }
func (n *note) WriteHeader(status int)      { n.status = status }
func (n *note) Write(p []byte) (int, error) { return len(p), nil }

func writeProblem(w http.ResponseWriter, p *wire.Problem) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", wire.ContentType)
	w.WriteHeader(p.Status)
	data, err := marshal(p)
	if err != nil { // a value that was echoed: tell the rest
		p.Errors = nil
		data, _ = marshal(p)
	}
	_, _ = w.Write(data) // the client has gone; nobody is left to tell
}

// writer holds the status back until the first byte, so that it can still become
// a problem, and gives every write its own deadline.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	status  int
	sent    bool
}

// Unwrap lets http.ResponseController find the connection.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
}

func (w *writer) Write(p []byte) (int, error) {
	w.send()
	w.extend()
	return w.ResponseWriter.Write(p)
}

// FlushError sends what was written so far.
func (w *writer) FlushError() error {
	w.send()
	w.extend()
	return w.control.Flush()
}

func (w *writer) finish() {
	w.send()
	w.extend()
}

func (w *writer) send() {
	if w.sent {
		return
	}
	w.sent = true
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.ResponseWriter.WriteHeader(w.status)
}

// extend gives the next write its time. A connection that knows no deadlines (a
// test's recorder) has no slow client either.
func (w *writer) extend() { _ = w.control.SetWriteDeadline(time.Now().Add(w.timeout)) }

// body gives every read its own deadline, and takes it away at the end: a
// deadline left behind would end a long call from under it. One that is not read
// to its end keeps the deadline, for when net/http drains it.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.timeout)) // see extend
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF { //nolint:errorlint // io.EOF comes bare from a Reader
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
