// Command asm generates kernels_amd64.s: the AVX2 and FMA inner loops of the LSTM.
//
//	go generate ./predictor/lstm
//
// gemmRxN adds k products to an R×N block of C: R rows of A are broadcast against
// one row of B after another, and the sums stay in registers. The masked ones do
// eight columns of which the mask chooses some. cell and cellBack are the
// element-wise half of an LSTM step, eight elements at a time; their tanh is the
// rational function of kernels.go, with the same constants.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	gemm("gemm4x16", 4, 2, false)
	gemm("gemm1x16", 1, 2, false)
	gemm("gemm4x8", 4, 1, true)
	gemm("gemm1x8", 1, 1, true)
	cell()
	cellBack()
	Generate()
}

// gemm makes a block of rows × 8·wide columns. All strides are in bytes.
func gemm(name string, rows, wide int, masked bool) {
	sig := "func(k int, a *float32, rowA, colA int, b *float32, ldb int, c *float32, ldc int)"
	if masked {
		sig = "func(k int, a *float32, rowA, colA int, b *float32, ldb int, c *float32, ldc int, mask *int32)"
	}
	TEXT(name, NOSPLIT, sig)
	Pragma("noescape")
	Doc(name + " adds A·B to a block of C; strides are in bytes.")
	k, a, colA := Load(Param("k"), GP64()), Load(Param("a"), GP64()), Load(Param("colA"), GP64())
	b, ldb := Load(Param("b"), GP64()), Load(Param("ldb"), GP64())
	rowA := GP64()
	Load(Param("rowA"), rowA)
	rowA3 := GP64()
	LEAQ(Mem{Base: rowA, Index: rowA, Scale: 2}, rowA3)
	var mask VecVirtual
	if masked {
		p := Load(Param("mask"), GP64())
		mask = YMM()
		VMOVDQU(Mem{Base: p}, mask)
	}
	sums := make([][]VecVirtual, rows)
	for r := range sums {
		for range wide {
			y := YMM()
			VXORPS(y, y, y)
			sums[r] = append(sums[r], y)
		}
	}
	row := func(r int) Mem {
		switch r {
		case 0:
			return Mem{Base: a}
		case 1:
			return Mem{Base: a, Index: rowA, Scale: 1}
		case 2:
			return Mem{Base: a, Index: rowA, Scale: 2}
		default:
			return Mem{Base: a, Index: rowA3, Scale: 1}
		}
	}
	Label("next")
	bs := make([]VecVirtual, wide)
	for i := range bs {
		bs[i] = YMM()
		if masked {
			VMASKMOVPS(Mem{Base: b}, mask, bs[i])
		} else {
			VMOVUPS(Mem{Base: b, Disp: 32 * i}, bs[i])
		}
	}
	for r := range rows {
		x := YMM()
		VBROADCASTSS(row(r), x)
		for i := range bs {
			VFMADD231PS(bs[i], x, sums[r][i])
		}
	}
	ADDQ(colA, a)
	ADDQ(ldb, b)
	DECQ(k)
	JNZ(LabelRef("next"))

	c, ldc := Load(Param("c"), GP64()), Load(Param("ldc"), GP64())
	for r := range rows {
		for i, y := range sums[r] {
			m := Mem{Base: c, Disp: 32 * i}
			if masked {
				old := YMM()
				VMASKMOVPS(m, mask, old)
				VADDPS(old, y, y)
				VMASKMOVPS(y, mask, m)
			} else {
				VADDPS(m, y, y)
				VMOVUPS(y, m)
			}
		}
		if r < rows-1 {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}

// constants are shared by the functions; each is stored once.
var constants = map[float32]Mem{}

// constant is a float32 in memory, eight times over.
func constant(v float64) Mem {
	f := float32(v)
	if m, ok := constants[f]; ok {
		return m
	}
	m := GLOBL("const"+name(len(constants)), RODATA|NOPTR)
	for i := range 8 {
		DATA(4*i, U32(math.Float32bits(f)))
	}
	constants[f] = m
	return m
}

func name(i int) string { return string(rune('A' + i)) }

func load(m Mem) VecVirtual {
	y := YMM()
	VMOVUPS(m, y)
	return y
}

// tanh replaces x.
func tanh(x VecVirtual) {
	VMINPS(constant(7.90531110763549805), x, x)
	VMAXPS(constant(-7.90531110763549805), x, x)
	y, p, q := YMM(), YMM(), YMM()
	VMULPS(x, x, y)
	VMOVUPS(constant(-2.76076847742355e-16), p)
	for _, c := range []float64{
		2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
		1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
	} {
		VFMADD213PS(constant(c), y, p)
	}
	VMULPS(x, p, p)
	VMOVUPS(constant(1.19825839466702e-06), q)
	for _, c := range []float64{1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03} {
		VFMADD213PS(constant(c), y, q)
	}
	VDIVPS(q, p, x)
}

// sigmoid replaces x by tanh(x/2)/2 + 1/2.
func sigmoid(x VecVirtual) {
	VMULPS(constant(0.5), x, x)
	tanh(x)
	VMULPS(constant(0.5), x, x)
	VADDPS(constant(0.5), x, x)
}

// gatePointers are those of the four gates, n elements apart, and the bytes of n.
func gatePointers(param string) (n Register, gates [4]Register) {
	bytes := Load(Param("n"), GP64())
	SHLQ(Imm(2), bytes)
	first := Load(Param(param), GP64())
	gates[0] = first
	for i := 1; i < 4; i++ {
		p := GP64()
		LEAQ(Mem{Base: gates[i-1], Index: bytes, Scale: 1}, p)
		gates[i] = p
	}
	return bytes, gates
}

func cell() {
	TEXT("cellAVX", NOSPLIT, "func(n int, gates, prev, state, tanh, hidden *float32)")
	Pragma("noescape")
	Doc("cellAVX is one LSTM step of one row; n is a multiple of 8.")
	n, gates := gatePointers("gates")
	prev, state := Load(Param("prev"), GP64()), Load(Param("state"), GP64())
	tc, hidden := Load(Param("tanh"), GP64()), Load(Param("hidden"), GP64())
	at := GP64()
	XORQ(at, at)
	idx := func(base Register) Mem { return Mem{Base: base, Index: at, Scale: 1} }
	Label("next")
	var act [4]VecVirtual
	for i := range act {
		act[i] = load(idx(gates[i]))
		if i < 3 {
			sigmoid(act[i])
		} else {
			tanh(act[i])
		}
		VMOVUPS(act[i], idx(gates[i]))
	}
	c := YMM()
	VMULPS(act[3], act[0], c)
	VFMADD231PS(idx(prev), act[1], c)
	VMOVUPS(c, idx(state))
	tanh(c)
	VMOVUPS(c, idx(tc))
	VMULPS(c, act[2], c)
	VMOVUPS(c, idx(hidden))
	ADDQ(Imm(32), at)
	CMPQ(at, n)
	JLT(LabelRef("next"))
	VZEROUPPER()
	RET()
}

func cellBack() {
	TEXT("cellBackAVX", NOSPLIT, "func(n int, gates, prev, tanh, dh, dc, dgates *float32)")
	Pragma("noescape")
	Doc("cellBackAVX is cell's backward pass of one row; n is a multiple of 8.")
	n, gates := gatePointers("gates")
	prev, tc := Load(Param("prev"), GP64()), Load(Param("tanh"), GP64())
	dh, dc, out := Load(Param("dh"), GP64()), Load(Param("dc"), GP64()), Load(Param("dgates"), GP64())
	at := GP64()
	XORQ(at, at)
	one := load(constant(1))
	idx := func(base Register) Mem { return Mem{Base: base, Index: at, Scale: 1} }
	Label("next")
	i, f, o, g := load(idx(gates[0])), load(idx(gates[1])), load(idx(gates[2])), load(idx(gates[3]))
	t, h := load(idx(tc)), load(idx(dh))
	d, x, y := YMM(), YMM(), YMM()

	p := GP64() // walks over the four gates of the output
	LEAQ(idx(out), p)

	VMOVAPS(one, x) // 1-t²
	VFNMADD231PS(t, t, x)
	VMULPS(o, h, y)
	VMOVUPS(idx(dc), d)
	VFMADD231PS(x, y, d) // d = dc + dh·o·(1-t²)

	slope := func(s VecVirtual) { // x = s·(1-s)
		VSUBPS(s, one, x)
		VMULPS(s, x, x)
	}
	slope(i)
	VMULPS(g, d, y)
	VMULPS(x, y, y)
	VMOVUPS(y, Mem{Base: p})
	ADDQ(n, p)

	slope(f)
	VMULPS(idx(prev), d, y)
	VMULPS(x, y, y)
	VMOVUPS(y, Mem{Base: p})
	ADDQ(n, p)

	slope(o)
	VMULPS(t, h, y)
	VMULPS(x, y, y)
	VMOVUPS(y, Mem{Base: p})
	ADDQ(n, p)

	VMOVAPS(one, x) // 1-g²
	VFNMADD231PS(g, g, x)
	VMULPS(i, d, y)
	VMULPS(x, y, y)
	VMOVUPS(y, Mem{Base: p})

	VMULPS(f, d, d)
	VMOVUPS(d, idx(dc))
	ADDQ(Imm(32), at)
	CMPQ(at, n)
	JLT(LabelRef("next"))
	VZEROUPPER()
	RET()
}
