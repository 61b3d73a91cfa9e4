package lstm

import (
	"math"
	"math/rand/v2"
)

// dims are the sizes of a network.
type dims struct {
	context int // steps read
	inputs  int // numbers a step
	hidden  int // width of the state
	skips   int // numbers a window that go around the LSTM
	futures int // numbers a step ahead
	horizon int // steps ahead
}

func (d dims) outputs() int { return d.horizon * NumQuantiles }

// weights are a network's trainable numbers, row-major.
type weights struct {
	cell   []float32 // (inputs+hidden+1) × 4·hidden; the last row is the bias; gates input, forget, output, candidate
	head   []float32 // (hidden+1) × outputs; the last row is the bias
	skip   []float32 // skips × outputs
	future []float32 // futures × NumQuantiles, the same at every step ahead
}

const numTensors = 4

// tensors lists the weights in the order that everything keeps to.
func (w *weights) tensors() [numTensors][]float32 {
	return [numTensors][]float32{w.cell, w.head, w.skip, w.future}
}

func tensorNames() [numTensors]string {
	return [numTensors]string{"cell.weight", "head.weight", "skip.weight", "future.weight"}
}

// shapes are the rows and columns of each tensor.
func (d dims) shapes() [numTensors][2]int {
	return [numTensors][2]int{
		{d.inputs + d.hidden + 1, 4 * d.hidden},
		{d.hidden + 1, d.outputs()},
		{d.skips, d.outputs()},
		{d.futures, NumQuantiles},
	}
}

func newWeights(d dims) *weights {
	s := d.shapes()
	size := func(i int) []float32 { return make([]float32, s[i][0]*s[i][1]) }
	return &weights{cell: size(0), head: size(1), skip: size(2), future: size(3)}
}

func (w *weights) clone() *weights {
	c := func(s []float32) []float32 { return append([]float32(nil), s...) }
	return &weights{cell: c(w.cell), head: c(w.head), skip: c(w.skip), future: c(w.future)}
}

func (w *weights) copyFrom(o *weights) {
	from := o.tensors()
	for i, t := range w.tensors() {
		copy(t, from[i])
	}
}

func (w *weights) count() int {
	n := 0
	for _, t := range w.tensors() {
		n += len(t)
	}
	return n
}

// tensorSizes are the lengths of the tensors.
func tensorSizes(w *weights) []int {
	var sizes []int
	for _, t := range w.tensors() {
		sizes = append(sizes, len(t))
	}
	return sizes
}

// finite reports whether every weight is a number.
func (w *weights) finite() bool {
	for _, t := range w.tensors() {
		if !allFinite(t) {
			return false
		}
	}
	return true
}

func allFinite(s []float32) bool {
	for _, v := range s {
		if v-v != 0 { //nolint:staticcheck // true for NaN and infinities only
			return false
		}
	}
	return true
}

// initialise draws the recurrent weights; the way out starts close to zero, so
// that the first forecast is the baseline with the quantiles in the bias.
func (w *weights) initialise(d dims, rng *rand.Rand) {
	bound := 1 / math.Sqrt(float64(d.hidden))
	for i := range w.cell {
		w.cell[i] = float32((2*rng.Float64() - 1) * bound)
	}
	bias := w.cell[(d.inputs+d.hidden)*4*d.hidden:]
	for i := range bias {
		bias[i] = 0
		if i >= d.hidden && i < 2*d.hidden {
			bias[i] = 1 // remember at first
		}
	}
	for i := range d.hidden * d.outputs() {
		w.head[i] = float32((2*rng.Float64() - 1) * bound * 0.05)
	}
}

// tape is what a forward pass over a batch leaves for the backward pass. Time is
// the outer index, then the row of the batch.
type tape struct {
	gates  []float32 // context × batch × 4·hidden, activations
	states []float32 // (context+1) × batch × hidden, the first is zero
	hidden []float32 // (context+1) × batch × hidden, the first is zero
	tanh   []float32 // context × batch × hidden
	dgates []float32 // as gates
	dh, dc []float32 // batch × hidden
	turned []float32 // 4·hidden × hidden: the recurrent weights transposed
}

func newTape(d dims, batch int, backward bool) *tape {
	cells := batch * d.hidden
	t := &tape{
		gates:  make([]float32, d.context*cells*4),
		states: make([]float32, (d.context+1)*cells),
		hidden: make([]float32, (d.context+1)*cells),
		tanh:   make([]float32, d.context*cells),
	}
	if backward {
		t.dgates = make([]float32, len(t.gates))
		t.dh, t.dc = make([]float32, cells), make([]float32, cells)
		t.turned = make([]float32, 4*d.hidden*d.hidden)
	}
	return t
}

