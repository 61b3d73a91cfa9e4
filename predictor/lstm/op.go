package lstm

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// opBase holds what gorgonia asks of every operation and what is the same for
// all of ours: none returns memory of its inputs or calls out of Go.
type opBase struct {
	name  string // unique within a graph: gorgonia merges nodes whose operations hash alike
	arity int
	kind  hm.Type
	shape tensor.Shape
	out   []float32 // the memory of the result, used again by the next run
}

// result is zeroed memory for the result. It may be used again: within a run
// gorgonia overwrites a value only when no later instruction reads it.
func (o *opBase) result(size int) []float32 {
	if len(o.out) != size {
		o.out = make([]float32, size)
	}
	clear(o.out)
	return o.out
}

func (o *opBase) Arity() int           { return o.arity }
func (o *opBase) Type() hm.Type        { return o.kind }
func (o *opBase) ReturnsPtr() bool     { return false }
func (o *opBase) CallsExtern() bool    { return false }
func (o *opBase) OverwritesInput() int { return -1 }
func (o *opBase) WriteHash(h hash.Hash) {
	_, _ = h.Write([]byte(o.name)) // a hash never fails
}
func (o *opBase) String() string { return o.name }

func (o *opBase) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// InferShape ignores the inputs: an operation is made for one graph and its
// shapes are known then. Do checks the sizes.
func (o *opBase) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return o.shape.Clone(), nil
}

// matrices is the type of a function of n matrices to a result.
func matrices(n int, result hm.Type) hm.Type {
	types := make([]hm.Type, 0, n+1)
	for range n {
		types = append(types, matrix())
	}
	return hm.NewFnType(append(types, result)...)
}

func matrix() hm.Type {
	return gorgonia.TensorType{Dims: 2, Of: tensor.Float32}
}

// floats is a value's memory, checked for its size.
func floats(op, what string, v gorgonia.Value, size int) ([]float32, error) {
	data, ok := v.Data().([]float32)
	if !ok || len(data) != size {
		return nil, fmt.Errorf("%s: %s holds %T of shape %v, not %d float32", op, what, v.Data(), v.Shape(), size)
	}
	return data, nil
}

