package telemetry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"loadstar/models"
)

// otlp sends steps as spans in OTLP's JSON over HTTP, as the specification has it
// (opentelemetry.io/docs/specs/otlp, JSON Protobuf Encoding). The exporter of the
// OpenTelemetry project would bring gRPC into the program for the same bytes.
//
// A task is a trace, named by the SHA-256 of its id; its first span, from accepted
// to final, is the parent of one for each step. So each is known by itself, and
// nothing has to be remembered of a task.
type otlp struct {
	address string
	client  *http.Client
	body    bytes.Buffer
}

// otlpTimeout bounds one request. More than a buffer's steps meanwhile are dropped.
const otlpTimeout = 10 * time.Second

func newOTLP(address string) *otlp {
	return &otlp{address: address, client: &http.Client{Timeout: otlpTimeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1}}}
}

func isHTTP(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func (o *otlp) name() string { return o.address }
func (o *otlp) most() int    { return 256 << 10 }

func (o *otlp) close() error {
	o.client.CloseIdleConnections()
	return nil
}

// Codes of a span's status.
const (
	spanUnset = iota
	spanOK
	spanError
)

func spanStatus(status string) int {
	switch status {
	case models.StatusSuccess:
		return spanOK
	case "failed", "timeout", "lost":
		return spanError
	}
	return spanUnset
}

// append writes a step as a span, with a comma before it where it is not the first.
func (o *otlp) append(b []byte, s *models.TaskStep) []byte {
	task := sha256.Sum256([]byte(s.TaskID))
	trace, root := task[:16], task[16:24]
	if len(b) > 0 {
		b = append(b, ',')
	}
	b = append(b, `{"traceId":"`...)
	b = hex.AppendEncode(b, trace)
	b = append(b, `","spanId":"`...)
	if s.Step == models.StepFinished {
		b = hex.AppendEncode(b, root)
		b = append(b, `","name":"task`...)
	} else {
		own := sha256.Sum256(strconv.AppendInt(append(task[:], s.Step...), s.At, 10))
		b = hex.AppendEncode(b, own[:8])
		b = append(b, `","parentSpanId":"`...)
		b = hex.AppendEncode(b, root)
		b = append(b, `","name":"`...)
		b = append(b, s.Step...)
	}
	b = append(b, `","kind":1,"startTimeUnixNano":"`...)
	b = strconv.AppendInt(b, s.At-int64(max(0, s.Took)), 10)
	b = append(b, `","endTimeUnixNano":"`...)
	b = strconv.AppendInt(b, s.At, 10)
	b = append(b, `","attributes":[{"key":"loadstar.task_id","value":{"stringValue":`...)
	b = appendString(b, s.TaskID)
	b = append(b, `}},{"key":"loadstar.status","value":{"stringValue":"`...)
	b = append(b, s.Status...)
	b = append(b, `"}}],"status":{"code":`...)
	b = strconv.AppendInt(b, int64(spanStatus(s.Status)), 10)
	return append(b, `}}`...)
}

func (o *otlp) send(spans []byte) error {
	o.body.Reset()
	o.body.WriteString(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"loadstar"}}]},"scopeSpans":[{"scope":{"name":"loadstar"},"spans":[`)
	o.body.Write(spans)
	o.body.WriteString(`]}]}]}`)
	answer, err := o.client.Post(o.address, "application/json", bytes.NewReader(o.body.Bytes())) //nolint:noctx // the client has a limit
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection is used again
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("send spans: %s", answer.Status)
	}
	return nil
}
