package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

	"loadstar/cmd/internal/cli"
	"loadstar/cmd/internal/config"
	"loadstar/models"
)

var update = flag.Bool("update", false, "write the goldens anew")

type result struct {
	code     int
	out, err string
}

// run is one command line on a fake daemon, in an environment of its own.
func run(t *testing.T, f *fake, stdin string, args ...string) result {
	t.Helper()
	return runDeps(t, deps(f), stdin, args...)
}

func deps(f *fake) cli.Deps {
	env := []string{"HOME=/home/me", "SECRET=s", "EMPTY="}
	return cli.Deps{
		Version:   "1.2.3",
		NewClient: func(config.Config) (cli.Backend, error) { return f, nil },
		ReadCSV: func(r io.Reader, _ string) (cli.History, error) {
			return cli.History{Points: []models.Point{{At: noon, Value: 1}, {At: noon.Add(time.Minute), Value: 2}}, StepS: 60}, nil
		},
		Now:     func() time.Time { return noon },
		Environ: func() []string { return env },
		Getenv: func(k string) (string, bool) {
			for _, kv := range env {
				if key, v, _ := strings.Cut(kv, "="); key == k {
					return v, true
				}
			}
			return "", false
		},
		Getwd: func() (string, error) { return "/home/me/src", nil },
	}
}

func runDeps(t *testing.T, d cli.Deps, stdin string, args ...string) result {
	t.Helper()
	return runContext(t, context.Background(), d, stdin, args...)
}

func runContext(t *testing.T, ctx context.Context, d cli.Deps, stdin string, args ...string) result { //nolint:revive // t comes first in tests
	t.Helper()
	var out, err bytes.Buffer
	dir := t.TempDir()
	args = append([]string{"--state-dir", filepath.Join(dir, "state"), "--config", empty(t, dir)}, args...)
	code := cli.Run(ctx, d, args, strings.NewReader(stdin), &out, &err)
	return result{code: code, out: out.String(), err: err.String()}
}

