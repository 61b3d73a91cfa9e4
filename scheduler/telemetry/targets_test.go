package telemetry_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/scheduler/telemetry"
)

func TestMessagesHoldWholeLinesAndEveryOne(t *testing.T) {
	var messages []string
	const n = 2000
	s := through(t, telemetry.Config{Publish: func(lines []byte) error {
		messages = append(messages, string(lines))
		return nil
	}}, func(s *telemetry.Sink) {
		for range n {
			s.Offer([]models.TaskStep{step("a")})
			if s.Dropped() > 0 { // more at once than the channel takes
				break
			}
		}
	})
	lines := 0
	for _, m := range messages {
		if !strings.HasSuffix(m, "}\n") || len(m) > 64<<10 {
			t.Errorf("a message of %d bytes that ends %q", len(m), m[max(0, len(m)-5):])
		}
		lines += strings.Count(m, "\n")
	}
	if lines == 0 || uint64(lines) != s.Written() {
		t.Errorf("%d lines of %d", lines, s.Written())
	}
	s = through(t, telemetry.Config{Publish: func([]byte) error { return errors.New("nobody there") }}, func(s *telemetry.Sink) {
		s.Offer([]models.TaskStep{step("a"), step("b")})
	})
	if s.Written() != 0 || s.Dropped() != 2 {
		t.Errorf("%d written, %d dropped", s.Written(), s.Dropped())
	}
}

// span is what of a span is looked at.
type span struct {
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId"`
	Name         string `json:"name"`
	Start        string `json:"startTimeUnixNano"`
	End          string `json:"endTimeUnixNano"`
	Status       struct {
		Code int `json:"code"`
	} `json:"status"`
}

func TestATaskIsATraceAndItsStepsAreSpansInIt(t *testing.T) {
	var got struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []span `json:"spans"`
			} `json:"scopeSpans"`
		} `json:"resourceSpans"`
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || r.Header.Get("Content-Type") != "application/json" || r.URL.Path != "/v1/traces" {
			t.Errorf("%s %v: %v\n%s", r.URL, r.Header, err, text)
		}
	}))
	defer server.Close()
	lost := step("a")
	lost.Status = "lost"
	whole := step("a")
	whole.Step, whole.Took = models.StepFinished, time.Second
	s := through(t, telemetry.Config{OTLP: server.URL + "/v1/traces"}, func(s *telemetry.Sink) {
		s.Offer([]models.TaskStep{step(`a`), lost, whole, step(`b"\`)})
	})
	if s.Written() != 4 || s.Dropped() != 0 {
		t.Fatalf("%d written, %d dropped", s.Written(), s.Dropped())
	}
	spans := got.ResourceSpans[0].ScopeSpans[0].Spans
	running, task, other := spans[0], spans[2], spans[3]
	want := span{TraceID: running.TraceID, SpanID: running.SpanID, ParentSpanID: task.SpanID, Name: "running", Start: "1712054399955000000", End: "1712054400000000000"}
	want.Status.Code = 1
	if d := cmp.Diff(want, running); d != "" {
		t.Error(d)
	}
	if len(running.TraceID) != 32 || len(running.SpanID) != 16 || task.TraceID != running.TraceID || other.TraceID == running.TraceID {
		t.Errorf("%+v", spans)
	}
	if task.Name != "task" || task.ParentSpanID != "" || spans[1].Status.Code != 2 {
		t.Errorf("%+v", spans)
	}
}

func TestSpansThatAreRefusedAreCountedAsDropped(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	defer server.Close()
	s := through(t, telemetry.Config{OTLP: server.URL}, func(s *telemetry.Sink) { s.Offer([]models.TaskStep{step("a")}) })
	if s.Written() != 0 || s.Dropped() != 1 {
		t.Errorf("%d written, %d dropped", s.Written(), s.Dropped())
	}
	var bad *models.FieldError
	if _, err := telemetry.New(telemetry.Config{OTLP: "localhost:4318"}); !errors.As(err, &bad) || bad.Field != "telemetry" {
		t.Error(err)
	}
}
