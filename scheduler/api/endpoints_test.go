package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/scheduler/api"
	"loadstar/scheduler/api/wire"
)

// ask calls the handler as if over TCP, with the token.
func ask(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer secret")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func problemOf(t *testing.T, w *httptest.ResponseRecorder) wire.Problem {
	t.Helper()
	var p wire.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("no problem document: %v: %q", err, w.Body)
	}
	if kind := w.Header().Get("Content-Type"); kind != wire.ContentType {
		t.Errorf("content type %q", kind)
	}
	if p.Status != w.Code || p.Title == "" || p.Detail == "" || strings.ContainsAny(p.Detail, "\n\r") {
		t.Errorf("status %d, problem %+v", w.Code, p)
	}
	return p
}

func TestEveryEndpointAnswersAGoodRequest(t *testing.T) {
	f := newFake()
	f.forecasts, f.history, f.trainSteps = someForecasts(), someRows(), 1
	f.log("a", 1, "hello\n", false)
	h := f.handler(t)
	for _, c := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"POST", "/v1/tasks", `{"task_id":"b","run":["x"]}`, 201, `{"task_id":"b",`},
		{"POST", "/v1/tasks", `[{"task_id":"b","run":["x"]}]`, 201, `[{"task_id":"b",`},
		{"POST", "/v1/tasks", `{"run":["x"]}` + "\n" + `{"run":["y"]}`, 201, `[{"task_id":"made-0",`},
		{"POST", "/v1/tasks", `[]`, 201, "[]"},
		{"GET", "/v1/tasks", "", 200, `{"tasks":[`},
		{"GET", "/v1/tasks/a", "", 200, `"state":"SUCCESS"`},
		{"GET", "/v1/tasks/a/explain", "", 200, `"text":"it is done"`},
		{"GET", "/v1/tasks/a/logs", "", 200, "hello\n"},
		{"GET", "/v1/tasks/a/logs?attempt=1", "", 200, "hello\n"},
		{"GET", "/v1/tasks/a/logs?follow=true", "", 200, "hello\n"},
		{"GET", "/v1/tasks/a/wait", "", 200, `"task_id":"a"`},
		{"POST", "/v1/tasks/wait", `{"ids":["a"]}`, 200, `{"tasks":[{"task_id":"a"`},
		{"POST", "/v1/tasks/a/cancel", "", 200, `"task_id":"a"`},
		{"POST", "/v1/tasks/a/retry", `{"with_dependents":true}`, 200, `"task_id":"a"`},
		{"POST", "/v1/tasks/a/retry", "", 200, `"task_id":"a"`},
		{"POST", "/v1/tasks/a/priority", `{"priority":"high"}`, 200, `"task_id":"a"`},
		{"POST", "/v1/tasks/cancel", `{"ids":["a"]}`, 200, `{"changed":["a"]}`},
		{"POST", "/v1/tasks/retry", `{"filter":{"states":["FAILED"]}}`, 200, `{"changed":[]}`},
		{"POST", "/v1/tasks/priority", `{"ids":["a"],"priority":7}`, 200, `{"changed":["a"]}`},
		{"GET", "/v1/pools", "", 200, `[{"name":"gpu"`},
		{"PATCH", "/v1/pools/gpu", `{"min":1,"paused":true}`, 200, `"paused":true`},
		{"GET", "/v1/pools/gpu/decisions?limit=3&at=1764000000", "", 200, `"reason":"the forecast says so"`},
		{"GET", "/v1/agents", "", 200, `"id":"local"`},
		{"GET", "/v1/queues", "", 200, `"bands":[{"name":"critical","from":80,"to":100,"queued":2`},
		{"GET", "/v1/stats", "", 200, `"submit_to_start_ms":{"p50":4`},
		{"GET", "/v1/host", "", 200, `"hostname":"box"`},
		{"GET", "/v1/info", "", 200, `"pid":7`},
		{"GET", "/v1/series", "", 200, `"name":"host.cpu"`},
		{"GET", "/v1/series/host.cpu/samples", "", 200, `"step_s":1,`},
		{"GET", "/v1/series/host.cpu/samples?step_s=10&from=2026-11-24T08:00:00Z&to=2026-11-24T09:00:00Z", "", 200, `"step_s":10,`},
		{"POST", "/v1/series/mine/samples", `{"step_s":60,"points":[{"at":"2026-11-24T08:00:00Z","value":1}]}`, 200, `{"imported":1}`},
		{"GET", "/v1/forecasts", "", 200, `"champion":"lstm"`},
		{"GET", "/v1/forecasts?format=csv", "", 200, "host.cpu,lstm,1\nhost.cpu,lstm,2\n"},
		{"GET", "/v1/forecasts/history", "", 200, `"abs_error":1.25`},
		{"GET", "/v1/forecasts/history?format=csv&model=lstm&horizon=2&limit=5", "", 200, "host.cpu,lstm,2\nhost.cpu,lstm,2\n"},
		{"POST", "/v1/train", `{"series":"host.cpu"}`, 200, `{"end":true}`},
		{"POST", "/v1/train", "", 200, `{"end":true}`},
		{"GET", "/healthz", "", 200, "ok"},
		{"GET", "/readyz", "", 200, "ready"},
		{"GET", "/metrics", "", 200, `loadstar_pool_workers{pool="gpu",state="wanted"} 3`},
		{"GET", "/openapi.json", "", 200, `"openapi":"3.1.0"`},
	} {
		w := ask(h, c.method, c.target, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %.400s\nwant %d …%s…", c.method, c.target, w.Code, w.Body, c.status, c.want)
		}
	}
}

