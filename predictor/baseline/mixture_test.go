package baseline

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func flat(v float64) Quantiles {
	q := NewQuantiles(8)
	for i := range q.P50 {
		q.P10[i], q.P50[i], q.P90[i] = v-1, v, v+1
	}
	return q
}

// taught is a mixture that has seen what came of models that say their true values plus an error.
func taught(m *Mixture, steps int, models map[string]func(y float64) float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range steps {
		y := 100 + 10*rng.NormFloat64()
		var said []Said
		for _, name := range []string{"a", "b", "c"} {
			if f := models[name]; f != nil {
				said = append(said, Said{Name: name, Quantiles: flat(f(y))})
			}
		}
		all, _ := m.Blend(said)
		for _, i := range []int{0, 7} {
			var told []Told
			for _, s := range said {
				told = append(told, Told{Name: s.Name, Q: s.At(i)})
			}
			m.Learn(i, y, told, all.At(i))
		}
		m.Fade(1)
	}
}

func TestMixtureGoesWithTheBetterModel(t *testing.T) {
	var m Mixture
	taught(&m, 300, map[string]func(float64) float64{
		"a": func(y float64) float64 { return y + 2 },
		"b": func(y float64) float64 { return y + 9 },
	})
	q, ok := m.Blend([]Said{{Name: "a", Quantiles: flat(10)}, {Name: "b", Quantiles: flat(20)}})
	if !ok || q.P50[0] > 10.5 || q.P50[7] > 10.5 {
		t.Errorf("%v %v, but a has a quarter of the loss", ok, q.P50)
	}
}

func TestMixtureUsesErrorsThatCancel(t *testing.T) {
	var m Mixture
	taught(&m, 300, map[string]func(float64) float64{
		"a": func(y float64) float64 { return y + 4 },
		"b": func(y float64) float64 { return y + 4.1 },
		"c": func(y float64) float64 { return y - 5 },
	})
	w := m.weights(0, []Said{{Name: "a"}, {Name: "b"}, {Name: "c"}})
	// c alone has the largest loss, but the right mixture needs about 4/9 of it.
	if w[2] < 0.3 || w[2] > 0.6 {
		t.Errorf("weights %v", w)
	}
}

func TestMixtureFollowsWhoIsBetterNow(t *testing.T) {
	var m Mixture
	good, bad := func(y float64) float64 { return y + 1 }, func(y float64) float64 { return y + 8 }
	taught(&m, 400, map[string]func(float64) float64{"a": good, "b": bad})
	taught(&m, 400, map[string]func(float64) float64{"a": bad, "b": good})
	if w := m.weights(1, []Said{{Name: "a"}, {Name: "b"}}); w[1] < 0.8 {
		t.Errorf("weights %v: it cannot forget", w)
	}
}

func TestMixturePresumesUntilItKnows(t *testing.T) {
	var m Mixture
	parts := func(a, b float64) []Said {
		return []Said{{Name: "a", Quantiles: flat(10), Presumed: a}, {Name: "b", Quantiles: flat(20), Presumed: b}}
	}
	for _, tc := range []struct{ a, b, want float64 }{
		{0, 0, 15}, {1, 1, 15}, {0, 1, 20}, {1, 0, 10}, {0.5, 1, 10 + 10.0/257},
	} {
		q, ok := m.Blend(parts(tc.a, tc.b))
		if !ok || math.Abs(q.P50[3]-tc.want) > 0.01 {
			t.Errorf("presumed %v and %v: %v, want %v", tc.a, tc.b, q.P50[3], tc.want)
		}
	}
	taught(&m, 300, map[string]func(float64) float64{"a": func(y float64) float64 { return y + 1 }})
	if q, _ := m.Blend(parts(0, 0)); q.P50[3] != 10 {
		t.Errorf("a model of which nothing is known has a say: %v", q.P50)
	}
	if q, _ := m.Blend(parts(0, 1)); q.P50[3] < 11 {
		t.Errorf("a trial that went as well counts for nothing: %v", q.P50)
	}
	if _, ok := m.Blend(nil); ok {
		t.Error("a mixture of nothing")
	}
}

func TestMixtureLiesBetweenItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Mixture
		value := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(-1e12, 1e12), rapid.Float64Range(-1, 1))
		names := []string{"a", "b", "c", "d"}
		lo, hi := math.Inf(1), math.Inf(-1)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			var told []Told
			for _, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 4, rapid.ID).Draw(t, "told") {
				v := value.Draw(t, "v")
				told = append(told, Told{Name: n, Q: [3]float64{v, v, v}})
			}
			at := value.Draw(t, "mixture")
			m.Learn(rapid.IntRange(0, 7).Draw(t, "i"), value.Draw(t, "y"), told, [3]float64{at, at, at})
			m.Fade(rapid.Int64Range(0, 1e6).Draw(t, "fade"))
		}
		var said []Said
		for _, n := range names[:rapid.IntRange(1, 4).Draw(t, "n")] {
			v := value.Draw(t, "said")
			said = append(said, Said{Name: n, Quantiles: flat(v), Presumed: rapid.SampledFrom([]float64{0, 1, 1e-9, 1e9}).Draw(t, "presumed")})
			lo, hi = min(lo, v), max(hi, v)
		}
		q, ok := m.Blend(said)
		slack := 1e-9 * (1 + math.Abs(lo) + math.Abs(hi))
		for i, v := range q.P50 {
			if !ok || !(v >= lo-slack && v <= hi+slack && q.P10[i] <= v && v <= q.P90[i]) {
				t.Fatalf("%v is not between %v and %v", v, lo, hi)
			}
		}
	})
}
