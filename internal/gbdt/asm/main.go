// Command asm writes the AVX-512 kernels of package gbdt: exits_amd64.s and
// its Go declarations. Run it with go generate in internal/gbdt; it has a
// module of its own, so that the program needs no assembler.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	exitRows()
	exitTrees("exitTrees64", 1)
	exitTrees("exitTrees128", 2)
	exitTrees("exitTrees256", 4)
	addLeaves()
	codeRow()
	codeColumn()
	Generate()
}

// Immediates of VPCMPB and VCMPPD.
const (
	less       = U8(1)
	greater    = U8(6)
	above      = U8(0x1e) // ordered: false with NaN
	notAbove   = U8(0x1a) // unordered: true with NaN
	cutBytes   = 8 * (8 + 128)
	blockBytes = 8 * 16
)

// stepSize is the width of a step of a rowProgram: offset of the codes in 4
// bytes, limit, from, to.
const stepSize = 8

// rowVectors are the vectors of 64 rows that exitRows carries at once.
const rowVectors = 4

// exitRows follows 256 rows through one tree; lanes are rows.
func exitRows() {
	TEXT("exitRows512", NOSPLIT, "func(exits, codes *uint8, steps *uint64, n int)")
	Doc("exitRows512 is exitRowsGo with AVX-512.")
	Pragma("noescape")
	exits := Mem{Base: Load(Param("exits"), GP64())}
	codes := Load(Param("codes"), GP64())
	step := Load(Param("steps"), GP64())
	n := Load(Param("n"), GP64())
	var at [rowVectors]VecVirtual
	for v := range at {
		at[v] = ZMM()
		VPXORQ(at[v], at[v], at[v])
	}
	limit, from, to := ZMM(), ZMM(), ZMM()
	offset := GP64()
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("step")
	MOVL(Mem{Base: step}, offset.As32())
	VPBROADCASTB(Mem{Base: step, Disp: 4}, limit)
	VPBROADCASTB(Mem{Base: step, Disp: 5}, from)
	VPBROADCASTB(Mem{Base: step, Disp: 6}, to)
	for v := range at {
		k := K()
		VPCMPB(less, Mem{Base: codes, Index: offset, Scale: 1, Disp: 64 * v}, limit, k)
		VPCMPEQB(from, at[v], k, k)
		VMOVDQU8(to, k, at[v])
	}
	ADDQ(Imm(stepSize), step)
	DECQ(n)
	JNZ(LabelRef("step"))
	Label("done")
	for v := range at {
		VMOVDQU64(at[v], exits.Offset(64*v))
	}
	VZEROUPPER()
	RET()
}

// exitTrees follows one row through groups of 64 trees; lanes are trees.
// tables is the number of registers that hold the row's codes.
func exitTrees(name string, tables int) {
	TEXT(name, NOSPLIT, "func(exits, codes, steps *uint8, counts *int32, groups int)")
	Doc(name + " is exitTreesGo with AVX-512 for as many codes as its name says.")
	Pragma("noescape")
	exits := Load(Param("exits"), GP64())
	codes := Mem{Base: Load(Param("codes"), GP64())}
	step := Load(Param("steps"), GP64())
	counts := Load(Param("counts"), GP64())
	groups := Load(Param("groups"), GP64())
	table := make([]VecVirtual, tables)
	for i := range table {
		table[i] = ZMM()
		VMOVDQU64(codes.Offset(64*i), table[i])
	}
	at, n := ZMM(), GP64()
	Label("group")
	VPXORQ(at, at, at)
	MOVLQSX(Mem{Base: counts}, n)
	TESTQ(n, n)
	JZ(LabelRef("next"))
	Label("step")
	m := Mem{Base: step}
	code := lookUp(m, table)
	k := K()
	VPCMPB(greater, m.Offset(64), code, k)
	VPCMPEQB(m.Offset(128), at, k, k)
	VMOVDQU8(m.Offset(192), k, at)
	ADDQ(U32(256), step)
	DECQ(n)
	JNZ(LabelRef("step"))
	Label("next")
	VMOVDQU64(at, Mem{Base: exits})
	ADDQ(Imm(64), exits)
	ADDQ(Imm(4), counts)
	DECQ(groups)
	JNZ(LabelRef("group"))
	VZEROUPPER()
	RET()
}

// lookUp picks table[column] for the 64 columns at m.
func lookUp(m Mem, table []VecVirtual) VecVirtual {
	code := ZMM()
	switch len(table) {
	case 1:
		VMOVDQU64(m, code)
		VPERMB(table[0], code, code)
	case 2:
		VMOVDQU64(m, code)
		VPERMI2B(table[1], table[0], code)
	case 4:
		high, upper := ZMM(), K()
		VMOVDQU64(m, code)
		VMOVDQA64(code, high)
		VPMOVB2M(code, upper)
		VPERMI2B(table[1], table[0], code)
		VPERMI2B(table[3], table[2], high)
		VMOVDQU8(high, upper, code)
	}
	return code
}

