package lstm

import (
	"errors"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// pair is a tensor with a gradient, as gorgonia hands them to a solver.
type pair struct{ value, grad *tensor.Dense }

func (p pair) Value() gorgonia.Value         { return p.value }
func (p pair) Grad() (gorgonia.Value, error) { return p.grad, nil }

func pairOf(value, grad []float32) pair {
	return pair{
		tensor.New(tensor.WithShape(len(value)), tensor.WithBacking(value)),
		tensor.New(tensor.WithShape(len(grad)), tensor.WithBacking(grad)),
	}
}

// Adam as Kingma and Ba write it, in float64, is the reference.
func TestAdamMovesAsThePaperSays(t *testing.T) {
	w := []float32{1, -2, 0.5}
	ref, m, v := []float64{1, -2, 0.5}, make([]float64, 3), make([]float64, 3)
	a := newAdam([]int{3}, 0.1, 1e9, 0)
	for step := 1; step <= 50; step++ {
		g := make([]float32, 3)
		for i := range g {
			g[i] = float32(math.Sin(float64(step*(i+1)))) * 3
			m[i] = 0.9*m[i] + 0.1*float64(g[i])
			v[i] = 0.999*v[i] + 0.001*float64(g[i])*float64(g[i])
			mHat, vHat := m[i]/(1-math.Pow(0.9, float64(step))), v[i]/(1-math.Pow(0.999, float64(step)))
			ref[i] -= 0.1 * mHat / (math.Sqrt(vHat) + 1e-8)
		}
		if err := a.Step([]gorgonia.ValueGrad{pairOf(w, g)}); err != nil {
			t.Fatal(err)
		}
		for i := range g {
			if g[i] != 0 {
				t.Fatalf("step %d left a gradient of %v for the next run to add to", step, g[i])
			}
			if math.Abs(float64(w[i])-ref[i]) > 1e-4 {
				t.Fatalf("step %d, weight %d: %v, the paper gives %v", step, i, w[i], ref[i])
			}
		}
	}
}

// Two steps of torch.optim.AdamW(lr=0.1, weight_decay=0.1) from w = 1 with
// gradients 1 and -2, worked by hand: 0.99·1 - 0.1 = 0.89, then
// 0.99·0.89 - 0.1·(-0.11/0.19)/(sqrt(0.004999/0.001999)+1e-8).
func TestWeightDecayIsDecoupled(t *testing.T) {
	w := []float32{1}
	a := newAdam([]int{1}, 0.1, 1e9, 0.1)
	want := []float64{0.89, 0.99*0.89 + 0.1*(0.11/0.19)/math.Sqrt(0.004999/0.001999)}
	for i, g := range []float32{1, -2} {
		if err := a.Step([]gorgonia.ValueGrad{pairOf(w, []float32{g})}); err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(w[0])-want[i]) > 1e-5 {
			t.Errorf("step %d: %v, not %v", i+1, w[0], want[i])
		}
	}
}

func TestTheGradientIsClippedByItsNormOverAllTensors(t *testing.T) {
	a := newAdam([]int{1, 1}, 0.1, 1, 0)
	if err := a.Step([]gorgonia.ValueGrad{pairOf([]float32{0}, []float32{30}), pairOf([]float32{0}, []float32{40})}); err != nil {
		t.Fatal(err)
	}
	if math.Abs(a.norm-50) > 1e-4 {
		t.Errorf("the norm is %v, not 50", a.norm)
	}
	for i, want := range []float64{0.06, 0.08} { // a tenth of the clipped gradient
		if got := float64(a.first[i][0]); math.Abs(got-want) > 1e-6 {
			t.Errorf("tensor %d: running mean %v, not %v: the direction must stay", i, got, want)
		}
	}
}

func TestAGradientThatIsNotFiniteChangesNothing(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		w, u := []float32{1}, []float32{2}
		a := newAdam([]int{1, 1}, 0.1, 1, 0.1)
		err := a.Step([]gorgonia.ValueGrad{pairOf(w, []float32{1}), pairOf(u, []float32{bad})})
		if !errors.Is(err, ErrNotFinite) || w[0] != 1 || u[0] != 2 || a.steps != 0 || a.first[0][0] != 0 {
			t.Errorf("gradient %v: error %v, weights %v %v, steps %d", bad, err, w, u, a.steps)
		}
	}
}
