package keys

import "testing"

func TestTheKeysAsShippedDoNotContradictEachOther(t *testing.T) {
	m, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range Default() {
		if b.Scope == Global {
			continue
		}
		for _, k := range b.Keys {
			if a := m.Action(k, Global); a != None && !(b.Scope == Dialog) { // a question is asked before everything else
				t.Errorf("%q means %s everywhere and %s in %s", k, a, b.Action, b.Scope)
			}
		}
	}
}

func TestAKeyWithTwoMeaningsIsRefused(t *testing.T) {
	_, err := New([]Binding{{Tasks, Cancel, []string{"x"}, "cancel", "", true}, {Tasks, Retry, []string{"r", "x"}, "retry", "", true}})
	if err == nil || err.Error() != `keys: "x" means both cancel and retry in tasks` {
		t.Errorf("got %v", err)
	}
}

func TestTheFirstScopeThatKnowsAKeyDecides(t *testing.T) {
	m, err := New(Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key    string
		scopes []Scope
		want   Action
	}{
		{"l", []Scope{Log, List, Tasks}, Right},
		{"l", []Scope{Tasks, List}, OpenLog},
		{"/", []Scope{Log, List, Tasks}, Search},
		{"x", []Scope{Log, List, Tasks}, Cancel},
		{"p", []Scope{Pools, List}, Pause},
		{"q", []Scope{Pools, List, Global}, Quit},
		{"Z", []Scope{Pools, List, Global}, None},
	} {
		if got := m.Action(c.key, c.scopes...); got != c.want {
			t.Errorf("%s in %v means %q, want %q", c.key, c.scopes, got, c.want)
		}
	}
}

func TestKeysAreNamedAsPeopleReadThem(t *testing.T) {
	for key, want := range map[string]string{"up": "↑", "ctrl+r": "^R", " ": "Space", "enter": "Enter", "x": "x", "shift+tab": "S-Tab", "pgdown": "PgDn"} {
		if got := Name(key); got != want {
			t.Errorf("Name(%q) = %q, want %q", key, got, want)
		}
	}
}
