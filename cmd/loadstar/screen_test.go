package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// glass is the program on a terminal of its own, as a person sees it.
type glass struct {
	t    *testing.T
	host *os.File
	term *vt.SafeEmulator
	done chan error
}

// look starts the program on a terminal.
func (h *house) look(columns, rows int, args ...string) *glass {
	h.t.Helper()
	cmd := h.command(args...)
	cmd.Env = append(cmd.Env, "TERM=xterm-256color", "LANG=C.UTF-8")
	host, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)}) //nolint:gosec // small
	if err != nil {
		h.t.Skipf("no pseudo-terminal here: %v", err)
	}
	g := &glass{t: h.t, host: host, term: vt.NewSafeEmulator(columns, rows), done: make(chan error, 1)}
	go func() { _, _ = io.Copy(g.term, host) }()
	go func() { _, _ = io.Copy(host, g.term) }() // what a terminal answers to questions about itself
	go func() { g.done <- cmd.Wait() }()
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = host.Close()
		_ = g.term.Close()
	})
	return g
}

func (g *glass) text() string { return g.term.String() }

// shows waits until the screen shows all of the parts.
func (g *glass) shows(parts ...string) {
	g.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for _, p := range parts {
		for !strings.Contains(g.text(), p) {
			if time.Now().After(deadline) {
				g.t.Fatalf("the screen does not show %q:\n%s", p, g.text())
			}
			time.Sleep(10 * time.Millisecond) // another process: there is no signal to wait on
		}
	}
}

// leaves presses Esc, by itself as a person does, until the screen no longer shows a text.
func (g *glass) leaves(text string) {
	g.t.Helper()
	for range 100 {
		g.press("\x1b")
		for range 30 {
			if !strings.Contains(g.text(), text) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	g.t.Fatalf("the screen still shows %q:\n%s", text, g.text())
}

func (g *glass) press(keys string) {
	g.t.Helper()
	if _, err := g.host.WriteString(keys); err != nil {
		g.t.Fatal(err)
	}
}

func (g *glass) ends() {
	g.t.Helper()
	select {
	case err := <-g.done:
		if err != nil {
			g.t.Errorf("the program ended: %v", err)
		}
	case <-time.After(30 * time.Second):
		g.t.Fatalf("the program does not end:\n%s", g.text())
	}
}

// escapes are what a log may hold to harm who reads it.
const escapes = `\033[2J\033[H\033]0;owned\007\033[31mred\033[?1049lharmless`

func TestTheScreenIsUsedFromASubmissionToACancellation(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a daemon and a screen")
	}
	h := newHouse(t)
	h.startDaemon()
	h.must("", "submit", "--id", "loud", "--wait", "--", "printf", escapes+`\n`)
	h.must("", "submit", "--id", "sleeper", "--", "sleep", "600")

	g := h.look(120, 35)
	g.shows("1 Overview", "live", "RUNNING")
	g.press("2")
	g.shows("sleeper", "loud", "SUCCESS")
	g.press("jl") // the log of the older one
	g.shows("harmless")
	if text := g.text(); !strings.Contains(text, "1 Overview") || !g.term.IsAltScreen() {
		t.Errorf("a log has drawn over the screen:\n%s", text)
	}
	g.leaves("Esc closes")
	g.press("F")
	g.shows("FROZEN at")
	g.press("F")
	g.press(":")
	g.shows("Tab completes")
	g.press("tasks sort")
	g.leaves("commands ─")
	g.press("/state:run\r")
	g.shows("state:RUNNING", "1 of 1")
	g.press("x")
	g.shows("Cancel 1 task?", "sleeper")
	g.press("\t\r") // from no to yes
	g.shows("cancelled: 1 task")
	for _, page := range []struct{ key, shows string }{{"5", "default by priority"}, {"6", "load score"}, {"7", "CANCELLED"}} {
		g.press(page.key)
		g.shows(page.shows)
	}
	g.press("q")
	g.ends()
	if got := h.task("sleeper").State; got != "CANCELLED" {
		t.Errorf("sleeper is %s", got)
	}

	g = h.look(80, 24, "--read-only") // it opens where it was left
	g.shows("read-only", "all events")
	g.press("q")
	g.ends()
}

func TestPlainTextIsAConversation(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a daemon")
	}
	h := newHouse(t)
	h.startDaemon()
	h.must("", "submit", "--id", "one", "--wait", "--", "true")
	out, errs, code := h.run("tasks\ntask one\nquit\n", "--plain")
	if code != 0 || !strings.Contains(out, "one: SUCCESS, pool default") || !strings.Contains(out, "1 listed.") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
