package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
)

const (
	chunkSteps = 10_000    // of one request: the server refuses more than 11,000
	maxAnswer  = 256 << 20 // bytes of one answer
)

// PrometheusConfig says what to read from where.
type PrometheusConfig struct {
	// URL is the server's, as in http://localhost:9090; a path before /api is kept,
	// and a user and password in it are sent. Needed.
	URL string
	// Query is PromQL that gives one series; needed.
	Query string
	// From and To bound the history. Default: the last 14 days.
	From, To time.Time
	// Step is the distance of two points. Default: 1m.
	Step time.Duration
	// Bearer is sent as a token where it is not empty.
	Bearer string
	// Client makes the requests. Default: http.DefaultClient.
	Client *http.Client
}

func (c PrometheusConfig) withDefaults() PrometheusConfig {
	if c.To.IsZero() {
		c.To = time.Now()
	}
	if c.From.IsZero() {
		c.From = c.To.Add(-14 * 24 * time.Hour)
	}
	if c.Step == 0 {
		c.Step = time.Minute
	}
	if c.Client == nil {
		c.Client = http.DefaultClient
	}
	c.From, c.To = floor(c.From, c.Step), floor(c.To, c.Step)
	return c
}

// Validate checks the configuration; the error is a *models.FieldError.
func (c PrometheusConfig) Validate() error {
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return models.Invalid("url", "%q is not an http or https address", redacted(c.URL))
	}
	switch {
	case strings.TrimSpace(c.Query) == "":
		return models.Invalid("query", "it is empty")
	case c.Step < 0 || c.Step > 0 && c.Step < time.Second:
		return models.Invalid("step", "%s is less than a second", c.Step)
	case !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To):
		return models.Invalid("from", "%s is not before %s", c.From.Format(time.RFC3339), c.To.Format(time.RFC3339))
	}
	d := c.withDefaults()
	if steps := d.To.Sub(d.From) / d.Step; steps < 1 || steps > MaxRows {
		return models.Invalid("step", "%s gives %d points, not 2 to %d", d.Step, steps+1, MaxRows)
	}
	return nil
}

func redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

// ReadPrometheus reads a series by query_range, in as many requests as that takes.
// A value that is not finite is a gap. An error says what the server said, in one
// line; a query that gives several series is refused.
func ReadPrometheus(ctx context.Context, cfg PrometheusConfig) (Table, error) {
	if err := cfg.Validate(); err != nil {
		return Table{}, err
	}
	cfg = cfg.withDefaults()
	t := Table{StepS: cfg.Step.Seconds()}
	var points []models.Point
	var labels map[string]string
	for from := cfg.From; !from.After(cfg.To); from = from.Add(chunkSteps * cfg.Step) {
		to := from.Add((chunkSteps - 1) * cfg.Step)
		if to.After(cfg.To) {
			to = cfg.To
		}
		series, err := cfg.ask(ctx, from, to)
		if err != nil {
			return Table{}, err
		}
		if len(series) == 0 {
			continue
		}
		if labels == nil {
			labels = series[0].Metric
		}
		if len(series) > 1 || !maps.Equal(labels, series[0].Metric) {
			return Table{}, models.Invalid("query", "it gives several series (%s); join them, as in sum(…)", severalOf(labels, series))
		}
		for _, v := range series[0].Values {
			t.Rows++
			if p, ok, err := v.point(); err != nil {
				return Table{}, err
			} else if ok {
				points = append(points, p)
			}
		}
	}
	if len(points) < 2 {
		return Table{}, models.Invalid("query", "it gives %d points from %s to %s; a series needs two at least", len(points), cfg.From.Format(time.RFC3339), cfg.To.Format(time.RFC3339))
	}
	slices.SortStableFunc(points, func(a, b models.Point) int { return a.At.Compare(b.At) })
	t.snap(points)
	return t, nil
}

// promSeries is one of an answer's matrix.
type promSeries struct {
	Metric map[string]string `json:"metric"`
	Values []promValue       `json:"values"`
}

// promValue is [unix seconds, "value"].
type promValue [2]json.RawMessage

func (v promValue) point() (p models.Point, ok bool, err error) {
	var at float64
	var text string
	if json.Unmarshal(v[0], &at) != nil || json.Unmarshal(v[1], &text) != nil || !(math.Abs(at) < 1e11) {
		return p, false, fmt.Errorf("the server's answer holds %s, %s and no time and value", v[0], v[1])
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return p, false, fmt.Errorf("the server's answer holds the value %q", text)
	}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return p, false, nil
	}
	return models.Point{At: time.UnixMilli(int64(math.Round(at * 1000))).UTC(), Value: value}, true, nil
}

// ask makes one request.
func (c *PrometheusConfig) ask(ctx context.Context, from, to time.Time) ([]promSeries, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, models.Invalid("url", "%q is not an address", redacted(c.URL))
	}
	stamp := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64) }
	form := url.Values{
		"query": {c.Query}, "start": {stamp(from)}, "end": {stamp(to)}, "step": {strconv.FormatFloat(c.Step.Seconds(), 'f', -1, 64)},
	}
	user := u.User
	u.User = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.JoinPath("api/v1/query_range").String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, models.Invalid("url", "%q is not an address", u)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	if c.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.Bearer)
	}
	resp, err := c.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask prometheus: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("ask prometheus at %s: %w", u.Host, err)
	}
	return readAnswer(u.Host, resp.Status, body)
}

// readAnswer is the matrix of an answer, or what the server complained about.
func readAnswer(host, status string, body []byte) ([]promSeries, error) {
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("prometheus at %s: an answer is longer than %d MiB; narrow the query", host, maxAnswer>>20)
	}
	var a struct {
		Status, ErrorType, Error string
		Data                     struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	switch err := json.Unmarshal(body, &a); {
	case err != nil:
		return nil, fmt.Errorf("prometheus at %s answered %s, and not as a Prometheus does", host, status)
	case a.Status != "success" && a.ErrorType == "bad_data":
		return nil, models.Invalid("query", "%s", oneLine(a.Error))
	case a.Status != "success":
		return nil, fmt.Errorf("prometheus at %s: %s", host, oneLine(a.ErrorType+": "+a.Error))
	case a.Data.ResultType != "matrix":
		return nil, models.Invalid("query", "it gives a %s and no series", a.Data.ResultType)
	}
	var series []promSeries
	if err := json.Unmarshal(a.Data.Result, &series); err != nil {
		return nil, errors.Join(fmt.Errorf("prometheus at %s: the answer cannot be read", host), err)
	}
	return series, nil
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// severalOf names the first two series that a query gives.
func severalOf(labels map[string]string, series []promSeries) string {
	other := series[0].Metric
	if len(series) > 1 {
		other = series[1].Metric
	}
	return labelsOf(labels) + ", " + labelsOf(other)
}

func labelsOf(m map[string]string) string {
	var pairs []string
	for k, v := range m {
		if k != "__name__" {
			pairs = append(pairs, k+"="+strconv.Quote(v))
		}
	}
	slices.Sort(pairs)
	return m["__name__"] + "{" + oneLine(strings.Join(pairs, ",")) + "}"
}