// addLeaves adds the leaves that 256 rows reach to their sums, by looking
// them up among 32 in four registers.
func addLeaves() {
	TEXT("addLeaves512", NOSPLIT, "func(sums, leaves *float64, exits *uint8)")
	Doc("addLeaves512 is addLeavesGo with AVX-512, for trees of up to 32 leaves.")
	Pragma("noescape")
	sums := Load(Param("sums"), GP64())
	leaves := Mem{Base: Load(Param("leaves"), GP64())}
	exits := Load(Param("exits"), GP64())
	var table [4]VecVirtual
	for i := range table {
		table[i] = ZMM()
		VMOVDQU64(leaves.Offset(64*i), table[i])
	}
	sixteen := ZMM()
	bit := GP64()
	MOVQ(U32(16), bit)
	VPBROADCASTQ(bit, sixteen)
	n := GP64()
	MOVQ(U32(64*rowVectors/16), n)
	Label("rows")
	for i := range 2 {
		low, high, k := ZMM(), ZMM(), K()
		VPMOVZXBQ(Mem{Base: exits, Disp: 8 * i}, low)
		VMOVDQA64(low, high)
		VPTESTMQ(sixteen, low, k)
		VPERMI2PD(table[1], table[0], low)
		VPERMI2PD(table[3], table[2], high)
		VMOVAPD(high, k, low)
		VADDPD(Mem{Base: sums, Disp: 64 * i}, low, low)
		VMOVUPD(low, Mem{Base: sums, Disp: 64 * i})
	}
	ADDQ(Imm(16), exits)
	ADDQ(U32(128), sums)
	DECQ(n)
	JNZ(LabelRef("rows"))
	VZEROUPPER()
	RET()
}

// codeRow codes the numbers of one row.
func codeRow() {
	TEXT("codeRow512", NOSPLIT, "func(codes *uint8, row, cuts *float64, features *int32, n int, small float64) (special uint16)")
	Doc("codeRow512 is codeRowGo with AVX-512.")
	Pragma("noescape")
	codes := Load(Param("codes"), GP64())
	row := Load(Param("row"), GP64())
	cuts := Load(Param("cuts"), GP64())
	features := Load(Param("features"), GP64())
	n := Load(Param("n"), GP64())
	c := newCoding()
	feature := GP64()
	Label("column")
	MOVLQSX(Mem{Base: features}, feature)
	VBROADCASTSD(Mem{Base: row, Index: feature, Scale: 8}, c.x)
	pivots := Mem{Base: cuts}
	c.code(pivots, cuts, codes)
	ADDQ(U32(cutBytes), cuts)
	ADDQ(Imm(4), features)
	INCQ(codes)
	DECQ(n)
	JNZ(LabelRef("column"))
	c.finish()
}

// codeColumn codes values for one column.
func codeColumn() {
	TEXT("codeColumn512", NOSPLIT, "func(codes *uint8, values, cuts *float64, n int, small float64) (special uint16)")
	Doc("codeColumn512 is codeColumnGo with AVX-512.")
	Pragma("noescape")
	codes := Load(Param("codes"), GP64())
	values := Load(Param("values"), GP64())
	cuts := Load(Param("cuts"), GP64())
	n := Load(Param("n"), GP64())
	c := newCoding()
	pivots := ZMM()
	VMOVUPD(Mem{Base: cuts}, pivots)
	Label("value")
	VBROADCASTSD(Mem{Base: values}, c.x)
	c.code(pivots, cuts, codes)
	ADDQ(Imm(8), values)
	INCQ(codes)
	DECQ(n)
	JNZ(LabelRef("value"))
	c.finish()
}

// coding finds the rank of the value x among the 127 cuts of a column, and
// notes whether it may be a missing one.
type coding struct{ x, magnitude, small, special VecVirtual }

func newCoding() coding {
	c := coding{ZMM(), ZMM(), ZMM(), ZMM()}
	Comment("Everything but the sign.")
	VPTERNLOGQ(U8(0xff), c.magnitude, c.magnitude, c.magnitude)
	VPSRLQ(Imm(1), c.magnitude, c.magnitude)
	small, _ := Param("small").Resolve()
	VBROADCASTSD(small.Addr, c.small)
	VPXORQ(c.special, c.special, c.special)
	return c
}

// code writes the code of x: first the blocks of 16 cuts that are below x are
// counted by their last cuts, then the cuts of the next block.
func (c coding) code(pivots Op, cuts, codes Register) {
	size, k0, k1, k2 := ZMM(), K(), K(), K()
	block, rank := GP32(), GP32()
	VPANDQ(c.magnitude, c.x, size)
	VCMPPD(notAbove, c.small, size, k0)
	VPORQ(c.magnitude, c.special, k0, c.special)
	VCMPPD(above, pivots, c.x, k1)
	KMOVW(k1, block)
	POPCNTL(block, block)
	SHLL(Imm(7), block)
	VCMPPD(above, Mem{Base: cuts, Index: block.As64(), Scale: 1, Disp: 64}, c.x, k1)
	VCMPPD(above, Mem{Base: cuts, Index: block.As64(), Scale: 1, Disp: 128}, c.x, k2)
	KUNPCKBW(k1, k2, k1)
	KMOVW(k1, rank)
	POPCNTL(rank, rank)
	SHRL(Imm(3), block)
	ADDL(block, rank)
	MOVB(rank.As8(), Mem{Base: codes})
}

func (c coding) finish() {
	k, out := K(), GP32()
	VPTESTMQ(c.special, c.special, k)
	KMOVW(k, out)
	Store(out.As16(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
