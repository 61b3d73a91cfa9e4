package lstm

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
)

// Adam's constants, those of Kingma and Ba.
const (
	adamBeta1 = 0.9
	adamBeta2 = 0.999
	adamEps   = 1e-8
)

// adam is a gorgonia.Solver: Adam with decoupled weight decay, the gradient
// clipped by its norm over all weights, and nothing changed when a gradient is
// not finite. Its state is open, so that training can go on from a checkpoint.
type adam struct {
	rate  float64 // of the next step
	clip  float64 // greatest norm
	decay float64 // weight decay per unit of rate

	steps  int         // taken so far
	first  [][]float32 // running mean of the gradient, by tensor
	second [][]float32 // running mean of its square

	norm float64 // of the last gradient, before the clip
}

// newAdam makes a solver for tensors of the given sizes.
func newAdam(sizes []int, rate, clip, decay float64) *adam {
	a := &adam{rate: rate, clip: clip, decay: decay}
	for _, n := range sizes {
		a.first = append(a.first, make([]float32, n))
		a.second = append(a.second, make([]float32, n))
	}
	return a
}

var _ gorgonia.Solver = (*adam)(nil)

// Step moves the weights against their gradients and zeroes the gradients, which
// gorgonia would add to in the next run. The error wraps ErrNotFinite when a
// gradient is not a number; the weights are as they were then.
func (a *adam) Step(model []gorgonia.ValueGrad) error {
	if len(model) != len(a.first) {
		return fmt.Errorf("lstm: adam has state for %d tensors, not %d", len(a.first), len(model))
	}
	values, grads := make([][]float32, len(model)), make([][]float32, len(model))
	sum := 0.0
	for i, n := range model {
		g, err := n.Grad()
		if err != nil {
			return fmt.Errorf("lstm: gradient of tensor %d: %w", i, err)
		}
		size := len(a.first[i])
		if values[i], err = floats("lstm: adam", "weights", n.Value(), size); err != nil {
			return err
		}
		if grads[i], err = floats("lstm: adam", "gradient", g, size); err != nil {
			return err
		}
		for _, v := range grads[i] {
			sum += float64(v) * float64(v)
		}
	}
	a.norm = math.Sqrt(sum)
	if math.IsNaN(a.norm) || math.IsInf(a.norm, 0) {
		return fmt.Errorf("lstm: the gradient is %w", ErrNotFinite)
	}
	a.move(values, grads)
	return nil
}

func (a *adam) move(values, grads [][]float32) {
	a.steps++
	scale := float32(1)
	if a.norm > a.clip {
		scale = float32(a.clip / a.norm)
	}
	t := float64(a.steps)
	rate := float32(a.rate * math.Sqrt(1-math.Pow(adamBeta2, t)) / (1 - math.Pow(adamBeta1, t)))
	eps := float32(adamEps * math.Sqrt(1-math.Pow(adamBeta2, t)))
	shrink := float32(1 - a.rate*a.decay)
	for i, w := range values {
		m, v, grad := a.first[i], a.second[i], grads[i]
		for j := range w {
			g := grad[j] * scale
			m[j] = adamBeta1*m[j] + (1-adamBeta1)*g
			v[j] = adamBeta2*v[j] + (1-adamBeta2)*g*g
			w[j] = w[j]*shrink - rate*m[j]/(float32(math.Sqrt(float64(v[j])))+eps)
			grad[j] = 0
		}
	}
}

// clone copies the state.
func (a *adam) clone() *adam {
	c := *a
	c.first, c.second = nil, nil
	for i := range a.first {
		c.first = append(c.first, append([]float32(nil), a.first[i]...))
		c.second = append(c.second, append([]float32(nil), a.second[i]...))
	}
	return &c
}
