package cli_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// swell is a file of n five-minute values with a cycle of 24.
func swell(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for i := range n {
		if i%50 != 7 {
			fmt.Fprintf(&b, "%s,%.3f\n", at.Add(time.Duration(i)*5*time.Minute).Format(time.RFC3339), 20+10*math.Sin(float64(i)*math.Pi/12)+float64(i*7919%13)/5)
		}
	}
	file := filepath.Join(t.TempDir(), "swell.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBacktestReportsEveryModelAsked(t *testing.T) {
	picture := filepath.Join(t.TempDir(), "p.png")
	got := run(t, nil, "", "backtest", swell(t, 400), "--horizon", "6", "--models", "snaive,last", "-o", "json", "--plot", picture)
	if got.code != 0 {
		t.Fatalf("code %d: %s", got.code, got.err)
	}
	var r struct {
		Series      string  `json:"series"`
		StepS       float64 `json:"step_s"`
		SeasonSteps int     `json:"season_steps"`
		Origins     int     `json:"origins"`
		Horizons    []int   `json:"horizons"`
		Champion    string  `json:"champion"`
		Models      []struct {
			Model string   `json:"model"`
			WQL   *float64 `json:"wql"`
		} `json:"models"`
	}
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Series != "swell" || r.StepS != 300 || r.SeasonSteps != 24 || r.Origins < 50 || len(r.Horizons) != 6 || r.Champion != "snaive" ||
		len(r.Models) != 2 || r.Models[0].Model != "last" || r.Models[0].WQL == nil {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"one every 5m0s", "steps missing", "a gap from 2026-03-02T00:35:00Z", "and 5 gaps more", "50%: snaive"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("stderr does not say %q: %s", want, got.err)
		}
	}
	head := make([]byte, 8)
	f, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(head); err != nil || string(head) != "\x89PNG\r\n\x1a\n" {
		t.Errorf("the picture begins with %q, %v", head, err)
	}
}

func TestBacktestCountsTheJobsOfALog(t *testing.T) {
	for name, head := range map[string]string{"jobs": "submit_s,duration_s", "requests": "submit_s,context_tokens,generated_tokens"} {
		text := head + "\n"
		for i := range 3000 {
			text += fmt.Sprintf("%d,%d,1\n", i*7, 1+i%3)
		}
		got := run(t, nil, text, "backtest", "-", "--bin", "1m", "--horizon", "3", "--models", "last", "-o", "csv")
		if lines := strings.Split(strings.TrimSpace(got.out), "\n"); got.code != 0 || len(lines) != 9 || !strings.HasPrefix(lines[1], "stdin,60,last,all,") {
			t.Errorf("%s: code %d: %s%s", name, got.code, got.out, got.err)
		}
		if !strings.Contains(got.err, "3000 jobs in 350 steps of 1m") {
			t.Errorf("%s: %s", name, got.err)
		}
	}
}

func TestBacktestRefusesInOneLineNamingTheFlag(t *testing.T) {
	file := swell(t, 100)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{file, "--models", "prophet"}, `--models: "prophet" is not one of`},
		{[]string{file, "--horizon", "0"}, "--horizon: 0 is not between"},
		{[]string{file, "--horizon", "600"}, "--horizon: 600 is not between"},
		{[]string{file, "--train", "1"}, "--train: 1 is not between"},
		{[]string{file, "--season", "-2"}, "--season: -2"},
		{[]string{file, "--bin", "0s"}, "--bin: 0s is not positive"},
		{[]string{file, "--step", "0s"}, "--step: 0s is not positive"},
		{[]string{file, "--plot", "a.svg"}, "--plot: a.svg does not end in .png"},
		{[]string{file, "-o", "xml"}, `--output: "xml" is not`},
		{[]string{"nowhere.csv"}, "open nowhere.csv"},
		{[]string{}, "accepts 1 arg"},
	} {
		got := run(t, nil, "", append([]string{"backtest"}, tc.args...)...)
		if got.code != 2 || !strings.Contains(got.err, tc.want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%v: code %d: %s", tc.args, got.code, got.err)
		}
	}
	got := run(t, nil, "0,1\n60,2\n120,3\n", "backtest", "-")
	if got.code != 1 || !strings.Contains(got.err, "too few values") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
	got = run(t, nil, "0,1\n60,x\n", "backtest", "-")
	if got.code != 2 || !strings.Contains(got.err, "stdin:2: value") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
}
