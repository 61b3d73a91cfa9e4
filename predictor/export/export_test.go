package export

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loadstar/models"
)

func draw(t *rapid.T) models.ForecastRow {
	number := rapid.Float64Range(-1e15, 1e15)
	perhaps := func(name string) *float64 {
		if rapid.Bool().Draw(t, name) {
			v := number.Draw(t, name)
			return &v
		}
		return nil
	}
	at := func(name string) time.Time {
		return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, name)).UTC()
	}
	return models.ForecastRow{
		Series: rapid.StringMatching(`[a-z, "]{1,20}`).Draw(t, "series"), IssuedAt: at("issued"), TargetAt: at("target"),
		StepS: number.Draw(t, "step"), Horizon: rapid.IntRange(1, 512).Draw(t, "h"), Model: models.ModelLSTM,
		Champion: rapid.Bool().Draw(t, "champion"), P10: number.Draw(t, "p10"), P50: number.Draw(t, "p50"),
		P90: number.Draw(t, "p90"), Actual: perhaps("actual"), AbsError: perhaps("abs"), APE: perhaps("ape"),
	}
}

func TestCSVRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(draw), 0, 5).Draw(t, "rows")
		var b bytes.Buffer
		if err := WriteCSV(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadCSV(&b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]models.ForecastRow{}, want...), got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestCSVIsTheContracts(t *testing.T) {
	at := time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600))
	actual, e := 12.5, 0.5
	rows := Rows([]models.SeriesForecast{{Forecasts: []models.Forecast{{
		Series: "host.cpu", IssuedAt: at, StepS: 10, Model: "lstm", Champion: true,
		P10: []float64{1, 2}, P50: []float64{3, 12}, P90: []float64{5, 20},
	}}}})
	rows[1].Actual, rows[1].AbsError = &actual, &e
	var b strings.Builder
	if err := WriteCSV(&b, rows); err != nil {
		t.Fatal(err)
	}
	want := `series,issued_at,target_at,step_s,horizon,model,champion,p10,p50,p90,actual,abs_error,ape
host.cpu,2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,10,1,lstm,true,1,3,5,,,
host.cpu,2026-03-01T12:00:00Z,2026-03-01T12:00:10Z,10,2,lstm,true,2,12,20,12.5,0.5,
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSONOfNothingIsAnEmptyArray(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, nil); err != nil || b.String() != "[]\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	b.Reset()
	if err := WriteJSON(&b, []models.ForecastRow{{Series: "a", Horizon: 1}}); err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(b.Bytes(), &rows); err != nil || len(rows) != 1 || rows[0]["actual"] != nil || rows[0]["horizon"] != 1.0 {
		t.Errorf("%s: %v", b.String(), err)
	}
}

func TestBadCSVNamesLineAndColumn(t *testing.T) {
	head := strings.Join(Columns(), ",") + "\n"
	for in, want := range map[string]string{
		"":           "empty",
		"a,b\n":      "line 1: the header",
		head + "x,y": "wrong number of fields",
		head + "s,2026-03-01T12:00:00Z,yesterday,10,1,m,true,1,1,1,,,\n":                    "line 2: target_at",
		head + "s,2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,10,1,m,true,1,NaN,1,,,\n":       "line 2: p50",
		head + "s,2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,10,1,m,perhaps,1,1,1,,,\n":      "line 2: champion",
		head + "s,2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,10,first,m,true,1,1,1,,,\n":     "line 2: horizon",
		head + "\"s\ns\",2026-03-01T12:00:00Z,2026-03-01T12:00:00Z,10,1,m,true,1,1,1,x,,\n": "line 2: actual",
	} {
		if _, err := ReadCSV(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add(strings.Join(Columns(), ",") + "\ns,2026-03-01T12:00:00Z,2026-03-01T12:00:10Z,10,2,m,true,1,1,1,,,\n")
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := ReadCSV(strings.NewReader(in))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteCSV(&b, rows); err != nil {
			t.Fatal(err)
		}
		if again, err := ReadCSV(&b); err != nil || len(again) != len(rows) {
			t.Fatalf("%d rows became %d: %v", len(rows), len(again), err)
		}
	})
}
