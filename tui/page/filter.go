package page

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"loadstar/models"
)

// Filter selects tasks: the daemon's part narrows all that there are, the terms
// narrow what has come of that.
type Filter struct {
	models.TaskFilter
	Terms []Term
}

// Term is a condition that the screen itself looks at: a field, a comparison, a value.
type Term struct {
	Field string
	Op    string // "=" contains or equals, "!" not so, "<", "<=", ">", ">=", "~" fuzzy
	Value string
	num   float64
}

// numeric are the fields that are compared as numbers; those of time are in seconds.
func numeric(field string) (isTime, ok bool) {
	switch field {
	case "wait", "run", "age":
		return true, true
	case "prio", "try", "exit":
		return false, true
	}
	return false, false
}

// Empty reports whether the filter selects everything.
func (f Filter) Empty() bool { return f.TaskFilter.Empty() && len(f.Terms) == 0 }

// ParseFilter reads what is typed after "/". Words are text to find in ids,
// descriptions and commands, ~word is found with gaps. state:FAILED,RUNNING,
// pool:NAME and label:KEY=VALUE narrow; agent:, reason:, error: and id: do by a part
// of them; prio:, try:, exit:, wait:, run: and age: compare, as in wait:>10s. A "!"
// before a value turns it round.
func ParseFilter(text string) (Filter, error) {
	var f Filter
	var words []string
	for _, word := range strings.Fields(text) {
		if rest, ok := strings.CutPrefix(word, "~"); ok && rest != "" {
			f.Terms = append(f.Terms, Term{Op: "~", Value: strings.ToLower(rest)})
			continue
		}
		field, value, ok := strings.Cut(word, ":")
		if !ok {
			words = append(words, word)
			continue
		}
		taken, err := f.narrow(strings.ToLower(field), value)
		if err != nil {
			return f, err
		}
		if !taken { // a colon in a command
			words = append(words, word)
		}
	}
	f.Text = strings.Join(words, " ")
	return f, nil
}

func (f *Filter) narrow(field, value string) (taken bool, err error) {
	switch field {
	case "state", "s":
		return true, f.states(value)
	case "pool", "p":
		if rest, not := strings.CutPrefix(value, "!"); not {
			f.Terms = append(f.Terms, Term{Field: "pool", Op: "!", Value: strings.ToLower(rest)})
			return true, nil
		}
		if err := models.CheckPoolName("pool", value); err != nil {
			return true, err
		}
		f.Pool = value
	case "label", "l":
		k, v, ok := strings.Cut(value, "=")
		if !ok || k == "" {
			return true, fmt.Errorf("label: %q is not key=value", value)
		}
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		f.Labels[k] = v
	case "agent", "reason", "error", "id", "prio", "try", "exit", "wait", "run", "age":
		term, err := parseTerm(field, value)
		if err != nil {
			return true, err
		}
		f.Terms = append(f.Terms, term)
	default:
		return false, nil
	}
	return true, nil
}

func (f *Filter) states(value string) error {
	value, not := strings.CutPrefix(value, "!")
	var named []models.State
	for name := range strings.SplitSeq(value, ",") {
		s, err := parseState(name)
		if err != nil {
			return err
		}
		named = append(named, s)
	}
	if not {
		named = slices.DeleteFunc(models.States(), func(s models.State) bool { return slices.Contains(named, s) })
		if len(named) == 0 {
			return errors.New("state: no state is left")
		}
	}
	f.States = append(f.States, named...)
	return nil
}

func parseTerm(field, value string) (Term, error) {
	t := Term{Field: field, Op: "="}
	for _, op := range []string{"<=", ">=", "<", ">", "!=", "!", "="} {
		if rest, ok := strings.CutPrefix(value, op); ok {
			t.Op, value = strings.TrimSuffix(op, "="), rest
			if op == "<=" || op == ">=" || op == "=" {
				t.Op = op
			}
			break
		}
	}
	t.Value = strings.ToLower(value)
	isTime, isNumber := numeric(field)
	switch {
	case value == "":
		return t, fmt.Errorf("%s: a value is missing", field)
	case isTime:
		d, err := time.ParseDuration(value)
		if err != nil {
			return t, fmt.Errorf("%s: %q is not a duration, as 10s or 1h30m", field, value)
		}
		t.num = d.Seconds()
	case field == "prio":
		p, err := models.ParsePriority(value)
		if err != nil {
			return t, fmt.Errorf("prio: %q is not a name or a number from 0 to 100", value)
		}
		t.num = float64(p)
	case isNumber:
		n, err := strconv.Atoi(value)
		if err != nil {
			return t, fmt.Errorf("%s: %q is not a whole number", field, value)
		}
		t.num = float64(n)
	case t.Op != "=" && t.Op != "!":
		return t, fmt.Errorf("%s: it is text, which is not more or less", field)
	}
	return t, nil
}

