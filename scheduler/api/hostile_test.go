package api_test

import (
	"encoding/json"
	"flag"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// leaveStale leaves a socket behind as a killed daemon does.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
}

func TestTheOpenAPIDocumentListsEveryEndpoint(t *testing.T) {
	w := ask(newFake().handler(t), "GET", "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string `json:"summary"`
			Parameters  []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
			RequestBody *struct {
				Content map[string]any `json:"content"`
			} `json:"requestBody"`
			Responses map[string]any `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.Summary == "" || op.OperationID == "" {
				t.Errorf("%s %s has no summary or no id", method, path)
			}
			var parts []string
			for _, p := range op.Parameters {
				parts = append(parts, p.In+"."+p.Name)
			}
			if op.RequestBody != nil {
				for kind := range op.RequestBody.Content {
					parts = append(parts, "body:"+kind)
				}
			}
			for status := range op.Responses {
				parts = append(parts, status)
			}
			slices.Sort(parts)
			lines = append(lines, strings.ToUpper(method)+" "+path+" "+strings.Join(parts, " "))
		}
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	golden := filepath.Join("testdata", "openapi.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
	for _, name := range []string{"Task", "TaskSpec", "Problem", "PoolStatus", "Decision", "SeriesForecast"} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
	refs := strings.Split(w.Body.String(), `"$ref":"#/components/schemas/`)
	for _, rest := range refs[1:] {
		if name, _, _ := strings.Cut(rest, `"`); doc.Components.Schemas[name] == nil {
			t.Errorf("a reference to %s leads nowhere", name)
		}
	}
}

func TestANumberThatJSONDoesNotHaveBecomesAProblemNotHalfAnAnswer(t *testing.T) {
	f := newFake()
	h := f.handler(t)
	task := f.put("a", models.Success, 1)
	task.Resources = &models.Resources{CPU: math.NaN()}
	f.tasks["a"] = task
	if p := problemOf(t, ask(h, "GET", "/v1/tasks/a", "")); p.Status != 500 || !strings.Contains(p.Detail, "cannot be encoded") {
		t.Errorf("%+v", p)
	}
	f.forecasts = someForecasts()
	f.forecasts[0].Forecasts[0].P50[1] = math.Inf(1)
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // the value itself
			t.Errorf("the connection was not broken: %v", v)
		}
	}()
	if w := ask(h, "GET", "/v1/forecasts", ""); json.Valid(w.Body.Bytes()) {
		t.Errorf("a whole answer: %s", w.Body)
	}
}

func TestMetricsTellWhatTheSchedulerTells(t *testing.T) {
	f := newFake()
	f.forecasts = someForecasts()
	h := f.handler(t)
	ask(h, "BREW", "/v1/stats", "")
	text := ask(h, "GET", "/metrics", "").Body.String()
	for _, want := range []string{
		`loadstar_ready 1`,
		`loadstar_tasks{pool="gpu",state="SUCCESS"} 3`,
		`loadstar_submit_to_start_seconds{quantile="0.95"} 0.008`,
		`loadstar_pool_workers{pool="gpu",state="starting"} 1`,
		`loadstar_pool_queued{pool="gpu"} 5`,
		`loadstar_pool_prestarted_total{pool="gpu"} 7`,
		`loadstar_pool_wait_seconds_total{pool="gpu"} 1.5`,
		`loadstar_agent_load_score{agent="local"} 0.25`,
		`loadstar_series_value{series="host.cpu",unit="%"} 12.5`,
		`loadstar_forecast_mase{model="lstm",series="host.cpu",step="10"} 0.9`,
		`loadstar_forecast_champion{model="last",series="host.cpu",step="10"} 0`,
		`loadstar_forecast_value{quantile="0.9",series="host.cpu",step="10"} 3`,
		`loadstar_http_requests_total{code="405",method="other"} 1`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	f.fail = models.ErrUnavailable
	if w := ask(h, "GET", "/metrics", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "go_goroutines ") {
		t.Errorf("with a scheduler that fails the rest is lost: %d", w.Code)
	}
	f.starting = true
	if text := ask(h, "GET", "/metrics", "").Body.String(); !strings.Contains(text, "loadstar_ready 0") || strings.Contains(text, "loadstar_tasks") {
		t.Errorf("before the replay: %.300s", text)
	}
}

func FuzzQueriesAreAnsweredOrRefusedWithAProblem(f *testing.F) {
	for _, q := range []string{"state=FAILED&label=a=b", "limit=1e9", "state=%ff&&=&;", "at=1e400&limit=%00", "step_s=NaN&from=-1", "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", "format=csv&horizon=2", "follow=1&attempt=007", strings.Repeat("label=a=b&", 50)} {
		f.Add(q, "a", "text/csv;q=x")
	}
	f.Add("", "../../etc/passwd", "*/*")
	f.Add("", "%2e%2e/\x00", "")
	b := newFake()
	b.forecasts, b.history = someForecasts(), someRows()
	h := b.handler(f)
	f.Fuzz(func(t *testing.T, query, name, accept string) {
		id := url.PathEscape(name)
		for _, path := range []string{"/v1/tasks", "/v1/tasks/" + id, "/v1/tasks/" + id + "/logs", "/v1/pools/" + id + "/decisions", "/v1/series/" + id + "/samples", "/v1/series/host.cpu/samples", "/v1/forecasts", "/v1/forecasts/history"} {
			r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, Host: "x", Header: http.Header{"Authorization": {"Bearer secret"}, "Accept": {accept}}, Body: http.NoBody}
			if p, err := url.PathUnescape(path); err == nil {
				r.URL.Path, r.URL.RawPath = p, path
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code == 200 || w.Code == 301 || w.Code == 307 {
				continue
			}
			var p wire.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code >= 500 || p.Detail == "" || strings.ContainsAny(p.Detail, "\n\r\x00") {
				t.Fatalf("%s?%q: %d %q", path, query, w.Code, w.Body)
			}
		}
	})
}

func FuzzBodiesAreAnsweredOrRefusedWithAProblem(f *testing.F) {
	for _, b := range []string{`{"ids":["a"]}`, `{"filter":{"states":["FAILED"],"labels":{"":"x"}}}`, `{"priority":"low"}`, `{"step_s":1e-400,"points":[{"at":"x"}]}`, `[[[[`, `{"ids":null,"filter":null}`, "\x00", `{"min":1e99}`} {
		f.Add(b)
	}
	h := newFake().handler(f)
	f.Fuzz(func(t *testing.T, body string) {
		for _, target := range []string{"POST /v1/tasks", "POST /v1/tasks/cancel", "POST /v1/tasks/retry", "POST /v1/tasks/priority", "POST /v1/tasks/a/priority", "POST /v1/tasks/a/retry", "PATCH /v1/pools/gpu", "POST /v1/series/x/samples", "POST /v1/train"} {
			method, path, _ := strings.Cut(target, " ")
			w := ask(h, method, path, body)
			if w.Code < 300 {
				continue
			}
			var p wire.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code >= 500 || p.Detail == "" || strings.ContainsAny(p.Detail, "\n\r\x00") {
				t.Fatalf("%s %q: %d %q", target, body, w.Code, w.Body)
			}
		}
	})
}

func TestTheGuideNamesEveryEndpoint(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed, err := os.ReadFile(filepath.Join("testdata", "openapi.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(listed)) {
		words := strings.Fields(line)
		if call := "`" + words[0] + " " + words[1] + "`"; !strings.Contains(string(guide), call) {
			t.Errorf("docs/api.md lacks %s", call)
		}
	}
}
