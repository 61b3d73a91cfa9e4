package ingest

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loadstar/models"
)

func at(s int) time.Time { return time.Unix(int64(s), 0).UTC() }

func TestTimesMayBeRFC3339OrUnix(t *testing.T) {
	want := []models.Point{{At: at(1700000000), Value: 1}, {At: at(1700000060), Value: 2}, {At: at(1700000120), Value: 3}}
	for name, text := range map[string]string{
		"rfc 3339":     "timestamp,value\n2023-11-14T22:13:20Z,1\n2023-11-14T22:14:20Z,2\n2023-11-14T23:15:20+01:00,3\n",
		"seconds":      "1700000000,1\n1700000060,2\n1700000120,3",
		"milliseconds": "t,v,extra\r\n1700000000000,1,x\r\n1700000060000,2,y\r\n1700000120000,3,z\r\n",
		"spaces":       "# comment\nwhen, how much\n2023-11-14 22:13:20, 1\n2023-11-14 22:14:20, 2\n2023-11-14 22:15:20, 3\n",
	} {
		got, err := ReadCSV(strings.NewReader(text), "f.csv")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(want, got.Points); d != "" || got.StepS != 60 {
			t.Errorf("%s: step %g, %s", name, got.StepS, d)
		}
	}
}

func TestIrregularRowsAreSnappedAndTold(t *testing.T) {
	text := "0,1\n60,2\n121,3\n180,4\n360,5\n300,6\n360,7\n"
	got, err := ReadCSV(strings.NewReader(text), "f.csv")
	if err != nil {
		t.Fatal(err)
	}
	want := Table{
		Points: []models.Point{{At: at(0), Value: 1}, {At: at(60), Value: 2}, {At: at(120), Value: 3}, {At: at(180), Value: 4}, {At: at(300), Value: 6}, {At: at(360), Value: 7}},
		StepS:  60, Gaps: []models.Gap{{From: at(240), To: at(300)}}, Missing: 1, Rows: 7, OffGrid: 2, Duplicates: 1, Unordered: 1,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBadRowsAreRefusedNamingLineAndColumn(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "f.csv: a series needs two rows",
		"timestamp,value\n":             "f.csv: a series needs two rows",
		"0,1\nsoon,2\n":                 `f.csv:2: timestamp: "soon" is not`,
		"0,1\n60,NaN\n":                 `f.csv:2: value: "NaN" is not a finite number`,
		"timestamp,value\n0,1\n60\n":    "f.csv:3: value: the row has 1 of the columns",
		"0,1\n0,2\n":                    "f.csv: timestamp: all rows have the same time",
		"0,1\n60,\"2\n":                 "f.csv:",
		"timestamp,value\n0,1\n60,\n":   `f.csv:3: value: "" is not`,
		"timestamp,value\n-5,1\n60,1\n": `f.csv:2: timestamp:`,
	} {
		_, err := ReadCSV(strings.NewReader(text), "f.csv")
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, models.ErrInvalid) {
			t.Errorf("%q: got %v, want %s…", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"submit_s,duration_s\n":           "f.csv: no job in it",
		"submit_s,duration_s\n1,-2":       "f.csv:2: duration_s: -2 is negative",
		"submit_s,duration_s,cpus\n1,2,x": `f.csv:2: cpus: "x" is not`,
	} {
		if _, err := ReadJobs(strings.NewReader(text), "f.csv"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", text, err, want)
		}
	}
}

func TestBinsCountEveryJobOnce(t *testing.T) {
	jobs, err := ReadJobs(strings.NewReader("submit_s,duration_s,cpus,priority\n65,1\n0,5,2,7\n59.9,1\n600,1\n"), "f.csv")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Job{SubmitS: 0, DurationS: 5, CPUs: 2, Priority: 7}, jobs[0]); d != "" {
		t.Error(d)
	}
	points := Bin(jobs, at(0), time.Minute)
	if len(points) != 11 || points[0].Value != 2 || points[1].Value != 1 || points[10].Value != 1 {
		t.Errorf("%v", points)
	}
}

func TestRecordedTracesReadAsTheirReadmeSays(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no recorded traces beside the project: ", err)
	}
	for name, want := range map[string]struct {
		rows, gaps, missing, offGrid int
		step                         float64
	}{
		"bitbrains_cpu_vm740.csv":       {8641, 0, 0, 0, 300},
		"bitbrains_vm_multi.csv":        {8619, 13, 21, 331, 300},
		"nab_asg_cpu.csv":               {18050, 0, 0, 0, 300},
		"nab_ec2_cpu_5f5533.csv":        {4032, 0, 0, 0, 300},
		"nab_ec2_disk_write_c0d644.csv": {4032, 0, 0, 0, 300},
		"nab_ec2_network_in_257a54.csv": {4032, 2, 2, 0, 300},
		"nab_elb_requests_8c0756.csv":   {4032, 8, 8, 0, 300},
		"nab_rds_cpu_cc0c53.csv":        {4032, 1, 1, 0, 300},
		"nasa_http_jul95_1m.csv":        {39692, 0, 0, 0, 60},
		"wc98_jun06_jun21_1m.csv":       {23040, 0, 0, 0, 60},
	} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadCSV(f, name)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got.Rows != want.rows || len(got.Gaps) != want.gaps || got.Missing != want.missing || got.StepS != want.step || got.OffGrid != want.offGrid || got.Duplicates != 0 || got.Unordered != 0 {
			t.Errorf("%s: %s, %d gaps", name, &got, len(got.Gaps))
		}
	}
	for name, want := range map[string]int{"genai_jobs_nov15_nov28.csv": 13208, "metacentrum_jobs_jan_feb14.csv": 6313} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		jobs, err := ReadJobs(f, name)
		f.Close()
		if err != nil || len(jobs) != want {
			t.Errorf("%s: %d jobs, %v", name, len(jobs), err)
		}
		total := 0.0
		for _, p := range Bin(jobs, at(0), 10*time.Minute) {
			total += p.Value
		}
		if total != float64(len(jobs)) {
			t.Errorf("%s: %g jobs in the bins of %d", name, total, len(jobs))
		}
	}
}