// inputs takes the inputs' memory apart.
func (o *opBase) inputs(vs []gorgonia.Value, sizes ...int) ([][]float32, error) {
	if len(vs) != len(sizes) {
		return nil, fmt.Errorf("%s: %d inputs, not %d", o.name, len(vs), len(sizes))
	}
	out := make([][]float32, len(vs))
	for i, v := range vs {
		data, err := floats(o.name, fmt.Sprintf("input %d", i), v, sizes[i])
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// guard turns a panic into an error. gorgonia runs Do in a goroutine of its own,
// where nobody else could recover it.
func (o *opBase) guard(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s: %v", o.name, r)
	}
}

func denseOf(data []float32, rows, cols int) gorgonia.Value {
	return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
}

// layerOp is a whole LSTM layer over a batch as one operation:
// (x: context·batch × inputs, cell weights) -> the last hidden state, batch × hidden.
// It is differentiable by its weights; x is data.
type layerOp struct {
	opBase
	k     *kernels
	d     dims
	batch int
	tape  *tape // of the last Do; the backward operation reads it
}

func newLayerOp(k *kernels, d dims, batch int) *layerOp {
	return &layerOp{
		opBase: opBase{name: "lstm.layer", arity: 2, kind: matrices(2, matrix()), shape: tensor.Shape{batch, d.hidden}},
		k:      k, d: d, batch: batch, tape: newTape(d, batch, true),
	}
}

// Do runs the layer.
func (o *layerOp) Do(vs ...gorgonia.Value) (_ gorgonia.Value, err error) {
	defer o.guard(&err)
	shape := o.d.shapes()[0]
	in, err := o.inputs(vs, o.d.context*o.batch*o.d.inputs, shape[0]*shape[1])
	if err != nil {
		return nil, err
	}
	last := runLSTM(o.k, o.d, o.batch, in[0], in[1], o.tape)
	return denseOf(last, o.batch, o.d.hidden), nil
}

// DiffWRT says that the weights are what it is differentiable by.
func (o *layerOp) DiffWRT(int) []bool { return []bool{false, true} }

// SymDiff adds the backward pass to the graph. It takes the output as an input
// so that the machine cannot run it before the forward pass.
func (o *layerOp) SymDiff(in gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	shape := o.d.shapes()[0]
	back := &layerGradOp{
		opBase: opBase{name: "lstm.layer.grad", arity: 4, kind: matrices(4, matrix()), shape: tensor.Shape{shape[0], shape[1]}},
		of:     o,
	}
	n, err := gorgonia.ApplyOp(back, in[0], in[1], output, grad)
	return gorgonia.Nodes{nil, n}, err
}

// layerGradOp is backpropagation through time over the tape of a layerOp.
type layerGradOp struct {
	opBase
	of *layerOp
}

// Do computes the loss by the weights.
func (o *layerGradOp) Do(vs ...gorgonia.Value) (_ gorgonia.Value, err error) {
	defer o.guard(&err)
	d, batch := o.of.d, o.of.batch
	shape := d.shapes()[0]
	in, err := o.inputs(vs, d.context*batch*d.inputs, shape[0]*shape[1], batch*d.hidden, batch*d.hidden)
	if err != nil {
		return nil, err
	}
	dcell := o.result(shape[0] * shape[1])
	backLSTM(o.of.k, d, batch, in[0], in[1], in[3], o.of.tape, dcell)
	return denseOf(dcell, shape[0], shape[1]), nil
}

// affineOp is a matrix product, with the last row of the weights as a bias where
// biased: (a: rows × in, w: in(+1) × out) -> rows × out.
type affineOp struct {
	opBase
	k              *kernels
	rows, in, cols int
	biased         bool
	byInput        bool // differentiable by a as well
}

func newAffineOp(k *kernels, name string, rows, in, out int, biased, byInput bool) *affineOp {
	return &affineOp{
		opBase: opBase{name: "lstm.affine." + name, arity: 2, kind: matrices(2, matrix()), shape: tensor.Shape{rows, out}},
		k:      k, rows: rows, in: in, cols: out, biased: biased, byInput: byInput,
	}
}

func (o *affineOp) weightRows() int {
	if o.biased {
		return o.in + 1
	}
	return o.in
}

// Do multiplies.
func (o *affineOp) Do(vs ...gorgonia.Value) (_ gorgonia.Value, err error) {
	defer o.guard(&err)
	in, err := o.inputs(vs, o.rows*o.in, o.weightRows()*o.cols)
	if err != nil {
		return nil, err
	}
	out := o.result(o.rows * o.cols)
	if o.biased {
		for r := range o.rows {
			copy(out[r*o.cols:(r+1)*o.cols], in[1][o.in*o.cols:])
		}
	}
	o.k.gemm(o.rows, o.cols, o.in, in[0], o.in, 1, in[1], o.cols, out, o.cols)
	return denseOf(out, o.rows, o.cols), nil
}

// DiffWRT says what it is differentiable by.
func (o *affineOp) DiffWRT(int) []bool { return []bool{o.byInput, true} }

// SymDiff adds one operation for each gradient that is wanted.
func (o *affineOp) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	back := &affineGradOp{
		opBase: opBase{name: o.name + ".dw", arity: 2, kind: matrices(2, matrix()), shape: tensor.Shape{o.weightRows(), o.cols}},
		of:     o,
	}
	dw, err := gorgonia.ApplyOp(back, in[0], grad)
	if err != nil || !o.byInput {
		return gorgonia.Nodes{nil, dw}, err
	}
	backIn := &affineGradInputOp{
		opBase: opBase{name: o.name + ".da", arity: 2, kind: matrices(2, matrix()), shape: tensor.Shape{o.rows, o.in}},
		of:     o,
	}
	da, err := gorgonia.ApplyOp(backIn, in[1], grad)
	return gorgonia.Nodes{da, dw}, err
}

// affineGradOp is (a, dout) -> dw.
type affineGradOp struct {
	opBase
	of *affineOp
}

// Do computes the loss by the weights.
func (o *affineGradOp) Do(vs ...gorgonia.Value) (_ gorgonia.Value, err error) {
	defer o.guard(&err)
	f := o.of
	in, err := o.inputs(vs, f.rows*f.in, f.rows*f.cols)
	if err != nil {
		return nil, err
	}
	dw := o.result(f.weightRows() * f.cols)
	f.k.gemm(f.in, f.cols, f.rows, in[0], 1, f.in, in[1], f.cols, dw, f.cols)
	if f.biased {
		f.k.gemm(1, f.cols, f.rows, []float32{1}, 0, 0, in[1], f.cols, dw[f.in*f.cols:], f.cols)
	}
	return denseOf(dw, f.weightRows(), f.cols), nil
}

// affineGradInputOp is (w, dout) -> da.
type affineGradInputOp struct {
	opBase
	of *affineOp
}

// Do computes the loss by the input.
func (o *affineGradInputOp) Do(vs ...gorgonia.Value) (_ gorgonia.Value, err error) {
	defer o.guard(&err)
	f := o.of
	in, err := o.inputs(vs, f.weightRows()*f.cols, f.rows*f.cols)
	if err != nil {
		return nil, err
	}
	turned := make([]float32, f.cols*f.in)
	for i := range f.in {
		for j := range f.cols {
			turned[j*f.in+i] = in[0][i*f.cols+j]
		}
	}
	da := o.result(f.rows * f.in)
	f.k.gemm(f.rows, f.in, f.cols, in[1], f.cols, 1, turned, f.in, da, f.in)
	return denseOf(da, f.rows, f.in), nil
}
