package api

import (
	"net/http"
	"sync/atomic"

	"loadstar/scheduler/api/wire"
)

// Standby answers for a daemon that does not lead: 503 with who does, in one line.
// It is alive, so /healthz is 200.
type Standby struct{ leader atomic.Pointer[string] }

// SetLeader tells it who leads; empty is nobody known.
func (s *Standby) SetLeader(name string) { s.leader.Store(&name) }

// ServeHTTP answers.
func (s *Standby) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("standing by\n"))
		return
	}
	detail := "this daemon is not the leader, and who is is not known yet"
	if name := s.leader.Load(); name != nil && *name != "" {
		detail = "this daemon is not the leader, " + *name + " is"
	}
	w.Header().Set("Retry-After", "5")
	writeProblem(w, wire.New(http.StatusServiceUnavailable, detail))
}
