package table

import (
	"math"
	"slices"
	"testing"
)

func TestAsText(t *testing.T) {
	got := Floats("x", []float64{1, math.NaN(), 2.5, 1}).AsText()
	if got.Name != "x" || got.Type != String || !slices.Equal(got.Codes, []int32{0, -1, 1, 0}) || !slices.Equal(got.Dict, []string{"1", "2.5"}) {
		t.Errorf("%+v", got)
	}
	if texts := Strings("s", []string{"a"}); texts.AsText() != texts {
		t.Error("a String column is made anew")
	}
}

func TestAllMissing(t *testing.T) {
	for _, typ := range []Type{Float, Bool, String, Time} {
		c := AllMissing("c", typ, 3)
		if c.Type != typ || c.Len() != 3 || !c.Missing(0) || !c.Missing(2) {
			t.Errorf("%s: %+v", typ, c)
		}
	}
}
