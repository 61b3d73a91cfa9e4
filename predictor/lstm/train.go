package lstm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"loadstar/predictor/features"
)

const (
	maxValidation = 256 // windows that the validation loss is taken over
	checkSize     = 32  // of them at once
)

// Train fits a network to a series. With prev, a model of the same shape, step and
// season, it goes on from prev's weights and optimiser state; a prev that does
// not fit is ignored, so that a caller may always pass what it has. It returns
// ctx.Err() soon after ctx ends, ErrTooShort below MinPoints observed values, and
// ErrNotFinite when a value, the loss or a gradient was.
func Train(ctx context.Context, cfg Config, data Data, prev *Model, opts TrainOptions) (*Model, error) {
	return trainWith(ctx, detectKernels(), cfg, data, prev, opts)
}

func trainWith(ctx context.Context, k *kernels, cfg Config, data Data, prev *Model, opts TrainOptions) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.Defaults()
	mask, err := checkData(data)
	if err != nil {
		return nil, err
	}
	points := features.Grid{Mask: mask}.Observed()
	if points < MinPoints {
		return nil, fmt.Errorf("lstm: %w: %d of %d needed", ErrTooShort, points, MinPoints)
	}
	if data.Season > len(data.Values)/2 {
		data.Season = 0 // a season must be seen twice to be learnt from
	}
	t, err := newTrainer(k, cfg, data, mask, prev)
	if err != nil {
		return nil, err
	}
	if err := t.start(prev); err != nil {
		return nil, err
	}
	if err := t.run(ctx, opts); err != nil {
		return nil, err
	}
	return t.model(data, points), nil
}

// trainer is one training run.
type trainer struct {
	cfg   Config
	d     dims
	k     *kernels
	s     scaler
	frame *frame
	rng   *rand.Rand

	split      int      // the first step of the validation slice
	train      []origin // windows to learn from; their targets end before split
	newest     []origin // windows of the validation slice
	checks     []origin // some of them, to stop and calibrate by
	validation []*batch // the same, filled, checkSize windows each
	targets    []float32
	weights    []float32
	tape       *tape // of validation

	w           *weights
	adam        *adam
	epochs      int // run so far, earlier runs included
	startEpochs int // of them, by earlier runs

	best       *weights
	bestAdam   *adam
	bestLoss   float64
	bestEpochs int
	firstLoss  float64      // of the baseline
	stretch    [][2]float32 // calibration, see Model
}

func newTrainer(k *kernels, cfg Config, data Data, mask []bool, prev *Model) (*trainer, error) {
	n := len(data.Values)
	slice := max(int(math.Round(float64(n)*cfg.Validation)), min(cfg.Horizon, n/5), 1)
	t := &trainer{cfg: cfg, d: newDims(cfg), k: k, split: n - slice, stretch: make([][2]float32, cfg.Horizon), rng: rand.New(rand.NewPCG(cfg.Seed, 0x6c6f616473746172))}
	known := data
	known.Values = data.Values[:t.split]
	var err error
	if t.s, err = fitScaler(cfg, known, mask[:t.split]); err != nil {
		return nil, err
	}
	t.frame = newFrame(t.s, t.d, data, mask)
	_, width, _ := features.Spread(t.frame.view.Values[:t.split], mask[:t.split])
	t.s.Width = width
	t.s.Residual = 1
	t.frame.s = t.s
	t.cut(n)
	if len(t.train) == 0 || len(t.newest) == 0 {
		return nil, fmt.Errorf("lstm: %w: no window with a known value after it", ErrTooShort)
	}
	t.s.Residual = t.residualSize()
	if prev != nil && t.s.near(prev.s) {
		t.s.Residual = prev.s.Residual // the unit that prev's weights speak in
	}
	t.frame.s = t.s
	for _, set := range [][]origin{t.train, t.newest} {
		for i := range set {
			set[i].residual = set[i].width * t.s.Residual
		}
	}
	t.fillValidation(n)
	return t, nil
}

