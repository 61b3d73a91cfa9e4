package keys

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RebindError says which entry cannot be.
type RebindError struct {
	Name    string // as it was given: scope/action, or action
	Problem string
}

func (e *RebindError) Error() string { return fmt.Sprintf("%s: %s", e.Name, e.Problem) }

// Rebind is the bindings with other keys for some: by "scope/action", or by the
// action alone for those that hold everywhere. A key that would mean two things in
// one scope is refused, and so is one that a page would take from what holds
// everywhere. The error is a *RebindError.
func Rebind(bindings []Binding, other map[string][]string) ([]Binding, error) {
	out := slices.Clone(bindings)
	for _, name := range slices.Sorted(maps.Keys(other)) {
		scope, action, scoped := strings.Cut(name, "/")
		if !scoped {
			scope, action = string(Global), name
		}
		i := slices.IndexFunc(out, func(b Binding) bool { return string(b.Scope) == scope && string(b.Action) == action })
		switch {
		case i < 0:
			return nil, &RebindError{name, "there is no such action; ? on the screen and docs/keys.md list them"}
		case len(other[name]) == 0 || slices.Contains(other[name], ""):
			return nil, &RebindError{name, "it needs a key"}
		}
		out[i].Keys = slices.Clone(other[name])
	}
	for _, name := range slices.Sorted(maps.Keys(other)) {
		if err := conflict(out, name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func conflict(bindings []Binding, name string) error {
	scope, action, scoped := strings.Cut(name, "/")
	if !scoped {
		scope, action = string(Global), name
	}
	i := slices.IndexFunc(bindings, func(b Binding) bool { return string(b.Scope) == scope && string(b.Action) == action })
	mine := &bindings[i]
	for k := range bindings {
		b := &bindings[k]
		meets := b.Scope == mine.Scope || mine.Scope != Dialog && b.Scope != Dialog && (b.Scope == Global || mine.Scope == Global)
		if k == i || !meets {
			continue
		}
		for _, key := range mine.Keys {
			if slices.Contains(b.Keys, key) {
				return &RebindError{name, fmt.Sprintf("%q is %s in %s already", key, b.Action, b.Scope)}
			}
		}
	}
	return nil
}
