package lstm

import "golang.org/x/sys/cpu"

//go:generate go run -C asm . -out ../kernels_amd64.s -stubs ../stubs_amd64.go -pkg lstm

// detectKernels chooses the fastest kernels that this CPU has.
func detectKernels() *kernels {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA || !cpu.X86.HasOSXSAVE {
		return portable()
	}
	return &kernels{name: "avx2", gemm: gemmAVX, cell: cellRow, cellBack: cellBackRow}
}

const (
	deep      = 256 // rows of B in one pass: 16 columns of them stay in the first cache
	floatSize = 4
)

// gemmAVX cuts the product into blocks that the assembly computes in registers.
func gemmAVX(m, n, k int, a []float32, rowA, colA int, b []float32, ldb int, c []float32, ldc int) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	// The assembly checks no bounds; these are the furthest elements that it touches.
	_, _, _ = a[(m-1)*rowA+(k-1)*colA], b[(k-1)*ldb+n-1], c[(m-1)*ldc+n-1]
	for p := 0; p < k; p += deep {
		depth := min(deep, k-p)
		ap, bp := a[p*colA:], b[p*ldb:]
		j := 0
		for ; j+16 <= n; j += 16 {
			i := 0
			for ; i+4 <= m; i += 4 {
				gemm4x16(depth, &ap[i*rowA], rowA*floatSize, colA*floatSize, &bp[j], ldb*floatSize, &c[i*ldc+j], ldc*floatSize)
			}
			for ; i < m; i++ {
				gemm1x16(depth, &ap[i*rowA], rowA*floatSize, colA*floatSize, &bp[j], ldb*floatSize, &c[i*ldc+j], ldc*floatSize)
			}
		}
		for ; j < n; j += 8 {
			mask := maskOf(n - j)
			i := 0
			for ; i+4 <= m; i += 4 {
				gemm4x8(depth, &ap[i*rowA], rowA*floatSize, colA*floatSize, &bp[j], ldb*floatSize, &c[i*ldc+j], ldc*floatSize, &mask[0])
			}
			for ; i < m; i++ {
				gemm1x8(depth, &ap[i*rowA], rowA*floatSize, colA*floatSize, &bp[j], ldb*floatSize, &c[i*ldc+j], ldc*floatSize, &mask[0])
			}
		}
	}
}

// maskOf chooses the first n of eight columns.
func maskOf(n int) (mask [8]int32) {
	for i := range min(n, 8) {
		mask[i] = -1
	}
	return mask
}

func cellRow(n int, gates, prev, state, tanh, hidden []float32) {
	_, _, _, _, _ = gates[4*n-1], prev[n-1], state[n-1], tanh[n-1], hidden[n-1]
	cellAVX(n, &gates[0], &prev[0], &state[0], &tanh[0], &hidden[0])
}

func cellBackRow(n int, gates, prev, tanh, dh, dc, dgates []float32) {
	_, _, _, _, _, _ = gates[4*n-1], prev[n-1], tanh[n-1], dh[n-1], dc[n-1], dgates[4*n-1]
	cellBackAVX(n, &gates[0], &prev[0], &tanh[0], &dh[0], &dc[0], &dgates[0])
}
