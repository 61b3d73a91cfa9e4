package worker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
)

// HTTPConfig configures HTTP.
type HTTPConfig struct {
	Logs *LogStore
	// MaxResponse is how much of a response is read; the rest is left. Default 64 MiB.
	MaxResponse models.Bytes
	// MaxRedirects is how many redirects are followed in a row. Default 5; negative is none.
	MaxRedirects int
	// UserAgent is sent where the task names none. Default "loadstar".
	UserAgent string
	// Logger takes warnings. Default slog.Default().
	Logger *slog.Logger
}

// HTTP runs attempts as one request each. It uses no proxy and keeps no cookies,
// whatever the environment says.
type HTTP struct {
	cfg    HTTPConfig
	client http.Client
}

// NewHTTP makes an HTTP; the error is a *models.FieldError. Close it in the end.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	switch {
	case cfg.Logs == nil:
		return nil, models.Invalid("logs", "there is no log store")
	case cfg.MaxResponse < 0:
		return nil, models.Invalid("max_response", "%d is negative", cfg.MaxResponse)
	}
	cfg.MaxResponse = cmp.Or(cfg.MaxResponse, 64<<20)
	cfg.MaxRedirects = cmp.Or(cfg.MaxRedirects, 5)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "loadstar")
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	h := &HTTP{cfg: cfg}
	h.client = http.Client{Transport: transport(), CheckRedirect: h.checkRedirect}
	return h, nil
}

// transport is one without a proxy. A connection is used again only while it is
// fresh: a POST on one that the server is just closing fails and is not sent
// again, and servers commonly close them after 5 s.
func transport() *http.Transport {
	const fresh = 3 * time.Second
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 15 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
		MaxIdleConns:        256,
		IdleConnTimeout:     fresh,

		MaxResponseHeaderBytes: 1 << 20,
	}
}

// Close closes the connections that are kept open for the next request.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

// checkRedirect follows what asks for the same again at the same host. Else a
// POST would quietly become a GET (301, 302, 303), a body and its headers would go
// to a stranger, or what was encrypted would go out in the clear. What is not
// followed is the answer.
func (h *HTTP) checkRedirect(req *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	switch {
	case len(via) > h.cfg.MaxRedirects,
		req.Method != first.Method,
		!strings.EqualFold(req.URL.Hostname(), first.URL.Hostname()),
		last.URL.Scheme == "https" && req.URL.Scheme != "https":
		return http.ErrUseLastResponse
	}
	return nil
}

// Why a request was aborted.
var (
	errKilled = errors.New("cancelled")
	errLate   = errors.New("timed out")
)

// Run runs one attempt to its end: it sends the task's request, to address where
// the task names no other, and keeps the response's body as the attempt's output.
// A status of 2xx is Success, any other Failed; there is no exit code. It calls
// started once, when the request goes out. A value on kill, the task's timeout and
// the end of ctx abort the request.
func (h *HTTP) Run(ctx context.Context, task *models.TaskSpec, attempt int, address string, kill <-chan time.Duration, started func(time.Time)) Result {
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	select {
	case <-kill:
		return Result{Outcome: string(models.Cancelled), At: time.Now()}
	case <-ctx.Done():
		return Result{Outcome: models.OutcomeLost, Err: errAgentEnded, At: time.Now()}
	default:
	}
	out := io.Discard
	log, err := h.cfg.Logs.Create(task.TaskID, attempt)
	if err != nil {
		h.cfg.Logger.Warn("an attempt's output is not kept", "err", err)
	} else {
		defer log.Close() //nolint:errcheck // it never fails
		out = log
	}
	req, err := h.request(ctx, task, attempt, address)
	if err != nil {
		return tell(out, Result{Outcome: string(models.Failed), Err: err.Error()})
	}
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch(task.Timeout.Std(), kill, done, abort)
	}()
	started(time.Now())
	res := h.exchange(req, out)
	close(done)
	<-watched
	if res.Outcome == string(models.Failed) {
		res = blame(ctx, res, task.Timeout)
	}
	return tell(out, res)
}

// watch aborts a request that is killed or takes too long, until done is closed.
func watch(timeout time.Duration, kill <-chan time.Duration, done <-chan struct{}, abort context.CancelCauseFunc) {
	var late <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-kill:
		abort(errKilled)
	case <-late:
		abort(errLate)
	case <-done:
	}
}

// blame is a failure as what it came from, where the request was aborted.
func blame(ctx context.Context, res Result, timeout models.Duration) Result {
	switch cause := context.Cause(ctx); {
	case cause == nil || !res.aborted:
	case errors.Is(cause, errKilled):
		res.Outcome, res.Err = string(models.Cancelled), ""
	case errors.Is(cause, errLate):
		res.Outcome, res.Err = models.OutcomeTimeout, "timed out after "+timeout.String()
	default:
		res.Outcome, res.Err = models.OutcomeLost, errAgentEnded
	}
	return res
}

// tell closes the output of an attempt with why it failed.
func tell(out io.Writer, res Result) Result {
	if res.Err != "" {
		_, _ = io.WriteString(out, "loadstar: "+res.Err+"\n") //nolint:errcheck // a LogWriter takes all
	}
	if res.At.IsZero() {
		res.At = time.Now()
	}
	return res
}

