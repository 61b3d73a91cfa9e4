package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Priority orders waiting tasks: 0 (last) to 100 (first). In JSON it is one of
// the names critical (90), high (70), normal (50), low (30), or an integer.
type Priority int

// The named priorities.
const (
	PriorityLow      Priority = 30
	PriorityNormal   Priority = 50
	PriorityHigh     Priority = 70
	PriorityCritical Priority = 90
)

// ParsePriority reads a name or an integer from 0 to 100.
func ParsePriority(text string) (Priority, error) {
	switch strings.ToLower(text) {
	case "critical":
		return PriorityCritical, nil
	case "high":
		return PriorityHigh, nil
	case "normal":
		return PriorityNormal, nil
	case "low":
		return PriorityLow, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 100 {
		return 0, fmt.Errorf("%q is not critical, high, normal, low or an integer from 0 to 100", text)
	}
	return Priority(n), nil
}

// String is the name where there is one, else the number.
func (p Priority) String() string {
	switch p {
	case PriorityCritical:
		return "critical"
	case PriorityHigh:
		return "high"
	case PriorityNormal:
		return "normal"
	case PriorityLow:
		return "low"
	}
	return strconv.Itoa(int(p))
}

// MarshalJSON writes the name where there is one, else the integer.
func (p Priority) MarshalJSON() ([]byte, error) {
	text := p.String()
	if _, err := strconv.Atoi(text); err == nil {
		return []byte(text), nil
	}
	return json.Marshal(text)
}

// UnmarshalJSON reads a name or an integer.
func (p *Priority) UnmarshalJSON(data []byte) error {
	text, ok, err := scalarText(data)
	if err != nil || !ok {
		return err
	}
	v, err := ParsePriority(text)
	if err != nil {
		return err
	}
	*p = v
	return nil
}

// scalarText is a JSON string's content or a number's digits; ok is false for
// null, which by convention leaves the value as it was.
func scalarText(data []byte) (text string, ok bool, err error) {
	text = string(data)
	if text == "null" {
		return "", false, nil
	}
	if len(data) > 0 && data[0] == '"' {
		err = json.Unmarshal(data, &text)
	}
	return text, true, err
}

// Duration is a time.Duration written as Go writes it ("1m30s") in JSON.
type Duration time.Duration

// Std is the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// ParseDuration reads "10m", "1h30m" or a plain number of seconds; a negative
// one is refused.
func ParseDuration(text string) (Duration, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if s < 0 || math.IsNaN(s) || s > math.MaxInt64/float64(time.Second) {
			return 0, fmt.Errorf("%q is not a duration such as 500ms, 10m or 1h30m", text)
		}
		return Duration(s * float64(time.Second)), nil
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 10m or 1h30m", text)
	}
	return Duration(v), nil
}

// MarshalText writes the duration as Go writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// UnmarshalJSON reads a string that ParseDuration takes, or a number of seconds.
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, ok, err := scalarText(data)
	if err != nil || !ok {
		return err
	}
	return d.UnmarshalText([]byte(text))
}

// Bytes is an amount of memory in bytes, written with a binary unit ("512MiB")
// in JSON where it divides evenly, else as a plain number of bytes. Where an
// amount may be unknown it is -1, which is read back but is no valid input.
type Bytes int64

var byteUnits = []struct {
	name string
	size float64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"KB", 1e3},
	{"T", 1 << 40},
	{"G", 1 << 30},
	{"M", 1 << 20},
	{"K", 1 << 10},
	{"B", 1},
}

var errBytes = errors.New("is not an amount such as 512MiB, 2GB or 1048576")

// ParseBytes reads a number with an optional unit (KiB, MiB, GiB, TiB, kB, MB, GB, TB).
func ParseBytes(text string) (Bytes, error) {
	number, size := strings.TrimSpace(text), 1.0
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, size = strings.TrimSpace(rest), u.size
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v*size >= math.MaxInt64 {
		return 0, fmt.Errorf("%q %w", text, errBytes)
	}
	return Bytes(v * size), nil
}

func (b Bytes) String() string {
	for _, u := range byteUnits[:4] {
		if size := Bytes(u.size); b >= size && b%size == 0 {
			return strconv.FormatInt(int64(b/size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText writes what String gives.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads what ParseBytes reads, and the -1 that MarshalText writes.
func (b *Bytes) UnmarshalText(text []byte) error {
	if string(text) == "-1" {
		*b = -1
		return nil
	}
	v, err := ParseBytes(string(text))
	if err != nil {
		return err
	}
	*b = v
	return nil
}

// UnmarshalJSON reads a string that ParseBytes takes, or a number of bytes.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	text, ok, err := scalarText(data)
	if err != nil || !ok {
		return err
	}
	return b.UnmarshalText([]byte(text))
}