func TestJobsAreReadByTheNamesInTheHeader(t *testing.T) {
	got, err := ReadJobs(strings.NewReader("priority,user,duration_s,submit_s\n7,a,5,10\n,b,6,20\n"), "f.csv")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Job{{SubmitS: 10, DurationS: 5, CPUs: 1, Priority: 7}, {SubmitS: 20, DurationS: 6, CPUs: 1}}, got); d != "" {
		t.Error(d)
	}
	_, err = ReadJobs(strings.NewReader("submit_s,context_tokens,generated_tokens\n0,374,44\n"), "azure.csv")
	if err == nil || err.Error() != "azure.csv:1: duration_s: the header has no such column" {
		t.Error(err)
	}
}

func TestResamplingKeepsMeansAndLeavesGaps(t *testing.T) {
	minute := func(n int) time.Time { return at(60 * n) }
	series := func(from int, values ...float64) Table {
		table := Table{StepS: 60}
		for i, v := range values {
			if v >= 0 {
				table.Points = append(table.Points, models.Point{At: minute(from + i), Value: v})
			}
		}
		return table
	}
	shifted := series(0, 1, 2, 3, 4)
	for i := range shifted.Points {
		shifted.Points[i].At = shifted.Points[i].At.Add(30 * time.Second)
	}
	for name, c := range map[string]struct {
		table Table
		step  time.Duration
		want  Table
	}{
		"whole steps":              {series(0, 1, 3, 5, 7), 2 * time.Minute, Table{StepS: 120, Points: []models.Point{{At: minute(0), Value: 2}, {At: minute(2), Value: 6}}}},
		"half is enough":           {series(0, 1, 3, 5), 2 * time.Minute, Table{StepS: 120, Points: []models.Point{{At: minute(0), Value: 2}, {At: minute(2), Value: 5}}}},
		"less is none":             {series(0, 1, 1, 1, 9), 3 * time.Minute, Table{StepS: 180, Points: []models.Point{{At: minute(0), Value: 1}}}},
		"a gap stays":              {series(0, 1, 1, -1, -1, -1, -1, 2, 2), 2 * time.Minute, Table{StepS: 120, Points: []models.Point{{At: minute(0), Value: 1}, {At: minute(6), Value: 2}}, Gaps: []models.Gap{{From: minute(2), To: minute(6)}}, Missing: 2}},
		"grids that do not meet":   {shifted, time.Minute, Table{StepS: 60, Points: []models.Point{{At: minute(0), Value: 1}, {At: minute(1), Value: 1.5}, {At: minute(2), Value: 2.5}, {At: minute(3), Value: 3.5}, {At: minute(4), Value: 4}}}},
		"steps that do not divide": {series(0, 0, 6, 6), 90 * time.Second, Table{StepS: 90, Points: []models.Point{{At: at(0), Value: 2}, {At: at(90), Value: 6}}}},
	} {
		got, err := c.table.Resample(c.step)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	one := series(0, 1)
	for _, step := range []time.Duration{0, -time.Hour, 30 * time.Second} {
		if _, err := one.Resample(step); !errors.Is(err, models.ErrInvalid) {
			t.Errorf("%s: %v", step, err)
		}
	}
}

func TestARowWithoutEndIsRefusedBeforeItFillsTheMemory(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("0,1\n60,\""), strings.NewReader(strings.Repeat("x\n", 4<<20)))
	if _, err := ReadCSV(endless, "f.csv"); err == nil || !strings.HasPrefix(err.Error(), "f.csv:2: a row has more than") {
		t.Error(err)
	}
}

