package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

// fill puts something into every field that v reaches, so that one which the
// codec does not know would be missed.
func fill(tb testing.TB, v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[json.RawMessage]():
		v.SetBytes(fmt.Appendf(nil, `{"n":%d}`, *n))
		return
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 11, *n%28+1, 8, 0, 0, *n, time.FixedZone("", 3600))))
		return
	case v.Type() == reflect.TypeFor[models.Items]():
		v.Set(reflect.ValueOf(models.NewItems([]string{"a", "", fmt.Sprint(*n)})))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text \"<%d>\" é", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.25)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(tb, v.Index(0), n)
		fill(tb, v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 3 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(tb, key, n)
			fill(tb, value, n)
			v.SetMapIndex(key, value)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(tb, v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(tb, v.Field(i), n)
		}
	default:
		tb.Fatalf("a field of kind %s: teach the codec and this test", v.Kind())
	}
}

func full(tb testing.TB) models.TaskSpec {
	var s models.TaskSpec
	n := 0
	fill(tb, reflect.ValueOf(&s).Elem(), &n)
	return s
}

func TestEveryFieldOfADocumentReadsBack(t *testing.T) {
	small := models.NewTaskSpec()
	small.TaskID, small.Run = "small", []string{"true", ""}
	odd := models.NewTaskSpec()
	odd.Affinity, odd.Resources = &models.Affinity{}, &models.Resources{}
	at := time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	tens, err := models.NewRange(100, -100, -10)
	if err != nil {
		t.Fatal(err)
	}
	ranged := models.NewTaskSpec()
	ranged.Items, ranged.Shard = &tens, models.ShardAuto
	odd.Deadline, odd.Pool, odd.Input = &at, "gpu", json.RawMessage(`[1]`)
	for name, want := range map[string]models.TaskSpec{"all": full(t), "range": ranged, "small": small, "odd": odd, "none": models.NewTaskSpec()} {
		b, err := appendSpec([]byte("before"), &want)
		if err != nil {
			t.Fatal(err)
		}
		body := string(b[len("before"):])
		var got models.TaskSpec
		if err := readSpec(body, &got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if id := specID(body); id != want.TaskID {
			t.Errorf("%s: the id is %q", name, id)
		}
		for n := range len(body) { // cut off anywhere
			if err := readSpec(body[:n], &got); !errors.Is(err, errRecord) {
				t.Errorf("%s: %d of %d bytes: %v", name, n, len(body), err)
			}
		}
		if err := readSpec(body+"x", &got); !errors.Is(err, errRecord) {
			t.Errorf("%s: more than the document: %v", name, err)
		}
	}
}

func TestEqualDocumentsAreEqualBytes(t *testing.T) {
	a, b := full(t), full(t)
	a.Input, b.Input = json.RawMessage("{ \"n\" : [1,\n2] }"), json.RawMessage(`{"n":[1,2]}`)
	x, err := appendSpec(nil, &a)
	y, err2 := appendSpec(nil, &b)
	if err != nil || err2 != nil || string(x) != string(y) {
		t.Errorf("%q\n%q %v %v", x, y, err, err2)
	}
}

func TestDocumentsThatCannotBeShownAreRefused(t *testing.T) {
	late := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	for field, change := range map[string]func(s *models.TaskSpec){
		"input":      func(s *models.TaskSpec) { s.Input = json.RawMessage("{") },
		"http":       func(s *models.TaskSpec) { s.HTTP = &models.HTTPRequest{URL: "http://a", Body: json.RawMessage("{")} },
		"not_before": func(s *models.TaskSpec) { s.NotBefore = &late },
		"deadline":   func(s *models.TaskSpec) { s.Deadline = &late },
	} {
		s := models.NewTaskSpec()
		change(&s)
		var bad *models.FieldError
		if _, err := appendSpec(nil, &s); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestJournalsWithDocumentsInJSONAreRead holds that a state folder of the first
// version goes on: its tasks run, and are known when they come again.
func TestJournalsWithDocumentsInJSONAreRead(t *testing.T) {
	s := full(t)
	s.TaskID, s.Pool, s.Dependencies, s.HTTP, s.Input, s.Dir = "old", "default", nil, nil, nil, "/"
	s.Priority, s.OnDependencyFailure, s.NotBefore, s.Deadline, s.Capabilities, s.AssignedTo = 50, "", nil, nil, nil, ""
	s.Retries, s.Labels, s.Env = 1, map[string]string{"team": "a"}, map[string]string{"A": "b"}
	s.Affinity.Label, s.Affinity.AntiAffinity = "team", "team"
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	submitted := Record{Kind: recSubmitted, Seq: 0, Body: text, At: 1e18}
	first := lab(t, 1)
	if err := first.Restore(&submitted); err != nil {
		t.Fatal(err)
	}
	// The same in a snapshot: what its image begins with is the document.
	first.tasks[0].body = string(text)
	chunks := first.snapshot(2, 1e18)
	second := lab(t, 1)
	restore := restorer{core: second}
	for _, chunk := range chunks {
		if err := restore.chunk(chunk); err != nil {
			t.Fatal(err)
		}
	}
	third := lab(t, 1)
	if err := third.Restore(&submitted); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Core{"snapshot": second, "frame": third} {
		again, err := NewSubmission([]models.TaskSpec{s}, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		o := c.Step(time.Unix(1e9, 0), Input{Submit: again})
		if o.Err != nil || len(o.Tasks) != 1 || o.Tasks[0] != 0 {
			t.Errorf("%s: submitted again: %v, %v", name, o.Tasks, o.Err)
		}
		if d := cmp.Diff(s, c.tasks[0].document()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	bad := Record{Kind: recSubmitted, Seq: 1, Body: []byte(`{"task_id":`), At: 1e18}
	if err := third.Restore(&bad); !errors.Is(err, errRecord) {
		t.Errorf("damaged JSON: %v", err)
	}
}

func FuzzReadSpec(f *testing.F) {
	s := full(f)
	for _, s := range []models.TaskSpec{s, models.NewTaskSpec()} {
		b, err := appendSpec(nil, &s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, body string) {
		var s models.TaskSpec
		if err := readSpec(body, &s); err != nil {
			if !errors.Is(err, errRecord) {
				t.Fatal(err)
			}
			return
		}
		once, err := appendSpec(nil, &s)
		if err != nil { // what stands for JSON in it is not
			return
		}
		var again models.TaskSpec
		if err := readSpec(string(once), &again); err != nil {
			t.Fatalf("what was written is not read: %v\n%q", err, once)
		}
		if twice, err := appendSpec(nil, &again); err != nil || string(twice) != string(once) {
			t.Fatalf("%q\n%q %v", once, twice, err)
		}
	})
}

// BenchmarkDocument writes a small task's document and reads it back.
func BenchmarkDocument(b *testing.B) {
	s := models.NewTaskSpec()
	s.TaskID, s.Run = "task-000000001", []string{"convert", "in.png", "out.jpg"}
	text, _ := json.Marshal(s)
	body, _ := appendSpec(nil, &s)
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		text := string(body)
		for b.Loop() {
			if err := readSpec(text, &s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var s models.TaskSpec
			if err := json.Unmarshal(text, &s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			body, _ = appendSpec(body[:0], &s)
		}
	})
}
