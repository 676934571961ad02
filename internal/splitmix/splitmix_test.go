package splitmix_test

import (
	"testing"

	"github.com/healml/healml/internal/splitmix"
)

// TestMix: the first numbers that Vigna's splitmix64.c gives for the seed
// 1234567, whose state grows by the increment each time.
func TestMix(t *testing.T) {
	state := uint64(1234567)
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		if got := splitmix.Mix(state); got != want {
			t.Errorf("number %d is %d, expected %d", i, got, want)
		}
		state += 0x9e3779b97f4a7c15
	}
}
