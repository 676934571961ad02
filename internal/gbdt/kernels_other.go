//go:build !amd64

package gbdt

// Other machines have no kernels: the twins in Go do their work.

func hasRowKernel() bool { return false }

func hasTreeKernel() bool { return false }

func exitRowsVector(exits *[blockRows]uint8, codes []uint8, steps []uint64) {
	exitRowsGo(exits, codes, steps)
}

func addLeavesVector(sums []float64, leaves []float64, exits *[blockRows]uint8) {
	addLeavesGo(sums, leaves, exits)
}

func exitTreesVector(exits, codes, steps []uint8, counts []int32) {
	exitTreesGo(exits, codes, steps, counts)
}

func codeRowVector(codes []uint8, row []float64, tables []cutTable, features []int32, small float64) bool {
	return codeRowGo(codes, row, tables, features, small)
}

func codeColumnVector(codes []uint8, values []float64, t *cutTable, small float64) bool {
	return codeColumnGo(codes, values, t, small)
}
