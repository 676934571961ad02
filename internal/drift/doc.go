// Package drift compares two samples of a column, the reference and the
// current one, and says whether they differ by more than chance, since when,
// and how sure that is.
//
// It is pure: numbers in, numbers out, no I/O, no clock; what is drawn at random
// is drawn from a seed.
//
// # Counts
//
// A sample is read once and in parts of any size: [CountNumbers] and
// [CountLevels] put every row into one of some hundred cells (quantiles and
// heavy values of the reference, or levels) and one of some thousand [Steps] of
// time or of rows. These counts have the same size for ten rows and for a
// billion, and all that follows is made from them.
//
// # Distances and tests
//
// Distances ([PSI], [JensenShannon], [Hellinger], [TotalVariation],
// [LInfinity], [KS], [Wasserstein]) say how far apart two samples are. They
// are what people know and are reported, but no verdict hangs on them: with
// few rows or many levels they are great by chance, with many rows they miss
// what matters.
//
// The verdict is one p-value a column. [CompareNumbers] and [CompareLevels] test
// the counts:
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
// they are larger, the column is restless: its score is divided by their root
// mean square and referred to Student's t, and [Comparison.Calibrate] sets the
// p-value by resamples of the reference in blocks. [EffectiveColumns] looks at
// the resamples of all columns at once.
//
// Where days of the week, hours of the day or months of the year differ in the
// reference (analysis of variance, [Comparison.Seasons]), like is compared
// with like: the reference's strata are weighted as the current rows are spread
// over them, and windows likewise.
//
// # Since when
//
// [Comparison.ChangePoint] dates the change within the current sample.
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
// [Holm] bounds the p-values of all columns together and keeps the chance of
// any false alarm at a level; [Budget.Level] makes that level from a number of
// false alarms a year. The caller also asks for a number of rows
// ([DefaultMinRows]) and for a change that is worth a message
// ([DefaultMinEffect]), because with a million rows everything is significant.
//
// # Other statistics
//
// What the field knows besides is here for those who ask for it:
// [CramerVonMises], [AndersonDarling], [EppsSingleton], [EnergyDistance],
// [MMD], [KullbackLeibler], [GTest], [MannWhitney], [Mood], [BrownForsythe],
// [WelchT], [StudentT], [ProportionZ], [FisherExact], [QuantileShift].
// Package domain, below, compares all columns at once.
package drift
