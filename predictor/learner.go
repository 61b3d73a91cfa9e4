package predictor

import (
	"context"
	"math"
	"time"

	"loadstar/models"
	"loadstar/predictor/baseline"
	"loadstar/predictor/lstm"
)

// Sequence is a regular stretch of a series for a learner: NaN where a step is
// missing.
type Sequence struct {
	Values []float64
	Start  time.Time
	Step   time.Duration
	Season int
}

// Spec is what a learner has to learn.
type Spec struct {
	Context, Horizon int
	Seed             uint64
	NonNegative      bool
	Max              float64 // 0 is no ceiling
}

// Hooks are called from within Train; neither is nil.
type Hooks struct {
	Progress func(done, loss float64)
	Pace     func() // sleeps to keep to the share
}

// Learned is a trained model; it does not change, and any goroutine may use it.
type Learned interface {
	// Forecast looks the trained horizon past the end of a tail of the series.
	// levels and all are every quantile that the model has, [step][level]; nil
	// where it has the three only.
	Forecast(tail Sequence) (q baseline.Quantiles, levels []float64, all [][]float64, err error)
	Save(path string) error
	// Fits says whether the model is of that shape and season.
	Fits(spec Spec, step time.Duration) bool
	// Trained is the end of the data it has seen and how many points those were.
	Trained() (to time.Time, points int)
}

// Learner trains and loads models. The service needs no more of the LSTM than this.
type Learner interface {
	Name() string
	// Train may go on from prev, which is nil or what this learner made.
	Train(ctx context.Context, spec Spec, data Sequence, prev Learned, hooks Hooks) (Learned, error)
	Load(path string) (Learned, error)
}

// LSTM is the learner on gorgonia.
type LSTM struct{}

// Name is "lstm".
func (LSTM) Name() string { return models.ModelLSTM }

// Train is as Learner says.
func (LSTM) Train(ctx context.Context, spec Spec, data Sequence, prev Learned, hooks Hooks) (Learned, error) {
	cfg := lstm.Config{Context: spec.Context, Horizon: spec.Horizon, Seed: spec.Seed, NonNegative: spec.NonNegative, Max: spec.Max}
	var before *lstm.Model
	if p, ok := prev.(trainedLSTM); ok {
		before = p.model
	}
	m, err := lstm.Train(ctx, cfg, lstmData(data), before, lstm.TrainOptions{Progress: hooks.Progress, Pace: hooks.Pace})
	if err != nil {
		return nil, err
	}
	return trainedLSTM{m}, nil
}

// Load is as Learner says.
func (LSTM) Load(path string) (Learned, error) {
	m, err := lstm.Load(path)
	if err != nil {
		return nil, err
	}
	return trainedLSTM{m}, nil
}

type trainedLSTM struct{ model *lstm.Model }

func (t trainedLSTM) Forecast(tail Sequence) (baseline.Quantiles, []float64, [][]float64, error) {
	q, err := t.model.Forecast(lstmData(tail))
	if err != nil {
		return baseline.Quantiles{}, nil, nil, err
	}
	levels := make([]float64, lstm.NumQuantiles)
	for i := range levels {
		levels[i] = float64(i+1) / (lstm.NumQuantiles + 1)
	}
	all := make([][]float64, len(q.All))
	for i := range q.All {
		all[i] = append([]float64(nil), q.All[i][:]...)
	}
	return baseline.Quantiles{P10: q.P10, P50: q.P50, P90: q.P90}, levels, all, nil
}

func (t trainedLSTM) Save(path string) error { return t.model.Save(path) }

func (t trainedLSTM) Fits(spec Spec, step time.Duration) bool {
	i := t.model.Info()
	return i.Step == step && i.Config.Horizon == spec.Horizon && i.Config.Context == spec.Context
}

func (t trainedLSTM) Trained() (time.Time, int) {
	i := t.model.Info()
	return i.To, i.Points
}

// lstmData carries the last value over gaps beside a mask, as the LSTM reads
// neither NaN nor what the mask hides.
func lstmData(s Sequence) lstm.Data {
	d := lstm.Data{Values: make([]float64, len(s.Values)), Mask: make([]bool, len(s.Values)), Start: s.Start, Step: s.Step, Season: s.Season}
	last := 0.0
	for i, v := range s.Values {
		if !math.IsNaN(v) {
			last = v
			d.Mask[i] = true
		}
		d.Values[i] = last
	}
	return d
}
