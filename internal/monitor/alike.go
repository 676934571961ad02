package monitor

import (
	"math"
	"slices"
	"strings"
	"unicode"
)

// likeness is how far two names are from each other that may mean the same thing:
// 0 when their letters and digits are the same but for case, else the number of
// words that one has more, if all words of the other are among its own, in their
// order ("minute.maid" and "MINUTE MAID V2": 1). Other names are not alike.
func likeness(a, b string) (extra int, alike bool) {
	x, y := words(a), words(b)
	switch {
	case len(x) == 0 || len(y) == 0:
		return 0, false
	case strings.Join(x, "") == strings.Join(y, ""):
		return 0, true
	case within(x, y) || within(y, x):
		return max(len(x)-len(y), len(y)-len(x)), true
	}
	return 0, false
}

// words are the runs of letters and digits, in lower case.
func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// within reports whether few are among many, in their order.
func within(few, many []string) bool {
	for _, w := range few {
		i := slices.Index(many, w)
		if i < 0 {
			return false
		}
		many = many[i+1:]
	}
	return true
}

// nearest is the level whose name is nearest to name; −1 when none is alike, or
// two are as near.
func nearest(name string, levels []LevelPair) int {
	found, least := -1, math.MaxInt
	for i, l := range levels {
		switch d, alike := likeness(name, l.Level); {
		case alike && d < least:
			found, least = i, d
		case alike && d == least:
			found = -1
		}
	}
	return found
}

// partner is the level of fresh that is nearest to old by its name, if old is
// the nearest of gone to it, too; −1 when there is none.
func partner(old LevelPair, gone, fresh []LevelPair) int {
	k := nearest(old.Level, fresh)
	if k < 0 {
		return -1
	}
	if back := nearest(fresh[k].Level, gone); back < 0 || gone[back].Level != old.Level {
		return -1
	}
	return k
}
