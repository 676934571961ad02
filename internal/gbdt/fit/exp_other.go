//go:build !amd64

package fit

func expInPlace(v []float64) { expNumbers(v) }
