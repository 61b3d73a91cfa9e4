package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Handler does a stdio worker's work.
type Handler interface {
	// Initialize is the cold start: what takes time and is done once. The worker gets
	// tasks after it has returned nil; an error ends the worker.
	Initialize(ctx context.Context, p InitializeParams) error
	// Run does one task; ctx ends when the task is cancelled. The result is any
	// value that encodes as JSON. A *TaskError carries an exit code.
	Run(ctx context.Context, p RunParams, say Say) (result any, err error)
}

// TaskError is a task's failure with an exit code.
type TaskError struct {
	Message  string
	ExitCode int // 0 to 255
}

func (e *TaskError) Error() string { return e.Message }

// Say tells the daemon how a task goes. It is safe for use by several goroutines.
type Say struct {
	taskID string
	out    *lineWriter
}

// Progress says how far the task is: done is from 0 to 1.
func (s Say) Progress(done float64, text string) {
	if !(done >= 0) { // NaN too, which JSON does not know
		done = 0
	}
	done = min(done, 1)
	s.out.note("progress", ProgressParams{TaskID: s.taskID, Done: &done, Message: text})
}

// Log adds a line to the task's log.
func (s Say) Log(text string) {
	s.out.note("log", LogParams{TaskID: s.taskID, Message: text})
}

// lineWriter writes whole messages, one at a time; the first error stays.
type lineWriter struct {
	mu  sync.Mutex
	w   io.Writer
	err error
}

func (l *lineWriter) write(m message) {
	m.Version = "2.0"
	line, err := json.Marshal(m)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.err == nil {
		_, err = l.w.Write(append(line, '\n'))
	}
	l.err = cmp.Or(l.err, err)
}

func (l *lineWriter) note(method string, params any) {
	p, err := json.Marshal(params)
	if err != nil {
		return // plain structs of strings and finite numbers always encode
	}
	l.write(message{Method: method, Params: p})
}

// answer sends a result, or the error that it does not encode.
func (l *lineWriter) answer(id json.RawMessage, result any) {
	r, err := json.Marshal(result)
	if err == nil && len(r) > MaxLine-256 {
		err = fmt.Errorf("it is %d bytes long", len(r))
	}
	if err != nil {
		l.fail(id, CodeTaskFailed, "the result cannot be sent: "+err.Error(), 0)
		return
	}
	l.write(message{ID: id, Result: r})
}

func (l *lineWriter) fail(id json.RawMessage, code int, text string, exitCode int) {
	const longest = 64 << 10
	e := &RPCError{Code: code, Message: printable([]byte(text), longest)}
	if exitCode != 0 {
		e.Data = json.RawMessage(fmt.Sprintf(`{"exit_code":%d}`, exitCode))
	}
	l.write(message{ID: id, Error: e})
}

// server is the worker's side of one conversation.
type server struct {
	h    Handler
	out  *lineWriter
	work sync.WaitGroup

	mu      sync.Mutex
	cancels map[string]context.CancelFunc // by task
}

// ServeStdio is the worker's side of the protocol: it answers on out what comes on
// in, and returns nil after `shutdown`, at the end of in, or when ctx ends; what
// still runs then is cancelled and waited for. Where ctx ends first, one goroutine
// stays in a read of in until that returns. Nothing else may write to out, so a
// worker whose libraries print must send those prints to stderr.
func ServeStdio(ctx context.Context, in io.Reader, out io.Writer, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &server{h: h, out: &lineWriter{w: out}, cancels: map[string]context.CancelFunc{}}
	defer s.work.Wait()
	defer cancel()
	lines := make(chan message)
	readErr := make(chan error, 1)
	go func() { readErr <- readMessages(ctx, in, lines) }()
	initialized := make(chan error, 1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-readErr:
			return err
		case err := <-initialized:
			if err != nil {
				return fmt.Errorf("initialize: %w", err)
			}
		case m := <-lines:
			if m.Method == "shutdown" {
				s.out.answer(m.ID, struct{}{})
				return nil
			}
			s.handle(ctx, &m, initialized)
		}
	}
}

// readMessages hands on messages until the end of in, which is no error. Lines
// that are none are skipped.
func readMessages(ctx context.Context, in io.Reader, to chan<- message) error {
	r := newLineReader(in, MaxLine)
	for {
		line, tooLong, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		m, err := decodeMessage(line)
		if err != nil || tooLong {
			continue
		}
		select {
		case to <- m:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *server) handle(ctx context.Context, m *message, initialized chan<- error) {
	switch m.Method {
	case "initialize":
		var p InitializeParams
		if err := json.Unmarshal(m.Params, &p); err != nil {
			s.out.fail(m.ID, CodeInvalidParams, err.Error(), 0)
			return
		}
		s.work.Go(func() {
			err := s.h.Initialize(ctx, p)
			if err != nil {
				s.out.fail(m.ID, CodeTaskFailed, err.Error(), 0)
			} else {
				s.out.answer(m.ID, InitializeResult{BusyPing: true})
			}
			select {
			case initialized <- err:
			default: // it was sent before
			}
		})
	case "run":
		var p RunParams
		if err := json.Unmarshal(m.Params, &p); err != nil || p.TaskID == "" {
			s.out.fail(m.ID, CodeInvalidParams, "run needs a task_id", 0)
			return
		}
		s.run(ctx, m.ID, p)
	case "cancel":
		var p CancelParams
		if json.Unmarshal(m.Params, &p) == nil {
			s.mu.Lock()
			cancel := s.cancels[p.TaskID]
			s.mu.Unlock()
			if cancel != nil {
				cancel()
			}
		}
	case "ping":
		s.out.answer(m.ID, struct{}{})
	case "":
	default:
		if len(m.ID) > 0 {
			s.out.fail(m.ID, CodeMethodNotFound, "no such method: "+m.Method, 0)
		}
	}
}

func (s *server) run(ctx context.Context, id json.RawMessage, p RunParams) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	_, twice := s.cancels[p.TaskID]
	if !twice {
		s.cancels[p.TaskID] = cancel
	}
	s.mu.Unlock()
	if twice {
		cancel()
		s.out.fail(id, CodeInvalidParams, "task "+p.TaskID+" runs already", 0)
		return
	}
	s.work.Go(func() {
		result, err := s.guarded(ctx, p)
		cancelled := ctx.Err() != nil
		s.mu.Lock()
		delete(s.cancels, p.TaskID)
		s.mu.Unlock()
		cancel()
		var te *TaskError
		switch {
		case err == nil:
			s.out.answer(id, result)
		case errors.As(err, &te):
			s.out.fail(id, CodeTaskFailed, te.Message, te.ExitCode)
		case cancelled:
			s.out.fail(id, CodeCancelled, err.Error(), 0)
		default:
			s.out.fail(id, CodeTaskFailed, err.Error(), 0)
		}
	})
}

// guarded turns a panic of one task into its failure, so that the worker's cold
// start is not lost with it.
func (s *server) guarded(ctx context.Context, p RunParams) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, fmt.Errorf("panic: %v", v)
		}
	}()
	return s.h.Run(ctx, p, Say{taskID: p.TaskID, out: s.out})
}
