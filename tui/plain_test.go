package tui

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loadstar/tui/internal/fake"
)

func converse(t *testing.T, change func(*Config), src *fake.Source, lines ...string) string {
	t.Helper()
	cfg := Config{Source: src, Zone: time.UTC, Clock: src.Clock, Getenv: environment(nil)}
	if change != nil {
		change(&cfg)
	}
	var out bytes.Buffer
	if err := RunPlain(context.Background(), cfg, strings.NewReader(strings.Join(lines, "\n")+"\n"), &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPlainTextAnswersLinesWithLines(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	src := fake.New(func() time.Time { return epoch }, false)
	out := converse(t, nil, src, "help", "tasks state:FAILED wait:>1s", "tasks wait:>x", "task task-19977", "log task-19977", "pools", "pool render", "queues", "agents", "forecast host.cpu", "dance", "task none", "cancel task-19988", "no", "cancel task-19988", "yes", "quit", "pools")
	for _, want := range []string{
		"Host build-7: cpu ", "Trouble in pool transcribe-gpu", "tasks in all.", `"x" is not a duration`, "All 3 attempts failed", "result of task-19977 written",
		"Pool render: 7 workers ready", "workers: lstm expects", "Queue of render: 3 wait, the longest for 1.7 s", "Agent gpu-2: lost", "host.cpu by lstm, step 10 s: next ",
		`no command "dance"`, "It did not work: task none: not found", "Left as it is.", "Done: 1 changed.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	for _, r := range out {
		if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 {
			t.Errorf("it holds %q", r)
		}
	}
	if d := cmp.Diff([]string{"cancel 1"}, src.Calls()); d != "" {
		t.Error(d)
	}
}

func TestPlainTextChangesNothingReadOnlyAndSaysThatTheDaemonIsAway(t *testing.T) {
	src := fake.New(func() time.Time { return epoch }, false)
	out := converse(t, func(c *Config) { c.ReadOnly = true }, src, "retry task-19977", "yes")
	if !strings.Contains(out, "read-only: nothing is changed") || len(src.Calls()) > 0 {
		t.Errorf("%v:\n%s", src.Calls(), out)
	}
	src.Break(errors.New("connection refused"))
	if out := converse(t, nil, src, "pools"); !strings.Contains(out, "It did not work: connection refused.") {
		t.Error(out)
	}
}
