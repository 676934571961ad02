package gbdt

// ImportanceKind says what [Model.Importance] adds up.
type ImportanceKind uint8

// The kinds.
const (
	BySplit ImportanceKind = iota // splits on the feature
	ByGain                        // their gains: how much they lowered the training loss
)

// Importance returns one number a feature: how much it was used in growing the
// trees, as LightGBM's feature_importance. Splits without gain do not count.
// Gains are rounded to float32 first, which is how LightGBM holds them. Both
// kinds favour features of many values and tell of the training rows alone.
func (m *Model) Importance(kind ImportanceKind) []float64 {
	out := make([]float64, len(m.FeatureNames))
	for i := range m.Trees {
		t := &m.Trees[i]
		for j, f := range t.Feature {
			switch gain := float64(float32(t.Gain[j])); {
			case !(gain > 0):
			case kind == ByGain:
				out[f] += gain
			default:
				out[f]++
			}
		}
	}
	return out
}
