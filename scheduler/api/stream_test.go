package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
	"loadstar/scheduler/api"
	"loadstar/scheduler/api/socket"
)

func TestEventsArriveInOrderAndEndWithTheContext(t *testing.T) {
	s := serve(t, newFake())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, err := s.client.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the subscription", func() bool { return s.subscribers() == 1 })
	want := []models.Event{
		{Seq: 1, At: at(8), Kind: models.EventTask, TaskID: "a", State: models.Running, Attempt: 2, Pool: "gpu"},
		{Seq: 2, At: at(8), Kind: models.EventTrouble, Message: "two\nlines: and data: too"},
		{Seq: 3, At: at(9), Kind: models.EventWorker, Worker: "w-1"},
	}
	for _, e := range want {
		s.emit(e)
	}
	for _, e := range want {
		if d := cmp.Diff(e, <-events); d != "" {
			t.Error(d)
		}
	}
	cancel()
	for range events {
		t.Error("an event after the end")
	}
	eventually(t, "the daemon to notice", func() bool { return s.subscribers() == 0 })
}

func TestEventsEndWhenTheDaemonStops(t *testing.T) {
	s := serve(t, newFake())
	events, err := s.client.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	for range events {
		t.Error("an event after the end")
	}
}

// get asks over the socket as a browser or curl would.
func (s *served) get(t *testing.T, target string, header ...string) *http.Response {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, s.socket) }}
	t.Cleanup(tr.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://loadstar"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestTheEventStreamIsServerSentEventsWithHeartbeats(t *testing.T) {
	s := serve(t, newFake(), func(c *api.Config) { c.Heartbeat = time.Millisecond })
	resp := s.get(t, "/v1/events", "Last-Event-ID", "17")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	eventually(t, "the subscription", func() bool { return s.subscribers() == 1 })
	s.emit(models.Event{Seq: 9, At: at(8), Kind: models.EventTask, TaskID: "a"})
	var beats int
	var frame []string
	lines := bufio.NewScanner(resp.Body)
	for (beats == 0 || len(frame) < 3) && lines.Scan() {
		switch line := lines.Text(); {
		case line == ": alive":
			beats++
		case line != "" && !strings.HasPrefix(line, "retry:"):
			frame = append(frame, line)
		}
	}
	want := []string{"id: 9", "event: task", `data: {"seq":9,"at":"2026-11-24T08:00:00Z","kind":"task","task_id":"a"}`}
	if d := cmp.Diff(want, frame); d != "" || beats == 0 {
		t.Errorf("%d heartbeats, %s", beats, d)
	}
}

