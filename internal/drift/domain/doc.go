// Package domain finds drift that no single column shows: changes in how
// columns go together.
//
// It is pure: slices in, numbers out, no I/O, no clock, randomness from a seed,
// and the same result for any number of threads.
//
// # A classifier tells the samples apart
//
// [Classify] trains small gradient-boosted trees to tell the current rows from
// the reference (classifier two-sample test: Lopez-Paz and Oquab, Revisiting
// classifier two-sample tests, 2017). If that works on rows that the trees
// have not seen, the samples differ. How well it works is the area under the
// ROC curve, [Result.AUC]; where it is told from is [Result.Columns], by how
// much of the area is lost when a column is shuffled (Breiman 2001).
//
// Rows of a step (a day) are alike, and with some of them on either side every
// classifier would do well. So each sample is cut into up to twelve segments of
// whole steps, dealt out to up to six parts. A third of the parts is only
// learnt from. Each later part is judged by trees grown on all parts before
// it, then joins them. This is not cross-validation, whose folds learn from one
// another: there the area varies about √2 times as much as its formula says.
// Here a part's area has mean ½ without drift, given all parts before, and so
// the weighted sum of the parts is a martingale whose variance is known
// (prequential testing; Podkopaev and Ramdas, Sequential predictive two-sample
// and independence testing, 2023): with the Mann–Whitney variance of each part,
// corrected for ties, it gives z, standard normal when rows are independent.
//
// # Two views
//
// One classifier sees the values of all columns. Another sees, of columns of
// numbers that hardly ever repeat, the ranks within the step. Ranks are
// uniform in every step, whatever a day does to a column's level, spread or
// shape, so that only the copula is left, and days that differ in nothing
// else are no noise: on restless columns a changed correlation of which the
// first classifier sees nothing is plain to the second. With two such columns
// or more, the lesser p-value counts, times two (Bonferroni), and the result
// is that classifier's; [Result.Within] says which.
//
// # Rows that are not independent
//
// The same is done with stretches of the reference against its rest: 6 to 16
// of them, of the current sample's length or, when the reference is short, of
// a sixth of the reference, overlapping by half at most. Where the squares of
// their scores z are no greater than independent rows allow (χ², at the 80 %
// point), p is the normal tail of the current score. Where they are greater, the current
// score, less the stretches' mean, over their standard deviation and √(1+1/K),
// is referred to Student's t: a prediction interval for one more stretch. K is
// the stretches' number, overlapping ones counting a third (Welch, The use of
// fast Fourier transform for the estimation of power spectra, 1967), the
// degrees of freedom are K − 1, a mean below 0 and a deviation below 1 are not
// believed, and both are made up to √2 times greater when the current sample
// is longer than a stretch. Besides, p is no less than one in as many
// stretches as fit, and one more, unless the score is 1.5 times the greatest of theirs.
// All p-values are one-sided: an area below ½ is no drift.
//
// The interval of the area is DeLong's (1988) on the log odds, widened by the
// same factors, but not for the trees that other rows would have grown.
//
// # Pairs of columns
//
// [Dependence] measures how each two columns go together in both samples:
//
//	numbers, numbers   spearman           ρ of ranks, compared as artanh ρ
//	levels, levels     cramers_v          V with Bergsma's (2013) correction, compared as V²
//	numbers, levels    correlation_ratio  ε of ranks (Kelley 1935), compared as ε²
//
// Ranks are within the sample, so that a change of unit, or a column that
// moved, is no change of a pair. The standard error of the change is the
// jackknife's over up to twelve groups of neighbouring whole steps a sample
// (Künsch 1989), and no less than independent rows would have; Student's t has
// Welch's degrees of freedom. The p-values are Holm's over all pairs.
//
// # Edges
//
// Both look at up to [MaxColumns] columns: of more, at those that have most
// rows that are present and not of the most frequent value, in the sample
// where they have more; of equal ones the first. Columns that are one constant
// in both samples are left out. Beyond a number of rows they draw, evenly over
// time. A missing value is a value to the first classifier, and is left out
// elsewhere; a level is one of the 31 most frequent or else one more to a pair.
// With less than two steps in either sample, or no column left, there is
// nothing to compare: numbers are NaN and p-values 1. When not even three
// stretches fit into the reference, it has an area, but p-value 1.
package domain
