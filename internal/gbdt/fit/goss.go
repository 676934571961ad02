package fit

import (
	"math"
	"slices"
)

// goss draws rows by the size of their gradients (gradient-based one-side
// sampling; Ke et al., LightGBM, 2017): all rows of the greatest, and of the
// others a random sample whose gradients are raised so that sums stay right
// on average.
type goss struct {
	top, other float64 // shares of the rows
	random     random
	sizes      []float32
	counts     []int32
}

func newGoss(p *Params, seed, rows int) *goss {
	return &goss{top: p.TopRate, other: p.OtherRate, random: newRandom(seed), sizes: make([]float32, rows), counts: make([]int32, 1<<16)}
}

// draw splits rows (in their order) into those of the next tree and the rest.
// The gradients of sampled rows are raised in place.
func (s *goss) draw(rows []int32, grad [][]pair, in, out []int32) (drawn, rest []int32) {
	n := len(rows)
	sizes := s.sizes[:n]
	for i, r := range rows {
		sizes[i] = 0
		for _, g := range grad {
			sizes[i] += float32(math.Abs(float64(g[r].g * g[r].h)))
		}
	}
	top := max(int(float64(n)*s.top), 1)
	other := max(int(float64(n)*s.other), 1)
	least := s.nth(sizes, top)
	raise := float32(float64(n-top) / float64(other))
	in, out = in[:0], out[:0]
	greatest, sampled := 0, 0
	for i, r := range rows {
		if sizes[i] >= least {
			in = append(in, r)
			greatest++
			continue
		}
		// Of the rows to come, those of great gradients are not drawn from.
		left := n - i - max(top-greatest, 0)
		if s.random.float()*float64(left) >= float64(other-sampled) {
			out = append(out, r)
			continue
		}
		in = append(in, r)
		sampled++
		for _, g := range grad {
			g[r].g *= raise
			g[r].h *= raise
		}
	}
	return in, out
}

// nth is the k-th greatest of sizes, k from 1. Numbers that are not negative
// sort as their bits do: the upper half of the bits finds the neighbourhood.
func (s *goss) nth(sizes []float32, k int) float32 {
	clear(s.counts)
	for _, x := range sizes {
		s.counts[math.Float32bits(x)>>16]++
	}
	at := len(s.counts) - 1
	for ; k > int(s.counts[at]); at-- {
		k -= int(s.counts[at])
	}
	var near []float32
	for _, x := range sizes {
		if int(math.Float32bits(x)>>16) == at {
			near = append(near, x)
		}
	}
	slices.Sort(near)
	return near[len(near)-k]
}
