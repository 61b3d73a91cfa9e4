package worker

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"loadstar/models"
)

// hear handles one line of the worker's.
func (s *session) hear(h heard) {
	if h.tooLong && s.job != nil && s.state == busy {
		// It may have been the result, so the task's end would never be heard of.
		s.finish(Result{Outcome: string(models.Failed), Err: fmt.Sprintf("the worker sent a line of more than %d bytes", MaxLine), At: time.Now()})
		s.kill("sent a line of more than %d bytes", MaxLine)
		return
	}
	if h.garbage != "" || h.tooLong {
		s.hearGarbage(h.garbage)
		return
	}
	s.garbage = 0
	s.alive()
	m := &h.message
	switch {
	case m.Method != "" && len(m.ID) > 0:
		s.refuse(m)
	case m.Method != "":
		s.hearNotice(m)
	case m.answers(s.awaitID) && s.state == starting:
		s.hearReady(m)
	case m.answers(s.awaitID) && s.job != nil && m.Error != nil && s.over && s.doomed.Outcome == "":
		// It failed because it was made to end; the task is to run again.
		s.dropJob()
	case m.answers(s.awaitID) && s.job != nil:
		s.finish(s.resultOf(m))
	}
	// Other answers are to pings and shutdown: to be heard is all they are for.
}

func (s *session) hearGarbage(line string) {
	s.garbage++
	s.garbages++
	s.log.Line(s.cfg.ID, "stdout: "+line)
	s.tail.task(line)
	if s.garbages == 1 {
		s.cfg.Logger.Warn("a worker's standard output is not only messages; other lines are ignored", "worker", s.cfg.ID, "line", line)
	}
	if s.garbage >= s.cfg.MaxGarbage {
		s.kill("wrote %d lines in a row to its standard output that are no JSON-RPC messages", s.garbage)
	}
}

// refuse answers a request: workers have none to make.
func (s *session) refuse(m *message) {
	if s.send == nil {
		return
	}
	line, err := json.Marshal(message{Version: "2.0", ID: m.ID, Error: &RPCError{Code: CodeMethodNotFound, Message: "no such method: " + printable([]byte(m.Method), 100)}})
	if err != nil {
		return // its id was JSON a moment ago
	}
	select {
	case s.send <- append(line, '\n'):
	default:
		s.kill("does not read its standard input")
	}
}

func (s *session) hearNotice(m *message) {
	if s.job == nil {
		return
	}
	switch m.Method {
	case "progress":
		var p ProgressParams
		if json.Unmarshal(m.Params, &p) == nil && (p.TaskID == "" || p.TaskID == s.job.Task.TaskID) {
			text := "progress"
			if p.Done != nil {
				text += fmt.Sprintf(" %.0f%%", 100*min(max(*p.Done, 0), 1))
			}
			s.tail.task(strings.TrimSpace(text + " " + p.Message))
		}
	case "log":
		var p LogParams
		if json.Unmarshal(m.Params, &p) == nil && (p.TaskID == "" || p.TaskID == s.job.Task.TaskID) {
			s.tail.task(strings.TrimSuffix(p.Message, "\n"))
		}
	}
}

func (s *session) hearReady(m *message) {
	if m.Error != nil {
		s.kill("refused to initialize: %s", m.Error.Message)
		return
	}
	var res InitializeResult
	_ = json.Unmarshal(m.Result, &res) //nolint:errcheck // all of it may be absent, or of another kind
	s.busyPing = res.BusyPing
	s.startBy.off()
	s.ready, s.state = true, idle
	s.alive()
	s.cfg.OnReady(time.Since(s.born))
}

// resultOf is what the answer to a run means, noted in the attempt's log.
func (s *session) resultOf(m *message) Result {
	r := Result{Outcome: string(models.Success), At: time.Now()}
	switch {
	case m.Error != nil:
		r.Outcome, r.Err, r.ExitCode = string(models.Failed), m.Error.Message, m.Error.exitCode()
		if r.Err == "" {
			r.Err = fmt.Sprintf("the worker answered with error %d", m.Error.Code)
		}
		s.tail.task("error: " + r.Err)
	default:
		r.ExitCode = new(int)
		var text string
		if json.Unmarshal(m.Result, &text) != nil {
			text = string(m.Result)
		}
		if text != "null" && text != "" {
			s.tail.task(strings.TrimSuffix(text, "\n"))
		}
	}
	if s.doomed.Outcome != "" {
		r.Outcome, r.Err = s.doomed.Outcome, s.doomed.Err
	}
	return r
}
