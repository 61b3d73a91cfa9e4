package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

// answering is a server that says the same to everything.
func answering(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func matrix(series ...string) string {
	return `{"status":"success","data":{"resultType":"matrix","result":[` + strings.Join(series, ",") + `]}}`
}

func ask(t *testing.T, url string) (Table, error) {
	t.Helper()
	return ReadPrometheus(t.Context(), PrometheusConfig{URL: url, Query: "q", From: at(0), To: at(600)})
}

func TestValuesThatAreNotFiniteAreGaps(t *testing.T) {
	got, err := ask(t, answering(t, 200, matrix(`{"metric":{},"values":[[0,"1"],[60,"NaN"],[120,"+Inf"],[180,"2.5"],[240,"3"]]}`)))
	if err != nil {
		t.Fatal(err)
	}
	want := Table{
		Points: []models.Point{{At: at(0), Value: 1}, {At: at(180), Value: 2.5}, {At: at(240), Value: 3}}, StepS: 60, Rows: 5, Missing: 2,
		Gaps: []models.Gap{{From: at(60), To: at(180)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatPrometheusRefusesIsToldInOneLine(t *testing.T) {
	for name, tc := range map[string]struct {
		status     int
		body, want string
	}{
		"bad query":   {400, `{"status":"error","errorType":"bad_data","error":"parse error:\n unexpected )"}`, "query: parse error: unexpected )"},
		"too slow":    {503, `{"status":"error","errorType":"timeout","error":"query timed out"}`, "timeout: query timed out"},
		"no server":   {502, "<html>Bad Gateway</html>", "answered 502 Bad Gateway, and not as a Prometheus does"},
		"several":     {200, matrix(`{"metric":{"__name__":"up","job":"a"},"values":[[0,"1"]]}`, `{"metric":{"__name__":"up","job":"b"},"values":[[0,"1"]]}`), `query: it gives several series (up{job="a"}, up{job="b"}); join them, as in sum(…)`},
		"nothing":     {200, matrix(), "query: it gives 0 points from 1970-01-01T00:00:00Z"},
		"a scalar":    {200, `{"status":"success","data":{"resultType":"scalar","result":[0,"1"]}}`, "query: it gives a scalar and no series"},
		"no value":    {200, matrix(`{"metric":{},"values":[[0,1],[60,"1"]]}`), "no time and value"},
		"no number":   {200, matrix(`{"metric":{},"values":[[0,"x"],[60,"1"]]}`), `the value "x"`},
		"no time":     {200, matrix(`{"metric":{},"values":[[1e300,"1"],[60,"1"]]}`), "no time and value"},
		"not a table": {200, `{"status":"success","data":{"resultType":"matrix","result":7}}`, "the answer cannot be read"},
	} {
		_, err := ask(t, answering(t, tc.status, tc.body))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := ask(t, "http://"+unused(t)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestBadQueriesAreNamedBeforeAnythingIsAsked(t *testing.T) {
	good := PrometheusConfig{URL: "http://h:9090", Query: "q"}
	for field, change := range map[string]func(*PrometheusConfig){
		"url":   func(c *PrometheusConfig) { c.URL = "h:9090" },
		"query": func(c *PrometheusConfig) { c.Query = " " },
		"step":  func(c *PrometheusConfig) { c.Step = time.Millisecond },
		"from":  func(c *PrometheusConfig) { c.From, c.To = at(10), at(10) },
	} {
		cfg := good
		change(&cfg)
		var bad *models.FieldError
		if _, err := ReadPrometheus(t.Context(), cfg); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	var bad *models.FieldError
	_, err := ReadPrometheus(t.Context(), PrometheusConfig{URL: "ftp://me:secret@h/", Query: "q"})
	if !errors.As(err, &bad) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is told: %v", err)
	}
}

func TestALongHistoryIsAskedForInParts(t *testing.T) {
	var asked []string
	var auth string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		from, _ := strconv.ParseInt(r.FormValue("start"), 10, 64)
		to, _ := strconv.ParseInt(r.FormValue("end"), 10, 64)
		asked = append(asked, fmt.Sprintf("%s %d-%d/%s", r.URL.Path, from, to, r.FormValue("step")))
		var values []string
		for v := from; v <= to; v += 60 {
			values = append(values, fmt.Sprintf(`[%d,"%d"]`, v, v/60))
		}
		_, _ = io.WriteString(w, matrix(`{"metric":{"job":"a"},"values":[`+strings.Join(values, ",")+`]}`))
	}))
	defer s.Close()
	got, err := ReadPrometheus(t.Context(), PrometheusConfig{URL: s.URL + "/prom/", Query: "q", Bearer: "key", From: at(0), To: at(60 * 25_000)})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/prom/api/v1/query_range 0-599940/60", "/prom/api/v1/query_range 600000-1199940/60", "/prom/api/v1/query_range 1200000-1500000/60",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
	if len(got.Points) != 25_001 || got.Missing != 0 || got.Duplicates != 0 || auth != "Bearer key" {
		t.Errorf("%d points, %d missing, %d twice, %q", len(got.Points), got.Missing, got.Duplicates, auth)
	}
}

func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// realPrometheus is a server with two days of a counter and of a gauge with a hole.
func realPrometheus(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("Debian's package prometheus is not installed: %v", err)
		}
	}
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprint(&b, "# TYPE requests counter\n")
	for i := range 2880 {
		fmt.Fprintf(&b, "requests_total{job=\"web\"} %d %d\n", 600*i, start+60*i)
	}
	fmt.Fprint(&b, "# TYPE depth gauge\n")
	for i := range 2880 {
		if i < 1000 || i >= 1100 {
			fmt.Fprintf(&b, "depth{job=\"web\"} %d %d\n", i%7, start+60*i)
		}
	}
	fmt.Fprint(&b, "# EOF\n")
	file := filepath.Join(dir, "history.txt")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	if out, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", file, data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	address := unused(t)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file="+config, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=100y", "--web.listen-address="+address)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string)
	go func() {
		defer close(said)
		all, buffer, told := "", make([]byte, 4096), false
		for {
			n, err := log.Read(buffer)
			if all += string(buffer[:n]); !told && strings.Contains(all, "Server is ready to receive web requests") {
				told = true
				said <- ""
			}
			if err != nil {
				if !told {
					said <- all
				}
				return
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		for range said { // until it has said its last
		}
		_ = cmd.Wait()
	})
	if all := <-said; all != "" {
		t.Fatalf("prometheus ended: %s", all)
	}
	return "http://" + address
}

const start = 1_750_000_020 // a whole minute

func TestARealPrometheusIsRead(t *testing.T) {
	url := realPrometheus(t)
	from, to := time.Unix(start+600, 0).UTC(), time.Unix(start+60*2879, 0).UTC()
	rate, err := ReadPrometheus(t.Context(), PrometheusConfig{URL: url, Query: `sum(rate(requests_total[5m])) * 60`, From: from, To: to})
	if err != nil {
		t.Fatal(err)
	}
	if len(rate.Points) != 2870 || rate.Missing != 0 || rate.StepS != 60 {
		t.Errorf("%d points, %d missing, step %v", len(rate.Points), rate.Missing, rate.StepS)
	}
	for _, p := range rate.Points {
		if math.Abs(p.Value-600) > 1e-6 {
			t.Fatalf("%v a minute at %s", p.Value, p.At)
		}
	}
	depth, err := ReadPrometheus(t.Context(), PrometheusConfig{URL: url, Query: `depth`, From: from, To: to})
	if err != nil {
		t.Fatal(err)
	}
	// Prometheus carries a value on for five minutes before a hole is one.
	if len(depth.Gaps) != 1 || depth.Missing < 94 || depth.Missing > 96 {
		t.Errorf("gaps %v, %d missing", depth.Gaps, depth.Missing)
	}
	var bad *models.FieldError
	if _, err := ReadPrometheus(t.Context(), PrometheusConfig{URL: url, Query: `sum(`, From: from, To: to}); !errors.As(err, &bad) || bad.Field != "query" {
		t.Errorf("%v", err)
	}
	if _, err := ReadPrometheus(t.Context(), PrometheusConfig{URL: url, Query: `{job="web"}`, From: from, To: to}); !errors.As(err, &bad) || !strings.Contains(err.Error(), "several series") {
		t.Errorf("%v", err)
	}
}
