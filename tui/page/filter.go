package page

import (
	"fmt"
	"strings"

	"loadstar/models"
)

// ParseFilter reads what is typed after "/": words are text to find in ids,
// descriptions and commands; state:FAILED,RUNNING, pool:NAME and label:KEY=VALUE narrow.
func ParseFilter(text string) (models.TaskFilter, error) {
	var f models.TaskFilter
	var words []string
	for _, word := range strings.Fields(text) {
		field, value, ok := strings.Cut(word, ":")
		if !ok {
			words = append(words, word)
			continue
		}
		switch strings.ToLower(field) {
		case "state", "s":
			for _, name := range strings.Split(value, ",") {
				s, err := parseState(name)
				if err != nil {
					return f, err
				}
				f.States = append(f.States, s)
			}
		case "pool", "p":
			if err := models.CheckPoolName("pool", value); err != nil {
				return f, err
			}
			f.Pool = value
		case "label", "l":
			k, v, ok := strings.Cut(value, "=")
			if !ok || k == "" {
				return f, fmt.Errorf("label: %q is not key=value", value)
			}
			if f.Labels == nil {
				f.Labels = map[string]string{}
			}
			f.Labels[k] = v
		default: // a colon in a command
			words = append(words, word)
		}
	}
	f.Text = strings.Join(words, " ")
	return f, nil
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

// FilterText is the filter as it would be typed.
func FilterText(f models.TaskFilter) string {
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
	if f.Text != "" {
		parts = append(parts, f.Text)
	}
	return strings.Join(parts, " ")
}
