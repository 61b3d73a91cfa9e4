package baseline

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// follow forecasts steps of a noise, whose size may change, with a model that
// believes in size 1 and centre 0, and returns the share within P10 and P90, and
// below and above, over the steps from first on.
func follow(c *Conformal, steps, first, horizon int, size func(step int) float64, seed uint64) (inside, below, above float64) {
	r := rand.New(rand.NewPCG(seed, 5))
	n := 0.0
	for step := range steps {
		q := NewQuantiles(horizon)
		for i := range q.P50 {
			q.P10[i], q.P90[i] = -z90, z90
		}
		c.Apply(q, 0.01)
		used := c.Used()
		for i := range q.P50 {
			y := size(step) * r.NormFloat64()
			if step >= first {
				n++
				switch {
				case y < q.P10[i]:
					below++
				case y > q.P90[i]:
					above++
				default:
					inside++
				}
			}
			c.Learn(i, y, q.P10[i], q.P50[i], q.P90[i], 0.01, used)
		}
	}
	return inside / n, below / n, above / n
}

func TestCoverageBecomesRightWhateverTheModelBelieves(t *testing.T) {
	for name, size := range map[string]func(int) float64{
		"right":         func(int) float64 { return 1 },
		"too narrow":    func(int) float64 { return 3 },
		"too wide":      func(int) float64 { return 0.35 },
		"grows":         func(s int) float64 { return 1 + float64(s)/200 },
		"changes often": func(s int) float64 { return 1 + 2*float64(s/150%2) },
	} {
		t.Run(name, func(t *testing.T) {
			inside, below, above := follow(NewConformal(10), 900, 200, 10, size, 1)
			if inside < 0.75 || inside > 0.85 || math.Abs(below-0.1) > 0.04 || math.Abs(above-0.1) > 0.04 {
				t.Errorf("%.3f within, %.3f below, %.3f above", inside, below, above)
			}
		})
	}
}

func TestEachSideIsCorrectedByItself(t *testing.T) {
	c := NewConformal(1)
	r := rand.New(rand.NewPCG(2, 2))
	below, above := 0.0, 0.0 // means of the last thousand: each wanders with what came last
	for step := range 2000 {
		q := Quantiles{P10: []float64{-1}, P50: []float64{0}, P90: []float64{1}}
		c.Apply(q, 0)
		y := r.ExpFloat64() // never below the median, and far above it
		c.Learn(0, y, q.P10[0], q.P50[0], q.P90[0], 0, c.Used())
		if b, a := c.Stretch(0); step >= 1000 {
			below, above = below+b/1000, above+a/1000
		}
	}
	if below > 0.3 || math.Abs(above-math.Log(10)) > 0.4 {
		t.Errorf("stretched %.2f below and %.2f above", below, above)
	}
}

func TestWithoutEvidenceNothingIsChanged(t *testing.T) {
	c := NewConformal(96)
	q := NewQuantiles(96)
	for i := range q.P50 {
		q.P10[i], q.P50[i], q.P90[i] = 1, 2, 2
	}
	c.Apply(q, 5)
	for i := range q.P50 {
		if q.P10[i] != 1 || q.P50[i] != 2 || q.P90[i] != 2 {
			t.Fatalf("step %d: %v %v %v", i+1, q.P10[i], q.P50[i], q.P90[i])
		}
	}
	few, _, _ := follow(c, 5, 0, 96, func(int) float64 { return 1 }, 3)
	if below, above := c.Stretch(0); few == 0 || math.Abs(below-1) > 0.5 || math.Abs(above-1) > 0.5 {
		t.Errorf("after five steps the factors are %.2f and %.2f", below, above)
	}
}

func TestNearAndFarStepsAreCorrectedApart(t *testing.T) {
	c := NewConformal(64)
	r := rand.New(rand.NewPCG(4, 4))
	for range 400 {
		q := NewQuantiles(64)
		for i := range q.P50 {
			q.P10[i], q.P90[i] = -z90, z90
		}
		c.Apply(q, 0)
		used := c.Used()
		for i := range q.P50 {
			size := 0.5
			if i >= 31 {
				size = 4
			}
			c.Learn(i, size*r.NormFloat64(), q.P10[i], q.P50[i], q.P90[i], 0, used)
		}
	}
	near, _ := c.Stretch(0)
	far, _ := c.Stretch(60)
	if math.Abs(near-0.5) > 0.15 || math.Abs(far-4) > 1 {
		t.Errorf("factors %.2f near and %.2f far", near, far)
	}
}

func TestCorrectionStaysFiniteAndOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := rapid.IntRange(1, 40).Draw(t, "h")
		c := NewConformal(h)
		value := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(-1e12, 1e12), rapid.Float64Range(-1, 1), rapid.Just(math.NaN()))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			q := NewQuantiles(h)
			mid := rapid.Float64Range(-1e9, 1e9).Draw(t, "mid")
			room := rapid.Float64Range(0, 1e9).Draw(t, "room")
			for i := range q.P50 {
				q.P10[i], q.P50[i], q.P90[i] = mid-room, mid, mid+room
			}
			floor := rapid.Float64Range(0, 10).Draw(t, "floor")
			c.Apply(q, floor)
			i := rapid.IntRange(0, h-1).Draw(t, "i")
			c.Learn(i, value.Draw(t, "y"), q.P10[i], q.P50[i], q.P90[i], floor, c.Used())
			if err := q.Settle(-math.MaxFloat64, math.MaxFloat64); err != nil {
				t.Fatal(err)
			}
			below, above := c.Stretch(i)
			if !(below >= leastStretch && below <= mostStretch && above >= leastStretch && above <= mostStretch) {
				t.Fatalf("factors %v and %v", below, above)
			}
		}
	})
}

func BenchmarkConformal(b *testing.B) {
	c := NewConformal(30)
	q := NewQuantiles(30)
	used := c.Used()
	for b.Loop() {
		for i := range 30 {
			q.P10[i], q.P90[i] = -1, 1
			c.Learn(i, 0.5, -1, 0, 1, 0.01, used)
		}
		c.Apply(q, 0.01)
	}
}
