package tui

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"loadstar/tui/keys"
)

func TestThePaletteKnowsEveryAction(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("2", "j", "enter")
	known := map[string]bool{}
	for _, c := range b.m.commands() {
		known[string(c.Scope)+"/"+string(c.Action)] = true
	}
	for _, k := range keys.Default() {
		if k.Scope == keys.Dialog || k.Scope == keys.Log || k.Action == keys.Palette {
			continue
		}
		if !known[string(k.Scope)+"/"+string(k.Action)] {
			t.Errorf("the palette does not know %s of %s", k.Action, k.Scope)
		}
	}
}

func TestAnActionOfAnotherPageTurnsToIt(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press(":", "text:pools pau", "enter")
	b.shows("Pause pool default?")
	if b.m.at != 3 {
		t.Errorf("page %d is on show", b.m.at)
	}
}

func TestThePaletteCompletes(t *testing.T) {
	b := setup(t, 120, 35, nil)
	b.press("2", ":", "text:mark-r", "tab")
	b.shows(":mark-range")
	b.press("esc")
	b.hides("Tab completes")
	b.press(":", "text:zzzz", "enter")
	b.shows("no such command: zzzz", "no command has these letters")
}

func TestThePaletteChangesNothingReadOnly(t *testing.T) {
	b := setup(t, 120, 35, func(c *Config) { c.ReadOnly = true })
	b.press("2", ":", "text:cancel", "enter")
	b.shows("read-only: this screen changes nothing")
	if calls := b.src.Calls(); len(calls) > 0 {
		t.Errorf("the daemon was asked to %v", calls)
	}
}

func TestWhatIsShownIsExported(t *testing.T) {
	files := map[string]string{}
	var fail error
	b := setup(t, 120, 35, func(c *Config) {
		c.Save = func(name string, data []byte) (string, error) {
			files[name] = string(data)
			return name, fail
		}
	})
	b.press("2", "/", "text:state:RUNNING", "enter", "e")
	b.shows("7 rows written to loadstar-tasks-20260314-150322.csv")
	lines := strings.Split(strings.TrimSpace(files["loadstar-tasks-20260314-150322.csv"]), "\n")
	if len(lines) != 8 || lines[0] != "task_id,state,pool,priority,attempt,agent,submitted_at,started_at,finished_at,wait_ms,run_ms,exit_code,error" {
		t.Errorf("%d lines: %s", len(lines), lines[0])
	}
	for _, l := range lines[1:] {
		if !strings.Contains(l, ",RUNNING,") {
			t.Errorf("%s does not run", l)
		}
	}
	for page, columns := range map[string][]string{"1": {"pool"}, "3": {"series", "p50"}, "4": {"reason"}, "5": {"priority"}, "6": {"load_score"}, "7": {"message"}} {
		clear(files)
		b.press(page, "E")
		for name, text := range files {
			var rows []map[string]any
			if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) == 0 {
				t.Errorf("%s: %d rows, %v", name, len(rows), err)
				continue
			}
			for _, c := range columns {
				if _, ok := rows[0][c]; !ok {
					t.Errorf("%s has no %s", name, c)
				}
			}
		}
		if len(files) != 1 {
			t.Errorf("page %s wrote %d files", page, len(files))
		}
	}
	fail = errors.New("open x: read-only file system")
	b.press("e")
	b.shows("the export failed: open x: read-only file system")
}