func FuzzReadJobs(f *testing.F) {
	f.Add("submit_s,duration_s,cpus,priority\n65,1\n0,5,2,7\n")
	f.Add("duration_s,submit_s\n1,2\n3\n")
	f.Add("1e300,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		jobs, err := ReadJobs(strings.NewReader(text), "f")
		if err != nil {
			if len(jobs) > 0 {
				t.Fatal("jobs beside an error")
			}
			return
		}
		for i, j := range jobs {
			if !(j.SubmitS >= 0 && j.DurationS >= 0 && j.CPUs >= 0) || i > 0 && j.SubmitS < jobs[i-1].SubmitS {
				t.Fatalf("job %d: %+v", i, j)
			}
		}
		if last := jobs[len(jobs)-1].SubmitS; last < 1e6 {
			total := 0.0
			for _, p := range Bin(jobs, at(0), time.Minute) {
				total += p.Value
			}
			if total != float64(len(jobs)) {
				t.Fatalf("%g of %d jobs in bins", total, len(jobs))
			}
		}
	})
}

func FuzzReadCSV(f *testing.F) {
	f.Add("timestamp,value\n2023-11-14T22:13:20Z,1\n2023-11-14T22:14:20Z,2\n")
	f.Add("0,1\n60,2\n55,3\n1e10,4\n")
	f.Add("0\"0000000000")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadCSV(strings.NewReader(text), "f")
		if err != nil {
			return
		}
		for i, p := range got.Points {
			if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) || i > 0 && !p.At.After(got.Points[i-1].At) {
				t.Fatalf("point %d: %v", i, p)
			}
		}
		if len(got.Points)+got.Duplicates != got.Rows {
			t.Fatalf("%d points and %d duplicates of %d rows", len(got.Points), got.Duplicates, got.Rows)
		}
		for _, factor := range []int{1, 2, 7} {
			coarse, err := got.Resample(time.Duration(factor) * got.Step())
			if err != nil {
				return // finer than a millisecond
			}
			for i, p := range coarse.Points {
				if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) || i > 0 && p.At.Sub(coarse.Points[i-1].At) < coarse.Step() {
					t.Fatalf("at %s, point %d: %v", coarse.Step(), i, p)
				}
			}
		}
	})
}
