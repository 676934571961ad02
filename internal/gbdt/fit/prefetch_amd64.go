package fit

import "unsafe"

// prefetchRows asks for the memory of rows, each of size bytes, without
// waiting for it. base is row 0; rows must be inside the table.
//
//go:noescape
func prefetchRows(base unsafe.Pointer, size uintptr, rows *int32, n int)
