package keys

import "testing"

func TestKeysCanBeOthers(t *testing.T) {
	got, err := Rebind(Default(), map[string][]string{"quit": {"Q", "ctrl+c"}, "tasks/cancel": {"D"}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(got)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]Action{"Q": Quit, "q": None, "D": Cancel, "x": None} {
		if a := m.Action(key, Tasks, Global); a != want {
			t.Errorf("%s is %q, want %q", key, a, want)
		}
	}
	if a, _ := New(Default()); a.Action("q", Global) != Quit {
		t.Error("the keys as shipped were changed")
	}
}

func TestKeysInConflictAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		other map[string][]string
		want  string
	}{
		"same scope":           {map[string][]string{"tasks/cancel": {"r"}}, `tasks/cancel: "r" is retry in tasks already`},
		"taken from all":       {map[string][]string{"tasks/cancel": {"q"}}, `tasks/cancel: "q" is quit in everywhere already`},
		"given to all":         {map[string][]string{"quit": {"x"}}, `quit: "x" is cancel in tasks already`},
		"unknown":              {map[string][]string{"tasks/fly": {"x"}}, "tasks/fly: there is no such action; ? on the screen and docs/keys.md list them"},
		"no key":               {map[string][]string{"quit": {}}, "quit: it needs a key"},
		"two that are changed": {map[string][]string{"freeze": {"Z"}, "theme": {"Z"}}, `freeze: "Z" is theme in everywhere already`},
	} {
		if _, err := Rebind(Default(), c.other); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
