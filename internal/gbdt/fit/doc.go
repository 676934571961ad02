// Package fit grows the trees of package gbdt: histogram-based, leaf-wise
// gradient boosting after LightGBM, with its parameters, its algorithm and,
// on the same data, its trees.
//
// # Boosting
//
// A model starts from the best constant and is then mended, tree by tree.
// With the scores so far, every row i has a gradient g and a hessian h, the
// first two derivatives of its loss by its score. A tree that adds the value
// v to all rows of a leaf changes the loss of the leaf by about
//
//	G·v + ½(H + λ)·v²        G = Σg, H = Σh over the leaf's rows
//
// which is least at v = −G/(H + λ), where it takes off ½·G²/(H + λ). So a
// split of a leaf into L and R gains
//
//	G_L²/(H_L + λ) + G_R²/(H_R + λ) − G²/(H + λ)
//
// (twice the loss; the factor is left out everywhere, as in LightGBM). The
// tree is grown by splitting, again and again, the leaf whose best split
// gains most, up to NumLeaves. Its values are multiplied by LearningRate and
// added to the scores. [objective] has the losses and their derivatives.
//
// # Bins
//
// To find the best split without sorting rows at every leaf, values are
// sorted once. [NewDataset] cuts each feature into at most MaxBin bins of
// about equal numbers of rows, with bounds halfway between values, a bin for
// zero and one for NaN; categories are ranked by count. From then on a value
// is one byte. A split can only fall between bins, so a leaf needs, for each
// feature, no more than the sums of g and h in every bin: its histogram. The
// best threshold is found by adding up bins from one end. To learn where
// missing values belong, it adds up from both ends: the bin of NaN stays on
// the side that is the rest.
//
// A category set is found in the same way once categories are sorted by
// G/(H + CatSmooth): for squared loss, the best of all 2^k sets is a prefix of
// that order (Fisher, On Grouping for Maximum Homogeneity, 1958).
//
// # What makes it fast
//
//   - Gradients and hessians are rounded to integers and packed into one word
//     a row ([packing]): a bin's sums are one addition away, and a histogram
//     takes half the memory. Roundings are drawn so that sums stay right on
//     average; how fine they are follows from the number of rows.
//   - Of two sisters only the smaller one's histogram is added up; the larger
//     one's is their parent's less that. Rows touched per level halve.
//   - All bins of a row lie behind one another, so that a row is fetched once,
//     and fetched ahead, from memory with large pages. Up to sixteen features
//     are added up at a time: their histograms fit into the nearest cache.
//   - Bins stand a second time by feature, where a split looks them up to
//     part its rows, with a table instead of a branch.
//   - A threshold is only divided for when it may beat the best so far, and
//     empty bins are passed over.
//   - Nothing is allocated while a tree grows but the tree.
//   - Goroutines share out rows (histograms, partition, gradients, scores) and
//     features (splits); see [crew].
//
// # What makes it exact
//
// The model is the same, byte for byte, for any number of threads and on
// every run. Sums of integers do not depend on their order. The outputs of
// leaves and nodes are computed from gradients that were not rounded, over
// blocks of rows of a fixed size that are joined in order; equal gains go to
// the feature that stands first. Random draws come from generators that
// belong to a block of rows or to the tree, seeded by [Params].
//
// LightGBM's trees come out: testdata/golden.py trains what the tests compare,
// split by split. Some things differ. Labels are float64 here and float32
// there. LightGBM adds up floating-point numbers, so where two splits part the
// rows alike, the last bit of a sum decides there and the order of thresholds
// here; and with many rows the rounding of gradients may prefer another of two
// splits that gain nearly the same. Weighted quantiles (mape, or regression_l1
// and quantile with weights) are the values at which the share is passed,
// where LightGBM takes the one before or extrapolates. Sampling by gradients
// (goss) draws other rows, which there depend on the number of threads.
//
// # Limits
//
// With n rows, the average gradient has about 31 − log₂(n) bits, and the
// average hessian as many: 11 with a million rows, 8 with sixteen million,
// however much greater the greatest are; where the hessian is the same for all
// rows the gradient has some twenty more. Rounding is right on average, and
// leaves are exact regardless. A table has at most 2²⁹ rows.
//
// # Use
//
//	p := fit.Defaults()
//	err := p.Set("num_leaves", "63")
//	result, err := fit.Train(ctx, train, valid, p, nil)
//
// or, for several models on windows of one table,
//
//	data, err := fit.NewDataset(table, p)
//	result, err := fit.TrainDataset(ctx, fit.View{Data: data, Rows: rows}, fit.View{}, p, nil)
//
// or, with a model at hand that is to learn from newer rows,
//
//	more, err := fit.Continue(ctx, model, newer, valid, p, nil)
//	same, err := fit.Refit(model, newer, p)
//
// In the second form bins come from the whole table, later rows included:
// bounds see features, never labels. A [Builder] makes a Dataset of a table
// that is too large for memory.
package fit
