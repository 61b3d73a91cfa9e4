package predictor

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loadstar/models"
)

// The one test here that trains the real LSTM: the rest hold for any learner.
func TestTheRealLSTMTrainsForecastsAndComesBack(t *testing.T) {
	dir, log := t.TempDir(), &fakeLog{}
	truth := diurnal(24, 1)
	change := func(c *Config) {
		c.NoLearner, c.CheckpointDir, c.Store = false, dir, log
		c.Resolutions[0].Horizon, c.Resolutions[0].Context = 6, 16
	}
	b := newBed(t, truth, change)
	b.run(0, 59) // one training, at 40 points
	c := b.current()
	if c.Status != "ready" || c.TrainedOn != 40 || c.TrainS <= 0 {
		t.Fatalf("status %q, trained on %d in %v s", c.Status, c.TrainedOn, c.TrainS)
	}
	t.Logf("trained in %.2f s", c.TrainS)
	at := slices.IndexFunc(c.Forecasts, func(f models.Forecast) bool { return f.Model == models.ModelLSTM })
	if at < 0 {
		t.Fatal("no LSTM among the forecasts")
	}
	checkQuantiles(t, c.Forecasts[at])
	scored := 0
	for _, r := range b.history(models.ForecastQuery{Model: models.ModelLSTM}) {
		if r.Actual != nil && r.AbsError != nil {
			scored++
		}
	}
	if scored == 0 {
		t.Error("no LSTM forecast was scored")
	}
	b.s.flush(t.Context())

	path := filepath.Join(dir, "host.cpu-10s.safetensors")
	again := newBed(t, truth, change)
	again.run(59, 60)
	if c := again.current(); c.Status != "ready" || c.TrainedOn != 40 || len(c.Forecasts) != 5 {
		t.Errorf("after a restart: %q, trained on %d, %d forecasts", c.Status, c.TrainedOn, len(c.Forecasts))
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := newBed(t, truth, change)
	damaged.run(1, 2)
	if told := damaged.told(models.EventTrouble); len(told) != 1 {
		t.Errorf("half a model: told %q", told)
	}
}
