package gbdt

import "golang.org/x/sys/cpu"

//go:generate go -C asm run . -out ../exits_amd64.s -stubs ../exits_amd64.go -pkg gbdt

// hasRowKernel and hasTreeKernel say whether the machine can run the kernels
// whose lanes are rows and trees.
func hasRowKernel() bool { return cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasPOPCNT }

func hasTreeKernel() bool { return hasRowKernel() && cpu.X86.HasAVX512VBMI }

func exitRowsVector(exits *[blockRows]uint8, codes []uint8, steps []uint64) {
	if len(steps) == 0 {
		clear(exits[:])
		return
	}
	exitRows512(&exits[0], &codes[0], &steps[0], len(steps))
}

func addLeavesVector(sums []float64, leaves []float64, exits *[blockRows]uint8) {
	addLeaves512(&sums[0], &leaves[0], &exits[0])
}

// exitTreesVector needs codes of 64, 128 or 256 bytes.
func exitTreesVector(exits, codes, steps []uint8, counts []int32) {
	if len(steps) == 0 {
		clear(exits)
		return
	}
	switch len(codes) {
	case 64:
		exitTrees64(&exits[0], &codes[0], &steps[0], &counts[0], len(counts))
	case 128:
		exitTrees128(&exits[0], &codes[0], &steps[0], &counts[0], len(counts))
	case 256:
		exitTrees256(&exits[0], &codes[0], &steps[0], &counts[0], len(counts))
	}
}

func codeRowVector(codes []uint8, row []float64, tables []cutTable, features []int32, small float64) bool {
	return codeRow512(&codes[0], &row[0], &tables[0].ends[0], &features[0], len(features), small) != 0
}

func codeColumnVector(codes []uint8, values []float64, t *cutTable, small float64) bool {
	return codeColumn512(&codes[0], &values[0], &t.ends[0], len(values), small) != 0
}
