package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"loadstar/models"
)

// eventBuffer is how many events may wait for a client before it loses some.
const eventBuffer = 1024

type eventsInput struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"100" doc:"Taken, but nothing is sent again: the stream begins with what happens next"`
}

func (a *API) addEvents() {
	register(a, huma.Operation{
		OperationID: "events", Method: http.MethodGet, Path: "/v1/events", Tags: []string{"status"},
		Summary:     "What happens from now on, as server-sent events",
		Description: "Each event's name is its kind, its id its number, its data the event as JSON. A gap in the numbers means that the client read too slowly. A comment is a sign of life.",
		Responses:   answers("200", "The stream", text("text/event-stream", "")),
	}, func(context.Context, *eventsInput) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: a.streamEvents}, nil
	})
}

func (a *API) streamEvents(hc huma.Context) {
	ctx, cancel := untilStopping(hc.Context())
	defer cancel()
	events := a.cfg.Tasks.Subscribe(ctx, eventBuffer)
	hc.SetHeader("Content-Type", "text/event-stream")
	hc.SetHeader("X-Accel-Buffering", "no") // a proxy is to pass it on at once
	hc.SetStatus(http.StatusOK)
	var out bytes.Buffer
	out.WriteString("retry: 2000\n\n")
	beat := time.NewTicker(a.cfg.Heartbeat)
	defer beat.Stop()
	for {
		if !send(hc, &out) {
			return
		}
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			writeEvent(&out, e)
			if !drain(events, &out) {
				send(hc, &out)
				return
			}
		case <-beat.C:
			out.WriteString(": alive\n\n")
		case <-ctx.Done():
			return
		}
	}
}

// drain adds what is waiting already, so that a burst goes out in one write;
// false when the events have ended.
func drain(events <-chan models.Event, out *bytes.Buffer) bool {
	for out.Len() < 64<<10 {
		select {
		case e, ok := <-events:
			if !ok {
				return false
			}
			writeEvent(out, e)
		default:
			return true
		}
	}
	return true
}

func writeEvent(out *bytes.Buffer, e models.Event) {
	data, err := json.Marshal(e)
	if err != nil {
		return // strings and numbers only: it cannot be
	}
	fmt.Fprintf(out, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, data)
}

// send writes out and empties it; false when the client has gone.
func send(hc huma.Context, out *bytes.Buffer) bool {
	if _, err := out.WriteTo(hc.BodyWriter()); err != nil {
		return false
	}
	return flush(hc) == nil
}

func flush(hc huma.Context) error {
	_, w := humago.Unwrap(hc)
	if f, ok := w.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	return io.ErrClosedPipe // only our own writer comes here
}
