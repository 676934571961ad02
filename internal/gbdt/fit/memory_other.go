//go:build !linux

package fit

func reserve[T uint8 | uint16 | uint64 | int64 | float64 | pair](n int) []T { return make([]T, n) }
