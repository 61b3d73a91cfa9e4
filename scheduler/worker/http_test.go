package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

type httpStand struct {
	*HTTP
	t    *testing.T
	logs *LogStore
	url  string
}

func newHTTPStand(t *testing.T, change func(*HTTPConfig), handle http.HandlerFunc) *httpStand {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	logger := slog.New(slog.DiscardHandler)
	logs, err := NewLogStore(LogConfig{Dir: t.TempDir(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	cfg := HTTPConfig{Logs: logs, Logger: logger}
	if change != nil {
		change(&cfg)
	}
	h, err := NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return &httpStand{HTTP: h, t: t, logs: logs, url: server.URL}
}

// do runs a task to its end; its result comes without the time, its output beside it.
func (s *httpStand) do(task models.TaskSpec, address string) (Result, string) {
	s.t.Helper()
	task.TaskID, task.Pool = "t", "hooks"
	begun := 0
	res := s.Run(context.Background(), &task, 1, address, nil, func(time.Time) { begun++ })
	if begun != 1 {
		s.t.Errorf("it began %d times", begun)
	}
	if res.At.IsZero() {
		s.t.Error("it ended at no time")
	}
	res.At, res.aborted = time.Time{}, false
	return res, s.output()
}

func (s *httpStand) output() string {
	s.t.Helper()
	r, err := s.logs.Open("t", 1)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// mirror answers with the request, one fact a line.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s\ntype %s\nhost %s\nx %s\nid %s attempt %s pool %s\nbody %s\n", r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Host,
		r.Header.Get("X-Thing"), r.Header.Get("Loadstar-Task-Id"), r.Header.Get("Loadstar-Attempt"), r.Header.Get("Loadstar-Pool"), body)
}

func TestARequestIsSentAsTheTaskSays(t *testing.T) {
	s := newHTTPStand(t, nil, mirror)
	host := strings.TrimPrefix(s.url, "http://")
	full := func(method, kind, host, x, body string) string {
		return fmt.Sprintf("%s /p\ntype %s\nhost %s\nx %s\nid t attempt 1 pool hooks\nbody %s\n", method, kind, host, x, body)
	}
	const asJSON, asText = "application/json", "text/plain; charset=utf-8"
	for name, c := range map[string]struct {
		task models.TaskSpec
		want string
	}{
		"input to the pool's address": {models.TaskSpec{Input: json.RawMessage(`{"a":1}`)}, full("POST", asJSON, host, "", `{"a":1}`)},
		"a description":               {models.TaskSpec{Description: "say \"hi\""}, full("POST", asJSON, host, "", `"say \"hi\""`)},
		"a text":                      {models.TaskSpec{HTTP: &models.HTTPRequest{Body: json.RawMessage(`"a\nb"`)}}, full("POST", asText, host, "", "a\nb")},
		"JSON":                        {models.TaskSpec{HTTP: &models.HTTPRequest{Method: "PUT", Body: json.RawMessage(`[1]`)}}, full("PUT", asJSON, host, "", `[1]`)},
		"no body":                     {models.TaskSpec{Description: "nightly", HTTP: &models.HTTPRequest{Method: "GET"}}, full("GET", "", host, "", "")},
		"input under a request":       {models.TaskSpec{Input: json.RawMessage(`2`), HTTP: &models.HTTPRequest{}}, full("POST", asJSON, host, "", "2")},
		"headers": {
			models.TaskSpec{HTTP: &models.HTTPRequest{Headers: map[string]string{"x-thing": "y", "Host": "me", "content-type": "text/csv"}, Body: json.RawMessage(`"1,2"`)}},
			full("POST", "text/csv", "me", "y", "1,2"),
		},
	} {
		res, out := s.do(c.task, s.url+"/p")
		if diff := cmp.Diff(Result{Outcome: "SUCCESS"}, res, cmp.AllowUnexported(Result{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(c.want, out); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	res, out := s.do(models.TaskSpec{HTTP: &models.HTTPRequest{URL: s.url + "/q"}}, "http://127.0.0.1:1/")
	if res.Outcome != "SUCCESS" || !strings.HasPrefix(out, "POST /q\n") {
		t.Errorf("the task's own address: %+v %s", res, out)
	}
}

func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("NO_PROXY", "")
	h := transport()
	if h.Proxy != nil {
		t.Error("there is a proxy")
	}
}

func TestAStatusOtherThan2xxFailsWithItsFirstLine(t *testing.T) {
	s := newHTTPStand(t, nil, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "\n  \nno\x1b[31mroom\nmore\n")
		case "/429":
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, strings.Repeat("x", 2000))
		case "/302":
			http.Redirect(w, r, "/204", http.StatusFound)
		case "/307":
			http.Redirect(w, r, "/204", http.StatusTemporaryRedirect)
		case "/away":
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusTemporaryRedirect)
		case "/round":
			w.Header().Set("Location", "/round")
			w.WriteHeader(http.StatusPermanentRedirect)
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		}
	})
	for path, c := range map[string]struct {
		outcome, err, out string
	}{
		"/204":    {outcome: "SUCCESS"},
		"/307":    {outcome: "SUCCESS"},
		"/500":    {"FAILED", "status 500 Internal Server Error: no\uFFFD[31mroom", "\n  \nno\x1b[31mroom\nmore\nloadstar: status 500 Internal Server Error: no\uFFFD[31mroom\n"},
		"/429":    {"FAILED", "status 429 Too Many Requests: " + strings.Repeat("x", 300) + "…", strings.Repeat("x", 2000) + "\nloadstar: status 429 Too Many Requests: " + strings.Repeat("x", 300) + "…\n"},
		"/302":    {"FAILED", "status 302 Found to " + s.url + "/204, which is not followed", "loadstar: status 302 Found to " + s.url + "/204, which is not followed\n"},
		"/away":   {"FAILED", "status 307 Temporary Redirect to http://elsewhere.invalid/, which is not followed", "loadstar: status 307 Temporary Redirect to http://elsewhere.invalid/, which is not followed\n"},
		"/round":  {"FAILED", "status 308 Permanent Redirect to " + s.url + "/round, which is not followed", "loadstar: status 308 Permanent Redirect to " + s.url + "/round, which is not followed\n"},
		"/broken": {"FAILED", "status 200 OK, but the response broke off: unexpected EOF", "half\nloadstar: status 200 OK, but the response broke off: unexpected EOF\n"},
	} {
		res, out := s.do(models.TaskSpec{Input: json.RawMessage(`1`)}, s.url+path)
		if diff := cmp.Diff(Result{Outcome: c.outcome, Err: c.err}, res, cmp.AllowUnexported(Result{})); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
		if diff := cmp.Diff(c.out, out); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestWhatCannotBeReachedFailsWithoutItsPassword(t *testing.T) {
	s := newHTTPStand(t, nil, mirror)
	res, out := s.do(models.TaskSpec{Input: json.RawMessage(`1`)}, "http://me:secret@127.0.0.1:1/x")
	if res.Outcome != "FAILED" || !strings.HasPrefix(res.Err, "POST http://me:xxxxx@127.0.0.1:1/x: ") || strings.Contains(res.Err+out, "secret") || res.ExitCode != nil {
		t.Errorf("%+v %s", res, out)
	}
}

func TestALongResponseIsReadToItsBound(t *testing.T) {
	s := newHTTPStand(t, func(c *HTTPConfig) { c.MaxResponse = 1 << 10 }, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil { // for ever
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	res, out := s.do(models.TaskSpec{Input: json.RawMessage(`1`)}, s.url)
	if want := strings.Repeat("\x00", 1<<10) + "\n[loadstar: the response is longer than 1KiB; the rest was not read]\n"; out != want || res.Outcome != "SUCCESS" {
		t.Errorf("%+v, %d bytes of output", res, len(out))
	}
}

func TestARequestIsAbortedByKillTimeoutAndEnd(t *testing.T) {
	for _, path := range []string{"/silent", "/half"} {
		here, gone := make(chan struct{}, 1), make(chan struct{}, 1)
		begin := func() *httpStand {
			return newHTTPStand(t, nil, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/half" {
					_, _ = io.WriteString(w, "half")
					_ = http.NewResponseController(w).Flush()
				}
				here <- struct{}{}
				<-r.Context().Done()
				gone <- struct{}{}
			})
		}
		run := func(ctx context.Context, s *httpStand, timeout time.Duration, kill chan time.Duration) Result {
			task := models.TaskSpec{TaskID: "t", Input: json.RawMessage(`1`), Timeout: models.Duration(timeout)}
			return s.Run(ctx, &task, 1, s.url+path, kill, func(time.Time) {})
		}
		kill := make(chan time.Duration, 1)
		go func() {
			<-here
			kill <- time.Hour // a request has nothing to tidy up, so that it has no grace
		}()
		if res := run(context.Background(), begin(), 0, kill); res.Outcome != "CANCELLED" || res.Err != "" || res.ExitCode != nil {
			t.Errorf("%s: kill: %+v", path, res)
		}
		<-gone
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			<-here
			cancel()
		}()
		if res := run(ctx, begin(), 0, nil); res.Outcome != "LOST" || res.Err != errAgentEnded {
			t.Errorf("%s: end: %+v", path, res)
		}
		cancel()
		<-gone
		if res := run(context.Background(), begin(), 30*time.Millisecond, nil); res.Outcome != "TIMEOUT" || res.Err != "timed out after 30ms" {
			t.Errorf("%s: timeout: %+v", path, res)
		}
	}
}

func TestARequestKilledBeforeItBeginsIsNotSent(t *testing.T) {
	s := newHTTPStand(t, nil, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	kill := make(chan time.Duration, 1)
	kill <- 0
	task := models.TaskSpec{TaskID: "t", Input: json.RawMessage(`1`)}
	if res := s.Run(context.Background(), &task, 1, s.url, kill, func(time.Time) { t.Error("it began") }); res.Outcome != "CANCELLED" {
		t.Errorf("%+v", res)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if res := s.Run(ctx, &task, 1, s.url, nil, func(time.Time) { t.Error("it began") }); res.Outcome != "LOST" {
		t.Errorf("%+v", res)
	}
	if res := s.Run(context.Background(), &task, 1, "", nil, func(time.Time) { t.Error("it began") }); res.Outcome != "FAILED" || !strings.HasPrefix(res.Err, "http.url: ") {
		t.Errorf("%+v", res)
	}
}

func BenchmarkRequest(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	logs, err := NewLogStore(LogConfig{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	h, err := NewHTTP(HTTPConfig{Logs: logs})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	for i := range b.N {
		task := models.TaskSpec{TaskID: fmt.Sprint("t", i), Input: json.RawMessage(`1`)}
		if res := h.Run(context.Background(), &task, 1, server.URL, nil, func(time.Time) {}); res.Outcome != "SUCCESS" {
			b.Fatal(res)
		}
	}
}