// fillValidation lays the windows to stop by out in batches.
func (t *trainer) fillValidation(limit int) {
	every := (len(t.newest) + maxValidation - 1) / maxValidation
	for i := 0; i < len(t.newest); i += every {
		t.checks = append(t.checks, t.newest[i])
	}
	t.tape = newTape(t.d, min(checkSize, len(t.checks)), false)
	for part := range slices.Chunk(t.checks, checkSize) {
		b := newBatch(t.d, len(part))
		for i, o := range part {
			t.frame.fill(b, len(part), i, o, limit)
		}
		t.validation = append(t.validation, b)
		t.targets = append(t.targets, b.targets...)
		t.weights = append(t.weights, b.weights...)
	}
}

// cut lists the windows: an origin needs a value, something to learn from before it
// and a target after it. Where there is a season the first one is only read.
func (t *trainer) cut(n int) {
	mask := t.frame.view.Mask
	first := min(t.d.context/2, 8, t.split/4)
	if t.s.Season > 0 && t.s.Season+first < t.split-t.split/8 {
		first += t.s.Season
	}
	following := func(at, limit int) bool {
		return slices.Contains(mask[min(at+1, limit):min(at+1+t.d.horizon, limit)], true)
	}
	stride := max(1, (t.split-first)/20000)
	for at := first; at < t.split-1; at += stride {
		if mask[at] && following(at, t.split) {
			t.train = append(t.train, t.frame.origin(at))
		}
	}
	stride = max(1, (n-t.split)/5000)
	for at := t.split - 1; at < n-1; at += stride {
		if mask[at] && following(at, n) {
			t.newest = append(t.newest, t.frame.origin(at))
		}
	}
}

// residualSize is the typical error of the baseline, in widths of the window.
func (t *trainer) residualSize() float64 {
	sum, n := 0.0, 0.0
	for _, o := range t.sample(512) {
		for h := 1; h <= t.d.horizon; h += max(1, t.d.horizon/8) {
			if i := o.at + h; i < t.split && t.frame.view.Mask[i] {
				sum += min(math.Abs(t.frame.view.Values[i]-t.frame.baseline(o, h))/o.width, targetClip)
				n++
			}
		}
	}
	if n == 0 {
		return 1
	}
	return min(max(1.25*sum/n, 0.02), 4)
}

// sample is up to n of the training windows, evenly spread.
func (t *trainer) sample(n int) []origin {
	stride := max(1, len(t.train)/n)
	var out []origin
	for i := len(t.train) - 1; i >= 0; i -= stride {
		out = append(out, t.train[i])
	}
	return out
}

// start sets the weights: drawn, with the baseline's empirical quantiles as the
// output; or prev's where they fit and are better than that.
func (t *trainer) start(prev *Model) error {
	t.w = newWeights(t.d)
	t.w.initialise(t.d, t.rng)
	t.adam = newAdam(tensorSizes(t.w), t.cfg.LearningRate, t.cfg.ClipNorm, t.cfg.WeightDecay)
	t.startQuantiles()
	if err := t.check(); err != nil {
		return err
	}
	t.firstLoss = t.bestLoss
	if prev == nil || prev.d != t.d || !t.s.near(prev.s) || t.splitAt().Before(prev.info.Split) {
		return nil // the last: prev has learnt from steps that are to judge it now
	}
	fresh, none := t.w.clone(), t.adam
	t.w.copyFrom(prev.resume)
	t.adam, t.epochs, t.startEpochs = prev.adam.clone(), prev.info.Epochs, prev.info.Epochs
	t.adam.clip, t.adam.decay = t.cfg.ClipNorm, t.cfg.WeightDecay
	if err := t.check(); err != nil {
		return err
	}
	if t.bestLoss == t.firstLoss { // prev knows less than nothing: the series has changed
		t.w.copyFrom(fresh)
		t.adam, t.epochs, t.startEpochs = none, 0, 0
	}
	return nil
}

