// Package gbdt holds ensembles of decision trees: what they are, how they
// predict, and how they are written down in LightGBM's text format.
//
// # The model
//
// A [Model] is a list of binary trees over F numbered features. Every tree
// sends a row down to one of its leaves and answers the value stored there;
// the values of the trees, added up, are the raw score. A model with k
// outputs (one a class) grows k trees an iteration, and tree i belongs to
// output i mod k. The objective says how a raw score becomes a prediction: a
// logistic function for "binary", a softmax for "multiclass", exp for
// "poisson", nothing for "regression"; [Objective] has the whole list.
//
// # A tree in arrays
//
// A [Tree] with n leaves has n−1 inner nodes, held in parallel arrays. A
// child c ≥ 0 is inner node c, a child c < 0 is leaf ^c:
//
//	feature    0     2               f0 ≤ 1.5 ?
//	threshold  1.5   7              /          \
//	left      ^0    ^1           leaf 0      f2 ≤ 7 ?
//	right      1    ^2                      /        \
//	leaf value 0.1  −0.3  0.2            leaf 1    leaf 2
//
// The decision byte of a node tells the kind of its test. Bit 0: the split is
// on a category set; bit 1: missing values go left; bits 2 and 3: what counts
// as missing (0 nothing, 1 zero and NaN, 2 NaN).
//
//   - A number goes left when it is ≤ threshold. Where nothing counts as
//     missing, NaN is read as 0. Where zero counts as missing, so does every
//     number within ±1e-35.
//   - A category is a whole number. Its set is a bit set: threshold holds the
//     set's index c, whose words are CatThreshold[CatBoundaries[c]:
//     CatBoundaries[c+1]]. Members go left; everything else, NaN, negative
//     and never seen numbers included, goes right.
//
// # Storing and predicting are apart
//
// Model and Tree are what is stored: plain slices, easy to check
// ([Model.Validate]) and to write ([Model.WriteText]). A [Predictor] is made
// once from a valid model; it allocates nothing for a row and serves any number
// of goroutines. It adds the leaves in tree order, so raw scores are those of
// LightGBM to the last bit, one row at a time or in batches.
//
// A row is first turned into bytes: a number into its rank among the model's
// thresholds for that feature, a category into its answers to the model's
// sets. Nothing is lost by that, and a node is then one comparison of bytes.
// What follows depends on the model and on the machine:
//
//   - Trees of up to 256 leaves need no walk: all nodes are looked at, parents
//     first, and each moves the leftmost leaf that is still possible (after
//     QuickScorer, Lucchese et al., SIGIR 2015). With AVX-512 one row meets 64
//     trees at once, and in a batch 256 rows meet one tree. One row of a model
//     with more than 256 byte columns (many category nodes) is walked instead.
//   - Without AVX-512, and with larger trees, four trees are walked at a time,
//     without branches. In batches of trees of up to 32 leaves eight rows share
//     a 64-bit word.
//   - A model whose category tables would pass 4 MiB, or that has more than
//     65,536 byte columns or leaves in a tree, keeps its nodes as they are and
//     is walked tree by tree. That layout is what the others are tested
//     against.
//
// The AVX-512 kernels are written by the program in asm; each has a twin in Go
// that is tested against it.
//
// An [Explainer] is made in the same way and says what each feature adds to a
// raw score, by TreeSHAP; [Model.Importance] sums up the trees as a whole.
//
// # The text format
//
// [ReadText] reads files of LightGBM versions 2 to 4 whose leaves are
// constants: gbdt, dart and random forest models, with categories and any
// missing rule. [Model.WriteText] writes version 4, which LightGBM 4 loads
// and predicts with to the bit. Reading trusts nothing: sizes come from the
// text at hand, never from a number that it declares, and what cannot be a
// tree is a [FormatError] with its line.
package gbdt
