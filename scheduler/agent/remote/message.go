package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"loadstar/models"
	"loadstar/scheduler"
)

const (
	joinSubject = "loadstar.fleet.join"
	upSubject   = "loadstar.fleet.up."   // then the session
	downSubject = "loadstar.fleet.down." // then the session
)

// Subjects are the NATS subjects that the fleet uses, for a server's permissions.
func Subjects() []string { return []string{"loadstar.fleet.>"} }

// heldAttempt is a scheduler.Held on the wire.
type heldAttempt struct {
	TaskID string          `json:"task_id"`
	Lease  scheduler.Lease `json:"lease"`
}

// joining is what an agent asks to join with.
type joining struct {
	Protocol    int           `json:"protocol"`
	Program     string        `json:"program"`     // its version
	Incarnation string        `json:"incarnation"` // of its process
	Session     string        `json:"session"`     // the agent's choice, a token that nobody guesses
	Agent       models.Agent  `json:"agent"`
	Holds       []heldAttempt `json:"holds,omitempty"`
}

// joined answers it.
type joined struct {
	Error string `json:"error,omitempty"` // why it was refused
	Again bool   `json:"again,omitempty"` // it may be otherwise soon
}

// output is a piece of what an attempt has printed, in order.
type output struct {
	TaskID  string `json:"task_id"`
	Attempt int    `json:"attempt"`
	Data    []byte `json:"data,omitempty"`
	End     bool   `json:"end,omitempty"` // nothing more comes
}

// The kinds of message of a conduit: the first byte; JSON follows.
const (
	kindCommands byte = 'c' // commands, one behind the other
	kindReports  byte = 'r' // reports, likewise
	kindOutput   byte = 'o' // an output
)

// batchBytes is how many bytes of commands or reports are gathered into one message.
const batchBytes = partBytes / 2

// encodeBatches makes messages of values, in order.
func encodeBatches[T any](kind byte, values []T, put func(message []byte)) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i := range values {
		if b.Len() == 0 {
			b.WriteByte(kind)
		}
		if err := e.Encode(&values[i]); err != nil {
			return fmt.Errorf("encode a message: %w", err)
		}
		if b.Len() >= batchBytes || i == len(values)-1 {
			put(bytes.Clone(b.Bytes()))
			b.Reset()
		}
	}
	return nil
}

var errKind = errors.New("a message of another kind")

// decodeBatch reads the values of a message of the kind that is expected.
func decodeBatch[T any](m []byte, kind byte) ([]T, error) {
	if len(m) == 0 || m[0] != kind {
		return nil, errKind
	}
	d := json.NewDecoder(bytes.NewReader(m[1:]))
	var out []T
	for {
		var v T
		switch err := d.Decode(&v); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return out, fmt.Errorf("decode a message: %w", err)
		}
		out = append(out, v)
	}
}

const (
	maxAgentID      = 64
	maxCapabilities = 256
	maxSlots        = 1 << 20
)

// checkAgent checks what an agent says of itself; the error is a *models.FieldError.
func checkAgent(a *models.Agent) error {
	for _, r := range a.ID {
		if ok := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._-", r); !ok {
			return models.Invalid("id", "%q holds more than letters, digits, '.', '-' and '_'", a.ID)
		}
	}
	switch {
	case a.ID == "" || len(a.ID) > maxAgentID:
		return models.Invalid("id", "%q is not 1 to %d characters long", a.ID, maxAgentID)
	case a.Slots < 1 || a.Slots > maxSlots:
		return models.Invalid("slots", "%d is not between 1 and %d", a.Slots, maxSlots)
	case len(a.Capabilities) > maxCapabilities:
		return models.Invalid("capabilities", "%d are more than %d", len(a.Capabilities), maxCapabilities)
	case !(a.CPUs >= 0) || a.MemoryTotal < 0:
		return models.Invalid("cpus, memory_total", "neither may be negative")
	}
	for _, s := range []*float64{&a.CPU, &a.Memory, &a.IO, &a.LoadScore} {
		if !(*s > 0) {
			*s = 0
		}
		*s = min(*s, 1)
	}
	return nil
}