// splitAt is the start of the validation slice.
func (t *trainer) splitAt() time.Time { return after(t.frame.clock.Start, t.split, t.s.Step) }

// startQuantiles sets the output's bias to the quantiles of the baseline's error at
// each step ahead, pooled with the steps around it.
func (t *trainer) startQuantiles() {
	windows := t.sample(1024)
	bias := t.w.head[t.d.hidden*t.d.outputs():]
	byStep := make([][]float64, t.d.horizon)
	for _, o := range windows {
		for h := 1; h <= t.d.horizon; h++ {
			if i := o.at + h; i < t.split && t.frame.view.Mask[i] {
				byStep[h-1] = append(byStep[h-1], float64(clip((t.frame.view.Values[i]-t.frame.baseline(o, h))/o.residual, targetClip)))
			}
		}
	}
	var pooled []float64
	for h := range t.d.horizon {
		around := byStep[h]
		for reach := 1; len(around) < 64 && reach <= 8; reach++ {
			around = slices.Clone(around)
			for _, g := range []int{h - reach, h + reach} {
				if g >= 0 && g < t.d.horizon {
					around = append(around, byStep[g]...)
				}
			}
		}
		if len(around) == 0 {
			around = pooled // further ahead than anything seen: as the step before
		}
		around = slices.Clone(around)
		slices.Sort(around)
		pooled = around
		biasOf(around, bias[h*NumQuantiles:(h+1)*NumQuantiles])
	}
}

// biasOf is the raw output whose quantiles are those of sorted errors.
func biasOf(sorted []float64, raw []float32) {
	q := func(i int) float64 { return features.Quantile(sorted, level(i)) }
	inverse := func(gap float64) float32 { // of softplus
		gap = max(gap, 0.01)
		return float32(gap + math.Log(-math.Expm1(-gap)))
	}
	raw[middle] = float32(q(middle))
	for i := range middle {
		raw[i] = inverse(q(i+1) - q(i))
	}
	for i := middle + 1; i < NumQuantiles; i++ {
		raw[i] = inverse(q(i) - q(i-1))
	}
}

// run trains epoch after epoch until the validation loss has not fallen for a while.
func (t *trainer) run(ctx context.Context, opts TrainOptions) error {
	size := min(t.cfg.BatchSize, max(1, len(t.train)))
	g, err := newGraph(t.k, t.d, size, t.w)
	if err != nil {
		return err
	}
	defer func() { _ = g.close() }() // it frees GPU memory; there is none
	batches := min(t.cfg.EpochBatches, (len(t.train)+size-1)/size)
	next := t.shuffled(t.train)
	for epoch, idle := 0, 0; epoch < t.cfg.Epochs && idle < t.cfg.Patience; epoch++ {
		for b := range batches {
			done := (float64(epoch) + float64(b)/float64(batches)) / float64(t.cfg.Epochs)
			t.adam.rate = t.cfg.LearningRate * (0.05 + 0.95*(1+math.Cos(math.Pi*done))/2)
			if err := t.step(ctx, opts, g, next, t.split); err != nil {
				return err
			}
		}
		t.epochs++
		last := t.bestLoss
		if err := t.check(); err != nil {
			return err
		}
		if opts.Progress != nil {
			opts.Progress(float64(epoch+1)/float64(t.cfg.Epochs), t.bestLoss)
		}
		if idle++; t.bestLoss < last {
			idle = 0
		}
	}
	if err := t.settle(ctx, opts, g, batches); err != nil {
		return err
	}
	if opts.Progress != nil {
		opts.Progress(1, t.bestLoss)
	}
	return nil
}

