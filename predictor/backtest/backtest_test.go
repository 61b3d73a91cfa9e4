package backtest

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"loadstar/models"
	"loadstar/predictor"
	"loadstar/predictor/baseline"
)

var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func series(n, season int, seed uint64) []models.Point {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]models.Point, 0, n)
	for i := range n {
		if i%97 == 5 {
			continue // a gap
		}
		v := 20 + 15*math.Sin(2*math.Pi*float64(i)/float64(season)) + 2*r.NormFloat64()
		out = append(out, models.Point{At: start.Add(time.Duration(i) * 5 * time.Minute), Value: max(v, 0)})
	}
	return out
}

// echo learns the mean of what it is shown; it gives itself away if it is shown the future.
type echo struct{ fits int }

func (e *echo) Name() string { return models.ModelLSTM }
func (e *echo) Train(_ context.Context, spec predictor.Spec, data predictor.Sequence, _ predictor.Learned, hooks predictor.Hooks) (predictor.Learned, error) {
	e.fits++
	hooks.Pace()
	hooks.Progress(1, 0)
	sum, n := 0.0, 0.0
	for _, v := range data.Values {
		if !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	return echoModel{mean: sum / n, h: spec.Horizon}, nil
}
func (e *echo) Load(string) (predictor.Learned, error) { return nil, errors.ErrUnsupported }

type echoModel struct {
	mean float64
	h    int
}

func (m echoModel) Forecast(predictor.Sequence) (baseline.Quantiles, []float64, [][]float64, error) {
	q := baseline.NewQuantiles(m.h)
	for i := range q.P50 {
		q.P10[i], q.P50[i], q.P90[i] = m.mean-20, m.mean, m.mean+20
	}
	return q, nil, nil, nil
}
func (m echoModel) Save(string) error                       { return nil }
func (m echoModel) Fits(predictor.Spec, time.Duration) bool { return true }
func (m echoModel) Trained() (time.Time, int)               { return start, 1 }

func forecastsOf(t *testing.T, points []models.Point, upTo int) map[string][]*baseline.Quantiles {
	t.Helper()
	cfg := Config{Horizon: 8, Learner: &echo{}}.withDefaults()
	g, err := newGrid(points, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{cfg: cfg, grid: g, origins: origins(700, len(g.values), 8, 48)}
	out := map[string][]*baseline.Quantiles{}
	before := slices.Clone(g.values)
	defer func() {
		if diff := cmp.Diff(before, r.grid.values, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("a model changed what it was given:\n%.1000s", diff)
		}
	}()
	for _, name := range r.order() {
		m := measured{name: name}
		if name == models.ModelEnsemble {
			m.paths = r.ensemble()
		} else if err = r.walk(t.Context(), &m, func(float64) {}); err != nil {
			t.Fatal(err)
		}
		r.models = append(r.models, m)
		for i, o := range r.origins {
			if o <= upTo {
				out[name] = append(out[name], m.paths[i])
			}
		}
	}
	return out
}

func TestNoModelSeesTheFuture(t *testing.T) {
	points := series(1000, 48, 1)
	const upTo = 850
	honest := forecastsOf(t, points, upTo)
	corrupt := append([]models.Point(nil), points...)
	for i := range corrupt {
		if corrupt[i].At.Sub(start) >= upTo*5*time.Minute {
			corrupt[i].Value = 1e6 - corrupt[i].Value
		}
	}
	got := forecastsOf(t, corrupt, upTo)
	if diff := cmp.Diff(honest, got); diff != "" {
		t.Errorf("the future changed a forecast:\n%.1000s", diff)
	}
	for name, paths := range honest {
		if len(paths) < 10 || paths[len(paths)-1] == nil {
			t.Errorf("%s: nothing was compared", name)
		}
	}
}

func TestReportRanksAndIsWhole(t *testing.T) {
	var shares []float64
	e := &echo{}
	r, err := Run(t.Context(), Config{Series: "arrivals", Learner: e}, series(1500, 48, 2), func(done float64, _ string) {
		shares = append(shares, done)
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.SeasonSteps != 48 || r.Origins < 400 || r.StepS != 300 || len(r.Horizons) != 12 || r.MissingN != 16 || e.fits != 4 {
		t.Errorf("season %d, %d origins, step %v, %d horizons, %d missing, %d fits", r.SeasonSteps, r.Origins, r.StepS, len(r.Horizons), r.MissingN, e.fits)
	}
	wql := map[string]float64{}
	for i, m := range r.Models {
		if m.Model != Models()[i] || m.MASE == nil || m.WAPE == nil || m.RMSE == nil || m.WQL == nil || m.Skill == nil || len(m.ByHorizon) != 12 {
			t.Fatalf("%+v", m)
		}
		wql[m.Model] = *m.WQL
		if m.Model != models.ModelLSTM && (*m.Coverage80 < 0.6 || *m.Coverage80 > 0.95) {
			t.Errorf("%s covers %.2f", m.Model, *m.Coverage80)
		}
	}
	if !(wql["holtwinters"] < wql["last"] && wql["ar"] < wql["last"] && wql["snaive"] < wql["last"] && wql["ensemble"] < wql["last"]) {
		t.Errorf("wql %v", wql)
	}
	if r.Live == nil || *r.Live.WQL > 1.1*wql[r.Champion] || r.Live.N != r.Models[0].N {
		t.Errorf("live %+v", r.Live)
	}
	if wql[r.Champion] > wql["holtwinters"] || wql[r.Champion] > wql["ar"] {
		t.Errorf("champion %s of %v", r.Champion, wql)
	}
	for i := 1; i < len(shares); i++ {
		if shares[i] < shares[i-1]-1e-9 {
			t.Fatalf("progress went back from %v to %v", shares[i-1], shares[i])
		}
	}
	if shares[len(shares)-1] != 1 {
		t.Error("progress did not end")
	}
	checkOutput(t, r)
}

func checkOutput(t *testing.T, r Report) {
	t.Helper()
	var b strings.Builder
	if err := WriteTable(&b, r); err != nil || strings.Count(b.String(), "\n") != 11 || !strings.Contains(b.String(), "holtwinters") {
		t.Errorf("table %v:\n%s", err, b.String())
	}
	j, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(j, &back); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"series", "step_s", "season_steps", "origins", "horizons", "champion", "models"} {
		if _, ok := back[k]; !ok {
			t.Errorf("no %s in the JSON", k)
		}
	}
	first := back["models"].([]any)[0].(map[string]any)
	for _, k := range []string{"model", "mase", "wape", "rmse", "wql", "coverage80", "skill", "by_horizon", "fit_s"} {
		if _, ok := first[k]; !ok {
			t.Errorf("no models[].%s in the JSON", k)
		}
	}
}

func TestOriginsMeetEveryPhaseOfTheSeason(t *testing.T) {
	for _, season := range []int{0, 12, 1440, 10080} {
		phases := map[int]bool{}
		got := origins(700, 60_000, 12, season)
		for _, o := range got {
			phases[o%max(season, 1)] = true
		}
		if len(phases) != max(season, 1) && len(phases) != len(got) || len(got) < 2000 || len(got) > 3*maxOrigins || got[0] != 700 || got[len(got)-1]+12 > 60_000 {
			t.Errorf("season %d: %d origins from %d to %d meet %d phases", season, len(got), got[0], got[len(got)-1], len(phases))
		}
	}
	if got := origins(700, 711, 12, 0); got != nil {
		t.Errorf("origins %v without room for a horizon", got)
	}
	if got := origins(700, 760, 12, 0); len(got) != 49 || got[1] != 701 {
		t.Errorf("%d origins in a short file", len(got))
	}
}

func TestBadInputIsNamed(t *testing.T) {
	for field, cfg := range map[string]Config{
		"horizon": {Horizon: 1000}, "train": {Train: 1.5}, "models": {Models: []string{"prophet"}},
		"season": {Season: -2}, "step": {Step: -1}, "context": {Context: 1}, "learn_fits": {LearnFits: -1},
	} {
		var f *models.FieldError
		if _, err := Run(t.Context(), cfg, series(100, 10, 1), nil); !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := Run(t.Context(), Config{}, series(12, 10, 1), nil); !errors.Is(err, baseline.ErrTooShort) {
		t.Errorf("short: %v", err)
	}
	p := series(50, 10, 1)
	p[3].At = p[0].At.Add(-time.Second)
	if _, err := Run(t.Context(), Config{}, p, nil); err == nil {
		t.Error("unordered points passed")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Run(ctx, Config{}, series(500, 10, 1), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// recorded reads a public series; the test is skipped where they are not.
func recorded(t *testing.T, name string) []models.Point {
	t.Helper()
	f, err := os.Open(filepath.Join("../../../shared/data", name))
	if err != nil {
		t.Skipf("the recorded series are not here: %v", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var points []models.Point
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[0])
		if err != nil {
			t.Fatal(err)
		}
		v, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, models.Point{At: at, Value: v})
	}
	return points
}

func TestRecordedSeriesAreForecastBetterThanByTheirLastValue(t *testing.T) {
	for _, tc := range []struct {
		file string
		step time.Duration
		mods []string // nil is all without the LSTM
	}{
		{"nab_asg_cpu.csv", 0, nil},
		{"nab_elb_requests_8c0756.csv", 0, Models()},
		{"nasa_http_jul95_1m.csv", 10 * time.Minute, nil},
	} {
		t.Run(tc.file, func(t *testing.T) {
			if tc.mods == nil {
				tc.mods = []string{models.ModelLast, models.ModelSNaive, models.ModelHoltWinters, models.ModelAR, models.ModelEnsemble}
			}
			r, err := Run(t.Context(), Config{Series: tc.file, Step: tc.step, Models: tc.mods, LearnFits: 1}, recorded(t, tc.file), nil)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := WriteTable(&b, r); err != nil {
				t.Fatal(err)
			}
			t.Log("\n" + b.String())
			wql := map[string]float64{}
			for _, m := range r.Models {
				if m.WQL != nil { // lsnaive has none without a season
					wql[m.Model] = *m.WQL
				}
			}
			for _, m := range []string{models.ModelHoltWinters, models.ModelEnsemble} {
				if wql[m] >= wql[models.ModelLast] {
					t.Errorf("%s loses %.4f, the last value %.4f", m, wql[m], wql[models.ModelLast])
				}
			}
			if l, ok := wql[models.ModelLSTM]; ok && l >= wql[models.ModelSNaive] {
				t.Errorf("the LSTM loses %.4f, seasonal naive %.4f", l, wql[models.ModelSNaive])
			}
		})
	}
}
