package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loadstar/cmd/internal/app"
	"loadstar/cmd/internal/cli"
	"loadstar/models"
)

func TestBenchSaysWhatWasMeasured(t *testing.T) {
	var asked app.BenchOptions
	result := app.BenchResult{
		Kind: "exec", Tasks: 400, Batch: 500, Slots: 2, Seconds: 0.5, TasksPerS: 800, Sampled: 10, Fsyncs: 600, JournalBytes: 60_000,
		SubmitToStart: models.Quantiles{P50: 1, P95: 2, P99: 3}, XargsPerS: 400, XargsSlots: 2, Rounds: 5, Ratio: 2, CPUs: 2, PeakRSSMB: 50, Filesystem: "tmpfs",
		Paced: &app.BenchPaced{RatePerS: 100, BenchLatency: app.BenchLatency{Tasks: 300, SubmitToStart: models.Quantiles{P50: 1.5, P95: 2.5, P99: 3.5}}},
	}
	run := func(args ...string) (out, errs string, code int) {
		var stdout, stderr bytes.Buffer
		deps := cli.Deps{Bench: func(_ context.Context, o app.BenchOptions) (app.BenchResult, error) {
			asked = o
			asked.Progress = nil
			o.Progress(0.5, "half way")
			return result, nil
		}}
		code = cli.Run(t.Context(), deps, append([]string{"bench"}, args...), nil, &stdout, &stderr)
		return stdout.String(), stderr.String(), code
	}
	out, errs, code := run("--exec", "--tasks", "400", "--slots", "2", "--rate", "100", "--state-dir-parent", "/d")
	if want := (app.BenchOptions{Tasks: 400, Exec: true, Slots: 2, PacedRate: 100, Parent: "/d"}); code != 0 || cmp.Diff(want, asked, cmp.Comparer(func(a, b func(float64, string)) bool { return true })) != "" {
		t.Errorf("exit %d; asked for %+v, want %+v", code, asked, want)
	}
	for _, part := range []string{
		"400 times /bin/true, in batches of 500, 2 at once", "800 tasks/s", "this is 2.00 times as fast", "600 commits, 0.1 MB (150 B and 1.5000 commits a task)",
		"at full speed: submit to start          1.00      2.00      3.00", "100 a second: submit to start           1.50      2.50      3.50",
	} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is not in:\n%s", part, out)
		}
	}
	if !strings.Contains(errs, "half way") || !strings.Contains(errs, "in memory (tmpfs)") {
		t.Errorf("stderr: %s", errs)
	}
	out, _, code = run("-o", "json")
	var got app.BenchResult
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if d := cmp.Diff(result, got); d != "" {
		t.Error(d)
	}
	for _, args := range [][]string{{"-o", "csv"}, {"--tasks", "0"}, {"--slots", "0"}, {"more"}} {
		if _, errs, code := run(args...); code != 2 {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}
