package tui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"loadstar/tui/internal/fake"
	"loadstar/tui/page"
	"loadstar/tui/widget"
)

var update = flag.Bool("update", false, "write the goldens anew")

// epoch is when every test takes place.
var epoch = time.Date(2026, 3, 14, 14, 3, 22, 0, time.UTC)

// bench drives a model without a program: it runs the commands and feeds their
// messages back, but for those that only wait.
type bench struct {
	tb  testing.TB
	m   Model
	src *fake.Source
	now time.Time
}

func environment(extra map[string]string) func(string) string {
	return func(name string) string {
		if v, ok := extra[name]; ok {
			return v
		}
		return map[string]string{"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "en_GB.UTF-8"}[name]
	}
}

func setup(tb testing.TB, w, h int, change func(*Config)) *bench {
	tb.Helper()
	b := &bench{tb: tb, now: epoch}
	clock := func() time.Time { return b.now }
	b.src = fake.New(clock, false)
	cfg := Config{
		Source: b.src, Zone: time.FixedZone("CET", 3600), Clock: clock, Getenv: environment(nil),
		Theme: "dark", Refresh: 100 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	m, err := newModel(ctx, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	m.link.gather, m.link.pace = 0, 0
	m.link.after = func(_ time.Duration, msg func(time.Time) tea.Msg) tea.Cmd {
		return func() tea.Msg { return msg(b.now) } // run leaves out what would go on for ever
	}
	b.m = m
	b.send(tea.WindowSizeMsg{Width: w, Height: h})
	b.tick()
	return b
}

// tick lets a second pass.
func (b *bench) tick() {
	b.send(tick(b.now))
}

func (b *bench) send(msg tea.Msg) {
	b.tb.Helper()
	next, cmd := b.m.update(msg)
	b.m = next
	b.run(cmd)
}

// run runs a command to its message. The next tick is left out, and so is the
// wait for more events: both would go on for ever.
func (b *bench) run(cmd tea.Cmd) {
	b.tb.Helper()
	if cmd == nil {
		return
	}
	done := make(chan tea.Msg, 1)
	go func() { done <- cmd() }()
	var msg tea.Msg
	select {
	case msg = <-done:
	case <-time.After(20 * time.Second):
		b.tb.Fatal("a command does not end")
	}
	switch msg := msg.(type) {
	case nil, tick:
	case tea.BatchMsg:
		for _, c := range msg {
			b.run(c)
		}
	case eventsOpened:
		got := eventsGot{from: msg.events}
		for range len(msg.events) {
			got.events = append(got.events, <-msg.events)
		}
		b.m, _ = b.m.update(got)
	default:
		b.send(msg)
	}
}

// press presses keys: one word each, text in quotes letter by letter.
func (b *bench) press(names ...string) {
	b.tb.Helper()
	for _, name := range names {
		if text, ok := strings.CutPrefix(name, "text:"); ok {
			for _, r := range text {
				b.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
			}
			continue
		}
		b.send(keyOf(name))
	}
}

func keyOf(name string) tea.KeyMsg {
	known := map[string]tea.KeyType{
		"enter": tea.KeyEnter, "esc": tea.KeyEsc, "tab": tea.KeyTab, "shift+tab": tea.KeyShiftTab, "up": tea.KeyUp, "down": tea.KeyDown,
		"left": tea.KeyLeft, "right": tea.KeyRight, "pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp, "end": tea.KeyEnd, "home": tea.KeyHome,
		"ctrl+c": tea.KeyCtrlC, "backspace": tea.KeyBackspace, " ": tea.KeySpace,
	}
	if k, ok := known[name]; ok {
		m := tea.KeyMsg{Type: k}
		if k == tea.KeySpace {
			m.Runes = []rune{' '}
		}
		return m
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
}

// text is the screen without colours.
func (b *bench) text() string { return ansi.Strip(b.m.View()) }

func (b *bench) shows(parts ...string) {
	b.tb.Helper()
	text := b.text()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			b.tb.Errorf("the screen does not show %q:\n%s", p, text)
		}
	}
}

func (b *bench) hides(parts ...string) {
	b.tb.Helper()
	text := b.text()
	for _, p := range parts {
		if strings.Contains(text, p) {
			b.tb.Errorf("the screen shows %q:\n%s", p, text)
		}
	}
}

// views are the screens of the goldens: keys that lead to each.
func views() map[string][]string {
	return map[string][]string{
		"overview":      nil,
		"tasks":         {"2"},
		"task":          {"2", "j", "j", "j", "j", "j", "enter"},
		"task-failed":   {"2", "/", "text:state:FAILED", "enter", "enter"},
		"cancel":        {"2", " ", " ", " ", "x"},
		"forecast":      {"3"},
		"forecast-pool": {"3", "down", "down", "down", "down", "down", "right", "-"},
		"pools":         {"4", "j"},
		"decision":      {"4", "j", "enter", "j", "enter"},
		"help":          {"?"},
		"past":          {"[", "[", "["},
		"past-forecast": {"3", "{"},
		"past-pools":    {"4", "j", "{"},
		"palette":       {"4", ":", "text:pa"},
		"queues":        {"5", "j"},
		"agents":        {"6", "j"},
		"events":        {"7"},
		"events-held":   {"7", "j", "j", "/", "text:kind:task", "enter"},
	}
}

func TestViewsAreAsDrawnBefore(t *testing.T) {
	for name, keys := range views() {
		for _, size := range [][2]int{{80, 24}, {120, 35}, {200, 50}} {
			for _, theme := range []string{"dark", "safe", "mono"} {
				t.Run(fmt.Sprintf("%s-%dx%d-%s", name, size[0], size[1], theme), func(t *testing.T) {
					b := setup(t, size[0], size[1], func(c *Config) { c.Theme = theme })
					b.press(keys...)
					golden(t, b.m.View())
				})
			}
		}
	}
}

func TestASCIIViewsAreAsDrawnBefore(t *testing.T) {
	for _, name := range []string{"overview", "task", "forecast", "pools"} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, 80, 24, func(c *Config) { c.ASCII, c.NoColor = true, true })
			b.press(views()[name]...)
			got := b.m.View()
			for i := range len(ansi.Strip(got)) {
				if c := ansi.Strip(got)[i]; c >= 0x80 {
					t.Fatalf("a byte %#x is not ASCII", c)
				}
			}
			golden(t, got)
		})
	}
}

