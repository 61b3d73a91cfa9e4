package lstm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestActivationsAreAccurate(t *testing.T) {
	worst := 0.0
	for x := -20.0; x < 20; x += 1.0 / 512 {
		f := float32(x)
		worst = max(worst, math.Abs(float64(tanh32(f))-math.Tanh(float64(f))))
		worst = max(worst, math.Abs(float64(sigmoid32(f))-1/(1+math.Exp(-float64(f)))))
	}
	if worst > 4e-7 {
		t.Errorf("an activation is off by %g", worst)
	}
	if s := sigmoid32(float32(math.Inf(1))); s > 1 {
		t.Errorf("sigmoid of infinity is %v", s)
	}
}

func TestMatrixProductIsThatOfThreeLoops(t *testing.T) {
	everyKernel(t, func(t *testing.T, k *kernels) {
		rapid.Check(t, func(rt *rapid.T) {
			m, n, depth := rapid.IntRange(0, 11).Draw(rt, "m"), rapid.IntRange(0, 45).Draw(rt, "n"), rapid.SampledFrom([]int{0, 1, 3, 4, 7, 33, 256, 300}).Draw(rt, "k")
			wideB, wideC := n+rapid.IntRange(0, 3).Draw(rt, "ldb"), n+rapid.IntRange(0, 3).Draw(rt, "ldc")
			rowA, colA := depth, 1
			if rapid.Bool().Draw(rt, "transposed") {
				rowA, colA = 1, m
			}
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
			a, b, c := make([]float32, m*depth), make([]float32, depth*wideB), make([]float32, m*wideC)
			fill(rng, a, 1)
			fill(rng, b, 1)
			fill(rng, c, 1)
			want := append([]float32(nil), c...)
			for i := range m {
				for j := range n {
					sum := float64(c[i*wideC+j])
					for p := range depth {
						sum += float64(a[i*rowA+p*colA]) * float64(b[p*wideB+j])
					}
					want[i*wideC+j] = float32(sum)
				}
			}
			k.gemm(m, n, depth, a, rowA, colA, b, wideB, c, wideC)
			for i := range want {
				if math.Abs(float64(c[i]-want[i])) > 1e-4 {
					rt.Fatalf("element %d is %v, not %v", i, c[i], want[i])
				}
			}
		})
	})
}

func TestARepeatedElementSumsColumns(t *testing.T) {
	everyKernel(t, func(t *testing.T, k *kernels) {
		b, c := make([]float32, 5*19), make([]float32, 19)
		for i := range b {
			b[i] = float32(i)
		}
		k.gemm(1, 19, 5, []float32{1}, 0, 0, b, 19, c, 19)
		for j, v := range c {
			if want := float32(5*j + 19*10); v != want {
				t.Errorf("column %d sums to %v, not %v", j, v, want)
			}
		}
	})
}

func TestCellKernelsAgree(t *testing.T) {
	best := detectKernels()
	rng := rand.New(rand.NewPCG(7, 8))
	const n = 24
	draw := func(size int, scale float64) []float32 {
		s := make([]float32, size)
		fill(rng, s, scale)
		return s
	}
	near := func(what string, a, b []float32) {
		t.Helper()
		for i := range a {
			if math.Abs(float64(a[i]-b[i])) > 2e-6*math.Max(1, math.Abs(float64(b[i]))) {
				t.Errorf("%s[%d]: %s gives %v, portable %v", what, i, best.name, a[i], b[i])
			}
		}
	}
	copied := func(s []float32) []float32 { return append([]float32(nil), s...) }
	for range 20 {
		gates, prev := draw(4*n, 4), draw(n, 2)
		gates2 := copied(gates)
		var out, out2 [3][]float32
		for i := range out {
			out[i], out2[i] = make([]float32, n), make([]float32, n)
		}
		best.cell(n, gates, prev, out[0], out[1], out[2])
		cellPortable(n, gates2, prev, out2[0], out2[1], out2[2])
		near("gates", gates, gates2)
		near("state", out[0], out2[0])
		near("tanh", out[1], out2[1])
		near("hidden", out[2], out2[2])

		dh, dc := draw(n, 1), draw(n, 1)
		dc2, dg, dg2 := copied(dc), make([]float32, 4*n), make([]float32, 4*n)
		best.cellBack(n, gates2, prev, out2[1], dh, dc, dg)
		cellBackPortable(n, gates2, prev, out2[1], dh, dc2, dg2)
		near("dc", dc, dc2)
		near("dgates", dg, dg2)
	}
}

func BenchmarkGemm(b *testing.B) {
	for _, k := range []*kernels{portable(), detectKernels()} {
		b.Run(fmt.Sprintf("%s/32x72x256", k.name), func(b *testing.B) {
			x, y, z := make([]float32, 32*72), make([]float32, 72*256), make([]float32, 32*256)
			for b.Loop() {
				k.gemm(32, 256, 72, x, 72, 1, y, 256, z, 256)
			}
		})
	}
}
