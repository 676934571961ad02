package fit

import "math"

// random is LightGBM's linear congruential generator (utils/random.h), kept
// so that the same seeds draw the same rows and features.
type random struct{ x uint32 }

func newRandom(seed int) random { return random{uint32(seed)} }

func (r *random) next() uint32 {
	r.x = 214013*r.x + 2531011
	return r.x
}

// short draws from [0, n), n ≤ 32768.
func (r *random) short(n int) int { return int(r.next()>>16&0x7fff) % n }

// float draws from [0, 1) in steps of 2⁻¹⁵.
func (r *random) float() float64 { return float64(r.next()>>16&0x7fff) / 32768 }

// sample appends k of the numbers 0…n−1 to dst, ascending.
func (r *random) sample(dst []int, n, k int) []int {
	switch {
	case k > n || k <= 0:
		return dst
	case k == n:
		for i := range n {
			dst = append(dst, i)
		}
		return dst
	case k > 1 && float64(k) > float64(n)/math.Log2(float64(k)):
		got := 0
		for i := range n {
			if r.float() < float64(k-got)/float64(n-i) {
				dst = append(dst, i)
				got++
			}
		}
		return dst
	}
	chosen := make(map[int]bool, k)
	for i := n - k; i < n; i++ {
		v := int(r.next()&0x7fffffff) % (i + 1)
		if chosen[v] {
			v = i
		}
		chosen[v] = true
	}
	for i := range n {
		if chosen[i] {
			dst = append(dst, i)
		}
	}
	return dst
}

// bagBlock is the number of rows that share one generator.
const bagBlock = 1024

// bag draws which of n rows are in the next bag. LightGBM keeps one generator
// for each block of rows, so that threads can draw at once; so does this.
type bag struct {
	fraction   float64
	generators []random
}

func newBag(seed, n int, fraction float64) *bag {
	b := &bag{fraction: fraction, generators: make([]random, (n+bagBlock-1)/bagBlock)}
	for i := range b.generators {
		b.generators[i] = newRandom(seed + i)
	}
	return b
}

// draw splits rows (in their order) into those in the bag and the rest.
func (b *bag) draw(rows, in, out []int32) (bagged, rest []int32) {
	in, out = in[:0], out[:0]
	for i, row := range rows {
		if b.generators[i/bagBlock].float() < b.fraction {
			in = append(in, row)
		} else {
			out = append(out, row)
		}
	}
	return in, out
}
