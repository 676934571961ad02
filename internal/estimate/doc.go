// Package estimate says how well a model does on rows whose truth is not known
// yet, and how much its error moves by itself.
//
// An [Estimator] is made once, of the holdout's labels and predictions, and
// travels with the version (docs/format/estimator.md). It is pure data: slices
// in, numbers out, no I/O, no clock; [Fit] draws no random numbers.
//
// # What is expected
//
// Every metric is treated as a mean of losses a row ([Losses]); the area under
// the ROC curve, too, by its placement values (DeLong, DeLong & Clarke-Pearson
// 1988).
//
// For classes the loss of a row is expected from its own probabilities, once
// these are calibrated on the holdout by isotonic regression, or, where curves
// of either half do not make the other better, times the factor that makes the
// holdout come out right ([Confidence]; the idea is NannyML's CBPE). For numbers a small model of trees learns on the
// holdout how great the loss of a row is, from the features and the prediction
// ([ErrorModel]; NannyML's DLE). Both hold under covariate shift: rows move,
// while what a row like this leads to stays. A changed concept is not seen.
//
// # How sure it is
//
// The interval is for the metric that the very same rows will show. Its
// variance has two parts:
//
//   - what blocks of the holdout, as long as the window, missed by: truth less
//     an estimate that did not learn from the block (cross-fitting), so that
//     noise, days that are alike, and faults of the estimator all count
//     ([Steps.Spread]);
//   - how far the estimate of the current rows moves when a stretch of the
//     holdout is left out of the fit: the delete-a-group jackknife (Kott 2001),
//     which grows where the holdout had few rows like these.
//
// The ends follow Student's t on Satterthwaite's (1946) degrees of freedom.
package estimate
