package lstm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func smallDims() dims {
	return dims{context: 5, inputs: 3, hidden: 8, skips: 4, futures: 2, horizon: 3}
}

func fill(rng *rand.Rand, s []float32, scale float64) {
	for i := range s {
		s[i] = float32(rng.NormFloat64() * scale)
	}
}

// randomGraph is a graph with random data and weights.
func randomGraph(t testing.TB, k *kernels, d dims, size int) (*graph, *weights) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	w := newWeights(d)
	for _, s := range w.tensors() {
		fill(rng, s, 0.4)
	}
	g, err := newGraph(k, d, size, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.close() })
	fill(rng, g.batch.x, 1)
	fill(rng, g.batch.skips, 1)
	fill(rng, g.batch.futures, 1)
	fill(rng, g.batch.targets, 2)
	for i := range g.batch.weights {
		g.batch.weights[i] = float32(i % 3) // some masked, some heavier
	}
	return g, w
}

// everyKernel runs a test on each set of kernels that this CPU can run.
func everyKernel(t *testing.T, f func(t *testing.T, k *kernels)) {
	sets := []*kernels{portable()}
	if best := detectKernels(); best.name != sets[0].name {
		sets = append(sets, best)
	}
	for _, k := range sets {
		t.Run(k.name, func(t *testing.T) { f(t, k) })
	}
}

func TestGradientsAgreeWithFiniteDifferences(t *testing.T) {
	everyKernel(t, func(t *testing.T, k *kernels) {
		d := smallDims()
		g, w := randomGraph(t, k, d, 4)
		if _, err := g.run(); err != nil {
			t.Fatal(err)
		}
		names := tensorNames()
		for i, n := range g.model {
			v, err := n.Grad()
			if err != nil {
				t.Fatal(err)
			}
			grad := append([]float32(nil), v.Data().([]float32)...)
			checked := 0
			for j := range grad {
				numeric, smooth := difference(k, d, g.batch, w, w.tensors()[i], j)
				if !smooth {
					continue // a quantile crosses its target within the step
				}
				checked++
				if diff := math.Abs(numeric - float64(grad[j])); diff > 2e-3*math.Max(0.05, math.Abs(numeric)) {
					t.Errorf("%s[%d]: gradient %v, finite difference %v", names[i], j, grad[j], numeric)
				}
			}
			if checked < len(grad)/2 {
				t.Errorf("%s: only %d of %d gradients could be checked", names[i], checked, len(grad))
			}
		}
	})
}

// difference is the derivative of the loss by one weight, by finite differences
// of two widths; smooth is false where they disagree.
func difference(k *kernels, d dims, b *batch, w *weights, tensor []float32, j int) (slope float64, smooth bool) {
	at := tensor[j]
	central := func(h float32) float64 {
		tensor[j] = at + h
		up := forwardLoss(k, d, b, w)
		tensor[j] = at - h
		down := forwardLoss(k, d, b, w)
		tensor[j] = at
		return (up - down) / (2 * float64(h))
	}
	a, c := central(4e-3), central(2e-3)
	return c, math.Abs(a-c) < 1e-3*math.Max(0.05, math.Abs(c))
}

// forwardLoss is the loss by the forward pass that serves forecasts, without the graph.
func forwardLoss(k *kernels, d dims, b *batch, w *weights) float64 {
	size := len(b.skips) / d.skips
	last := runLSTM(k, d, size, b.x, w.cell, newTape(d, size, false))
	out := make([]float32, size*d.outputs())
	runHead(k, d, size, last, b.skips, b.futures, w, out)
	return batchLoss(out, b.targets, b.weights)
}

func TestFusedForwardAgreesWithTheGraph(t *testing.T) {
	everyKernel(t, func(t *testing.T, k *kernels) {
		g, w := randomGraph(t, k, smallDims(), 4)
		loss, err := g.run()
		if err != nil {
			t.Fatal(err)
		}
		if got := forwardLoss(k, g.d, g.batch, w); math.Abs(got-loss) > 1e-5*loss {
			t.Errorf("fused forward %v, graph %v", got, loss)
		}
	})
}

func TestLayerAgreesWithTheUnrolledGraph(t *testing.T) {
	everyKernel(t, func(t *testing.T, k *kernels) {
		d, size := smallDims(), 3
		rng := rand.New(rand.NewPCG(3, 4))
		w := newWeights(d)
		fill(rng, w.cell, 0.5)
		x := make([]float32, d.context*size*d.inputs)
		fill(rng, x, 1)

		value, grads := unrolled(t, d, size, x, w.cell)
		eg := gorgonia.NewGraph()
		xn, wn := matrixNode(eg, "x", d.context*size, d.inputs, x), matrixNode(eg, "w", d.inputs+d.hidden+1, 4*d.hidden, append([]float32(nil), w.cell...))
		last := gorgonia.Must(gorgonia.ApplyOp(newLayerOp(k, d, size), xn, wn))
		cost := gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(last))))
		if _, err := gorgonia.Grad(cost, wn); err != nil {
			t.Fatal(err)
		}
		m := gorgonia.NewTapeMachine(eg, gorgonia.BindDualValues(wn))
		defer m.Close()
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		if got := float64(cost.Value().Data().(float32)); math.Abs(got-value) > 1e-5*math.Max(1, value) {
			t.Errorf("the layer gives %v, the unrolled graph %v", got, value)
		}
		g, err := wn.Grad()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range g.Data().([]float32) {
			if math.Abs(float64(v-grads[i])) > 1e-4*math.Max(0.1, math.Abs(float64(grads[i]))) {
				t.Errorf("gradient %d: the layer gives %v, the unrolled graph %v", i, v, grads[i])
			}
		}
	})
}

