package gbdt

import "testing"

// BenchmarkCategoryBlock codes a block of rows for a thousand nodes.
func BenchmarkCategoryBlock(b *testing.B) {
	const nodes, known = 1001, 90
	cc := categoryCoder{nodes: nodes, line: make([]uint32, 32*4), table: make([]uint8, (known+1)*nodes)}
	for v := range known {
		cc.line[v] = uint32((v + 1) * nodes)
	}
	codes, values := make([]uint8, nodes*blockRows), make([]float64, blockRows)
	for i := range values {
		values[i] = float64(i * 7 % known)
	}
	for b.Loop() {
		cc.block(codes, values)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/blockRows, "ns/row")
}
