package models_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

func TestOneDocumentAnArrayAndNDJSONReadAlike(t *testing.T) {
	one := `{"task_id":"a","run":["true"],"priority":"high"}`
	two := `{"task_id":"b","run":["false"],"priority":12}`
	spec := func(id, cmd string, p models.Priority) models.TaskSpec {
		s := models.NewTaskSpec()
		s.TaskID, s.Run, s.Priority = id, []string{cmd}, p
		return s
	}
	a, b := spec("a", "true", models.PriorityHigh), spec("b", "false", 12)
	for name, c := range map[string]struct {
		text string
		want []models.TaskSpec
	}{
		"one":            {one, []models.TaskSpec{a}},
		"array":          {"[" + one + ",\n" + two + "]", []models.TaskSpec{a, b}},
		"ndjson":         {one + "\n" + two + "\n", []models.TaskSpec{a, b}},
		"no newline":     {one + two, []models.TaskSpec{a, b}},
		"byte order":     {"\ufeff" + one, []models.TaskSpec{a}},
		"an empty array": {"[]", []models.TaskSpec{}},
	} {
		got, err := models.DecodeTasks([]byte(c.text), "f")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestBadDocumentsAreRefusedNamingLineAndField(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "f: no task document in it"},
		{"{\n\"run\":", "f:2: not valid JSON"},
		{"{\"run\":[\"a\"]}\n{\"runn\":[\"a\"]}", "f:2: runn: unknown field"},
		{`{"task_id":"x","priority":"urgent"}`, `f:1: task x: priority: "urgent" is not critical, high`},
		{`{"priority":101}`, `f:1: priority: "101" is not`},
		{`{"retries":"three"}`, "f:1: retries: a JSON string does not fit here (an integer expected)"},
		{`{"timeout":"soon"}`, `f:1: timeout: "soon" is not a duration`},
		{`{"resources":{"memory":-1}}`, "f:1: resources.memory: -1 is negative"},
		{`{"resources":{"memory":"2048TiB"}}`, "f:1: resources.memory: 2048TiB is more than 1024TiB"},
		{`{"resources":{"memory":"-2"}}`, `f:1: resources: "-2" is not an amount`},
		{`{"run":["a"],"affinity":{"nearby":"x"}}`, `f:1: affinity: unknown field "nearby"`},
		{`{"run":["a"],"affinity":{"label":"set"}}`, `f:1: affinity.label: the task has no label "set"`},
		{`{"run":["a"],"labels":{"a":"b"},"affinity":{"anti_affinity":"set"}}`, `f:1: affinity.anti_affinity: the task has no label "set"`},
		{`{"run":["a"],"affinity":{"capabilities":[""]}}`, `f:1: affinity.capabilities: one of them is empty`},
		{`{"resources":{"gpu":1}}`, `f:1: resources: unknown field "gpu"`},
		{`{"task_id":"a","dependencies":["a"]}`, "f:1: task a: dependencies: the task depends on itself"},
		{`{"dir":"here"}`, `f:1: dir: "here" is not an absolute path`},
		{`{"env":{"A=B":"c"}}`, "f:1: env:"},
		{`[{"run":["a"]},` + "\n3]", "f:2: a task must be a JSON object"},
		{`[{"run":["a"]}] x`, "f:1: something follows the array"},
		{`{"task_id":"a b"}`, "f:1: task a b: task_id:"},
		{`{"http":{"urll":"http://h/"}}`, `f:1: http: unknown field "urll"`},
		{`{"http":"http://h/"}`, "f:1: http: a JSON string does not fit here (an object expected)"},
		{`{"http":{"headers":{"A":1}}}`, "f:1: http: headers"},
		{`{"http":{"url":"host/path"}}`, `f:1: http.url: "host/path" is not an absolute http or https address`},
		{`{"http":{"url":"http://me:secret@h:x/"}}`, "f:1: http.url: it is not an address"},
		{`{"http":{"method":"get"}}`, `f:1: http.method: "get" is not one of GET`},
		{`{"http":{"headers":{"a b":"c"}}}`, `f:1: http.headers: "a b" is not a header's name`},
		{`{"http":{"headers":{"a":"b\nc"}}}`, "f:1: http.headers: the value of a holds a line break"},
		{`{"http":{"headers":{"Content-Length":"1"}}}`, "f:1: http.headers: Content-Length is not for a task to set"},
		{`{"http":{"body":1},"input":2}`, "f:1: http.body: a request has either a body or the task's input"},
		{`{"http":{},"run":["x"]}`, "f:1: http: a task has either a command (run) or a request"},
	} {
		got, err := models.DecodeTasks([]byte(c.text), "f")
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s…", c.text, err, c.want)
		}
		if !errors.Is(err, models.ErrInvalid) {
			t.Errorf("%s: %v does not wrap ErrInvalid", c.text, err)
		}
		if got != nil {
			t.Errorf("%s: tasks beside an error", c.text)
		}
	}
}