// golden compares with testdata; escapes are written so that a diff can be read.
func golden(t *testing.T, got string) {
	t.Helper()
	got = strings.ReplaceAll(got, "\x1b", "␛") + "\n"
	path := filepath.Join("testdata", strings.ReplaceAll(t.Name(), "/", "_")+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./tui -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the view is another (go test ./tui -update accepts it):\n%s", diff)
	}
}

func TestConfigNamesTheFieldThatCannotBe(t *testing.T) {
	src := fake.New(time.Now, true)
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "tui: source: it is missing"},
		{Config{Source: src, Theme: "pink"}, `tui: theme: "pink" is not one of dark, light, mono, safe, 16`},
		{Config{Source: src, Refresh: time.Millisecond}, "tui: refresh: 1ms is less than 100ms"},
		{Config{Source: src, Timeout: -1}, "tui: timeout: -1ns is negative"},
	} {
		_, err := New(c.cfg)
		if err == nil || err.Error() != c.want {
			t.Errorf("New(%+v) = %v, want %s", c.cfg, err, c.want)
		}
	}
}

func TestAnEmptyDaemonSaysWhatToDo(t *testing.T) {
	b := setup(t, 80, 24, func(c *Config) { c.Source = fake.New(c.Clock, true) })
	b.shows("no pools", "nothing happened yet")
	b.press("2")
	b.shows("no tasks yet", "loadstar submit -- echo hi")
	b.press("3")
	b.shows("no series yet")
	b.press("4")
	b.shows("no pools")
	b.press("5")
	b.shows("no queues")
	b.press("6")
	b.shows("no agents")
	b.press("7")
	b.shows("nothing happened yet")
}

func TestAScreenTooSmallSaysSo(t *testing.T) {
	b := setup(t, 60, 15, nil)
	b.shows("60x15 is too small", "loadstar needs 70x20")
	b.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	b.shows("PENDING")
}

func TestALostDaemonIsShownAndFoundAgain(t *testing.T) {
	b := setup(t, 120, 24, nil)
	b.shows("live")
	b.src.Break(errors.New("dial unix /run/loadstar.sock: connection refused"))
	b.now = b.now.Add(time.Second)
	b.tick()
	b.now = b.now.Add(11 * time.Second)
	b.tick()
	b.shows("✗ lost", "data 12 s old, asking again in 2 s", "connection refused", "PENDING")
	b.hides("live")
	b.src.Break(nil)
	b.now = b.now.Add(6 * time.Second)
	b.tick()
	b.shows("live", "the daemon is back")
	b.hides("connection refused")
}

