package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loadstar/cmd/internal/cli"
)

// tracefile is ten hours of minutes with a burst an hour.
func tracefile(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for i := range 600 {
		n := 20
		if i%60 > 50 {
			n = 80
		}
		fmt.Fprintf(&b, "%s,%d\n", at.Add(time.Duration(i)*time.Minute).Format(time.RFC3339), n)
	}
	path := filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func replayed(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Run(context.Background(), cli.Deps{}, append([]string{"replay"}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestReplaySaysAVerdictAndEachPolicysCost(t *testing.T) {
	path := tracefile(t)
	code, out, errs := replayed(t, path, "--policies", "predictive,keda,oracle", "--mean-busy", "2", "-o", "json")
	if code != 0 {
		t.Fatal(code, errs)
	}
	var r struct {
		Trace      string
		ColdStartS float64 `json:"cold_start_s"`
		Verdict    struct {
			GrowthP99 *float64 `json:"growth_p99"`
			Skill     *float64 `json:"skill"`
			Needed    *bool    `json:"needed"`
		}
		Policies []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Trace != "trace.csv" || r.ColdStartS != 180 || r.Verdict.GrowthP99 == nil || r.Verdict.Skill == nil || r.Verdict.Needed == nil || len(r.Policies) != 3 {
		t.Fatal(out)
	}
	for _, p := range r.Policies {
		for _, key := range []string{"policy", "knob", "violations_pct", "wait_p50_s", "wait_p95_s", "wait_p99_s", "worker_hours", "starts", "met"} {
			if _, ok := p[key]; !ok {
				t.Errorf("no %s in %v", key, p)
			}
		}
	}
	for _, format := range []string{"table", "csv"} {
		if code, out, errs := replayed(t, path, "--policies", "keda", "--mean-busy", "1", "-o", format); code != 0 || !strings.Contains(out, "keda") {
			t.Errorf("%s: %d, %s%s", format, code, out, errs)
		}
	}
}

func TestReplayRefusesInOneLine(t *testing.T) {
	path := tracefile(t)
	jobs := filepath.Join(t.TempDir(), "jobs.csv")
	if err := os.WriteFile(jobs, []byte("submit_s,duration_s\n0,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{path, "--policies", "magic"}, "--policies"},
		{[]string{path, "--service", "0s"}, "--service"},
		{[]string{path, "--service", "8s,nan"}, "--service"},
		{[]string{path, "--warmup", "100%"}, "--warmup"},
		{[]string{path, "--cold-start", "-1s"}, "--cold-start"},
		{[]string{path, "--bin", "0s"}, "--bin"},
		{[]string{path, "--mean-busy", "-1"}, "--mean-busy"},
		{[]string{path + "x"}, "no such file"},
		{[]string{jobs}, "jobs.csv:2"},
	} {
		code, out, errs := replayed(t, c.args...)
		if code != 2 || out != "" || !strings.Contains(errs, c.say) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: %d, %q", c.args[1:], code, errs)
		}
	}
}

func TestReplayDrawsTheFrontier(t *testing.T) {
	path, picture := tracefile(t), filepath.Join(t.TempDir(), "frontier.png")
	code, _, errs := replayed(t, path, "--policies", "predictive,keda", "--mean-busy", "2", "--sweep", "--sweep-runs", "3", "--plot", picture)
	if code != 0 {
		t.Fatal(code, errs)
	}
	image, err := os.ReadFile(picture)
	if err != nil || !bytes.HasPrefix(image, []byte("\x89PNG")) || len(image) < 5000 {
		t.Errorf("%d bytes, %v", len(image), err)
	}
	if code, _, errs := replayed(t, path, "--plot", "frontier.txt"); code != 2 || !strings.Contains(errs, "--plot") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestTheOfficeTraceIsMadeTheSameEachTimeAndCanBeReplayed(t *testing.T) {
	code, trace, errs := replayed(t, "--generate", "office")
	if code != 0 {
		t.Fatal(code, errs)
	}
	_, again, _ := replayed(t, "--generate", "office")
	lines := strings.Split(strings.TrimSpace(trace), "\n")
	if trace != again || len(lines) != 1+14*24*60 || lines[0] != "timestamp,value" {
		t.Errorf("%d lines, the same again: %v", len(lines), trace == again)
	}
	sum := func(from, to int) (n int) { // minutes
		for _, line := range lines[1+from : 1+to] {
			var v int
			if _, err := fmt.Sscanf(line[strings.IndexByte(line, ',')+1:], "%d", &v); err != nil {
				t.Fatal(err)
			}
			n += v
		}
		return n
	}
	if burst := sum(9*60, 9*60+5); burst < 1000 || burst > 1400 {
		t.Errorf("%d requests in the first burst of Monday", burst)
	}
	if saturday := sum(5*1440, 6*1440); saturday > 10000 {
		t.Errorf("%d requests on Saturday", saturday)
	}
	if code, _, _ := replayed(t, "--generate", "moon"); code != 2 {
		t.Errorf("an unknown trace: %d", code)
	}
	if code, _, _ := replayed(t); code != 2 {
		t.Errorf("no trace at all: %d", code)
	}
}
