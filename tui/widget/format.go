package widget

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Count is an integer with thousands told apart: "12,345".
func Count(n int) string {
	s := strconv.Itoa(n)
	neg := ""
	if n < 0 {
		neg, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return neg + s
}

// Short is a count in at most five cells: "9999", "12.3k", "4.56M".
func Short(n int) string {
	if n > -10_000 && n < 10_000 {
		return strconv.Itoa(n)
	}
	return SI(float64(n))
}

// SI is a number with a decimal unit prefix and three digits: "1.23k".
func SI(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "?"
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= u.size*0.9995 {
			if v/u.size >= 99_999 || v/u.size <= -99_999 {
				return fmt.Sprintf("%.0e", v)
			}
			return digits3(v/u.size) + u.name
		}
	}
	return Number(v)
}

// Number is a plain number with about three digits.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "?"
	case a >= 1e9:
		return SI(v)
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a == 0:
		return "0"
	case a < 0.0005:
		return strconv.FormatFloat(v, 'e', 0, 64)
	case a < 0.0995:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return digits3(v)
}

func digits3(v float64) string {
	switch a := math.Abs(v); {
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// ByteSize is an amount of bytes with a binary unit: "1.23 GiB".
func ByteSize(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "?"
	}
	unit := "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if math.Abs(v) < 999.5 {
			break
		}
		v /= 1024
		unit = u
	}
	if math.Abs(v) >= 1e5 {
		return fmt.Sprintf("%.0e %s", v, unit)
	}
	if unit == "B" {
		return strconv.FormatFloat(v, 'f', 0, 64) + " B"
	}
	return digits3(v) + " " + unit
}

// ByteShort is ByteSize for tight places: "1.2M".
func ByteShort(v float64) string {
	number, unit, ok := strings.Cut(ByteSize(v), " ")
	if !ok {
		return number
	}
	if v, err := strconv.ParseFloat(number, 64); err == nil && strings.Contains(number, ".") {
		decimals := 0
		if math.Abs(v) < 9.95 {
			decimals = 1
		}
		number = strconv.FormatFloat(v, 'f', decimals, 64)
	}
	return number + unit[:1]
}

// Value is a series' value in its unit: "43.1 %", "1.20 MiB/s", "3.20 workers".
func Value(v float64, unit string) string {
	switch unit {
	case "B/s":
		return ByteSize(v) + "/s"
	case "":
		return Number(v)
	case "s":
		return Seconds(v)
	}
	return SI(v) + " " + unit
}

// Seconds is a time span given in seconds: "3 ms", "12.3 s", "4m05s", "2h10m", "3d04h".
func Seconds(s float64) string {
	neg := ""
	if s < 0 {
		neg, s = "-", -s
	}
	switch {
	case math.IsNaN(s) || math.IsInf(s, 0):
		return "?"
	case s == 0:
		return "0 s"
	case s < 0.00995:
		return neg + strconv.FormatFloat(math.Max(0.1, s*1000), 'f', 1, 64) + " ms"
	case s < 0.0995:
		return neg + strconv.FormatFloat(s*1000, 'f', 0, 64) + " ms"
	case s < 9.95:
		return neg + strconv.FormatFloat(s, 'f', 1, 64) + " s"
	case s < 99.5:
		return neg + strconv.FormatFloat(s, 'f', 0, 64) + " s"
	case s < 3600:
		n := int(s + 0.5)
		return fmt.Sprintf("%s%dm%02ds", neg, n/60, n%60)
	case s < 86400:
		n := int(s / 60)
		return fmt.Sprintf("%s%dh%02dm", neg, n/60, n%60)
	case s < 86400*1000:
		n := int(s / 3600)
		return fmt.Sprintf("%s%dd%02dh", neg, n/24, n%24)
	case s < 86400*365*10000:
		return fmt.Sprintf("%s%.0fy", neg, s/86400/365.25)
	}
	return neg + "ages"
}

// Span is Seconds for a duration.
func Span(d time.Duration) string { return Seconds(d.Seconds()) }

// Millis is Seconds for milliseconds.
func Millis(ms float64) string { return Seconds(ms / 1000) }

// Age is how long ago t was at now; a clock that runs ahead is no age.
func Age(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	s := math.Max(0, now.Sub(t).Seconds())
	if s < 99.5 {
		return fmt.Sprintf("%.0f s", s)
	}
	return Seconds(s)
}