// parseState takes a state's name or its beginning: "fail" is FAILED.
func parseState(name string) (models.State, error) {
	if name != "" {
		for _, s := range models.States() {
			if strings.HasPrefix(string(s), strings.ToUpper(name)) {
				return s, nil
			}
		}
	}
	return models.ParseState(name)
}

// String is the filter as it would be typed.
func (f Filter) String() string {
	var parts []string
	if len(f.States) > 0 {
		names := make([]string, len(f.States))
		for i, s := range f.States {
			names[i] = string(s)
		}
		parts = append(parts, "state:"+strings.Join(names, ","))
	}
	if f.Pool != "" {
		parts = append(parts, "pool:"+f.Pool)
	}
	for _, k := range sortedKeys(f.Labels) {
		parts = append(parts, "label:"+k+"="+f.Labels[k])
	}
	for i := range f.Terms {
		t := &f.Terms[i]
		switch {
		case t.Field == "":
			parts = append(parts, "~"+t.Value)
		case t.Op == "=":
			parts = append(parts, t.Field+":"+t.Value)
		default:
			parts = append(parts, t.Field+":"+t.Op+t.Value)
		}
	}
	if f.Text != "" {
		parts = append(parts, f.Text)
	}
	return strings.Join(parts, " ")
}

// Match reports whether the screen's terms select the task; the daemon has looked at the rest.
func (f *Filter) Match(k *models.Task, now time.Time) bool {
	for i := range f.Terms {
		if !f.Terms[i].match(k, now) {
			return false
		}
	}
	return true
}

func (t *Term) match(k *models.Task, now time.Time) bool {
	if t.Field == "" {
		return Fuzzy(strings.ToLower(k.TaskID+" "+k.String()), t.Value)
	}
	if _, ok := numeric(t.Field); ok {
		v, known := t.number(k, now)
		if !known {
			return t.Op == "!"
		}
		switch t.Op {
		case "<":
			return v < t.num
		case "<=":
			return v <= t.num
		case ">":
			return v > t.num
		case ">=":
			return v >= t.num
		case "!":
			return v != t.num
		}
		return v == t.num
	}
	hay := map[string]string{"pool": k.Pool, "agent": k.Agent, "reason": string(k.Reason), "error": k.Error, "id": k.TaskID}[t.Field]
	return strings.Contains(strings.ToLower(hay), t.Value) == (t.Op == "=")
}

// number is what a task's field is; known is false where it has none yet.
func (t *Term) number(k *models.Task, now time.Time) (v float64, known bool) {
	switch t.Field {
	case "prio":
		return float64(k.Priority), true
	case "try":
		return float64(k.Attempt), true
	case "exit":
		if k.ExitCode == nil {
			return 0, false
		}
		return float64(*k.ExitCode), true
	case "age":
		return now.Sub(k.SubmittedAt).Seconds(), true
	case "wait":
		if d, ok := k.Wait(); ok {
			return d.Seconds(), true
		}
		return now.Sub(k.SubmittedAt).Seconds(), !k.State.Final()
	case "run":
		if d, ok := k.RunTime(); ok {
			return d.Seconds(), true
		}
		if k.StartedAt != nil && k.State == models.Running {
			return now.Sub(*k.StartedAt).Seconds(), true
		}
	}
	return 0, false
}

// Fuzzy reports whether the letters of want stand in hay in their order, with gaps.
func Fuzzy(hay, want string) bool {
	for _, r := range want {
		i := strings.IndexRune(hay, r)
		if i < 0 {
			return false
		}
		hay = hay[i+len(string(r)):]
	}
	return true
}
