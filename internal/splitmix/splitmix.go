// Package splitmix scatters numbers, for choices that look random and depend
// on nothing but a place and a seed.
package splitmix

// Mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
// pseudorandom number generators"), with its increment added first: a bijection
// of 64 bits in which every bit of the result depends on every bit of x.
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
