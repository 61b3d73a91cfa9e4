package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"loadstar/models"
	"loadstar/scheduler/api/socket"
	"loadstar/scheduler/api/wire"
)

// ErrNoDaemon says that no daemon answers at the address.
var ErrNoDaemon = errors.New("no daemon")

// Config says where the daemon is.
type Config struct {
	// Socket is the path of the daemon's unix socket. One of Socket and URL is set.
	Socket string
	// URL is the daemon's address over TCP, as in "https://host:7070".
	URL string
	// Token is sent with every request over URL; the socket needs none.
	Token string
	// Timeout bounds one call, in full; default 60 s. The calls that last by their
	// nature (WaitFinal, Train, Logs, Events) are bounded by their context alone.
	Timeout time.Duration
	// StartWait is how long a call waits for a daemon that answers but is still
	// replaying its journal; default 30 s, negative is not at all.
	StartWait time.Duration
	// RootCAs verifies the daemon's certificate; nil is the system's own set.
	RootCAs *x509.CertPool
}

// Validate checks the configuration; the error is a *models.FieldError.
func (c *Config) Validate() error {
	switch {
	case c.Socket == "" && c.URL == "":
		return models.Invalid("socket", "neither a socket nor a url is given")
	case c.Socket != "" && c.URL != "":
		return models.Invalid("url", "a socket is given too")
	case c.Timeout < 0:
		return models.Invalid("timeout", "%s is negative", c.Timeout)
	}
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return models.Invalid("url", "%q is not an address such as https://host:7070", c.URL)
	}
	return nil
}

// Client speaks to one daemon. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	base    *url.URL
	where   string // the address for a person
	token   string
	timeout time.Duration
	start   time.Duration
}

// New makes a client; it does not connect yet.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	c := &Client{timeout: cfg.Timeout, start: cfg.StartWait, token: cfg.Token}
	if c.timeout == 0 {
		c.timeout = time.Minute
	}
	if c.start == 0 {
		c.start = 30 * time.Second
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
		TLSHandshakeTimeout: 10 * time.Second,
	}
	if cfg.Socket != "" {
		c.where, c.token = cfg.Socket, ""
		c.base = &url.URL{Scheme: "http", Host: "loadstar"}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return socket.Dial(ctx, cfg.Socket)
		}
	} else {
		u, err := url.Parse(strings.TrimRight(cfg.URL, "/"))
		if err != nil {
			return nil, fmt.Errorf("client: %w", models.Invalid("url", "%v", err))
		}
		c.where, c.base = cfg.URL, u
		transport.Proxy = http.ProxyFromEnvironment
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs}
		transport.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	c.http = &http.Client{
		Transport: transport,
		// A daemon never redirects; to follow one would hand the token on.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close drops the idle connections. Calls under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Where is the daemon's address for a person: the socket's path or the URL.
func (c *Client) Where() string { return c.where }

// request is one call. A body that is JSON goes in `in`; one that is sent as it
// is in `raw` with its contentType.
type request struct {
	method      string
	path        []string // segments, not yet escaped
	query       url.Values
	in          any
	raw         []byte
	contentType string
	accept      string
	key         string // Idempotency-Key
	prefer      string // Prefer
}

// call makes a bounded call and decodes the answer into out, where out is not nil.
func (c *Client) call(ctx context.Context, r request, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.exchange(ctx, r, out)
}

// exchange is call without its bound.
func (c *Client) exchange(ctx context.Context, r request, out any) error {
	body, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
		return c.explain(ctx, err)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return c.explain(ctx, err)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the answer of %s is not what this version expects: %w", c.where, err)
	}
	return nil
}

// open sends the request and returns the body of a good answer. While the daemon
// says that it is starting, it asks again.
func (c *Client) open(ctx context.Context, r request) (io.ReadCloser, error) {
	if r.in != nil {
		data, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		r.raw, r.contentType = data, "application/json"
	}
	patience := time.NewTimer(max(0, c.start))
	defer patience.Stop()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		resp, err := c.send(ctx, r) //nolint:bodyclose // handed on, or closed by readProblem
		if err != nil {
			return nil, c.explain(ctx, err)
		}
		if resp.StatusCode >= 200 && resp.StatusCode < 300 {
			return resp.Body, nil
		}
		problem := readProblem(resp)
		if problem.Type != wire.TypeStarting || c.start < 0 {
			return nil, problem
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-patience.C:
			pause.Stop()
			return nil, problem
		case <-ctx.Done():
			pause.Stop()
			return nil, problem
		}
	}
}

func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	if r.raw != nil {
		body = bytes.NewReader(r.raw) // NewRequest makes it replayable
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base.String(), body)
	if err != nil {
		return nil, err
	}
	req.URL = c.address(r.path, r.query)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.accept == "" {
		r.accept = "application/json"
	}
	req.Header.Set("Accept", r.accept)
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if r.prefer != "" {
		req.Header.Set("Prefer", r.prefer)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(req)
}

// address joins the segments; each is escaped in full, so that an id such as
// ".." or "a?b" names itself and nothing else.
func (c *Client) address(segments []string, query url.Values) *url.URL {
	u := *c.base
	u.RawPath = u.EscapedPath()
	for _, s := range segments {
		u.Path += "/" + s
		u.RawPath += "/" + strings.ReplaceAll(url.PathEscape(s), ".", "%2E")
	}
	u.RawQuery = query.Encode()
	return &u
}

// explain makes a transport's error one that a person can act on.
func (c *Client) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return fmt.Errorf("%s did not answer in time: %w", c.where, context.DeadlineExceeded)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w answers on %s; start one with `loadstar daemon`", ErrNoDaemon, c.where)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not allowed to open %s: it belongs to another user", c.where)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w any more: the one on %s went away during the call (%w)", ErrNoDaemon, c.where, err)
	}
	return fmt.Errorf("ask %s: %w", c.where, err)
}

// maxProblem bounds what is read of a refusal, in bytes.
const maxProblem = 1 << 20

func readProblem(resp *http.Response) *wire.Problem {
	defer func() { _ = resp.Body.Close() }()
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // what came is told all the same
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	p := &wire.Problem{}
	if kind != wire.ContentType || json.Unmarshal(data, p) != nil || p.Status == 0 {
		p = wire.New(resp.StatusCode, fmt.Sprintf("the answer was %s", strings.ToLower(resp.Status)))
	}
	p.Status = resp.StatusCode
	p.Detail = wire.OneLine(p.Detail)
	return p
}
