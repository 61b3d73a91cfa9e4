package cli

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
)

// stamp is a time in CSV: RFC 3339 in UTC, empty where there is none.
func stamp(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// clock is a time for a person: the time of day, with the date where it is not today.
func (p *page) clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t = t.In(p.now.Location())
	if t.Year() == p.now.Year() && t.YearDay() == p.now.YearDay() {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// span is a duration for a person, in about three figures.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d == 0:
		return "0s"
	case d < time.Millisecond:
		return strconv.FormatInt(d.Microseconds(), 10) + "us"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

func seconds(s float64) string { return span(time.Duration(s * float64(time.Second))) }

// round is a duration that is meant to be a round one: "10s", "15m", "1h30m".
func round(d time.Duration) string {
	text := d.String()
	if d >= time.Minute {
		text = strings.TrimSuffix(text, "0s")
	}
	if d >= time.Hour && strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func step(s float64) string { return round(time.Duration(s * float64(time.Second))) }

// figure is a number for a person, in about three figures.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case v == 0:
		return "0"
	case a >= 1e9:
		return fmt.Sprintf("%.3gG", v/1e9)
	case a >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// optional is a number that may not be known.
func optional(v *float64) string {
	if v == nil {
		return "-"
	}
	return figure(*v)
}

// exact is a number for a program.
func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func exitText(code *int) string {
	if code == nil {
		return ""
	}
	return strconv.Itoa(*code)
}

// plural is "1 task" or "2 tasks".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

func pairs(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, ", ")
}

// stateColor is the colour of a state's name; the name itself says it all.
func stateColor(state string) string {
	switch models.State(state) {
	case models.Running:
		return "36"
	case models.Success:
		return "32"
	case models.Failed:
		return "31"
	case models.Cancelled:
		return "33"
	case models.Pending, models.Assigned:
	}
	return ""
}
