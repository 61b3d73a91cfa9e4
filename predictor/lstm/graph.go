package lstm

import (
	"fmt"
	"math"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// graph is the training step as a gorgonia graph of a fixed batch size and the
// tape machine that runs it. It shares its weights' memory with the weights that
// it was built on.
type graph struct {
	d       dims
	size    int // windows of a batch
	batch   *batch
	cost    *gorgonia.Node
	machine gorgonia.VM
	model   []gorgonia.ValueGrad
}

// batch is the data of one training step. Time is the outer index of x.
type batch struct {
	x       []float32 // context × windows × inputs
	skips   []float32 // windows × skips
	futures []float32 // windows × horizon × futures
	targets []float32 // windows × horizon
	weights []float32 // windows × horizon, 0 where there is no target
}

func newBatch(d dims, size int) *batch {
	return &batch{
		x:       make([]float32, d.context*size*d.inputs),
		skips:   make([]float32, size*d.skips),
		futures: make([]float32, size*d.horizon*d.futures),
		targets: make([]float32, size*d.horizon),
		weights: make([]float32, size*d.horizon),
	}
}

// building guards gorgonia's own package state: Grad hands every graph one shared
// constant and stores its hash in it, unsynchronised, at the first use. The state is
// the process's, so the lock must be too; it is held for some milliseconds.
var building sync.Mutex

// newGraph builds, differentiates and compiles the training step. gorgonia's
// builders panic on a mistake; that comes back as an error.
func newGraph(k *kernels, d dims, size int, w *weights) (g *graph, err error) {
	defer func() {
		if r := recover(); r != nil {
			g, err = nil, fmt.Errorf("lstm: building the graph: %v", r)
		}
	}()
	building.Lock()
	defer building.Unlock()
	g = &graph{d: d, size: size, batch: newBatch(d, size)}
	eg := gorgonia.NewGraph()
	node := func(name string, rows, cols int, data []float32) *gorgonia.Node {
		return gorgonia.NewMatrix(eg, gorgonia.Float32, gorgonia.WithShape(rows, cols), gorgonia.WithName(name),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))))
	}
	b := g.batch
	x := node("x", d.context*size, d.inputs, b.x)
	skips := node("skips", size, d.skips, b.skips)
	futures := node("futures", size*d.horizon, d.futures, b.futures)
	targets := node("targets", size, d.horizon, b.targets)
	mask := node("weights", size, d.horizon, b.weights)
	var params gorgonia.Nodes
	shapes, names := d.shapes(), tensorNames()
	for i, t := range w.tensors() {
		params = append(params, node(names[i], shapes[i][0], shapes[i][1], t))
	}

	last := gorgonia.Must(gorgonia.ApplyOp(newLayerOp(k, d, size), x, params[0]))
	raw := gorgonia.Must(gorgonia.ApplyOp(newAffineOp(k, "head", size, d.hidden, d.outputs(), true, true), last, params[1]))
	around := gorgonia.Must(gorgonia.ApplyOp(newAffineOp(k, "skip", size, d.skips, d.outputs(), false, false), skips, params[2]))
	ahead := gorgonia.Must(gorgonia.ApplyOp(newAffineOp(k, "future", size*d.horizon, d.futures, NumQuantiles, false, false), futures, params[3]))
	ahead = gorgonia.Must(gorgonia.Reshape(ahead, tensor.Shape{size, d.outputs()}))
	raw = gorgonia.Must(gorgonia.Add(gorgonia.Must(gorgonia.Add(raw, around)), ahead))
	g.cost = gorgonia.Must(gorgonia.ApplyOp(newLossOp(d, size), raw, targets, mask))
	if _, err := gorgonia.Grad(g.cost, params...); err != nil {
		return nil, fmt.Errorf("lstm: differentiating the graph: %w", err)
	}
	g.machine = gorgonia.NewTapeMachine(eg, gorgonia.BindDualValues(params...))
	g.model = gorgonia.NodesToValueGrads(params)
	return g, nil
}

// step runs the batch forward and backward, moves the weights, and returns the loss
// before the move. The error wraps ErrNotFinite when the loss or a gradient is.
func (g *graph) step(solver gorgonia.Solver) (float64, error) {
	loss, err := g.run()
	if err != nil {
		return 0, err
	}
	return loss, solver.Step(g.model)
}

// run computes the loss and the gradients. The machine must be reset first: it
// would return the last loss again, without an error.
func (g *graph) run() (float64, error) {
	g.machine.Reset()
	if err := g.machine.RunAll(); err != nil {
		return 0, fmt.Errorf("lstm: running the graph: %w", err)
	}
	v, ok := g.cost.Value().Data().(float32)
	if !ok {
		return 0, fmt.Errorf("lstm: the loss is a %T", g.cost.Value().Data())
	}
	loss := float64(v)
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, fmt.Errorf("lstm: the loss is %w", ErrNotFinite)
	}
	return loss, nil
}

func (g *graph) close() error { return g.machine.Close() }
