package models_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
)

func anyItems(t *rapid.T) models.Items {
	if rapid.Bool().Draw(t, "list") {
		return models.NewItems(rapid.SliceOf(rapid.String()).Draw(t, "texts"))
	}
	from := rapid.Int64Range(-1000, 1000).Draw(t, "from")
	step := rapid.SampledFrom([]int64{-3, -1, 1, 7}).Draw(t, "step")
	items, err := models.NewRange(from, from+step*rapid.Int64Range(0, 300).Draw(t, "n"), step)
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func TestItemsAreCutWithoutLossAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := anyItems(t)
		all := items.Texts()
		if len(all) != items.Len() {
			t.Fatalf("%d texts of %d", len(all), items.Len())
		}
		data, err := json.Marshal(items)
		if err != nil {
			t.Fatal(err)
		}
		var again models.Items
		if err := json.Unmarshal(data, &again); err != nil || !slices.Equal(again.Texts(), all) {
			t.Fatalf("%s reads back as %v: %v", data, again.Texts(), err)
		}
		if _, _, _, isRange := items.Range(); !isRange {
			if packed, ok := models.PackedItems(items.Packed(), items.Len()); !ok || packed != items {
				t.Fatal("its packed form does not read back")
			}
		}
		var got []string
		for rest, taken := items, 0; rest.Len() > 0; {
			first, next := rest.First(rapid.IntRange(1, 50).Draw(t, "cut"))
			if first.Len() == 0 {
				t.Fatal("nothing was cut")
			}
			got = append(got, first.Texts()...)
			taken += first.Len()
			if next != items.Skip(taken) && !slices.Equal(next.Texts(), items.Skip(taken).Texts()) {
				t.Fatal("what is left is not what is skipped to")
			}
			rest = next
		}
		if !slices.Equal(got, all) {
			t.Fatal(cmp.Diff(all, got))
		}
	})
}

func TestAShardHoldsNoMoreThanACommandLineTakes(t *testing.T) {
	items := models.NewItems(slices.Repeat([]string{strings.Repeat("x", 1000)}, 200))
	first, _ := items.First(200)
	if n := first.Len() * 1001; n > models.MaxShardBytes || n < models.MaxShardBytes-1001 {
		t.Errorf("%d items of 1000 bytes", first.Len())
	}
}

func TestHowItemsReachTheWork(t *testing.T) {
	for name, c := range map[string]struct{ run, items, want []string }{
		"an argument of its own": {[]string{"cp", "{}", "to"}, []string{"a", "b c"}, []string{"cp", "a", "b c", "to"}},
		"within an argument":     {[]string{"cat", "in-{}.txt"}, []string{"a", "b"}, []string{"cat", "in-a.txt", "in-b.txt"}},
		"nowhere":                {[]string{"echo", "-n"}, []string{"a", "b"}, []string{"echo", "-n", "a", "b"}},
		"a shell's script":       {[]string{"sh", "-c", "echo {} >>o"}, []string{"a", "b;c"}, []string{"sh", "-c", `echo a b\;c >>o`}},
		"a script without":       {[]string{"sh", "-c", `echo "$@"`}, []string{"a", "b"}, []string{"sh", "-c", `echo "$@"`, "sh", "a", "b"}},
		"a script with a name":   {[]string{"bash", "-ec", `echo "$@"`, "x"}, []string{"a"}, []string{"bash", "-ec", `echo "$@"`, "x", "a"}},
	} {
		items := models.NewItems(c.items)
		spec := models.NewTaskSpec()
		spec.Run, spec.Items, spec.Env = c.run, &items, map[string]string{"A": "b"}
		got := spec.ForItems("p")
		if d := cmp.Diff(c.want, got.Run); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		want := map[string]string{"A": "b", "LOADSTAR_PARENT": "p", "LOADSTAR_ITEMS": strings.Join(c.items, "\n")}
		if d := cmp.Diff(want, got.Env); d != "" || len(spec.Env) != 1 || got.Items != nil {
			t.Errorf("%s: %s", name, d)
		}
	}
	items := models.NewItems([]string{"a", "b"})
	spec := models.NewTaskSpec()
	spec.Run, spec.Stdin, spec.Items = []string{"wc"}, "{}", &items
	if got := spec.ForItems("p"); got.Stdin != "a\nb\n" || len(got.Run) != 1 {
		t.Errorf("%+v", got)
	}
	spec = models.NewTaskSpec()
	spec.Input, spec.Items = json.RawMessage(`{"model":"m"}`), &items
	if got := spec.ForItems("p"); string(got.Input) != `{"items":["a","b"],"model":"m"}` {
		t.Errorf("%s", got.Input)
	}
}

