package gbdt

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestImportanceAsLightGBM(t *testing.T) {
	b, err := os.ReadFile("testdata/shap/importance.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct{ Split, Gain []float64 }
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for _, path := range ownModels(t) {
		m, w := readModel(t, path), want[filepath.Base(path)]
		if got := m.Importance(BySplit); !slices.Equal(got, w.Split) {
			t.Errorf("%s: splits %v, expected %v", path, got, w.Split)
		}
		if got := m.Importance(ByGain); !slices.Equal(got, w.Gain) {
			t.Errorf("%s: gains %v, expected %v", path, got, w.Gain)
		}
	}
}

func TestImportancePassesOverNoGain(t *testing.T) {
	m := readModel(t, "testdata/regression.txt")
	before := m.Importance(BySplit)
	for i, g := range []float64{0, -1, math.NaN()} {
		before[m.Trees[0].Feature[i]]--
		m.Trees[0].Gain[i] = g
	}
	if got := m.Importance(BySplit); !slices.Equal(got, before) {
		t.Errorf("splits %v, expected %v", got, before)
	}
	for _, g := range m.Importance(ByGain) {
		if math.IsNaN(g) {
			t.Error("a gain of NaN was counted")
		}
	}
}
