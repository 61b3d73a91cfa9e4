package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"loadstar/scheduler/api"
)

func TestAFollowerSaysWhoLeads(t *testing.T) {
	var s api.Standby
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		return w.Code, w.Body.String()
	}
	if code, text := get("/v1/tasks"); code != 503 || !strings.Contains(text, "not known yet") {
		t.Errorf("%d %s", code, text)
	}
	s.SetLeader("alpha")
	if code, text := get("/readyz"); code != 503 || !strings.Contains(text, "this daemon is not the leader, alpha is") {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := get("/healthz"); code != 200 {
		t.Errorf("healthz: %d", code)
	}
}
