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
//   - Of two sisters only the smaller one's histogram is added up; the larger
//     one's is their parent's less that. Rows touched per level halve.
//   - The bins of up to eight features lie in one 64-bit word a row, so that
//     a row is fetched once for eight histograms, and eight histograms fit
//     into the nearest cache.
//   - Rows of a leaf lie behind one another; a split partitions them in place
//     with a table lookup instead of a branch.
//   - Nothing is allocated while a tree grows but the tree.
//   - Goroutines share out groups of features (histograms and splits) and
//     blocks of rows (gradients, partition, scores); see [crew].
//
// # What makes it exact
//
// The model is the same, byte for byte, for any number of threads and on
// every run. Each bin is summed by one goroutine in row order; sums over rows
// are taken over blocks of a fixed size and joined in order; equal gains go
// to the feature that stands first. Random draws come from generators that
// belong to a block of rows or to the tree, seeded by [Params].
//
// With one thread LightGBM, too, adds in row order, so its trees come out:
// testdata/golden.py trains what the tests compare, split by split. Three
// things differ. Labels are float64 here and float32 there. LightGBM does not
// store the most frequent bin but takes it from the total, so the last bit of
// a sum may differ, and with it a tie. And weighted medians (regression_l1
// with weights) are medians here, where LightGBM extrapolates.
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
// where bins come from the whole table, later rows included: bounds see
// features, never labels. A [Builder] makes the same of a table that is too
// large for memory.
package fit
