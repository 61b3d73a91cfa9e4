package telemetry

import (
	"encoding/json"
	"strconv"
	"time"

	"loadstar/models"
)

// appendLine writes a step as one line of JSON.
func appendLine(b []byte, s *models.TaskStep) []byte {
	b = append(b, `{"task_id":`...)
	b = appendString(b, s.TaskID)
	b = append(b, `,"step":"`...)
	b = append(b, s.Step...)
	b = append(b, `","status":"`...)
	b = append(b, s.Status...)
	b = append(b, `","timestamp":`...)
	b = strconv.AppendInt(b, s.At/int64(time.Millisecond), 10)
	b = append(b, `,"duration_ms":`...)
	us := max(0, s.Took).Microseconds()
	b = strconv.AppendInt(b, us/1000, 10)
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
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
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