func TestBadRequestsAreRefusedNamingTheField(t *testing.T) {
	h := newFake().handler(t)
	for _, c := range []struct {
		method, target, body string
		status               int
		location, detail     string
	}{
		{"POST", "/v1/tasks", "", 422, "body", "no task document in it"},
		{"POST", "/v1/tasks", "{\n", 422, "body", "not valid JSON"},
		{"POST", "/v1/tasks", `{"runn":["x"]}`, 422, "body.runn", "runn: unknown field"},
		{"POST", "/v1/tasks", `{"task_id":"b","priority":"urgent"}`, 422, "body.priority", `task b: priority: "urgent" is not`},
		{"POST", "/v1/tasks", "{\"run\":[\"x\"]}\n{\"run\":3}", 422, "body.run", "line 2: run: a JSON number does not fit here"},
		{"GET", "/v1/tasks?stat=FAILED", "", 422, "query.stat", "stat: unknown query parameter"},
		{"GET", "/v1/tasks?state=BROKEN", "", 422, "query.state", `state: "BROKEN" is not one of`},
		{"GET", "/v1/tasks?limit=many", "", 422, "query.limit", "limit: invalid integer"},
		{"GET", "/v1/tasks?limit=-1", "", 422, "query.limit", "limit: "},
		{"GET", "/v1/tasks?limit=99999999999999999999", "", 422, "query.limit", "limit: "},
		{"GET", "/v1/tasks?label=team", "", 422, "query.label", `label: "team" is not key=value`},
		{"GET", "/v1/tasks?label=a=1&label=a=2", "", 422, "query.label", "both"},
		{"GET", "/v1/tasks?pool=a/b", "", 422, "query.pool", "pool: "},
		{"GET", "/v1/tasks?oldest=perhaps", "", 422, "query.oldest", "oldest: "},
		{"GET", "/v1/tasks/nope", "", 404, "", `task "nope": not found`},
		{"GET", "/v1/tasks/nope/explain", "", 404, "", "not found"},
		{"GET", "/v1/tasks/nope/logs", "", 404, "", "not found"},
		{"GET", "/v1/tasks/nope/wait", "", 404, "", "not found"},
		{"GET", "/v1/tasks/a/logs?attempt=9", "", 404, "", "task a has no attempt 9, its last is 1"},
		{"GET", "/v1/tasks/a/logs?attempt=-1", "", 422, "query.attempt", "attempt: "},
		{"GET", "/v1/tasks/a/logs", "", 404, "", "of which no output is kept"},
		{"POST", "/v1/tasks/nope/cancel", "", 404, "", "not found"},
		{"POST", "/v1/tasks/a/cancel", `{"why":"x"}`, 422, "body.why", "why: unknown field"},
		{"POST", "/v1/tasks/a/priority", "", 422, "body.priority", "priority: it is missing"},
		{"POST", "/v1/tasks/a/priority", `{"priority":101}`, 422, "body.priority", `priority: "101" is not`},
		{"POST", "/v1/tasks/a/retry", `{"with_dependents":"yes"}`, 422, "body.with_dependents", "with_dependents: a JSON string does not fit here"},
		{"POST", "/v1/tasks/cancel", `{}`, 422, "body.ids", "neither ids nor a filter is given"},
		{"POST", "/v1/tasks/cancel", `[]`, 422, "body", "the body must be a JSON object"},
		{"POST", "/v1/tasks/cancel", `{"ids":["a"],"filter":{}}`, 422, "body.filter", "ids are given too"},
		{"POST", "/v1/tasks/cancel", `{"ids":["a",""]}`, 422, "body.ids", "one is empty"},
		{"POST", "/v1/tasks/cancel", `{"filter":{"stats":["FAILED"]}}`, 422, "body.filter", `unknown field "stats"`},
		{"POST", "/v1/tasks/cancel", `{"filter":{"states":["BROKEN"]}}`, 422, "body.state", `"BROKEN" is not one of`},
		{"POST", "/v1/tasks/priority", `{"ids":["a"]}`, 422, "body.priority", "it is missing"},
		{"POST", "/v1/tasks/wait", `{"ids":[]}`, 422, "body.ids", "none is given"},
		{"POST", "/v1/tasks/wait", `{"ids":`, 422, "body", "not valid JSON"},
		{"PATCH", "/v1/pools/nope", `{"min":1}`, 404, "", "not found"},
		{"PATCH", "/v1/pools/gpu", `{"min":9}`, 422, "body.pools.gpu.min", "pools.gpu.min: 9 is more than max 4"},
		{"PATCH", "/v1/pools/gpu", `{"minimum":9}`, 422, "body.minimum", "minimum: unknown field"},
		{"PATCH", "/v1/pools/gpu", ``, 422, "body", "nothing to change"},
		{"GET", "/v1/pools/gpu/decisions?at=yesterday", "", 422, "query.at", `at: "yesterday" is not a time`},
		{"GET", "/v1/series/nope/samples", "", 404, "", `series "nope": not found`},
		{"GET", "/v1/series/host.cpu/samples?step_s=7", "", 404, "", "it is kept at 10, 1 s"},
		{"GET", "/v1/series/host.cpu/samples?step_s=NaN", "", 422, "query.step_s", "step_s: "},
		{"GET", "/v1/series/host.cpu/samples?from=20&to=10", "", 422, "query.to", "to: it is before from"},
		{"POST", "/v1/series/x/samples", `{"points":[{"at":"2026-11-24T08:00:00Z","value":1}]}`, 422, "body.step_s", "it is missing"},
		{"POST", "/v1/series/x/samples", `{"step_s":-1,"points":[]}`, 422, "body.step_s", "is not a step"},
		{"POST", "/v1/series/x/samples", `{"step_s":1,"points":[]}`, 422, "body.points", "none is given"},
		{"POST", "/v1/series/x/samples", `{"step_s":1,"points":[{"value":1}]}`, 422, "body.points[0].at", "it is missing"},
		{"POST", "/v1/series/x/samples", `{"step_s":1,"points":[{"at":"2026-11-24T08:00:00Z","value":1},{"at":"2026-11-24T08:00:00Z","value":2}]}`, 422, "body.points[1].at", "is not after"},
		{"POST", "/v1/series/x%20y/samples", `{"step_s":1}`, 422, "path.name", "holds a space"},
		{"GET", "/v1/forecasts?series=nope", "", 404, "", "not found"},
		{"GET", "/v1/forecasts?format=xml", "", 422, "query.format", "format: "},
		{"GET", "/v1/forecasts/history?step_s=-3", "", 422, "query.step_s", "is not a step"},
		{"GET", "/v1/forecasts/history?to=%FF", "", 422, "query.to", "is not a time"},
		{"POST", "/v1/train", `{"serie":"x"}`, 422, "body.serie", "unknown field"},
		{"GET", "/v1/nothing", "", 404, "", `there is nothing at "/v1/nothing"`},
		{"GET", "/", "", 404, "", "there is nothing at"},
		{"DELETE", "/v1/tasks/a", "", 405, "", "DELETE is not possible here, GET, HEAD is"},
	} {
		w := ask(h, c.method, c.target, c.body)
		p := problemOf(t, w)
		location := ""
		if len(p.Errors) > 0 {
			location = p.Errors[0].Location
		}
		if w.Code != c.status || location != c.location || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%s %s %s:\n got %d %s %q\nwant %d %s %q", c.method, c.target, c.body, w.Code, location, p.Detail, c.status, c.location, c.detail)
		}
	}
}

func TestErrorsOfThePartsHaveTheirStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		kind   string
	}{
		{fmt.Errorf("task x: %w", models.ErrNotFound), 404, wire.TypeNotFound},
		{fmt.Errorf("task x has another body: %w", models.ErrConflict), 409, wire.TypeConflict},
		{models.CheckTransition(models.Success, models.Pending), 409, wire.TypeTransition},
		{fmt.Errorf("disk full: %w", models.ErrUnavailable), 503, wire.TypeUnavailable},
		{models.Invalid("dependencies", "a and b wait for each other"), 422, wire.TypeInvalid},
		{io.ErrUnexpectedEOF, 500, wire.TypeInternal},
	} {
		f := newFake()
		f.fail = c.err
		w := ask(f.handler(t), "POST", "/v1/tasks", `{"run":["x"]}`)
		p := problemOf(t, w)
		if w.Code != c.status || p.Type != c.kind || p.Detail != c.err.Error() {
			t.Errorf("%v: %d %+v", c.err, w.Code, p)
		}
		if (w.Header().Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%v: Retry-After %q", c.err, w.Header().Get("Retry-After"))
		}
	}
}

func TestARefusedActionOnOneTaskIsAConflict(t *testing.T) {
	f := newFake()
	f.refuse = "it is SUCCESS already"
	w := ask(f.handler(t), "POST", "/v1/tasks/a/cancel", "")
	p := problemOf(t, w)
	if w.Code != 409 || p.Type != wire.TypeTransition || p.Detail != "task a: it is SUCCESS already" {
		t.Errorf("%d %+v", w.Code, p)
	}
}