// settle goes on from the best weights for a moment, at a small rate, with the
// windows of the validation slice among the others: what is newest would otherwise
// be all that the network has not learnt. Calibration comes first, on outputs that
// have not seen their targets.
func (t *trainer) settle(ctx context.Context, opts TrainOptions, g *graph, batches int) error {
	t.w.copyFrom(t.best)
	calibrate(t.outputs(), t.targets, t.weights, t.d, t.stretch)
	t.adam = t.bestAdam.clone()
	next := t.shuffled(append(slices.Clone(t.train), t.newest...))
	steps := batches*(t.bestEpochs-t.startEpochs)/5 + 8
	for i := range steps {
		t.adam.rate = t.cfg.LearningRate * 0.3 * (1 - float64(i)/float64(steps))
		if err := t.step(ctx, opts, g, next, len(t.frame.view.Values)); err != nil {
			return err
		}
	}
	if !t.w.finite() {
		return fmt.Errorf("lstm: the weights are %w", ErrNotFinite)
	}
	return ctx.Err()
}

// shuffled returns windows one after another, each once in a pass.
func (t *trainer) shuffled(windows []origin) func() origin {
	order := t.rng.Perm(len(windows))
	next := 0
	return func() origin {
		if next == len(order) {
			next = 0
			t.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		next++
		return windows[order[next-1]]
	}
}

// step trains on one batch of windows whose targets end before limit.
func (t *trainer) step(ctx context.Context, opts TrainOptions, g *graph, next func() origin, limit int) error {
	if opts.Pace != nil {
		opts.Pace()
	}
	if err := ctx.Err(); err != nil { // after Pace, which may have slept
		return err
	}
	for row := range g.size {
		t.frame.fill(g.batch, g.size, row, next(), limit)
	}
	_, err := g.step(t.adam)
	return err
}

// check takes the validation loss, and keeps the weights where they are the best so far.
func (t *trainer) check() error {
	loss := batchLoss(t.outputs(), t.targets, t.weights)
	if math.IsNaN(loss) || math.IsInf(loss, 0) || !t.w.finite() {
		return fmt.Errorf("lstm: the validation loss is %w", ErrNotFinite)
	}
	if t.best == nil || loss < t.bestLoss {
		t.best, t.bestAdam, t.bestLoss, t.bestEpochs = t.w.clone(), t.adam.clone(), loss, t.epochs
	}
	return nil
}

// outputs runs the validation windows through the present weights.
func (t *trainer) outputs() []float32 {
	n := t.d.outputs()
	out := make([]float32, len(t.checks)*n)
	for i, b := range t.validation {
		size := len(b.skips) / t.d.skips
		last := runLSTM(t.k, t.d, size, b.x, t.w.cell, t.tape)
		runHead(t.k, t.d, size, last, b.skips, b.futures, t.w, out[i*checkSize*n:])
	}
	return out
}

// model makes a model of the present weights.
func (t *trainer) model(data Data, points int) *Model {
	info := Info{
		Config: t.cfg, Season: t.s.Season, Step: t.s.Step,
		From: data.Start, To: after(data.Start, len(data.Values), data.Step), Split: t.splitAt(),
		Points: points, Epochs: t.bestEpochs, Batches: t.bestAdam.steps,
		Loss: t.bestLoss, Baseline: t.firstLoss, DataHash: hashData(data, t.frame.view.Mask), Weights: t.w.count(),
	}
	m := newModel(info, t.s, t.w, t.best, t.bestAdam)
	if !t.cfg.Uncalibrated {
		copy(m.stretch, t.stretch)
	}
	return m
}

// hashData is a SHA-256 over what a series holds.
func hashData(data Data, mask []bool) string {
	h := sha256.New()
	var b [8]byte
	put := func(v uint64) {
		binary.LittleEndian.PutUint64(b[:], v)
		_, _ = h.Write(b[:]) // a hash never fails
	}
	put(uint64(data.Start.UnixNano()))
	put(uint64(data.Step / time.Nanosecond))
	put(uint64(data.Season))
	for i, v := range data.Values {
		if mask[i] {
			put(math.Float64bits(v))
		} else {
			put(math.MaxUint64)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
