package models_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
)

// TestAppendTasksWritesWhatEncodingJSONWould compares the two byte by byte.
func TestAppendTasksWritesWhatEncodingJSONWould(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[a-z0-9 <>&"\\/é\x00-\x1f]{0,12}`), rapid.Just("plain"))
	rapid.Check(t, func(rt *rapid.T) {
		specs := make([]models.TaskSpec, rapid.IntRange(0, 3).Draw(rt, "tasks"))
		for i := range specs {
			specs[i] = models.TaskSpec{
				TaskID: text.Draw(rt, "id"), Description: text.Draw(rt, "description"), Pool: text.Draw(rt, "pool"),
				Priority: models.Priority(rapid.IntRange(0, 100).Draw(rt, "priority")), Run: rapid.SliceOfN(text, 0, 3).Draw(rt, "run"),
			}
			if rapid.Bool().Draw(rt, "more") {
				specs[i].Env, specs[i].Retries = map[string]string{"A": text.Draw(rt, "env")}, 2
			}
		}
		want, err := json.Marshal(specs)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := models.AppendTasks(nil, specs)
		if err != nil {
			rt.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			rt.Fatal(d)
		}
	})
}

func TestDocumentsThatAreReadQuicklyAreReadAsEver(t *testing.T) {
	for _, data := range []string{
		`[]`, `[ ]`, `{}`, `{"run":["a"]}`, `[{"run":["a"]} , {"run":["b"]}]`, "{\"run\":[\"a\"]}\n\n{\"run\":[\"b\"]}\n", `{"run":["a"]}{"run":["b"]}`,
		`{"run":["a",]}`, `{"run":["a"],}`, `{,"run":["a"]}`, `[{"run":["a"]},]`, `[{"run":["a"]}] x`, `{"run":["a"]} x`, `[{"run":["a"]}`, `[,{"run":["a"]}]`, `[{"run":["a"]}{"run":["b"]}]`,
		`{"run":["a"],"run":["b"]}`, `{"Run":["a"]}`, `{"run":null}`, `{"run":[null]}`, `{"run":["a"],"priority":90}`, `{"run":["a"],"priority":"90"}`, `{"run":["a"],"priority":"urgent"}`, `{"run":["a"],"priority":null}`,
		`{"run":["a\"b\u00e9"],"description":"\ud800"}`, "{\"run\":[\"a\xff\"]}", "{\"run\":[\"a\tb\"]}", `{"run":["a"],"env":{"A":"}"},"retries":3,"timeout":"1m","labels":{"x":"y"}}`,
		`{"run":["a"],"retries":3 ,"stdin":"x"}`, `{"run":["a"],"retries":03}`, `{"run":["a"],"retries":}`, `{"run":["a"],"retries":1 2}`, `{"run":["a"],"resources":{"cpu":1}}`, `{"run":["a"],"resources":{"gpu":1}}`,
		`{"run":["a"],"input":null}`, `{"pool":"w","input":{"a":[1,2,"]"]}}`, `{"pool":"w","input":[1,2}`, `{"pool":"w","input":tru}`, `{"run":["a"],"task_id":""}`, `{"run":["a"],"task_id":5}`, `nonsense`, `"x"`, `[1]`,
	} {
		got, gotErr := models.DecodeTasks([]byte(data), "f")
		want, wantErr := models.DecodeTasksByField([]byte(data), "f")
		if d := cmp.Diff(want, got); d != "" || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("%s: %v, want %v: %s", data, gotErr, wantErr, d)
		}
	}
}

func BenchmarkSmallTasks(b *testing.B) {
	specs := make([]models.TaskSpec, 500)
	for i := range specs {
		specs[i] = models.NewTaskSpec()
		specs[i].TaskID, specs[i].Run = fmt.Sprintf("bench-%09d", i), []string{"/bin/true"}
	}
	data, err := models.AppendTasks(nil, specs)
	if err != nil {
		b.Fatal(err)
	}
	perTask := func(b *testing.B) {
		b.Helper()
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(specs)), "ns/task")
	}
	b.Run("write", func(b *testing.B) {
		var buf []byte
		for range b.N {
			buf, _ = models.AppendTasks(buf[:0], specs)
		}
		perTask(b)
	})
	b.Run("read", func(b *testing.B) {
		for range b.N {
			if _, err := models.DecodeTasks(data, ""); err != nil {
				b.Fatal(err)
			}
		}
		perTask(b)
	})
	b.Run("read by field", func(b *testing.B) {
		for range b.N {
			if _, err := models.DecodeTasksByField(data, ""); err != nil {
				b.Fatal(err)
			}
		}
		perTask(b)
	})
}