func TestAFollowedLogEndsWhenTheAttemptEnds(t *testing.T) {
	s := serve(t, newFake())
	s.put("b", models.Running, 2)
	w := s.log("b", 2, "begun\n", true)
	log, err := s.client.Logs(t.Context(), "b", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	r := bufio.NewReader(log)
	if line, _ := r.ReadString('\n'); line != "begun\n" {
		t.Errorf("%q", line)
	}
	if _, err := io.WriteString(w, "going on\n"); err != nil {
		t.Fatal(err)
	}
	if line, _ := r.ReadString('\n'); line != "going on\n" { // it was flushed
		t.Errorf("%q", line)
	}
	_ = w.Close()
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

func TestALogIsFollowedFromBeforeTheTaskStarts(t *testing.T) {
	s := serve(t, newFake())
	s.put("b", models.Pending, 0)
	log, err := s.client.Logs(t.Context(), "b", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.log("b", 1, "at last\n", false)
	s.put("b", models.Running, 1)
	s.emit(models.Event{TaskID: "b"})
	if got, err := io.ReadAll(log); string(got) != "at last\n" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestTheAttemptUnderWayIsFollowedNotTheOneBefore(t *testing.T) {
	s := serve(t, newFake())
	s.log("b", 1, "one\n", false)
	s.put("b", models.Assigned, 2)
	log, err := s.client.Logs(t.Context(), "b", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.log("b", 2, "two\n", false)
	s.put("b", models.Running, 2)
	s.emit(models.Event{TaskID: "b"})
	if got, err := io.ReadAll(log); string(got) != "two\n" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestAFollowedTaskThatIsCancelledBeforeItStartsEndsTheStream(t *testing.T) {
	s := serve(t, newFake())
	s.put("b", models.Pending, 0)
	log, err := s.client.Logs(t.Context(), "b", 0, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.put("b", models.Cancelled, 0)
	s.emit(models.Event{TaskID: "b"})
	if got, err := io.ReadAll(log); len(got) > 0 || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if _, err := s.client.Logs(t.Context(), "b", 0, true); !errors.Is(err, models.ErrNotFound) || !strings.Contains(err.Error(), "never ran") {
		t.Errorf("%v", err)
	}
}

func TestTheLastAttemptWithOutputIsShown(t *testing.T) {
	s := serve(t, newFake())
	s.put("b", models.Assigned, 3) // the third has not begun
	s.log("b", 1, "one\n", false)
	s.log("b", 2, "two\n", false)
	for attempt, want := range map[int]string{0: "two\n", 1: "one\n", 2: "two\n"} {
		log, err := s.client.Logs(t.Context(), "b", attempt, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(log)
		if string(got) != want || err != nil {
			t.Errorf("%d: %q %v", attempt, got, err)
		}
		_ = log.Close()
	}
	if _, err := s.client.Logs(t.Context(), "b", 3, false); !errors.Is(err, models.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestAPoolsOwnLogIsShown(t *testing.T) {
	s := serve(t, newFake())
	if _, err := s.client.PoolLogs(t.Context(), "gpu"); !errors.Is(err, models.ErrNotFound) || !strings.Contains(err.Error(), "the workers of pool gpu have said nothing so far") {
		t.Errorf("%v", err)
	}
	s.log("pool gpu", 0, "08:00 gpu-1 loading\n", false)
	log, err := s.client.PoolLogs(t.Context(), "gpu")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if got, err := io.ReadAll(log); string(got) != "08:00 gpu-1 loading\n" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if _, err := s.client.PoolLogs(t.Context(), "nobody"); !errors.Is(err, models.ErrNotFound) || !strings.Contains(err.Error(), `pool "nobody"`) {
		t.Errorf("%v", err)
	}
	var fe *models.FieldError
	if _, err := s.client.PoolLogs(t.Context(), ""); !errors.As(err, &fe) || fe.Field != "pool" {
		t.Errorf("%v", err)
	}
}

func TestTrainingTellsItsProgressAndItsEnd(t *testing.T) {
	s := serve(t, newFake())
	s.trainSteps = 3
	var last models.TrainProgress
	if err := s.client.Train(t.Context(), "host.cpu", func(p models.TrainProgress) { last = p }); err != nil {
		t.Fatal(err)
	}
	if last.Done != 1 || last.Series != "host.cpu" {
		t.Errorf("%+v", last)
	}
	s.trainErr = models.ErrConflict // half way: told by the last line
	if err := s.client.Train(t.Context(), "", nil); !errors.Is(err, models.ErrConflict) {
		t.Errorf("%v", err)
	}
	s.trainSteps = 0 // at once: told by the status
	s.trainErr = models.Invalid("series", "it is not known")
	if err := s.client.Train(t.Context(), "x", nil); !errors.Is(err, models.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestTrainingStopsWhenItsClientGoes(t *testing.T) {
	s := serve(t, newFake())
	s.trainSteps, s.trainHold = 1, make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := s.client.Train(ctx, "", func(models.TrainProgress) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := s.stop(); err != nil { // and so the daemon need not wait for it
		t.Error(err)
	}
}

func TestACallUnderWayIsLetFinishWhenTheDaemonStops(t *testing.T) {
	f := newFake()
	entered, leave := make(chan struct{}), make(chan struct{})
	s := serve(t, f, func(c *api.Config) {
		c.Info = func() models.DaemonInfo { close(entered); <-leave; return models.DaemonInfo{PID: 8} }
	})
	got := make(chan models.DaemonInfo, 1)
	go func() {
		info, err := s.client.Info(t.Context())
		if err != nil {
			t.Error(err)
		}
		got <- info
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	eventually(t, "the listener to close", func() bool {
		conn, err := socket.Dial(t.Context(), s.socket)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(leave)
	if info := <-got; info.PID != 8 {
		t.Errorf("%+v", info)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAClientThatDoesNotReadIsDropped(t *testing.T) {
	s := serve(t, newFake(), func(c *api.Config) { c.WriteTimeout = 50 * time.Millisecond })
	s.log("a", 1, strings.Repeat("x", 8<<20), false) // more than a socket's buffers hold
	conn, err := socket.Dial(t.Context(), s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v1/tasks/a/logs HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon to give up", func() bool { return s.closedLogs() == 1 })
	if got, _ := io.Copy(io.Discard, conn); got >= 8<<20 {
		t.Errorf("all %d bytes came", got)
	}
}

func TestABodyThatStopsHalfWayIsGivenUp(t *testing.T) {
	s := serve(t, newFake(), func(c *api.Config) { c.ReadTimeout = 50 * time.Millisecond })
	conn, err := socket.Dial(t.Context(), s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%s", resp.Status)
	}
}
