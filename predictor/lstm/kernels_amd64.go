package lstm

// detectKernels chooses the fastest kernels that this CPU has.
func detectKernels() *kernels { return portable() }
