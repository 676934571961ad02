package model

import "github.com/healml/healml/internal/gbdt"

// GainShares are the parts of the gain of all splits that the raw columns have;
// they add up to 1, or to 0 when the model splits nowhere.
func (m *Model) GainShares() map[string]float64 {
	out := map[string]float64{}
	gain, total := m.Trees.Importance(gbdt.ByGain), 0.0
	for _, g := range gain {
		total += g
	}
	for i, f := range m.Template.Features {
		if total > 0 {
			out[f.Source] += gain[i] / total
		}
	}
	return out
}
