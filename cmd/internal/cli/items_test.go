package cli_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"loadstar/models"
)

func TestSubmitTakesItemsInEachOfTheirForms(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		args []string
		want []string
	}{
		"a range":           {"", []string{"--items", "3..5"}, []string{"3", "4", "5"}},
		"by a step":         {"", []string{"--items", "10..1..-4"}, []string{"10", "6", "2"}},
		"a list":            {"", []string{"--items", "a..b,c,1..2"}, []string{"a..b", "c", "1..2"}},
		"lines":             {"a\r\n\nb c\n", []string{"--items-from", "-"}, []string{"a", "b c"}},
		"as find -print0":   {"a\nb\x00c\x00", []string{"--items-from", "-"}, []string{"a\nb", "c"}},
		"without a last \n": {"a\nb", []string{"--items-from", "-"}, []string{"a", "b"}},
	} {
		f := filled()
		r := run(t, f, c.in, slices.Concat([]string{"submit", "--shard", "auto", "--max-failures", "2"}, c.args, []string{"--", "x", "{}"})...)
		if r.code != 0 {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		if s := f.submitted[0][0]; !slices.Equal(s.Items.Texts(), c.want) || s.Shard != models.ShardAuto || s.MaxFailures != 2 || !slices.Equal(s.Run, []string{"x", "{}"}) {
			t.Errorf("%s: %q, %+v", name, s.Items.Texts(), s)
		}
	}
}

func TestBadItemsAreRefusedNamingTheFlag(t *testing.T) {
	for in, c := range map[string]struct{ want, args string }{
		"1":       {"--items: the range from 1 to 5 by -1 is empty", "--items 1..5..-1"},
		"2":       {"--shard: \"0\" is neither auto nor a number", "--items 1..5 --shard 0"},
		"3":       {"either --items or --items-from, not both", "--items 1..5 --items-from -"},
		"\n":      {"--items-from: no items in -", "--items-from -"},
		"a\n\xff": {"--items-from: -:2: not UTF-8", "--items-from -"},
		"6":       {"--shard: there are no items to cut", "--shard 3"},
		"7":       {"--max-failures: -1 is negative", "--items 1..5 --max-failures -1"},
	} {
		r := run(t, filled(), in, slices.Concat([]string{"submit"}, strings.Fields(c.args), []string{"--", "x"})...)
		if r.code != 2 || !strings.Contains(r.err, c.want) {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
}

func TestItemsBeyondADocumentGoInSeveralTasks(t *testing.T) {
	var lines strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&lines, "item-%06d\n", i)
	}
	f := filled()
	r := run(t, f, lines.String(), "submit", "--id", "p", "--items-from", "-", "--", "x")
	if r.code != 0 || !strings.Contains(r.err, "they go in") {
		t.Fatalf("%+v", r)
	}
	n := 0
	for _, batch := range f.submitted {
		for i, s := range batch {
			for _, item := range s.Items.Texts() {
				if want := fmt.Sprintf("item-%06d", n); item != want {
					t.Fatalf("%s where %s is expected", item, want)
				}
				n++
			}
			if s.TaskID != fmt.Sprintf("p-%d", i+1) {
				t.Errorf("task %d is %s", i, s.TaskID)
			}
		}
	}
	if n != 100_000 {
		t.Errorf("%d items", n)
	}
}

func TestWaitingSaysHowFarTheItemsAre(t *testing.T) {
	f := filled()
	f.tasks[0].Progress = &models.Progress{Items: 4, Done: 4}
	if r := run(t, f, "", "wait", "--progress", f.tasks[0].TaskID); !strings.Contains(r.err, "4 of 4 items done") {
		t.Errorf("%+v", r)
	}
}
