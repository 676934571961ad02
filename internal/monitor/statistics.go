package monitor

import (
	"math"

	"github.com/healml/healml/internal/present"
)

// A statistic is one number of a column with what it means in one line.
type statistic struct {
	ID, Name, Meaning string
	value             func(c *Column) string
	Format            int // of reports, the first that has it
}

// statistics lists the numbers of a column in the order in which a reader
// needs them. Each value is "–" where it does not apply.
func statistics() []statistic {
	plain := func(of func(*Column) Number) func(*Column) string {
		return func(c *Column) string { return known(present.Small)(of(c)) }
	}
	share := func(of func(*Column) Number) func(*Column) string {
		return func(c *Column) string { return present.Percent(float64(of(c))) }
	}
	pair := func(of func(*Column) *Pair) func(*Column) string {
		return func(c *Column) string {
			if p := of(c); p != nil && !(math.IsNaN(float64(p.Then)) && math.IsNaN(float64(p.Now))) {
				return present.Short(float64(p.Then)) + " → " + present.Short(float64(p.Now))
			}
			return "–"
		}
	}
	return []statistic{
		{"p", "p-value", "How often the reference itself would look this different. Drift is at or below the bound.", func(c *Column) string { return chance(c.P) }, 1},
		{"bound", "bound of p", "What the p-value is held against: the budget of false alarms, shared out over all columns.", func(c *Column) string { return chance(c.Threshold) }, 1},
		{"effect", "effect", "The greatest change, as a share of the rows. Below the least effect that counts, nothing is called drift.", share(func(c *Column) Number { return c.Effect }), 1},
		{"psi", "PSI", "Population stability index over ten cells of the reference. By habit: below 0.1 little, above 0.25 much.", plain(func(c *Column) Number { return c.PSI }), 1},
		{"js", "Jensen–Shannon", "Distance of the two distributions, 0 when equal and 1 when they share nothing.", plain(func(c *Column) Number { return c.JS }), 1},
		{"hellinger", "Hellinger", "Another distance from 0 to 1, which weighs rare values more.", plain(func(c *Column) Number { return c.Hellinger }), 1},
		{"tv", "total variation", "The share of rows that would have to take another value to undo the change.", share(func(c *Column) Number { return c.TotalVariation }), 1},
		{"linf", "L∞", "The greatest change of the share of any one cell or level.", share(func(c *Column) Number { return c.LInfinity }), 1},
		{"ks", "KS", "Kolmogorov–Smirnov: the greatest gap between the two cumulative curves, 0 to 1.", plain(func(c *Column) Number { return c.KS }), 1},
		{"wasserstein", "Wasserstein", "How far values moved on average, in standard deviations of the reference.", plain(func(c *Column) Number { return c.Wasserstein }), 1},
		{"cvm", "Cramér–von Mises", "Squared gap between the cumulative curves, over all values: sees small, broad changes.", plain(func(c *Column) Number { return c.CramerVonMises }), 2},
		{"energy", "energy distance", "Distance of values between the samples less that within them, on samples of rows, with a standard deviation of 1.", plain(func(c *Column) Number { return c.Energy }), 2},
		{"mmd", "MMD", "Maximum mean discrepancy: distance of the samples under a kernel, on samples of rows.", plain(func(c *Column) Number { return c.MMD }), 2},
		{"chi2", "χ²", "Pearson's statistic over levels: squared differences from what the reference lets expect.", plain(func(c *Column) Number { return c.ChiSquare }), 1},
		{"missing", "missing", "Rate of missing values, reference → now.", func(c *Column) string { return rates(c.Missing) }, 1},
		{"unseen", "unseen", "Share of rows with a level that the reference does not hold.", share(func(c *Column) Number { return c.Unseen }), 1},
		{"mean", "mean", "Mean of the values, reference → now.", pair(func(c *Column) *Pair { return c.Mean }), 1},
		{"std", "standard deviation", "Spread of the values, reference → now.", pair(func(c *Column) *Pair { return c.Std }), 1},
	}
}

// terms are the words of the page that are no numbers of a column.
func terms() []statistic {
	return []statistic{
		{ID: "reference", Name: "reference", Meaning: "The rows that the model learnt from, or the older of two files: what is usual."},
		{ID: "window", Name: "window", Meaning: "The span of the current rows, which are held against the reference."},
		{ID: "drift", Name: "drift", Meaning: "A change greater than the column makes by itself, and great enough to count."},
		{ID: "fault", Name: "data fault", Meaning: "A change that looks like a broken feed: a unit, a name or a type changed, values gone or stuck. It wants mending, no new model."},
		{ID: "since", Name: "since", Meaning: "When the change began. With some 95 % it lies within the interval that is given."},
		{ID: "inflation", Name: "inflation", Meaning: "How much more a column moves from window to window than independent rows would. Scores are divided by it."},
		{ID: "auc", Name: "AUC", Meaning: "How well a classifier tells current rows from the reference: 0.5 not at all, 1 always."},
		{ID: "estimate", Name: "estimate", Meaning: "The metric to be expected on rows whose truth is not known yet."},
	}
}

// chance is a p-value, – for none.
func chance(n Number) string {
	if math.IsNaN(float64(n)) {
		return "–"
	}
	return present.Probability(float64(n))
}

func rates(p Pair) string {
	if math.IsNaN(float64(p.Then)) && math.IsNaN(float64(p.Now)) {
		return "–"
	}
	return present.Percent(float64(p.Then)) + " → " + present.Percent(float64(p.Now))
}