// runLSTM reads x (context × batch × inputs) and returns the last hidden state
// (batch × hidden), which belongs to the tape.
func runLSTM(k *kernels, d dims, batch int, x, cell []float32, t *tape) []float32 {
	h, wide, rows := d.hidden, 4*d.hidden, batch*d.hidden
	bias := cell[(d.inputs+h)*wide:]
	for r := range d.context * batch {
		copy(t.gates[r*wide:(r+1)*wide], bias)
	}
	k.gemm(d.context*batch, wide, d.inputs, x, d.inputs, 1, cell, wide, t.gates, wide)
	recurrent := cell[d.inputs*wide:]
	for s := range d.context {
		gates := t.gates[s*batch*wide:]
		before, after := t.hidden[s*rows:], t.hidden[(s+1)*rows:]
		if s > 0 { // the first hidden state is zero
			k.gemm(batch, wide, h, before, h, 1, recurrent, wide, gates, wide)
		}
		for r := range batch {
			at := r * h
			k.cell(h, gates[r*wide:(r+1)*wide], t.states[s*rows+at:], t.states[(s+1)*rows+at:], t.tanh[s*rows+at:], after[at:])
		}
	}
	return t.hidden[d.context*rows : (d.context+1)*rows]
}

// backLSTM adds the loss by the weights to dcell, given the loss by the last
// hidden state: backpropagation through time over what runLSTM left on the tape.
func backLSTM(k *kernels, d dims, batch int, x, cell, dlast []float32, t *tape, dcell []float32) {
	h, wide, rows := d.hidden, 4*d.hidden, batch*d.hidden
	recurrent := cell[d.inputs*wide : (d.inputs+h)*wide]
	for i := range h {
		for j := range wide {
			t.turned[j*h+i] = recurrent[i*wide+j]
		}
	}
	copy(t.dh, dlast)
	clear(t.dc)
	for s := d.context - 1; s >= 0; s-- {
		gates, dgates := t.gates[s*batch*wide:], t.dgates[s*batch*wide:]
		for r := range batch {
			at := r * h
			k.cellBack(h, gates[r*wide:(r+1)*wide], t.states[s*rows+at:], t.tanh[s*rows+at:], t.dh[at:], t.dc[at:], dgates[r*wide:(r+1)*wide])
		}
		if s > 0 {
			clear(t.dh)
			k.gemm(batch, h, wide, dgates, wide, 1, t.turned, h, t.dh, h)
		}
	}
	all := d.context * batch
	k.gemm(d.inputs, wide, all, x, 1, d.inputs, t.dgates, wide, dcell, wide)
	k.gemm(h, wide, all, t.hidden, 1, h, t.dgates, wide, dcell[d.inputs*wide:], wide)
	one := []float32{1}
	k.gemm(1, wide, all, one, 0, 0, t.dgates, wide, dcell[(d.inputs+h)*wide:], wide)
}

// runHead turns the last hidden states and what goes around the LSTM into raw
// outputs (batch × outputs).
func runHead(k *kernels, d dims, batch int, last, skips, futures []float32, w *weights, out []float32) {
	n := d.outputs()
	bias := w.head[d.hidden*n:]
	for r := range batch {
		copy(out[r*n:(r+1)*n], bias)
	}
	k.gemm(batch, n, d.hidden, last, d.hidden, 1, w.head, n, out, n)
	k.gemm(batch, n, d.skips, skips, d.skips, 1, w.skip, n, out, n)
	k.gemm(batch*d.horizon, NumQuantiles, d.futures, futures, d.futures, 1, w.future, NumQuantiles, out, NumQuantiles)
}

const middle = NumQuantiles / 2 // the median's place among the levels

// level is the i-th quantile level.
func level(i int) float64 { return float64(i+1) / (NumQuantiles + 1) }

// spread turns one step's raw outputs into quantiles that cannot cross: the
// median, and softplus distances from each level to the next one out. slopes
// takes the derivatives of the distances.
func spread(raw, quantiles, slopes []float32) {
	quantiles[middle] = raw[middle]
	for i := middle + 1; i < NumQuantiles; i++ {
		gap, slope := softplus(raw[i])
		quantiles[i], slopes[i] = quantiles[i-1]+gap, slope
	}
	for i := middle - 1; i >= 0; i-- {
		gap, slope := softplus(raw[i])
		quantiles[i], slopes[i] = quantiles[i+1]-gap, slope
	}
	slopes[middle] = 1
}

// pinball is the loss of one step's quantiles against the target, the mean over the levels.
func pinball(quantiles []float32, target float32) float64 {
	sum := 0.0
	for i, q := range quantiles[:NumQuantiles] {
		e := float64(target) - float64(q)
		if e >= 0 {
			sum += level(i) * e
		} else {
			sum += (level(i) - 1) * e
		}
	}
	return sum / NumQuantiles
}
