package client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/models"
	"loadstar/scheduler/api/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// against is a client of a server that answers with h.
func against(t *testing.T, h http.HandlerFunc, change ...func(*Config)) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	cfg := Config{URL: server.URL, Token: "secret"}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestConfigIsCheckedNamingTheField(t *testing.T) {
	for _, c := range []struct {
		cfg   Config
		field string
	}{
		{Config{}, "socket"},
		{Config{Socket: "/s", URL: "http://x"}, "url"},
		{Config{URL: "x:7"}, "url"},
		{Config{URL: "ftp://x"}, "url"},
		{Config{URL: "http://x?y=1"}, "url"},
		{Config{URL: "http://\x00"}, "url"},
		{Config{Socket: "/s", Timeout: -1}, "timeout"},
	} {
		_, err := New(c.cfg)
		var fe *models.FieldError
		if !errors.As(err, &fe) || fe.Field != c.field {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

func TestTheTokenGoesOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"version":%q}`, r.Header.Get("Authorization")+" "+r.URL.Path)
	}))
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	c, err := New(Config{URL: server.URL + "/behind/", Token: "secret", RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, err := c.Info(t.Context())
	if err != nil || info.Version != "Bearer secret /behind/v1/info" {
		t.Errorf("%q %v", info.Version, err)
	}
	stranger, err := New(Config{URL: server.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Info(t.Context()); err == nil || errors.Is(err, ErrNoDaemon) {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/info" {
			t.Error("it was followed")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if _, err := c.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("%v", err)
	}
}

func TestAnswersThatAreNotOursAreSaidSo(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, text string
		want       string
		is         error
	}{
		{200, "text/html", "<html>", "is not what this version expects", nil},
		{404, "text/html", "<html>", "the answer was 404 not found", models.ErrNotFound},
		{502, "text/plain", "bad", "the answer was 502 bad gateway", models.ErrUnavailable},
		{500, wire.ContentType, "{", "the answer was 500 internal server error", nil},
		{500, wire.ContentType, `{"status":500,"detail":"two\nlines"}`, "two lines", nil},
		{401, wire.ContentType, `{"type":"urn:loadstar:problem:unauthorized","status":401,"detail":"a token is needed"}`, "a token is needed", nil},
		{422, wire.ContentType, `{"type":"urn:loadstar:problem:invalid","status":422,"detail":"d"}`, "d", models.ErrInvalid},
	} {
		cl := against(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.text)
		})
		_, err := cl.Stats(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%d %s: %v", c.status, c.text, err)
		}
	}
}

func TestACallIsBoundedByItsTimeoutAndAStreamIsNot(t *testing.T) {
	leave := make(chan struct{})
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/logs") {
			_, _ = io.WriteString(w, "all of it")
			return
		}
		select {
		case <-leave:
		case <-r.Context().Done():
		}
	}, func(c *Config) { c.Timeout = time.Millisecond })
	defer close(leave)
	if _, err := c.Stats(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("%v", err)
	}
	log, err := c.Logs(t.Context(), "a", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if got, err := io.ReadAll(log); string(got) != "all of it" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Stats(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestTrainingCutOffIsNotTakenForDone(t *testing.T) {
	for _, text := range []string{"", `{"progress":{"done":0.5}}` + "\n", `{"progress":`} {
		c := against(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
		if err := c.Train(t.Context(), "", nil); !errors.Is(err, ErrNoDaemon) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestManyPointsGoOverInBatches(t *testing.T) {
	var calls int
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{}")
	})
	points := make([]models.Point, 2*importBatch+1)
	if err := c.Import(t.Context(), "s", time.Second, points); err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestEventsAreReadFromTheirDataAlone(t *testing.T) {
	stream := ": hello\nretry: 5\n\nid: 1\nevent: task\ndata: {\"seq\":1}\n\n: alive\n\ndata: {\"seq\":\ndata: 2}\n\n\n\ndata: nonsense\n\ndata: {\"seq\":3}\n\n"
	out := make(chan models.Event, 10)
	readEvents(t.Context(), strings.NewReader(stream), out)
	close(out)
	var got []uint64
	for e := range out {
		got = append(got, e.Seq)
	}
	if d := cmp.Diff([]uint64{1, 2}, got); d != "" {
		t.Error(d)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("data: {\"seq\":1}\n\n")
	f.Add("data:\n\n: x\r\ndata: {}\r\n\r\n")
	f.Fuzz(func(t *testing.T, stream string) {
		out := make(chan models.Event, len(stream)+1) // an event takes more than a byte
		readEvents(t.Context(), strings.NewReader(stream), out)
	})
}