func TestALostDaemonIsAskedLessAndLessOften(t *testing.T) {
	b := setup(t, 80, 24, nil)
	b.src.Break(errors.New("refused"))
	asked := []int{}
	for s := 1; s <= 20; s++ {
		before := b.m.failures
		b.now = b.now.Add(time.Second)
		b.tick()
		if b.m.failures > before {
			asked = append(asked, s)
		}
	}
	if diff := cmp.Diff([]int{1, 2, 4, 8, 13, 18}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestARefusalIsNotALostDaemon(t *testing.T) {
	b := setup(t, 80, 24, nil)
	b.send(answered{at: b.now, results: []any{page.Failed{Request: page.SetPool{Name: "x"}, Why: "pool x: not found"}}})
	b.shows("live", "pool x: not found")
}

func TestOnlyThePageOnShowIsPolled(t *testing.T) {
	b := setup(t, 80, 24, nil)
	for i, want := range []string{"LoadHost LoadStats LoadPools", "LoadTasks", "", "LoadPools LoadDecisions", "LoadQueues LoadPools", "LoadAgents LoadActive", "LoadStats"} {
		b.press(fmt.Sprint(i + 1))
		var names []string
		for _, r := range b.m.pages[b.m.at].Poll(b.m.env()) {
			names = append(names, strings.TrimPrefix(fmt.Sprintf("%T", r), "page."))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("page %d asks for %q, want %q", i+1, got, want)
		}
	}
}

func TestKeysTurnThePages(t *testing.T) {
	b := setup(t, 80, 24, nil)
	for _, c := range []struct {
		key  string
		want int
	}{{"3", 2}, {"tab", 3}, {"7", 6}, {"tab", 0}, {"shift+tab", 6}, {"2", 1}, {"1", 0}} {
		b.press(c.key)
		if b.m.at != c.want {
			t.Errorf("after %s page %d is on show, want %d", c.key, b.m.at, c.want)
		}
	}
}

func TestKeysReadAtOnceCountOneByOne(t *testing.T) {
	slow, fast := setup(t, 120, 35, nil), setup(t, 120, 35, nil)
	slow.press("2", "j", "j", "G", "k", " ")
	fast.press("2")
	fast.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jjGk ")})
	if diff := cmp.Diff(slow.text(), fast.text()); diff != "" {
		t.Error(diff)
	}
	fast.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("4x"), Paste: true})
	if fast.m.at != 1 {
		t.Error("a paste was taken for keys")
	}
}

func TestHelpIsMadeOfTheBindings(t *testing.T) {
	b := setup(t, 120, 60, nil)
	b.press("2", "?")
	text := b.text()
	for range 100 {
		b.press("down")
		text += b.text()
	}
	for _, binding := range b.m.cfg.Keys {
		if !strings.Contains(text, binding.Help) {
			t.Errorf("the help does not say %q", binding.Help)
		}
	}
	b.press("z")
	b.hides("any other key closes")
}

func TestQuitEndsTheProgram(t *testing.T) {
	for _, key := range []string{"q", "ctrl+c"} {
		b := setup(t, 80, 24, nil)
		_, cmd := b.m.update(keyOf(key))
		if cmd == nil {
			t.Fatalf("%s does nothing", key)
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Errorf("%s does not quit", key)
		}
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	b := setup(t, 120, 40, func(c *Config) { c.ReadOnly = true })
	b.shows("read-only")
	b.press("2", "x", "y", "r", "y", "p", "enter", "4", "p", "y")
	b.shows("read-only: this screen changes nothing")
	if calls := b.src.Calls(); len(calls) > 0 {
		t.Errorf("the daemon was asked to %v", calls)
	}
}

func TestReadOnlyIsToldOnTheSmallestScreenToo(t *testing.T) {
	b := setup(t, 80, 24, func(c *Config) { c.ReadOnly = true })
	b.shows("read-only", "live")
	b.press("F")
	b.shows("read-only", "FROZEN at")
}

func TestAThrownPageLeavesTheScreenAlive(t *testing.T) {
	b := setup(t, 80, 24, nil)
	b.m.pages = []page.Page{brokenPage{}}
	if got := b.m.View(); !strings.Contains(got, "could not be drawn") {
		t.Errorf("got %q", got)
	}
	next, _ := b.m.Update(tea.KeyMsg{Type: tea.KeyEnter})
	if got := next.(Model).toast; !strings.Contains(got, "failed") {
		t.Errorf("got %q", got)
	}
}

type brokenPage struct{ page.Overview }

func (brokenPage) Update(page.Env, any) (page.Page, []page.Request) { panic("broken") }

func (brokenPage) View(*widget.Canvas, page.Env) { panic("broken") }

func TestALostDaemonIsDrawnAsBefore(t *testing.T) {
	b := setup(t, 80, 24, nil)
	b.src.Break(errors.New("no daemon answers at /run/user/1000/loadstar/daemon.sock"))
	b.now = b.now.Add(9 * time.Second)
	b.tick()
	golden(t, b.m.View())
}
