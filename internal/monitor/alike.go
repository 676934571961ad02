package monitor

import (
	"slices"
	"strings"
	"unicode"
)

// alike reports whether two names may mean the same thing: their letters and
// digits are the same but for case, or all words of one are among those of the
// other, in their order ("minute.maid" and "MINUTE MAID V2").
func alike(a, b string) bool {
	x, y := words(a), words(b)
	if len(x) == 0 || len(y) == 0 {
		return false
	}
	return strings.Join(x, "") == strings.Join(y, "") || within(x, y) || within(y, x)
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

// partner is the one level of fresh whose name is like that of old, if old is
// the only one of gone whose name is like it; −1 when there is none.
func partner(old LevelPair, gone, fresh []LevelPair) int {
	found := -1
	for i, l := range fresh {
		if !alike(old.Level, l.Level) {
			continue
		}
		others := slices.ContainsFunc(gone, func(g LevelPair) bool { return g.Level != old.Level && alike(g.Level, l.Level) })
		if found >= 0 || others {
			return -1
		}
		found = i
	}
	return found
}
