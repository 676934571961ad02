package fit

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a large page of memory.
const hugePage = 2 << 20

// reserve is make, with large pages where the system has them. Rows of a leaf
// are read from all over a table; with small pages the processor would look
// up most of their addresses in memory first.
func reserve[T uint8 | uint16 | uint64 | int64 | float64 | pair](n int) []T {
	v := make([]T, n)
	size := uintptr(n) * unsafe.Sizeof(*new(T))
	if size < 2*hugePage {
		return v
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	skip := (hugePage - start%hugePage) % hugePage
	whole := (size - skip) / hugePage * hugePage
	b := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(v)), skip)), whole)
	// Advice: a system that does not take it works as it did.
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	return v
}