func TestABodyOverTheLimitIsRefusedAsTooLarge(t *testing.T) {
	h := newFake().handler(t, func(c *api.Config) { c.MaxBody = 100 })
	big := `{"run":["` + strings.Repeat("x", 200) + `"]}`
	if p := problemOf(t, ask(h, "POST", "/v1/tasks", big)); p.Status != 413 || !strings.Contains(p.Detail, "larger than 100") {
		t.Errorf("%+v", p)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/tasks", io.NopCloser(strings.NewReader(big))) // its length is not known ahead
	r.ContentLength = -1
	r.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if p := problemOf(t, w); p.Status != 413 {
		t.Errorf("%+v", p)
	}
}

func TestTheIdempotencyKeyIsPassedOnOrRefused(t *testing.T) {
	f := newFake()
	h := f.handler(t)
	if w := ask(h, "POST", "/v1/tasks", `{"run":["x"]}`, "Idempotency-Key", "k-1"); w.Code != 201 || f.key != "k-1" {
		t.Errorf("%d, key %q", w.Code, f.key)
	}
	for _, key := range []string{strings.Repeat("k", 201), "k\x01"} {
		if p := problemOf(t, ask(h, "POST", "/v1/tasks", `{"run":["x"]}`, "Idempotency-Key", key)); p.Status != 422 || !strings.HasPrefix(p.Errors[0].Location, "header.") {
			t.Errorf("%.10q: %+v", key, p)
		}
	}
}

func TestFilterIsReadFromTheQuery(t *testing.T) {
	f := newFake()
	w := ask(f.handler(t), "GET", "/v1/tasks?state=failed,CANCELLED&state=running&pool=gpu&label=team=a&label=x=1=2,3&text=report&limit=5&cursor=c&oldest=true", "")
	if w.Code != 200 {
		t.Fatal(w.Body)
	}
	want := models.TaskFilter{
		States: []models.State{models.Failed, models.Cancelled, models.Running}, Pool: "gpu",
		Labels: map[string]string{"team": "a", "x": "1=2,3"}, Text: "report", Limit: 5, Cursor: "c", Oldest: true,
	}
	if d := cmp.Diff(want, f.filter); d != "" {
		t.Error(d)
	}
}

func TestForecastsAreCSVWhereThatIsAccepted(t *testing.T) {
	f := newFake()
	f.history = someRows()
	h := f.handler(t)
	for accept, csv := range map[string]bool{"text/csv": true, "text/csv;q=0.9, */*": true, "application/json, text/csv": false, "*/*": false, ";;": false} {
		w := ask(h, "GET", "/v1/forecasts/history", "", "Accept", accept)
		if got := strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv"); w.Code != 200 || got != csv {
			t.Errorf("%s: %d csv %v", accept, w.Code, got)
		}
	}
}

