package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"loadstar/models"
)

// maxEvent bounds one line of the event stream, in bytes.
const maxEvent = 1 << 20

// Events delivers what happens from now on. The channel is closed when ctx ends
// or the stream breaks; ask again to go on. A gap in Seq means that events were
// lost because they were read too slowly.
func (c *Client) Events(ctx context.Context) (<-chan models.Event, error) {
	body, err := c.open(ctx, request{method: http.MethodGet, path: []string{"v1", "events"}, accept: "text/event-stream, application/problem+json"})
	if err != nil {
		return nil, err
	}
	out := make(chan models.Event, 256)
	go func() {
		defer close(out)
		defer func() { _ = body.Close() }()
		readEvents(ctx, body, out)
	}()
	return out, nil
}

// readEvents reads server-sent events until the stream ends, breaks or says
// something that is not an event. Only the data lines matter: they hold the
// event in full. Comments are heartbeats.
func readEvents(ctx context.Context, r io.Reader, out chan<- models.Event) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEvent)
	var data []byte
	for lines.Scan() {
		line := lines.Bytes()
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, value...)
			continue
		}
		if len(line) > 0 || len(data) == 0 {
			continue
		}
		var e models.Event
		if json.Unmarshal(data, &e) != nil {
			return
		}
		data = data[:0]
		select {
		case out <- e:
		case <-ctx.Done():
			return
		}
	}
}