func TestTaskKeepsItsFieldsThroughJSON(t *testing.T) {
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	spec := models.NewTaskSpec()
	spec.TaskID, spec.Run, spec.Timeout = "a", []string{"x"}, models.Duration(90*time.Second)
	spec.Resources = &models.Resources{CPU: 1, Memory: 512 << 20}
	spec.Input = json.RawMessage(`{"n":1}`)
	spec.HTTP = &models.HTTPRequest{URL: "http://h/", Method: "PUT", Headers: map[string]string{"A": "b"}}
	want := models.Task{TaskSpec: spec, State: models.Running, Attempt: 2, SubmittedAt: at, StartedAt: &at, Attempts: []models.Attempt{{Attempt: 1}}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"task_id":"a"`, `"timeout":"1m30s"`, `"memory":"512MiB"`, `"priority":"normal"`, `"state":"RUNNING"`, `"attempt":2`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
	var got models.Task
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestANullBodyIsNone(t *testing.T) {
	got, err := models.DecodeTasks([]byte(`[{"http":{"url":"http://h/","body":null},"input":1},{"http":null,"input":1}]`), "f")
	if err != nil || got[0].HTTP.Body != nil || got[1].HTTP != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAPasswordInAnAddressIsNotShown(t *testing.T) {
	spec := models.TaskSpec{HTTP: &models.HTTPRequest{URL: "https://me:secret@h/x"}}
	if got := spec.String(); got != "POST https://me:xxxxx@h/x" {
		t.Error(got)
	}
}

func FuzzDecodeTasks(f *testing.F) {
	f.Add([]byte(`{"http":{"url":"http://h/","method":"GET","headers":{"A":"b"},"body":"x"}}`))
	f.Add([]byte(`{"task_id":"a","run":["true"]}`))
	f.Add([]byte("[{\"priority\":\"low\"},{\"timeout\":3}]"))
	f.Add([]byte("{}\n{\"labels\":{\"a\":\"b\"},\"not_before\":\"2026-01-01T00:00:00Z\"}"))
	for _, c := range awkward() {
		f.Add([]byte(c))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tasks, err := models.DecodeTasks(data, "f")
		sameByField(t, data, tasks, err)
		if err != nil {
			if !errors.Is(err, models.ErrInvalid) || strings.ContainsRune(err.Error(), '\n') {
				t.Fatalf("not one clear line of bad input: %v", err)
			}
			return
		}
		text, err := json.Marshal(tasks)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := models.DecodeTasks(text, "again"); err != nil {
			t.Fatalf("what was accepted is refused when written again: %v\n%s", err, text)
		}
	})
}

// awkward are documents in which a JSON reader of the whole and one of its members
// could differ.
func awkward() []string {
	return []string{
		`{"Task_ID":"a"}`, `{"RUN":["a"],"run":["b"]}`, `{"task\u005fid":"a"}`, `{"retries":1,"retries":2}`,
		`{"env":{"a":"b"},"env":{"c":"d"}}`, `{"retries":"x","retries":2}`, `{"labels":{"task_id":"a","run":"b"}}`,
		`{"description":"a\\\"b,\"retries\":x"}`, `{"resources":{"CPU":1}}`, `{"resources":{"gpu":1}}`, `{"affinity":{"near":"a","near":"b"}}`,
		`{"task_id":null,"input":null,"resources":null,"timeout":null,"priority":null}`, `{"http":{"url":"http://a","body":null}}`,
		`{"http":{"url":"http://a","extra":1}}`, `{"input":{"run":[{"a":1}],"x":"}"},"run":[]}`, `{"":1}`, `null`, `[[]]`, `{"run":["a"],"nested":{"run":1}}`,
		"{\"task_id\":\"\xff\"}", "{\"\xff\":1}", `{"not_before":"2026-01-01T00:00:00+01:00","deadline":"soon"}`, `[{"run":["a"]},{"run":"a"}]`, `{ "run" : [ "a" , "b" ] , "retries" : 1 }`,
		`{"retries":1e400}`, `{"retries":1.5}`, `{"task_id":"a/b"}`, `{"task_id":"a","dependencies":["a"]}`, `{"a":{},"b":[1,{"c":2}],"run":["x"]}`,
	}
}

func TestAWholeDocumentAndItsMembersReadAlike(t *testing.T) {
	for _, c := range awkward() {
		tasks, err := models.DecodeTasks([]byte(c), "f")
		sameByField(t, []byte(c), tasks, err)
	}
}

func sameByField(t *testing.T, data []byte, tasks []models.TaskSpec, err error) {
	t.Helper()
	slow, slowErr := models.DecodeTasksByField(data, "f")
	if fmt.Sprint(err) != fmt.Sprint(slowErr) {
		t.Fatalf("%s:\nat once:  %v\nby field: %v", data, err, slowErr)
	}
	if d := cmp.Diff(slow, tasks); d != "" {
		t.Fatalf("%s: %s", data, d)
	}
}

// BenchmarkDecodeTasks reads a batch of small tasks both ways.
func BenchmarkDecodeTasks(b *testing.B) {
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, `{"task_id":"task-%d","run":["convert","in-%d.png","out.jpg"],"priority":"high","retries":2,"labels":{"team":"a"}}`+"\n", i, i)
	}
	for name, decode := range map[string]func([]byte, string) ([]models.TaskSpec, error){"whole": models.DecodeTasks, "by-field": models.DecodeTasksByField} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decode([]byte(text.String()), "f"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}
