package telemetry

import (
	"encoding/json"
	"strconv"
	"time"

	"loadstar/models"
)

// encoder writes steps as lines of JSON. Steps that follow each other are mostly
// alike, so what the last one had is not worked out again. It is for one goroutine.
type encoder struct {
	ms     int64 // the Unix ms that stamp is
	stamp  []byte
	middle []middle // from the id to the time, for each step and status seen
	last   int      // in middle, of the last step
}

// middle is what stands between a line's id and its time.
type middle struct {
	step, status, text string
}

// maxMiddles bounds what is remembered; there are some twenty.
const maxMiddles = 64

func (e *encoder) between(s *models.TaskStep) string {
	if e.last < len(e.middle) {
		if m := &e.middle[e.last]; m.step == s.Step && m.status == s.Status {
			return m.text
		}
	}
	for i := range e.middle {
		if m := &e.middle[i]; m.step == s.Step && m.status == s.Status {
			e.last = i
			return m.text
		}
	}
	text := `,"step":"` + s.Step + `","status":"` + s.Status + `","timestamp":`
	if len(e.middle) < maxMiddles {
		e.middle = append(e.middle, middle{step: s.Step, status: s.Status, text: text})
	}
	return text
}

// append writes a step as one line of JSON.
func (e *encoder) append(b []byte, s *models.TaskStep) []byte {
	b = append(b, `{"task_id":`...)
	b = appendString(b, s.TaskID)
	b = append(b, e.between(s)...)
	if ms := s.At / int64(time.Millisecond); ms != e.ms || len(e.stamp) == 0 {
		e.ms, e.stamp = ms, strconv.AppendInt(e.stamp[:0], ms, 10)
		e.stamp = append(e.stamp, `,"duration_ms":`...)
	}
	b = append(b, e.stamp...)
	us := uint64(max(0, s.Took).Microseconds()) //nolint:gosec // not negative
	b = strconv.AppendUint(b, us/1000, 10)
	if part := us % 1000; part != 0 {
		b = append(b, '.', '0'+byte(part/100), '0'+byte(part/10%10), '0'+byte(part%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, '}', '\n')
}

// appendString quotes a text for JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c-' ' >= 0x7f-' ' || c == '"' || c == '\\' { // it does not stand for itself
			quoted, err := json.Marshal(s)
			if err != nil { // a string always can be
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
