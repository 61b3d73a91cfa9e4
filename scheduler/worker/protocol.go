package worker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"loadstar/models"
)

// ProtocolVersion is what `initialize` announces.
const ProtocolVersion = 1

// MaxLine is the longest message in bytes, its newline left out.
const MaxLine = 1 << 20

// Error codes of the protocol beside JSON-RPC's own.
const (
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeTaskFailed     = -32000 // the task failed; the default of ServeStdio
	CodeCancelled      = -32800 // the run was cancelled
)

// InitializeParams is what a worker is told first. Its answer ends the cold start.
type InitializeParams struct {
	Protocol     int      `json:"protocol"`
	Worker       string   `json:"worker"`
	Pool         string   `json:"pool"`
	Capabilities []string `json:"capabilities"`
	MaxLine      int      `json:"max_line"` // the longest line that is read, in bytes
	// Config is the pool's own settings, a JSON object; {} where it has none.
	Config json.RawMessage `json:"config"`
}

// InitializeResult is a worker's answer. All of it may be absent.
type InitializeResult struct {
	// BusyPing says that the worker answers pings while it runs a task; a worker
	// that cannot is not pinged then.
	BusyPing bool `json:"busy_ping,omitempty"`
}

// RunParams is a task as a worker gets it.
type RunParams struct {
	TaskID  string            `json:"task_id"`
	Attempt int               `json:"attempt"`
	Input   json.RawMessage   `json:"input"` // the task's input, or its description as a string
	Env     map[string]string `json:"env"`
	Labels  map[string]string `json:"labels"`
}

// CancelParams names the run to stop.
type CancelParams struct {
	TaskID string `json:"task_id"`
}

// ProgressParams is a worker's word on how far a task is.
type ProgressParams struct {
	TaskID  string   `json:"task_id"`
	Done    *float64 `json:"done,omitempty"` // 0 to 1
	Message string   `json:"message,omitempty"`
}

// LogParams is a line for the task's log.
type LogParams struct {
	TaskID  string `json:"task_id"`
	Message string `json:"message"`
}

// RPCError is a JSON-RPC error; data.exit_code becomes the task's exit code.
type RPCError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func (e *RPCError) exitCode() *int {
	var data struct {
		ExitCode *int `json:"exit_code"`
	}
	if json.Unmarshal(e.Data, &data) != nil || data.ExitCode == nil || *data.ExitCode < 0 || *data.ExitCode > 255 {
		return nil
	}
	return data.ExitCode
}

// message is one line of the protocol, whatever its kind.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *RPCError       `json:"error,omitempty"`
}

var errNotRPC = errors.New("not a JSON-RPC 2.0 message")

// decodeMessage reads one line. A line that is no request, notification or
// response gives an error wrapping errNotRPC.
func decodeMessage(line []byte) (message, error) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, fmt.Errorf("%w: %w", errNotRPC, err)
	}
	answers := 0
	if m.Result != nil {
		answers++
	}
	if m.Error != nil {
		answers++
	}
	switch {
	case m.Version != "2.0":
		return message{}, fmt.Errorf("%w: jsonrpc is not \"2.0\"", errNotRPC)
	case m.Method != "" && answers > 0, m.Method == "" && answers != 1:
		return message{}, fmt.Errorf("%w: neither a method nor exactly one of result and error", errNotRPC)
	case m.Method == "" && len(m.ID) == 0:
		return message{}, fmt.Errorf("%w: an answer without an id", errNotRPC)
	}
	return m, nil
}

// answers reports whether m is the response to our request with this id.
func (m *message) answers(id int64) bool {
	return m.Method == "" && id > 0 && string(m.ID) == strconv.FormatInt(id, 10)
}

// encodeMessage is one line with its newline; id 0 makes a notification.
func encodeMessage(id int64, method string, params any) ([]byte, error) {
	p, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	m := message{Version: "2.0", Method: method, Params: p}
	if id > 0 {
		m.ID = strconv.AppendInt(nil, id, 10)
	}
	line, err := json.Marshal(m)
	return append(line, '\n'), err
}

// runParams is what a worker gets of a task.
func runParams(t *models.TaskSpec, attempt int) (RunParams, error) {
	p := RunParams{TaskID: t.TaskID, Attempt: attempt, Input: t.Input, Env: t.Env, Labels: t.Labels}
	if p.Env == nil {
		p.Env = map[string]string{}
	}
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	if len(p.Input) == 0 {
		var err error
		if p.Input, err = json.Marshal(t.Description); err != nil {
			return p, err
		}
	}
	return p, nil
}

// lineReader reads lines of bounded length and skips what is too long.
type lineReader struct {
	r   *bufio.Reader
	max int
	buf []byte
}

func newLineReader(r io.Reader, longest int) *lineReader {
	const size = 32 << 10
	return &lineReader{r: bufio.NewReaderSize(r, size), max: longest}
}

// next is the next line without its newline, valid until the next call. Of one
// that is longer than max only the beginning is given, and tooLong is set. A last
// line without a newline counts.
func (l *lineReader) next() (line []byte, tooLong bool, err error) {
	const keep = 64 << 10 // one long message does not hold its memory for ever
	if cap(l.buf) > keep {
		l.buf = nil
	}
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		if room := l.max + 1 - len(l.buf); len(part) > room {
			tooLong, part = true, part[:room]
		}
		l.buf = append(l.buf, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && len(l.buf) == 0:
			return nil, false, err
		}
		line = bytes.TrimSuffix(l.buf, []byte("\n"))
		if len(line) > l.max {
			line, tooLong = line[:l.max], true
		}
		return bytes.TrimSuffix(line, []byte("\r")), tooLong, nil
	}
}

// printable is text as it may stand in one line of a log, cut to a length in bytes.
func printable(text []byte, longest int) string {
	cut := ""
	if len(text) > longest {
		text, cut = text[:longest], "…"
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' || r >= ' ' && r != 0x7f {
			return r
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(string(text), "\uFFFD")) + cut
}
