package lstm

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrTooShort is returned for a series with too few observed values to train on
// or to forecast from.
var ErrTooShort = errors.New("too few values")

// ErrNotFinite is returned when training met a NaN or an infinity; no model comes of it.
var ErrNotFinite = errors.New("not finite")

// MinPoints is the least number of observed values that Train accepts.
const MinPoints = 24

// NumQuantiles is the number of quantile levels that the network is trained on: .1, .2, … .9.
const NumQuantiles = 9

// Transform is what is done to a value before anything else.
type Transform string

// The transforms.
const (
	TransformAuto  Transform = ""      // log1p for a series that is seldom near 0 and has a long upper tail, else none
	TransformNone  Transform = "none"  //
	TransformLog1p Transform = "log1p" // log(1 + value/unit), unit a fraction of the mean; for counts and bytes
)

// Config shapes the network and its training. Zero fields take their defaults.
type Config struct {
	Context      int       // steps that the LSTM reads; default 64, 4 to 1024
	Horizon      int       // steps ahead that it forecasts; required, 1 to 512
	Hidden       int       // width of the LSTM's state, a multiple of 8; default 32, 8 to 256
	Seed         uint64    // of weights and batches: equal seeds and data give equal models on one kind of CPU
	Epochs       int       // most passes before training ends; default 40
	EpochBatches int       // most batches of an epoch; larger series are subsampled; default 24
	BatchSize    int       // windows of a batch; default 32, 1 to 1024
	LearningRate float64   // Adam's first step size, falling along a cosine; default 0.004
	Patience     int       // epochs without a better validation loss before training ends; default 8
	ClipNorm     float64   // the gradient's greatest norm over all weights; default 1
	WeightDecay  float64   // decoupled weight decay per unit of learning rate; default 0.01
	Validation   float64   // share of the series, its end, for early stopping and calibration; default 0.15, 0.05 to 0.5
	Transform    Transform // default TransformAuto
	NonNegative  bool      // the series has no negative values: forecasts are clamped at 0
	Max          float64   // forecasts are clamped to it where it is above 0 (100 for percent); default 0, no ceiling
	Uncalibrated bool      // leave the quantiles as the network gives them
}

// Defaults returns c with every zero field set to its default.
func (c Config) Defaults() Config {
	setInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	setFloat := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	setInt(&c.Context, 64)
	setInt(&c.Hidden, 32)
	setInt(&c.Epochs, 40)
	setInt(&c.EpochBatches, 24)
	setInt(&c.BatchSize, 32)
	setInt(&c.Patience, 8)
	setFloat(&c.LearningRate, 0.004)
	setFloat(&c.ClipNorm, 1)
	setFloat(&c.WeightDecay, 0.01)
	setFloat(&c.Validation, 0.15)
	return c
}

// Validate names the first field that is out of range. It takes zero fields for their defaults.
func (c Config) Validate() error {
	c = c.Defaults()
	ints := []struct {
		name       string
		v, lo, top int
	}{
		{"Context", c.Context, 4, 1024},
		{"Horizon", c.Horizon, 1, 512},
		{"Hidden", c.Hidden, 8, 256},
		{"Epochs", c.Epochs, 1, 10000},
		{"EpochBatches", c.EpochBatches, 1, 100000},
		{"BatchSize", c.BatchSize, 1, 1024},
		{"Patience", c.Patience, 1, 10000},
	}
	for _, f := range ints {
		if f.v < f.lo || f.v > f.top {
			return fmt.Errorf("lstm: %s is %d, not between %d and %d", f.name, f.v, f.lo, f.top)
		}
	}
	if c.Hidden%8 != 0 {
		return fmt.Errorf("lstm: Hidden is %d, not a multiple of 8", c.Hidden)
	}
	floats := []struct {
		name       string
		v, lo, top float64
	}{
		{"LearningRate", c.LearningRate, 1e-7, 1},
		{"ClipNorm", c.ClipNorm, 1e-6, 1e6},
		{"WeightDecay", c.WeightDecay, 0, 10},
		{"Validation", c.Validation, 0.05, 0.5},
		{"Max", c.Max, 0, math.MaxFloat64},
	}
	for _, f := range floats {
		if !(f.v >= f.lo && f.v <= f.top) { // also false for NaN
			return fmt.Errorf("lstm: %s is %v, not between %v and %v", f.name, f.v, f.lo, f.top)
		}
	}
	switch c.Transform {
	case TransformAuto, TransformNone, TransformLog1p:
	default:
		return fmt.Errorf("lstm: Transform is %q, not none or log1p", c.Transform)
	}
	return nil
}

// Data is a regular series. A forecast may be asked of its tail: the more of the
// last three seasons and of Context it holds, the better.
type Data struct {
	Values []float64     // one a step; where Mask is false the value is not read
	Mask   []bool        // which values were observed; nil is all
	Start  time.Time     // of the first step; its location is the zone of the calendar features
	Step   time.Duration // between values
	Season int           // steps of the season, 0 for none; read by Train only, a model keeps its own
}

// Quantiles is a forecast, in the series' unit. Index 0 is the first step after
// the data. Every value is finite and P10 <= P50 <= P90.
type Quantiles struct {
	P10, P50, P90 []float64
	All           [][NumQuantiles]float64 // by step, then by level .1, .2, … .9
}

// TrainOptions are the hooks of a training run; each may be nil. They are called
// from the goroutine that called Train.
type TrainOptions struct {
	Progress func(done, loss float64) // after each epoch and at the end: the share done, 0 to 1, and the least validation loss so far, in scaled units
	Pace     func()                   // before each batch: may sleep, to keep to a share of a core
}

// Info says what a model is and what it was trained on.
type Info struct {
	Config   Config
	Season   int           // steps, 0 for none
	Step     time.Duration //
	From, To time.Time     // the training span: start of the first step, end of the last
	Split    time.Time     // where the validation slice begins
	Points   int           // observed values in it
	Epochs   int           // epochs in which it was trained, earlier runs included
	Batches  int           // optimiser steps, earlier runs included
	Loss     float64       // pinball loss on the validation slice, scaled units
	Baseline float64       // the same loss of the baseline with empirical quantiles
	DataHash string        // SHA-256 of the training data, in hex
	Weights  int           // trainable numbers
}