func matrixNode(g *gorgonia.ExprGraph, name string, rows, cols int, data []float32) *gorgonia.Node {
	return gorgonia.NewMatrix(g, gorgonia.Float32, gorgonia.WithShape(rows, cols), gorgonia.WithName(name),
		gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))))
}

// unrolled computes the summed squares of the last hidden state, and their
// gradient by the cell weights, with gorgonia's own operations, one a gate and step.
func unrolled(t *testing.T, d dims, size int, x, cell []float32) (float64, []float32) {
	t.Helper()
	g := gorgonia.NewGraph()
	h, wide := d.hidden, 4*d.hidden
	block := func(from, rows, gate int) []float32 {
		out := make([]float32, 0, rows*h)
		for r := range rows {
			at := (from+r)*wide + gate*h
			out = append(out, cell[at:at+h]...)
		}
		return out
	}
	var wx, wh, bias [4]*gorgonia.Node
	var params gorgonia.Nodes
	for i := range 4 {
		wx[i] = matrixNode(g, fmt.Sprint("wx", i), d.inputs, h, block(0, d.inputs, i))
		wh[i] = matrixNode(g, fmt.Sprint("wh", i), h, h, block(d.inputs, h, i))
		bias[i] = matrixNode(g, fmt.Sprint("b", i), 1, h, block(d.inputs+h, 1, i))
		params = append(params, wx[i], wh[i], bias[i])
	}
	ones := make([]float32, size)
	for i := range ones {
		ones[i] = 1
	}
	column := matrixNode(g, "ones", size, 1, ones)
	hid := matrixNode(g, "h", size, h, make([]float32, size*h))
	state := matrixNode(g, "c", size, h, make([]float32, size*h))
	must := gorgonia.Must
	for s := range d.context {
		in := matrixNode(g, fmt.Sprint("x", s), size, d.inputs, x[s*size*d.inputs:(s+1)*size*d.inputs])
		pre := func(i int) *gorgonia.Node {
			sum := must(gorgonia.Add(must(gorgonia.Mul(in, wx[i])), must(gorgonia.Mul(hid, wh[i]))))
			return must(gorgonia.Add(sum, must(gorgonia.Mul(column, bias[i]))))
		}
		i, f, o, c := must(gorgonia.Sigmoid(pre(0))), must(gorgonia.Sigmoid(pre(1))), must(gorgonia.Sigmoid(pre(2))), must(gorgonia.Tanh(pre(3)))
		state = must(gorgonia.Add(must(gorgonia.HadamardProd(f, state)), must(gorgonia.HadamardProd(i, c))))
		hid = must(gorgonia.HadamardProd(o, must(gorgonia.Tanh(state))))
	}
	cost := must(gorgonia.Sum(must(gorgonia.Square(hid))))
	if _, err := gorgonia.Grad(cost, params...); err != nil {
		t.Fatal(err)
	}
	m := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(params...))
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	grads := make([]float32, len(cell))
	for p, n := range params {
		v, err := n.Grad()
		if err != nil {
			t.Fatal(err)
		}
		from, rows := [3]int{0, d.inputs, d.inputs + h}[p%3], [3]int{d.inputs, h, 1}[p%3]
		data := v.Data().([]float32)
		for r := range rows {
			copy(grads[(from+r)*wide+p/3*h:], data[r*h:(r+1)*h])
		}
	}
	return float64(cost.Value().Data().(float32)), grads
}

func TestAPanicInAnOpIsAnError(t *testing.T) {
	g, _ := randomGraph(t, portable(), smallDims(), 2)
	broken := *portable()
	broken.gemm = func(int, int, int, []float32, int, int, []float32, int, []float32, int) { panic("broken kernel") }
	h, err := newGraph(&broken, smallDims(), 2, newWeights(smallDims()))
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if _, err := h.run(); err == nil {
		t.Error("a kernel that panics gave no error")
	}
	if _, err := g.run(); err != nil {
		t.Errorf("another graph was hurt: %v", err)
	}
}

func TestALossThatIsNotFiniteIsAnError(t *testing.T) {
	g, _ := randomGraph(t, detectKernels(), smallDims(), 2)
	g.batch.targets[1] = float32(math.NaN())
	if _, err := g.run(); err == nil {
		t.Error("a loss that is not a number gave no error")
	}
}

func TestEachRunComputesAnew(t *testing.T) {
	g, w := randomGraph(t, detectKernels(), smallDims(), 4)
	a := newAdam(tensorSizes(w), 0.01, 1, 0)
	var losses []float64
	for range 30 {
		loss, err := g.step(a)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, loss)
	}
	if losses[0] == losses[1] || losses[29] > losses[0]*0.9 {
		t.Errorf("the loss does not fall: %v", losses)
	}
}

// BenchmarkTrainingStep is forward, backward and the optimiser's move on a batch of
// 32 windows. "reference" is the size of testdata/compare.py, 60 × 5 inputs and
// 90 outputs; "real" is what Train runs by default at a horizon of 30.
func BenchmarkTrainingStep(b *testing.B) {
	reference := dims{context: 60, inputs: 5, skips: 1, futures: 1, horizon: 10}
	real := newDims(Config{Horizon: 30}.Defaults())
	for name, d := range map[string]dims{"reference": reference, "real": real} {
		for _, hidden := range []int{32, 64} {
			for _, k := range []*kernels{portable(), detectKernels()} {
				b.Run(fmt.Sprintf("%s/hidden=%d/%s", name, hidden, k.name), func(b *testing.B) {
					d.hidden = hidden
					g, w := randomGraph(b, k, d, 32)
					a := newAdam(tensorSizes(w), 1e-4, 1, 0)
					for b.Loop() {
						if _, err := g.step(a); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
