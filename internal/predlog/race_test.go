//go:build race

package predlog

// raceEnabled: sync.Pool then drops things at random, so allocations say
// nothing.
const raceEnabled = true
