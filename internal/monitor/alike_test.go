package monitor

import "testing"

// TestPartner: a name is taken for another only if both are each other's
// nearest and nothing is as near.
func TestPartner(t *testing.T) {
	pairs := func(names ...string) (out []LevelPair) {
		for _, n := range names {
			out = append(out, LevelPair{Level: n})
		}
		return out
	}
	for name, c := range map[string]struct {
		old         string
		gone, fresh []LevelPair
		want        int
	}{
		"case":                    {"north", pairs("north"), pairs("NORTH"), 0},
		"punctuation":             {"minute.maid", pairs("minute.maid"), pairs("x", "Minute Maid"), 1},
		"a word more":             {"Tropicana 64", pairs("Tropicana 64", "Tropicana Premium 64"), pairs("TROPICANA PREMIUM 64 v2", "TROPICANA 64 v2"), 1},
		"a word more, the longer": {"Tropicana Premium 64", pairs("Tropicana 64", "Tropicana Premium 64"), pairs("TROPICANA PREMIUM 64 v2", "TROPICANA 64 v2"), 0},
		"a word less":             {"store 12", pairs("store 12"), pairs("12"), 0},
		"another number":          {"store 12", pairs("store 12"), pairs("store 13"), -1},
		"a part of a word":        {"male", pairs("male"), pairs("female"), -1},
		"words in another order":  {"a b", pairs("a b"), pairs("b a"), -1},
		"two are as near":         {"minute.maid", pairs("minute.maid"), pairs("minute", "maid"), -1},
		"another is nearer to it": {"orange", pairs("orange", "orange juice"), pairs("ORANGE JUICE"), -1},
		"two of one name":         {"a-b", pairs("a-b", "a b"), pairs("A B"), -1},
		"no letters":              {"??", pairs("??"), pairs("!!"), -1},
		"nothing is fresh":        {"a", pairs("a"), nil, -1},
	} {
		if got := partner(LevelPair{Level: c.old}, c.gone, c.fresh); got != c.want {
			t.Errorf("%s: %d, expected %d", name, got, c.want)
		}
	}
}
