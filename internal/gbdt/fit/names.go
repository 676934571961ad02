package fit

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// fields maps the canonical name of a parameter to the index of its field.
var fields = func() map[string]int {
	m := map[string]int{}
	t := reflect.TypeFor[Params]()
	for i := range t.NumField() {
		m[t.Field(i).Tag.Get("lgb")] = i
	}
	return m
}()

// aliases are LightGBM's other names for the parameters known here.
var aliases = map[string][]string{
	"objective":                   {"objective_type", "app", "application", "loss"},
	"boosting":                    {"boosting_type", "boost"},
	"num_iterations":              {"num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds", "nrounds", "num_boost_round", "n_estimators", "max_iter"},
	"learning_rate":               {"shrinkage_rate", "eta"},
	"num_leaves":                  {"num_leaf", "max_leaves", "max_leaf", "max_leaf_nodes"},
	"tree_learner":                {"tree", "tree_type", "tree_learner_type"},
	"num_threads":                 {"num_thread", "nthread", "nthreads", "n_jobs"},
	"device_type":                 {"device"},
	"seed":                        {"random_seed", "random_state"},
	"min_data_in_leaf":            {"min_data_per_leaf", "min_data", "min_child_samples", "min_samples_leaf"},
	"min_sum_hessian_in_leaf":     {"min_sum_hessian_per_leaf", "min_sum_hessian", "min_hessian", "min_child_weight"},
	"bagging_fraction":            {"sub_row", "subsample", "bagging"},
	"bagging_freq":                {"subsample_freq"},
	"bagging_seed":                {"bagging_fraction_seed"},
	"feature_fraction":            {"sub_feature", "colsample_bytree"},
	"early_stopping_round":        {"early_stopping_rounds", "early_stopping", "n_iter_no_change"},
	"lambda_l1":                   {"reg_alpha", "l1_regularization"},
	"lambda_l2":                   {"reg_lambda", "lambda", "l2_regularization"},
	"max_delta_step":              {"max_tree_output", "max_leaf_output"},
	"min_gain_to_split":           {"min_split_gain"},
	"verbosity":                   {"verbose"},
	"monotone_constraints":        {"mc", "monotone_constraint", "monotonic_cst"},
	"monotone_constraints_method": {"monotone_constraining_method", "mc_method"},
	"max_bin":                     {"max_bins"},
	"bin_construct_sample_cnt":    {"subsample_for_bin"},
	"data_random_seed":            {"data_seed"},
	"num_class":                   {"num_classes"},
	"is_unbalance":                {"unbalance", "unbalanced_sets"},
}

// neutral parameters change nothing here; a list names the values that do.
var neutral = map[string][]string{
	"tree_learner":                {"serial"},
	"device_type":                 {"cpu"},
	"linear_tree":                 {"false", "0"},
	"extra_trees":                 {"false", "0"},
	"use_quantized_grad":          {"false", "0"},
	"zero_as_missing":             {"false", "0"},
	"monotone_constraints_method": {"basic"},
	"verbosity":                   nil,
	"deterministic":               nil,
	"force_col_wise":              nil,
	"force_row_wise":              nil,
	"histogram_pool_size":         nil,
	"is_enable_sparse":            nil,
	"enable_bundle":               nil,
}

// unsupported are LightGBM's parameters that change a model and that this
// trainer does not have.
var unsupported = []string{
	"bagging_by_query", "cegb_penalty_feature_coupled", "cegb_penalty_feature_lazy", "cegb_penalty_split",
	"cegb_tradeoff", "drop_rate", "drop_seed", "extra_seed", "feature_contri", "feature_fraction_bynode",
	"first_metric_only", "forcedbins_filename", "forcedsplits_filename", "interaction_constraints", "lambdarank_norm",
	"lambdarank_truncation_level", "linear_lambda", "max_bin_by_feature", "max_drop", "metric",
	"monotone_penalty", "neg_bagging_fraction",
	"num_grad_quant_bins", "path_smooth", "pos_bagging_fraction", "quant_train_renew_leaf",
	"skip_drop", "stochastic_rounding", "top_k", "tweedie_variance_power",
	"uniform_drop", "xgboost_dart_mode", "categorical_feature", "weight_column", "label_column",
}

var canonical = func() map[string]string {
	m := map[string]string{}
	for name, others := range aliases {
		for _, a := range others {
			m[a] = name
		}
	}
	return m
}()

// Canonical returns the name that an alias stands for, or the key itself in
// lower case with underscores for dashes.
func Canonical(key string) string {
	key = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(key)), "-", "_")
	return cmp.Or(canonical[key], key)
}

// near lists the up to three names that are fewest edits away from key, and
// no more than half its length.
func near(key string) []string {
	type candidate struct {
		name string
		edit int
	}
	var all []candidate
	add := func(name string) {
		if d := edits(key, name); d <= max(2, len(key)/3) {
			all = append(all, candidate{name, d})
		}
	}
	for name := range fields {
		add(name)
	}
	for a := range canonical {
		add(a)
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.edit, b.edit), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, c := range all[:min(3, len(all))] {
		out = append(out, c.name)
	}
	return out
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
