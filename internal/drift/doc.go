// Package drift compares two samples of a column, the reference and the
// current one, and says whether they differ by more than chance.
//
// It is pure: slices in, numbers out, no I/O, no clock, no randomness.
//
// # Distances and tests
//
// Distances ([PSI], [JensenShannon], [Hellinger], [TotalVariation],
// [LInfinity], [KS], [Wasserstein]) say how far apart two samples are. They
// are what people know and are reported, but no verdict hangs on them: with
// few rows or many levels they are great by chance, with many rows they miss
// what matters.
//
// The verdict is one p-value a column. [Numbers] and [Levels] put every row
// into one of at most 251 cells (quantiles and heavy values of the reference,
// or levels) and test the counts:
//
//	numbers   location   mean rank in the reference (Wilcoxon)
//	          spread     mean squared distance of that rank from the middle (Mood)
//	          shape      greatest distance of the distribution functions (Kolmogorov–Smirnov)
//	          spike      the cell whose share changed most (Šidák over cells)
//	levels    mix        χ² of homogeneity, sparse levels pooled
//	          spike      the level whose share changed most
//	          unseen     levels that the reference does not hold (Good–Turing)
//	both      missing    the rate of missing values
//
// The least p-value times the number of tests (Bonferroni) is the column's.
//
// # Rows that are not independent
//
// Rows of one day are alike, and a test that takes them for independent finds
// drift every day. The order of rows tells how much a column moves by itself:
// windows of the reference, and of the current sample, are scored against the
// rest of their own sample by the same tests. Where these scores are no larger
// than independent rows would give, the test is as sharp as it can be. Where
// they are larger, the column's score is divided by their root mean square and
// referred to Student's t on as many degrees of freedom as there are windows,
// less a reserve. Samples must therefore be given in the order of time; the
// distances do not depend on it.
//
// # Missing values and other edges
//
// NaN, or code −1, is a missing value. It takes no part in distances and in
// the tests of the present values, and is counted by the test of missing
// values, so a feed that died is drift. Infinities are values like others, but
// moments leave them out. An empty sample has p-value 1 and distances that are
// NaN; a constant is a distribution like any other.
//
// # From p-values to a verdict
//
// A [Rule] bounds the p-values of all columns together. [Holm] keeps the chance
// of any false alarm at a level; [Budget] makes that level from a number of
// false alarms a year; a rule of learnt thresholds can take their place. The
// caller also asks for a number of rows ([DefaultMinRows]) and for a change
// that is worth a message ([DefaultMinEffect]), because with a million rows
// everything is significant.
package drift