func TestHostThatWasNotSampledYetIsUnavailable(t *testing.T) {
	f := newFake()
	f.noHost = true
	if p := problemOf(t, ask(f.handler(t), "GET", "/v1/host", "")); p.Status != 503 {
		t.Errorf("%+v", p)
	}
}

func TestNothingButHealthAndInfoAnswersBeforeTheReplayIsDone(t *testing.T) {
	f := newFake()
	f.starting = true
	h := f.handler(t)
	for target, want := range map[string]int{"/healthz": 200, "/v1/info": 200, "/metrics": 200, "/openapi.json": 200, "/readyz": 503, "/v1/tasks": 503, "/v1/events": 503} {
		w := ask(h, "GET", target, "")
		if w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
		if want == 503 {
			if p := problemOf(t, w); p.Type != wire.TypeStarting || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: %+v", target, p)
			}
		}
	}
}

func TestTheTokenIsAskedForOverTCP(t *testing.T) {
	h := newFake().handler(t)
	for _, c := range []struct {
		auth   string
		target string
		want   int
	}{
		{"Bearer secret", "/v1/stats", 200},
		{"bearer secret", "/v1/stats", 200},
		{"Bearer secre", "/v1/stats", 401},
		{"Bearer ", "/v1/stats", 401},
		{"Basic secret", "/v1/stats", 401},
		{"", "/v1/stats", 401},
		{"", "/metrics", 401},
		{"", "/openapi.json", 401},
		{"", "/nothing", 401},
		{"", "/healthz", 200},
		{"", "/readyz", 200},
	} {
		w := ask(h, "GET", c.target, "", "Authorization", c.auth)
		if w.Code != c.want {
			t.Errorf("%q %s: %d", c.auth, c.target, w.Code)
		}
		if c.want == 401 && (w.Header().Get("WWW-Authenticate") == "" || problemOf(t, w).Type != wire.TypeUnauthorized) {
			t.Errorf("%q %s: %v", c.auth, c.target, w.Header())
		}
	}
}

func TestWithoutATokenNothingIsServedOverTCP(t *testing.T) {
	h := newFake().handler(t, func(c *api.Config) { c.Token = "" })
	for _, auth := range []string{"", "Bearer", "Bearer ", "Bearer secret"} {
		if w := ask(h, "GET", "/v1/stats", "", "Authorization", auth); w.Code != 401 {
			t.Errorf("%q: %d", auth, w.Code)
		}
	}
}

func TestAPanicBecomesAProblem(t *testing.T) {
	f := newFake()
	f.panics = true
	h := f.handler(t)
	if p := problemOf(t, ask(h, "GET", "/v1/tasks/a", "")); p.Status != 500 || strings.Contains(p.Detail, "bug") {
		t.Errorf("%+v", p)
	}
	if w := ask(h, "GET", "/v1/stats", ""); w.Code != 200 {
		t.Errorf("it does not go on: %d", w.Code)
	}
}

func TestAMissingPartIsRefusedByName(t *testing.T) {
	for field, spoil := range map[string]func(*api.Config){
		"tasks":        func(c *api.Config) { c.Tasks = nil },
		"logs":         func(c *api.Config) { c.Logs = nil },
		"metrics":      func(c *api.Config) { c.Metrics = nil },
		"forecasts":    func(c *api.Config) { c.Forecasts = nil },
		"info":         func(c *api.Config) { c.Info = nil },
		"forecast_csv": func(c *api.Config) { c.ForecastCSV = nil },
		"max_body":     func(c *api.Config) { c.MaxBody = -1 },
	} {
		cfg := newFake().config()
		spoil(&cfg)
		if _, err := api.New(cfg); err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
