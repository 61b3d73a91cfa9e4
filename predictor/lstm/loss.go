package lstm

import (
	"fmt"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// lossOp is the mean pinball loss of non-crossing quantiles as one operation:
// (raw outputs: batch × outputs, targets: batch × horizon, weights: batch × horizon) -> a number.
// A target of weight 0 does not count.
type lossOp struct {
	opBase
	d     dims
	batch int
	draw  []float32 // of the last Do, for a gradient of 1; the backward operation reads it
}

func newLossOp(d dims, batch int) *lossOp {
	return &lossOp{
		opBase: opBase{name: "lstm.pinball", arity: 3, kind: matrices(3, tensor.Float32), shape: tensor.ScalarShape()},
		d:      d, batch: batch, draw: make([]float32, batch*d.outputs()),
	}
}

// Do computes the loss, and its gradient while the quantiles are at hand.
func (o *lossOp) Do(vs ...gorgonia.Value) (_ gorgonia.Value, err error) {
	defer o.guard(&err)
	n := o.batch * o.d.horizon
	in, err := o.inputs(vs, n*NumQuantiles, n, n)
	if err != nil {
		return nil, err
	}
	return gorgonia.NewF32(float32(lossAndGradient(in[0], in[1], in[2], o.draw))), nil
}

// batchLoss is the weighted mean pinball loss of raw outputs.
func batchLoss(raw, targets, weights []float32) float64 {
	return lossAndGradient(raw, targets, weights, nil)
}

// lossAndGradient is the loss, and in draw, where that is not nil, its gradient by
// the raw outputs.
func lossAndGradient(raw, targets, weights, draw []float32) float64 {
	clear(draw)
	total := 0.0
	for _, w := range weights {
		total += float64(w)
	}
	if total == 0 {
		return 0
	}
	var quantiles, slopes [NumQuantiles]float32
	loss := 0.0
	for i, w := range weights {
		if w == 0 {
			continue
		}
		at := i * NumQuantiles
		spread(raw[at:at+NumQuantiles], quantiles[:], slopes[:])
		loss += float64(w) * pinball(quantiles[:], targets[i])
		if draw != nil {
			spreadBack(&quantiles, &slopes, targets[i], float32(float64(w)/total/NumQuantiles), draw[at:at+NumQuantiles])
		}
	}
	return loss / total
}

// DiffWRT says that the raw outputs are what it is differentiable by.
func (o *lossOp) DiffWRT(int) []bool { return []bool{true, false, false} }

// SymDiff adds the backward pass to the graph. It takes the loss as an input, so
// that the machine cannot run it before the forward pass.
func (o *lossOp) SymDiff(_ gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	back := &lossGradOp{
		opBase: opBase{
			name: "lstm.pinball.grad", arity: 2, shape: tensor.Shape{o.batch, o.d.outputs()},
			kind: hm.NewFnType(tensor.Float32, tensor.Float32, matrix()),
		},
		of: o,
	}
	n, err := gorgonia.ApplyOp(back, output, grad)
	return gorgonia.Nodes{n, nil, nil}, err
}

// lossGradOp is (the loss, its gradient) -> the loss by the raw outputs.
type lossGradOp struct {
	opBase
	of *lossOp
}

// Do computes the gradient. The pinball loss has no derivative where a quantile
// meets the target; the one from below is taken.
func (o *lossGradOp) Do(vs ...gorgonia.Value) (_ gorgonia.Value, err error) {
	defer o.guard(&err)
	if len(vs) != o.arity {
		return nil, fmt.Errorf("%s: %d inputs, not %d", o.name, len(vs), o.arity)
	}
	outer, ok := vs[1].Data().(float32)
	if !ok {
		return nil, fmt.Errorf("%s: the incoming gradient is a %T", o.name, vs[1].Data())
	}
	draw := o.result(len(o.of.draw))
	for i, v := range o.of.draw {
		draw[i] = outer * v
	}
	return denseOf(draw, o.of.batch, o.of.d.outputs()), nil
}

// spreadBack is the gradient of unit × the summed pinball loss by one step's raw
// outputs. A distance moves its own level and all those further out.
func spreadBack(quantiles, slopes *[NumQuantiles]float32, target, unit float32, draw []float32) {
	var dq [NumQuantiles]float32
	for i, q := range quantiles {
		if target > q {
			dq[i] = -unit * float32(level(i))
		} else {
			dq[i] = unit * float32(1-level(i))
		}
	}
	var above, below float32
	for i := NumQuantiles - 1; i > middle; i-- {
		above += dq[i]
		draw[i] = above * slopes[i]
	}
	for i := range middle {
		below += dq[i]
		draw[i] = -below * slopes[i]
	}
	draw[middle] = above + below + dq[middle]
}