func empty(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWhatEveryReadingCommandPrints(t *testing.T) {
	for _, command := range []string{
		"ls", "ls --state RUNNING,failed", "ls --label team=a", "dead", "get build-1", "get test-1 check-1", "explain test-1", "agents", "stats", "series",
		"pool ls", "pool explain gpu", "pool explain gpu --limit 2", "pool plan gpu", "forecast", "forecast host.cpu --model lstm --horizon 2", "forecast --history", "watch --pool gpu", "version",
	} {
		for _, format := range []string{"table", "json", "csv"} {
			name := strings.NewReplacer(" ", "_", "--", "", ",", "_", "=", "_", ".", "_").Replace(command) + "." + format
			t.Run(name, func(t *testing.T) {
				r := run(t, filled(), "", append(strings.Fields(command), "-o", format)...)
				if want := 0; r.code != want && !strings.HasPrefix(command, "watch") {
					t.Fatalf("exit code %d: %s", r.code, r.err)
				}
				if strings.Contains(r.out, "\x1b") {
					t.Errorf("an escape sequence where no terminal is: %q", r.out)
				}
				if format == "json" {
					for dec := json.NewDecoder(strings.NewReader(r.out)); dec.More(); {
						var v any
						if err := dec.Decode(&v); err != nil {
							t.Fatal(err)
						}
					}
				}
				if command == "version" {
					return // it names this machine
				}
				golden := filepath.Join("testdata", name)
				if *update {
					if err := os.WriteFile(golden, []byte(r.out), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), r.out); d != "" {
					t.Error(d)
				}
			})
		}
	}
}

func TestTheContractsColumns(t *testing.T) {
	for command, want := range map[string]string{
		"ls":                 "task_id,state,pool,priority,attempt,agent,submitted_at,started_at,finished_at,wait_ms,run_ms,exit_code,error",
		"forecast":           "series,issued_at,target_at,step_s,horizon,model,champion,p10,p50,p90,actual,abs_error,ape",
		"forecast --history": "series,issued_at,target_at,step_s,horizon,model,champion,p10,p50,p90,actual,abs_error,ape",
	} {
		r := run(t, filled(), "", append(strings.Fields(command), "-o", "csv")...)
		if got, _, _ := strings.Cut(r.out, "\n"); got != want {
			t.Errorf("%s: %s", command, got)
		}
	}
}

func TestExitCodesAndErrorLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tasks.ndjson")
	if err := os.WriteFile(file, []byte("{\"task_id\":\"a\",\"run\":[\"true\"]}\n{\"task_id\":\"b\",\"runn\":[]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	down := func() *fake { return &fake{down: true} }
	refusing := func(err error) func() *fake { return func() *fake { return &fake{refuse: err} } }
	for _, c := range []struct {
		args string
		f    func() *fake
		code int
		err  string
	}{
		{"", filled, 2, "a command is missing"},
		{"bogus", filled, 2, `unknown command "bogus"`},
		{"ls --bogus", filled, 2, "unknown flag: --bogus; see `loadstar ls --help`"},
		{"ls extra", filled, 2, `unknown command "extra"`},
		{"ls -o xml", filled, 2, `--output: "xml" is not table, json or csv`},
		{"ls --state SOON", filled, 2, `--state: "SOON" is not one of PENDING`},
		{"ls --label team", filled, 2, `--label: "team" is not KEY=VALUE`},
		{"ls --limit -1", filled, 2, "--limit: -1 is negative"},
		{"ls", down, 3, "no daemon answers on /run/api.sock; start one with `loadstar daemon`"},
		{"submit -- true", down, 3, "no daemon answers"},
		{"wait a", down, 3, "no daemon answers"},
		{"watch", down, 3, "no daemon answers"},
		{"watch", filled, 3, "the stream of events has ended"},
		{"watch --kind x", filled, 2, `--kind: "x" is not one of task`},
		{"get", filled, 2, "requires at least 1 arg(s)"},
		{"get nobody", filled, 4, "task nobody: not found"},
		{"explain nobody", filled, 4, "task nobody: not found"},
		{"logs nobody", filled, 4, "task nobody: not found"},
		{"logs build-1 --attempt -1", filled, 2, "--attempt: -1 is negative"},
		{"cancel nobody", filled, 4, "task nobody: not found"},
		{"cancel build-1", filled, 1, "task build-1: it is SUCCESS"},
		{"cancel", filled, 2, "name tasks by id, by a filter"},
		{"import prometheus --url http://h --query up", filled, 2, "--series: it must say which series the query is of"},
		{"import prometheus --series s --url h:9090 --query up", filled, 2, `--url: "h:9090" is not an http or https address`},
		{"import prometheus --series s --url http://h", filled, 2, "--query: it is empty"},
		{"import prometheus --series s --url http://h --query up --from yesterday", filled, 2, `--from: "yesterday" is not a time`},
		{"import prometheus --series s --url http://h --query up --since 0s", filled, 2, "--since: 0s is not positive"},
		{"retry --dead --state FAILED", filled, 2, "--dead, --state: either one, not both"},
		{"cancel a --state FAILED", filled, 2, "either ids or filters, not both"},
		{"cancel a --all", filled, 2, "either ids or filters, not both"},
		{"retry build-2", filled, 1, "task build-2: it is RUNNING"},
		{"prioritize test-1 urgent", filled, 2, `PRIORITY (the last word): "urgent" is not critical`},
		{"prioritize high", filled, 2, "name tasks by id"},
		{"wait check-1", filled, 5, "task check-1 is FAILED, exit code 3: exit code 3"},
		{"wait check-1 build-1 test-1", filled, 5, "2 of 3 tasks did not succeed; the first: task check-1"},
		{"wait", filled, 2, "name tasks by id"},
		{"pool", filled, 2, "which of ls, set"},
		{"pool ls x", filled, 2, `unknown command "x"`},
		{"pool set gpu", filled, 2, "nothing to set"},
		{"pool set gpu --min 9", filled, 2, "min"},
		{"pool set gpu --min -1", filled, 2, "--min: -1 is negative"},
		{"pool set gpu --policy best", filled, 2, `--policy: "best" is not one of predictive`},
		{"pool pause nobody", filled, 4, "pool nobody: not found"},
		{"pool explain gpu --at yesterday", filled, 2, `--at: "yesterday" is not a time`},
		{"forecast nobody", filled, 4, "series nobody: not found"},
		{"forecast --model best", filled, 2, `--model: "best" is not one of`},
		{"forecast --from 1h", filled, 2, "--from and --to go with --history"},
		{"train --series bad", filled, 1, "the loss is not a number"},
		{"import x.csv", filled, 2, "--series: it must say"},
		{"import nobody.csv --series s", filled, 2, "nobody.csv: no such file"},
		{"submit", filled, 2, "nothing to do"},
		{"submit -f " + file, filled, 2, file + ":2: task b: runn: unknown field"},
		{"submit -f nobody.json", filled, 2, "--file: open nobody.json"},
		{"submit -f x -- true", filled, 2, "either --file or a command"},
		{"submit -f x --retries 3", filled, 2, "--retries is for a single task"},
		{"submit --priority urgent -- true", filled, 2, `--priority: "urgent" is not critical`},
		{"submit --timeout soon -- true", filled, 2, `--timeout: "soon" is not a duration`},
		{"submit --memory lots -- true", filled, 2, `--memory: "lots" is not an amount`},
		{"submit --deadline soon -- true", filled, 2, `--deadline: "soon" is not a time`},
		{"submit --id a/b -- true", filled, 2, `--id: "a/b" holds a space, a slash`},
		{"submit --id a --after a -- true", filled, 2, "--after: the task depends on itself"},
		{"submit --retries x -- true", filled, 2, `invalid argument "x" for "--retries" flag`},
		{"submit --env NOBODY -- true", filled, 2, "--env: NOBODY is not set here"},
		{"submit --input {a -- ", filled, 2, "--input: it is not valid JSON"},
		{"submit --http host/x", filled, 2, `--http: "host/x" is not an absolute http or https address`},
		{"submit --http http://h/ --http-header A", filled, 2, `--http-header: "A" is not NAME: VALUE`},
		{"submit --http http://h/ --http-method GO", filled, 2, `--http-method: "GO" is not one of GET`},
		{"submit -- true", refusing(models.Invalid("dependencies", "unknown task %q", "z")), 2, `dependencies: unknown task "z"`},
		{"submit -- true", refusing(fmt.Errorf("task a: %w", models.ErrConflict)), 1, "task a: conflict"},
		{"submit -- true", refusing(fmt.Errorf("disk full: %w", models.ErrUnavailable)), 1, "disk full: unavailable"},
		{"man nobody", filled, 2, "is not a command"},
	} {
		t.Run(c.args, func(t *testing.T) {
			r := run(t, c.f(), "", strings.Fields(c.args)...)
			if r.code != c.code {
				t.Errorf("exit code %d, want %d", r.code, c.code)
			}
			lines := strings.Split(strings.TrimSpace(r.err), "\n")
			last := lines[len(lines)-1]
			if !strings.HasPrefix(last, "loadstar: ") || !strings.Contains(last, c.err) {
				t.Errorf("stderr is %q, want %q", r.err, c.err)
			}
			if c.code == 2 && r.out != "" {
				t.Errorf("bad usage prints on stdout: %q", r.out)
			}
		})
	}
}

func TestSubmitMakesATaskOfItsFlags(t *testing.T) {
	f := filled()
	r := run(t, f, "", "submit", "--id", "deploy-1", "--description", "d", "--priority", "high", "--after", "build-1,build-2", "--on-dependency-failure", "wait",
		"--assigned-to", "here", "--pool", "gpu", "--capabilities", "ssd,gpu", "--near", "build-1", "--prefer", "ssd", "--near-label", "team", "--data", "set-1", "--anti-affinity", "team", "--env", "A=1=2", "--env", "SECRET", "--dir", "sub", "--stdin", "in",
		"--timeout", "10m", "--retries", "3", "--backoff", "2s", "--not-before", "10m", "--deadline", "2026-11-24T20:00:00+01:00", "--cpu", "1.5", "--memory", "512MiB",
		"--label", "team=a", "--label", "x=", "--", "sh", "-c", "echo hi", "--wait")
	if r.code != 0 || r.out != "deploy-1\n" {
		t.Fatalf("%+v", r)
	}
	before, deadline := noon.Add(10*time.Minute), time.Date(2026, 11, 24, 19, 0, 0, 0, time.UTC)
	want := models.TaskSpec{
		TaskID: "deploy-1", Description: "d", Priority: 70, Dependencies: []string{"build-1", "build-2"}, OnDependencyFailure: "wait", AssignedTo: "here", Pool: "gpu",
		Capabilities: []string{"ssd", "gpu"}, Affinity: &models.Affinity{Near: "build-1", Capabilities: []string{"ssd"}, Label: "team", Data: "set-1", AntiAffinity: "team"}, Run: []string{"sh", "-c", "echo hi", "--wait"},
		Env: map[string]string{"A": "1=2", "SECRET": "s"}, Dir: "/home/me/src/sub", Stdin: "in", Timeout: models.Duration(10 * time.Minute), Retries: 3,
		Backoff: models.Duration(2 * time.Second), NotBefore: &before, Deadline: &deadline, Resources: &models.Resources{CPU: 1.5, Memory: 512 << 20},
		Labels: map[string]string{"team": "a", "x": ""},
	}
	if d := cmp.Diff([][]models.TaskSpec{{want}}, f.submitted); d != "" {
		t.Error(d)
	}
}

func TestSubmitMakesARequestOfItsFlags(t *testing.T) {
	f := filled()
	r := run(t, f, "", "submit", "--id", "hook", "--pool", "hooks", "--http", "https://host/x", "--http-method", "put", "--http-header", "A: b:c", "--http-header", "D:", "--http-body", "say \"hi\"")
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	want := models.TaskSpec{TaskID: "hook", Pool: "hooks", Priority: 50, HTTP: &models.HTTPRequest{
		URL: "https://host/x", Method: "PUT", Headers: map[string]string{"A": "b:c", "D": ""}, Body: json.RawMessage(`"say \"hi\""`),
	}}
	if d := cmp.Diff([][]models.TaskSpec{{want}}, f.submitted); d != "" {
		t.Error(d)
	}
}

func TestEveryFieldOfATaskHasAFlag(t *testing.T) {
	flags := map[string]string{
		"task_id": "id", "dependencies": "after", "labels": "label", "resources": "cpu", "affinity": "near", "run": "",
	}
	help := run(t, filled(), "", "submit", "--help").out
	spec := models.NewTaskSpec()
	at := noon
	spec.TaskID, spec.Description, spec.Dependencies, spec.OnDependencyFailure, spec.AssignedTo = "a", "d", []string{"b"}, "run", "x"
	spec.Capabilities, spec.Affinity, spec.Run, spec.Input, spec.Env = []string{"c"}, &models.Affinity{Near: "z"}, []string{"r"}, json.RawMessage("1"), map[string]string{"a": "b"}
	spec.Dir, spec.Stdin, spec.Timeout, spec.Retries, spec.Backoff, spec.NotBefore, spec.Deadline = "/", "s", 1, 1, 1, &at, &at
	spec.Resources, spec.Labels, spec.HTTP = &models.Resources{CPU: 1}, map[string]string{"l": "m"}, &models.HTTPRequest{}
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		want, other := flags[name]
		if !other {
			want = strings.ReplaceAll(name, "_", "-")
		}
		if want != "" && !strings.Contains(help, "--"+want+" ") {
			t.Errorf("the field %s has no flag --%s", name, want)
		}
	}
}

func TestSubmitRunsInTheCallersFolderWithoutItsEnvironment(t *testing.T) {
	f := filled()
	run(t, f, "", "submit", "--", "pwd")
	run(t, f, "", "submit", "--inherit-env", "--env", "HOME=/", "pwd", "-P") // the dashes may be left out
	run(t, f, "", "submit", "--pool", "gpu", "--input", `{"n":1}`)
	first, second, third := f.submitted[0][0], f.submitted[1][0], f.submitted[2][0]
	if first.Dir != "/home/me/src" || first.Env != nil {
		t.Errorf("%+v", first)
	}
	if d := cmp.Diff(map[string]string{"HOME": "/", "SECRET": "s", "EMPTY": ""}, second.Env); d != "" || !slices.Equal(second.Run, []string{"pwd", "-P"}) {
		t.Errorf("%v %s", second.Run, d)
	}
	if third.Dir != "" || string(third.Input) != `{"n":1}` || third.Run != nil {
		t.Errorf("%+v", third)
	}
}

func TestSubmitReadsDocumentsFromStdin(t *testing.T) {
	f := filled()
	r := run(t, f, "{\"task_id\":\"c\",\"dependencies\":[\"b\"],\"run\":[\"c\"]}\n{\"task_id\":\"b\",\"run\":[\"b\"]}\n", "submit", "-f", "-", "--key", "k", "--wait")
	if r.code != 0 || r.out != "c\nb\n" {
		t.Fatalf("%+v", r)
	}
	if d := cmp.Diff([]string{`submit 2 "k"`, "info", "wait 2"}, f.asked); d != "" {
		t.Error(d)
	}
	bad := run(t, f, "\n{\"priority\":101}", "submit", "-f", "-")
	if bad.code != 2 || !strings.Contains(bad.err, "-:2: priority:") {
		t.Errorf("%+v", bad)
	}
}

func TestManyTasksGoInSeveralBatchesAndItIsSaid(t *testing.T) {
	var doc strings.Builder
	for i := range 25_000 {
		fmt.Fprintf(&doc, "{\"task_id\":\"t%d\",\"run\":[\"true\"]}\n", i)
	}
	f := &fake{}
	r := run(t, f, doc.String(), "submit", "-f", "-", "--key", "k")
	if r.code != 0 || strings.Count(r.out, "\n") != 25_000 {
		t.Fatalf("%d: %s", r.code, r.err)
	}
	if d := cmp.Diff([]string{`submit 10000 "k/1"`, `submit 10000 "k/2"`, `submit 5000 "k/3"`}, f.asked); d != "" {
		t.Error(d)
	}
	if !strings.Contains(r.err, "25000 tasks go in 3 batches, each accepted whole or not at all") {
		t.Error(r.err)
	}
	f = &fake{refuse: &models.FieldError{TaskID: "t10001", Field: "pool", Problem: "there is no pool x"}}
	r = run(t, f, doc.String(), "submit", "-f", "-")
	if r.code != 2 || strings.Count(r.out, "\n") != 10_000 || !strings.Contains(r.err, "batch 2 of 3 was refused, the 10000 tasks before it are accepted: -: task t10001: pool: there is no pool x") {
		t.Errorf("%d %d: %s", r.code, strings.Count(r.out, "\n"), r.err)
	}
	f = &fake{}
	big := fmt.Sprintf(`{"run":["true"],"stdin":%q}`, strings.Repeat("x", 200<<10))
	if r := run(t, f, strings.Repeat(big+"\n", 100), "submit", "-f", "-"); r.code != 0 || len(f.submitted) != 2 {
		t.Errorf("%d batches of 20 MiB: %s", len(f.submitted), r.err)
	}
}

func TestWaitingOutlivesTheDaemon(t *testing.T) {
	f := filled()
	f.lost = 1
	r := run(t, f, "", "wait", "build-1")
	if r.code != 0 || !strings.Contains(r.err, "waiting for it to come back") || !strings.Contains(r.out, "SUCCESS") {
		t.Errorf("%+v", r)
	}
}

func TestActingCommandsSendTheirSelection(t *testing.T) {
	filter := func(f models.TaskFilter) models.Selection { return models.Selection{Filter: &f} }
	for _, c := range []struct {
		args  string
		want  models.Selection
		asked string
		out   string
	}{
		{"cancel test-1 build-2", models.Selection{IDs: []string{"test-1", "build-2"}}, "cancel", "test-1\nbuild-2\n"},
		{"cancel --all", filter(models.TaskFilter{States: []models.State{"PENDING", "ASSIGNED", "RUNNING"}}), "cancel", "test-1\nbuild-2\n"},
		{"cancel --pool default --state pending", filter(models.TaskFilter{Pool: "default", States: []models.State{"PENDING"}}), "cancel", "test-1\n"},
		{"retry check-1 --with-dependents", models.Selection{IDs: []string{"check-1"}}, "retry true", "check-1\n"},
		{"retry --text exit", filter(models.TaskFilter{Text: "exit", States: []models.State{"FAILED", "CANCELLED"}}), "retry false", "check-1\n"},
		{"prioritize test-1 high", models.Selection{IDs: []string{"test-1"}}, "prioritize 70", "test-1\n"},
		{"prioritize --label team=b 5", filter(models.TaskFilter{Labels: map[string]string{"team": "b"}, States: []models.State{"PENDING"}}), "prioritize 5", ""},
	} {
		f := filled()
		r := run(t, f, "", strings.Fields(c.args)...)
		if r.code != 0 || r.out != c.out {
			t.Errorf("%s: %+v", c.args, r)
		}
		if d := cmp.Diff(c.want, f.selection); d != "" {
			t.Errorf("%s: %s", c.args, d)
		}
		if d := cmp.Diff([]string{c.asked}, f.asked); d != "" {
			t.Errorf("%s: %s", c.args, d)
		}
	}
}

func TestPoolSetChangesOnlyWhatIsGiven(t *testing.T) {
	f := filled()
	zero, three, static, paused, weighted := 0, 3, models.PolicyStatic, true, models.DispatchWeighted
	for args, want := range map[string]models.PoolPatch{
		"pool set gpu --min 0":                                        {Min: &zero},
		"pool set gpu --max 3 --policy STATIC":                        {Max: &three, Policy: &static},
		"pool set gpu --dispatch Weighted":                            {Dispatch: &weighted},
		"pool set gpu --cap team=a:3 --cap user:2 --cap job=x:y:none": {Caps: map[string]int{"team=a": 3, "user": 2, "job=x:y": 0}},
		"pool pause gpu":                                              {Paused: &paused},
	} {
		if r := run(t, f, "", strings.Fields(args)...); r.code != 0 {
			t.Errorf("%s: %+v", args, r)
		}
		if d := cmp.Diff(want, f.patch); d != "" {
			t.Errorf("%s: %s", args, d)
		}
	}
}

func TestLsFollowsPagesUpToItsLimit(t *testing.T) {
	f := &fake{}
	for i := range 2500 {
		f.tasks = append(f.tasks, models.Task{TaskSpec: models.TaskSpec{TaskID: fmt.Sprintf("t%d", i)}, State: models.Pending, SubmittedAt: noon})
	}
	for limit, want := range map[string]int{"0": 2500, "1": 1, "1500": 1500, "9999": 2500} {
		r := run(t, f, "", "ls", "--limit", limit, "-o", "csv")
		if got := strings.Count(r.out, "\n") - 1; got != want {
			t.Errorf("--limit %s: %d rows", limit, got)
		}
	}
	if r := run(t, f, "", "ls"); !strings.Contains(r.out, "100 of 2500; --limit 0 lists all") {
		t.Error("a cut listing does not say so")
	}
}

func TestTheRest(t *testing.T) {
	f := filled()
	if r := run(t, f, "", "logs", "-f", "build-1"); r.out != "hi\nthere\n" || f.asked[len(f.asked)-1] != "logs build-1 0 true" {
		t.Errorf("%+v", r)
	}
	if r := run(t, f, "", "pool", "logs", "gpu"); r.code != 0 || r.out != "2026-11-24T12:00:00.000Z gpu-1 out of memory\n" {
		t.Errorf("%+v", r)
	}
	if r := run(t, f, "", "pool", "logs", "nobody"); r.code != 4 || !strings.Contains(r.err, `pool "nobody": not found`) {
		t.Errorf("%+v", r)
	}
	if r := run(t, f, "", "train", "--series", "host.cpu"); r.code != 0 || !strings.Contains(r.err, "training on host.cpu at 10s: 100%") || r.out != "" {
		t.Errorf("%+v", r)
	}
	csv := filepath.Join(t.TempDir(), "h.csv")
	if err := os.WriteFile(csv, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, f, "", "import", csv, "--series", "host.cpu"); r.code != 0 || len(f.imported) != 2 || f.asked[len(f.asked)-1] != "import host.cpu 1m0s 2" {
		t.Errorf("%+v", r)
	}
	if r := run(t, f, "", "forecast", "--history", "--step", "1m", "--limit", "7", "--from", "1h", "--horizon", "2", "--model", "lstm", "host.cpu"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	want := models.ForecastQuery{Series: "host.cpu", StepS: 60, From: noon.Add(-time.Hour), Model: "lstm", Horizon: 2, Limit: 7}
	if d := cmp.Diff(want, f.query); d != "" {
		t.Error(d)
	}
	if r := run(t, f, "", "--token", "hidden", "--url", "http://h:1", "config", "show"); r.code != 0 || strings.Contains(r.out, "hidden") || !strings.Contains(r.out, "http://h:1") {
		t.Errorf("%+v", r)
	}
	if r := run(t, f, "", "man", "pool", "set"); r.code != 0 || !strings.Contains(r.out, "loadstar-pool-set") {
		t.Errorf("%+v", r)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := run(t, f, "", "completion", shell); r.code != 0 || !strings.Contains(r.out, "loadstar") {
			t.Errorf("%s: %+v", shell, r)
		}
	}
}

func TestDoctorSaysWhatIsWrong(t *testing.T) {
	f := filled()
	r := run(t, f, "", "doctor")
	if r.code != 1 || !strings.Contains(r.out, "BAD   pool gpu      worker gpu-4") || !strings.Contains(r.err, "1 problem found") {
		t.Errorf("%+v", r)
	}
	f.pools = f.pools[:1]
	if r := run(t, f, "", "doctor"); r.code != 0 || !strings.Contains(r.out, "version 1.2.3, process 42, up for 1h30m") {
		t.Errorf("%+v", r)
	}
	if r := run(t, &fake{down: true}, "", "doctor", "-o", "json"); r.code != 0 || !strings.Contains(r.out, `"message": "none yet"`) {
		t.Errorf("%+v", r)
	}
}

func TestTheDaemonGetsItsFlags(t *testing.T) {
	d := deps(filled())
	var got config.Config
	d.Daemon = func(_ context.Context, cfg config.Config, _ func() (config.Config, error), _ cli.Streams) error {
		got = cfg
		return nil
	}
	r := runDeps(t, d, "", "daemon", "--drain", "7s", "--capabilities", "gpu,ssd", "--log-format", "json", "--train-share", "0.5")
	if r.code != 0 || got.Drain.Std() != 7*time.Second || got.LogFormat != "json" || got.TrainShare != 0.5 || !slices.Equal(got.Capabilities, []string{"gpu", "ssd"}) {
		t.Errorf("%+v %+v", r, got)
	}
	if !strings.HasSuffix(got.StateDir, "/state") {
		t.Errorf("the state folder is %s", got.StateDir)
	}
	if got.TaskLogMaxBytes != 8<<20 || got.AgentID == "" {
		t.Errorf("a flag that was not given counts: %+v", got)
	}
	if r := runDeps(t, d, "", "daemon", "--drain", "soon"); r.code != 2 || !strings.Contains(r.err, "--drain") {
		t.Errorf("%+v", r)
	}
}

func TestAnInternalErrorIsOneLine(t *testing.T) {
	d := deps(filled())
	d.Screen = func(context.Context, config.Config, cli.ScreenOptions, cli.Streams) error { panic("oops") }
	if r := runDeps(t, d, ""); r.code != 1 || r.err != "loadstar: internal error: oops\n" {
		t.Errorf("%+v", r)
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	d := deps(filled())
	d.Daemon = func(context.Context, config.Config, func() (config.Config, error), cli.Streams) error { return nil }
	d.Demo = func(context.Context, config.Config, cli.DemoOptions, cli.Streams) error { return nil }
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its one line is %q", c.CommandPath(), c.Short)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(cli.Root(d))
}

func TestATableFitsItsTerminalAndNeverCutsAnID(t *testing.T) {
	long := "a-task-with-a-long-name-0123456789"
	tasks := filled().tasks
	tasks[0].TaskID = long
	for width := 20; width <= 250; width++ {
		text := cli.Table(width, noon, slices.Clone(tasks))
		if !strings.Contains(text, long) {
			t.Fatalf("width %d: the id is cut:\n%s", width, text)
		}
		for line := range strings.Lines(text) {
			if n := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); n > max(width, len(long)+2+len("CANCELLED")+2+12) {
				t.Fatalf("width %d: a line of %d:\n%s", width, n, text)
			}
		}
	}
	if wide := cli.Table(0, noon, tasks); !strings.Contains(wide, "make -j4 all") {
		t.Error(wide)
	}
}

func TestAWatchGoesOnUntilItIsEnded(t *testing.T) {
	for format, want := range map[string]int{"json": 3, "csv": 1 + 3*2, "table": 3*3 + 2} {
		f := filled()
		f.tasks = f.tasks[:2]
		ctx, cancel := context.WithCancel(context.Background())
		f.onAsk = func(asked int) {
			if asked == 3 {
				cancel()
			}
		}
		r := runContext(t, ctx, deps(f), "", "ls", "--watch=100ms", "-o", format)
		if r.code != 0 || strings.Count(r.out, "\n") != want {
			t.Errorf("%s: %+v", format, r)
		}
		cancel()
	}
	if r := run(t, filled(), "", "ls", "--watch=1ms"); r.code != 2 {
		t.Errorf("%+v", r)
	}
}