// request is what a task asks to be sent.
func (h *HTTP) request(ctx context.Context, task *models.TaskSpec, attempt int, address string) (*http.Request, error) {
	var r models.HTTPRequest
	if task.HTTP != nil {
		r = *task.HTTP
	}
	address = cmp.Or(r.URL, address)
	if address == "" {
		return nil, errors.New("http.url: neither the task nor its pool names an address")
	}
	body, kind, err := requestBody(task, &r)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodPost), address, nil)
	if err != nil {
		return nil, fmt.Errorf("http: %w", plain(err))
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("User-Agent", h.cfg.UserAgent)
	for name, value := range r.Headers {
		if strings.EqualFold(name, "host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	req.Header.Set("Loadstar-Task-Id", url.PathEscape(task.TaskID))
	req.Header.Set("Loadstar-Attempt", strconv.Itoa(attempt))
	req.Header.Set("Loadstar-Pool", task.Pool)
	return req, nil
}

// requestBody is the body and its type; nil where there is none. A request of the
// task's own has no other body than it says, and the description is not part of it.
func requestBody(task *models.TaskSpec, r *models.HTTPRequest) (body []byte, kind string, err error) {
	const asJSON = "application/json"
	switch {
	case len(r.Body) > 0 && r.Body[0] == '"':
		var text string
		if err := json.Unmarshal(r.Body, &text); err != nil {
			return nil, "", fmt.Errorf("http.body: %w", err)
		}
		return []byte(text), "text/plain; charset=utf-8", nil
	case len(r.Body) > 0:
		return r.Body, asJSON, nil
	case len(task.Input) > 0:
		return task.Input, asJSON, nil
	case task.HTTP == nil:
		body, err = json.Marshal(task.Description)
		return body, asJSON, err
	}
	return nil, "", nil
}

// exchange sends the request and takes the answer.
func (h *HTTP) exchange(req *http.Request, out io.Writer) Result {
	failed := Result{Outcome: string(models.Failed)}
	resp, err := h.client.Do(req)
	if err != nil {
		failed.Err, failed.aborted = req.Method+" "+req.URL.Redacted()+": "+plain(err).Error(), true
		return failed
	}
	defer resp.Body.Close()
	first := &firstLine{to: out}
	n, err := io.Copy(first, io.LimitReader(resp.Body, int64(h.cfg.MaxResponse)))
	more := false
	if err == nil && n == int64(h.cfg.MaxResponse) {
		k, _ := resp.Body.Read(make([]byte, 1)) //nolint:errcheck // whether there is more is all that is asked
		more = k > 0
	}
	good := resp.StatusCode >= 200 && resp.StatusCode < 300
	if more || err != nil || !good {
		first.end()
	}
	if more {
		fmt.Fprintf(out, "[loadstar: the response is longer than %s; the rest was not read]\n", h.cfg.MaxResponse)
	}
	switch {
	case !good:
		failed.Err = failure(resp, first.text())
		failed.aborted = err != nil
		return failed
	case err != nil:
		failed.Err, failed.aborted = statusText(resp)+", but the response broke off: "+plain(err).Error(), true
		return failed
	}
	return Result{Outcome: string(models.Success)}
}

// failure says what a response other than 2xx was.
func failure(resp *http.Response, line string) string {
	text := statusText(resp)
	if to, err := resp.Location(); err == nil {
		text += " to " + to.Redacted() + ", which is not followed"
	}
	if line != "" {
		text += ": " + line
	}
	return text
}

// statusText is the status, by its usual name where the server gives none.
func statusText(resp *http.Response) string {
	code, name, _ := strings.Cut(resp.Status, " ")
	if name == "" {
		name = http.StatusText(resp.StatusCode)
	}
	const longest = 100
	return strings.TrimSpace("status " + code + " " + printable([]byte(name), longest))
}

// plain is an error of net/http without the method and the address, which may hold
// a password, and on one line.
func plain(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	const longest = 500
	return errors.New(printable([]byte(strings.ReplaceAll(err.Error(), "\n", " ")), longest))
}

// firstLine passes on what is written and remembers the first line that is not
// empty, and whether the last one has ended.
type firstLine struct {
	to   io.Writer
	line []byte
	done bool
	open bool // the last line has not ended
}

// longestFirstLine is how much of the first line is told, in bytes.
const longestFirstLine = 300

func (f *firstLine) Write(p []byte) (int, error) {
	if len(p) > 0 {
		f.open = p[len(p)-1] != '\n'
	}
	for rest := p; !f.done && len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		f.line = append(f.line, line[:min(len(line), longestFirstLine+1)]...)
		f.done = len(f.line) > longestFirstLine || ended && len(bytes.TrimSpace(f.line)) > 0
		if !f.done && ended {
			f.line = f.line[:0]
		}
		rest = after
	}
	return f.to.Write(p)
}

func (f *firstLine) text() string {
	return printable(bytes.TrimSpace(f.line), longestFirstLine)
}

// end closes the last line, so that what follows stands on one of its own.
func (f *firstLine) end() {
	if f.open {
		_, _ = io.WriteString(f.to, "\n") //nolint:errcheck // a LogWriter takes all
	}
}
