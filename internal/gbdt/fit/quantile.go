package fit

import (
	"cmp"
	"math"
	"slices"
)

// residual is a value with its weight.
type residual struct{ value, weight float64 }

// quantile returns the value below which a share α, within (0, 1), of v lies.
// It reorders v, which must not be empty.
//
// When all weights are 1, it lies between two values in proportion (type 7 of
// Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996). With other
// weights it is the least value up to which lies more than α of the weight,
// or the middle between that and the value before when α is reached exactly.
// Values without weight do not count, unless no value has any.
func quantile(v []residual, alpha float64) float64 {
	slices.SortFunc(v, func(a, b residual) int { return cmp.Compare(a.value, b.value) })
	total, ones := 0.0, true
	for _, r := range v {
		total += r.weight
		ones = ones && r.weight == 1
	}
	if ones || total == 0 {
		whole, part := math.Modf(float64(len(v)-1) * alpha)
		i := int(whole)
		if part == 0 {
			return v[i].value
		}
		return v[i].value + (v[i+1].value-v[i].value)*part
	}
	share, sum, last := total*alpha, 0.0, -1
	for i, r := range v {
		if r.weight == 0 {
			continue
		}
		if last >= 0 && sum >= share {
			return v[last].value + (r.value-v[last].value)/2
		}
		sum += r.weight
		if sum > share {
			return r.value
		}
		last = i
	}
	return v[last].value
}
