package fit

import (
	"cmp"
	"slices"
)

// residual is a value with its weight.
type residual struct{ value, weight float64 }

// median returns the weighted median of v, which it reorders: the least value
// up to which lies more than half of the weight, or the middle between that
// and the value before when the half is reached exactly. Values without
// weight do not count, unless no value has any. v must not be empty.
func median(v []residual) float64 {
	slices.SortFunc(v, func(a, b residual) int { return cmp.Compare(a.value, b.value) })
	total := 0.0
	for _, r := range v {
		total += r.weight
	}
	if total == 0 {
		for i := range v {
			v[i].weight = 1
		}
		total = float64(len(v))
	}
	half, sum, last := total/2, 0.0, -1
	for i, r := range v {
		if r.weight == 0 {
			continue
		}
		if last >= 0 && sum >= half {
			return v[last].value + (r.value-v[last].value)/2
		}
		sum += r.weight
		if sum > half {
			return r.value
		}
		last = i
	}
	return v[last].value
}