// TestAnItemIsOneWordInAScript asks a real shell, whatever quotes stand around it.
func TestAnItemIsOneWordInAScript(t *testing.T) {
	items := []string{"plain", "a b", "$(exit 7)", "`exit 7`", `"; exit 7; "`, "'; exit 7; '", "*", "é\\", "\t", "~", "#", "&|<>(){}[]!?$"}
	spec := models.NewTaskSpec()
	packed := models.NewItems(items)
	spec.Run, spec.Items = []string{"sh", "-c", `printf '%s\n' {}`}, &packed
	run := spec.ForItems("p").Run
	out, err := exec.Command(run[0], run[1:]...).Output() //nolint:gosec // the test's own
	if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); err != nil || !slices.Equal(got, items) {
		t.Errorf("%v\n%s", err, cmp.Diff(items, got))
	}
	for _, item := range items {
		one := models.NewItems([]string{item})
		spec.Items = &one
		for _, script := range []string{`: "{}"`, `: '{}'`, `: {}`} {
			spec.Run = []string{"sh", "-c", script}
			run := spec.ForItems("p").Run
			err := exec.Command(run[0], run[1:]...).Run() //nolint:gosec // the test's own
			var exit *exec.ExitError
			if ok := errorsAs(err, &exit); ok && exit.ExitCode() == 7 {
				t.Errorf("%q was run by %q", item, script)
			}
		}
	}
}

func errorsAs(err error, target **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError) //nolint:errorlint // exec gives it bare
	*target = e
	return ok
}

func TestBadItemsAreRefusedNamingTheField(t *testing.T) {
	for doc, want := range map[string]string{
		`{"run":["a"],"items":[]}`:                                      "items: there is none",
		`{"run":["a"],"items":[{}]}`:                                    "items: item 1 is neither a string nor a number",
		`{"run":["a"],"items":{"range":[1]}}`:                           `items: neither an array nor {"range": [from, to]} of integers`,
		`{"run":["a"],"items":{"range":[1,5,-1]}}`:                      "items: the range from 1 to 5 by -1 is empty",
		`{"run":["a"],"items":{"range":[1,2000000000]}}`:                "items: 2000000000 are more than 1000000000",
		`{"run":["a"],"items":["a\u0000"]}`:                             "items: item 1 holds a NUL character",
		`{"run":["sh","-c","x {}"],"items":["a","b\nc"]}`:               "items: item 2 holds a line break",
		`{"run":["a"],"shard":3}`:                                       "shard: there are no items to cut",
		`{"run":["a"],"max_failures":3}`:                                "max_failures: there are no items",
		`{"run":["a"],"items":["a"],"shard":0}`:                         `shard: "0" is neither auto nor a number`,
		`{"run":["a"],"items":["a"],"max_failures":-1}`:                 "max_failures: -1 is negative",
		`{"pool":"x","input":[1],"items":["a"]}`:                        "input: with items it must be an object",
		`{"pool":"x","input":{"items":1},"items":["a"]}`:                "input: it has items of its own",
		`{"task_id":"` + strings.Repeat("x", 190) + `","items":["a"]}`:  "task_id: with items it may have 188 bytes",
		`{"run":["a"],"items":["` + strings.Repeat("x", 64<<10) + `"]}`: "items: item 1 has 65536 bytes",
	} {
		_, err := models.DecodeTasks([]byte(doc), "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v", doc, err)
		}
	}
	specs, err := models.DecodeTasks([]byte(`{"run":["a"],"items":[1,"b",2.50],"shard":"auto","max_failures":2}`), "")
	if err != nil || !slices.Equal(specs[0].Items.Texts(), []string{"1", "b", "2.50"}) || specs[0].Shard != models.ShardAuto || specs[0].MaxFailures != 2 {
		t.Errorf("%+v %v", specs, err)
	}
}
