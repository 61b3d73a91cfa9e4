package lstm

import "math"

// kernels are the inner loops that the time goes to. The portable ones are below;
// detectKernels (per architecture) chooses.
type kernels struct {
	name string

	// gemm adds A·B to C, all in float32. C is m×n with rows ldc apart and B is k×n
	// with rows ldb apart. A[i,p] stands at a[i*rowA+p*colA], so a transposed A costs
	// nothing; strides of 0 repeat an element.
	gemm func(m, n, k int, a []float32, rowA, colA int, b []float32, ldb int, c []float32, ldc int)

	// cell runs one LSTM step of one row in place: gates holds the pre-activations of
	// the input, forget, output and candidate gates, n each, and leaves with their
	// activations; n is a multiple of 8.
	cell func(n int, gates, prev, state, tanh, hidden []float32)

	// cellBack turns dh and dc, the loss by this step's hidden and cell state, into
	// dgates, the loss by the pre-activations, and leaves dc for the step before.
	cellBack func(n int, gates, prev, tanh, dh, dc, dgates []float32)
}

// portable runs everywhere.
func portable() *kernels {
	return &kernels{name: "portable", gemm: gemmPortable, cell: cellPortable, cellBack: cellBackPortable}
}

func gemmPortable(m, n, k int, a []float32, rowA, colA int, b []float32, ldb int, c []float32, ldc int) {
	if n == 0 {
		return
	}
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		ai := i * rowA
		p := 0
		for ; p+4 <= k; p += 4 { // four rows of B at once: one load and store of C for four products
			a0, a1, a2, a3 := a[ai], a[ai+colA], a[ai+2*colA], a[ai+3*colA]
			ai += 4 * colA
			b0 := b[p*ldb : p*ldb+n]
			b1 := b[(p+1)*ldb : (p+1)*ldb+n]
			b2 := b[(p+2)*ldb : (p+2)*ldb+n]
			b3 := b[(p+3)*ldb : (p+3)*ldb+n]
			for j := range row {
				row[j] += a0*b0[j] + a1*b1[j] + a2*b2[j] + a3*b3[j]
			}
		}
		for ; p < k; p++ {
			ap := a[ai]
			ai += colA
			bp := b[p*ldb : p*ldb+n]
			for j := range row {
				row[j] += ap * bp[j]
			}
		}
	}
}

func cellPortable(n int, gates, prev, state, tanh, hidden []float32) {
	in, forget, out, cand := gates[:n], gates[n:2*n], gates[2*n:3*n], gates[3*n:4*n]
	for j := range n {
		i, f, o, g := sigmoid32(in[j]), sigmoid32(forget[j]), sigmoid32(out[j]), tanh32(cand[j])
		c := f*prev[j] + i*g
		t := tanh32(c)
		in[j], forget[j], out[j], cand[j] = i, f, o, g
		state[j], tanh[j], hidden[j] = c, t, o*t
	}
}

func cellBackPortable(n int, gates, prev, tanh, dh, dc, dgates []float32) {
	for j := range n {
		i, f, o, g, t := gates[j], gates[n+j], gates[2*n+j], gates[3*n+j], tanh[j]
		d := dc[j] + dh[j]*o*(1-t*t)
		dgates[j] = d * g * i * (1 - i)
		dgates[n+j] = d * prev[j] * f * (1 - f)
		dgates[2*n+j] = dh[j] * t * o * (1 - o)
		dgates[3*n+j] = d * i * (1 - g*g)
		dc[j] = d * f
	}
}

// The rational approximation of tanh that Eigen and TensorFlow use: odd degree 13
// over even degree 6, minimax on [-7.9, 7.9] and saturated beyond. Its absolute
// error is below 4e-7 (TestActivationsAreAccurate measures it).
const (
	tanhBound = 7.90531110763549805
	tanhA1    = 4.89352455891786e-03
	tanhA3    = 6.37261928875436e-04
	tanhA5    = 1.48572235717979e-05
	tanhA7    = 5.12229709037114e-08
	tanhA9    = -8.60467152213735e-11
	tanhA11   = 2.00018790482477e-13
	tanhA13   = -2.76076847742355e-16
	tanhB0    = 4.89352518554385e-03
	tanhB2    = 2.26843463243900e-03
	tanhB4    = 1.18534705686654e-04
	tanhB6    = 1.19825839466702e-06
)

func tanh32(x float32) float32 {
	x = min(max(x, -tanhBound), tanhBound)
	y := x * x
	p := ((((((tanhA13*y+tanhA11)*y+tanhA9)*y+tanhA7)*y+tanhA5)*y+tanhA3)*y + tanhA1) * x
	q := ((tanhB6*y+tanhB4)*y+tanhB2)*y + tanhB0
	return p / q
}

func sigmoid32(x float32) float32 { return 0.5*tanh32(0.5*x) + 0.5 }

// softplus is log(1+exp(x)), never negative, and its derivative.
func softplus(x float32) (value, slope float32) {
	if x > 15 {
		return x, 1
	}
	if x < -15 {
		return 0, 0
	}
	e := math.Exp(float64(x))
	return float32(math.Log(1 + e)), float32(e / (1 + e)) // e is at least 3e-7: 1+e keeps enough of it for a float32
}
