package fit

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/gbdt"
)

// Params are the training parameters. Fields carry LightGBM's names and
// meanings; [Defaults] has its defaults. The tag of a field is the name that
// [Params.Set] and the model file know it by.
type Params struct {
	// Boosting is gbdt or rf, a random forest: trees on bags of rows, none of
	// which knows of the others, averaged.
	Boosting string `lgb:"boosting"`
	// Objective is what is minimised, one of [Objectives].
	Objective string `lgb:"objective"`
	// NumClass is the number of classes of multiclass, 1 for the rest.
	NumClass int `lgb:"num_class"`

	NumIterations int     `lgb:"num_iterations"` // boosting rounds, at least 1
	LearningRate  float64 `lgb:"learning_rate"`  // factor of every tree, above 0
	NumLeaves     int     `lgb:"num_leaves"`     // most leaves of a tree, 2 to 65536
	MaxDepth      int     `lgb:"max_depth"`      // most splits above a leaf; 0 and below: no limit

	MinDataInLeaf       int     `lgb:"min_data_in_leaf"`        // least rows in a leaf
	MinSumHessianInLeaf float64 `lgb:"min_sum_hessian_in_leaf"` // least sum of hessians in a leaf
	LambdaL1            float64 `lgb:"lambda_l1"`               // soft threshold of gradient sums
	LambdaL2            float64 `lgb:"lambda_l2"`               // added to hessian sums
	MinGainToSplit      float64 `lgb:"min_gain_to_split"`       // least gain of a split
	MaxDeltaStep        float64 `lgb:"max_delta_step"`          // most output of a leaf before the learning rate; 0: no limit

	FeatureFraction float64 `lgb:"feature_fraction"` // share of features drawn for a tree, in (0, 1]
	BaggingFraction float64 `lgb:"bagging_fraction"` // share of rows in a bag, in (0, 1]
	BaggingFreq     int     `lgb:"bagging_freq"`     // rounds between two draws of the bag; 0: no bagging
	// DataSampleStrategy is bagging, or goss: the rows of the greatest
	// gradients and a sample of the others (Ke et al., LightGBM, 2017), from
	// round 1/LearningRate on.
	DataSampleStrategy string  `lgb:"data_sample_strategy"`
	TopRate            float64 `lgb:"top_rate"`   // goss: share of rows of great gradients, in [0, 1]
	OtherRate          float64 `lgb:"other_rate"` // goss: share of rows drawn of the others, in [0, 1]
	// MonotoneConstraints says whether predictions fall (−1) or rise (1) with a
	// feature: a number for every feature in order, as in "1,0,-1", or the
	// features by name, as in "price:-1,promo:1". Empty: no constraints.
	MonotoneConstraints string `lgb:"monotone_constraints"`

	// Seed, when not 0, decides the three seeds below wherever they are 0,
	// in LightGBM's way. When all are 0, LightGBM's defaults hold (1, 3, 2).
	Seed                int `lgb:"seed"`
	DataRandomSeed      int `lgb:"data_random_seed"`
	BaggingSeed         int `lgb:"bagging_seed"`
	FeatureFractionSeed int `lgb:"feature_fraction_seed"`

	// EarlyStoppingRound stops when the validation loss has not improved for
	// so many rounds, and drops the trees after the best one. 0: never.
	EarlyStoppingRound    int     `lgb:"early_stopping_round"`
	EarlyStoppingMinDelta float64 `lgb:"early_stopping_min_delta"` // what counts as an improvement

	MaxBin               int  `lgb:"max_bin"`                  // most bins of a number, 2 to 65535
	MinDataInBin         int  `lgb:"min_data_in_bin"`          // least rows in a bin
	BinConstructSampleCt int  `lgb:"bin_construct_sample_cnt"` // rows that bin bounds are taken from
	FeaturePreFilter     bool `lgb:"feature_pre_filter"`       // leave out features that MinDataInLeaf forbids to split
	UseMissing           bool `lgb:"use_missing"`              // false: NaN is read as 0

	MaxCatToOnehot  int     `lgb:"max_cat_to_onehot"`  // most categories that are tried one against the rest
	MaxCatThreshold int     `lgb:"max_cat_threshold"`  // most categories on the smaller side of a split
	MinDataPerGroup int     `lgb:"min_data_per_group"` // least rows between two tried splits
	CatSmooth       float64 `lgb:"cat_smooth"`         // prior rows when categories are sorted
	CatL2           float64 `lgb:"cat_l2"`             // added to LambdaL2 in category splits

	IsUnbalance         bool    `lgb:"is_unbalance"`           // binary: weigh the rarer class up to the other
	ScalePosWeight      float64 `lgb:"scale_pos_weight"`       // binary: weight of class 1
	Sigmoid             float64 `lgb:"sigmoid"`                // binary: steepness of the logistic function
	BoostFromAverage    bool    `lgb:"boost_from_average"`     // start from the best constant
	RegSqrt             bool    `lgb:"reg_sqrt"`               // regression: fit the signed square root
	PoissonMaxDeltaStep float64 `lgb:"poisson_max_delta_step"` // poisson: safeguard, hessian factor e^x
	Alpha               float64 `lgb:"alpha"`                  // quantile: the share below, in (0, 1); huber: where the line starts, above 0
	FairC               float64 `lgb:"fair_c"`                 // fair: scale of the error, above 0

	// RefitDecayRate is the share of its old leaves that a model keeps when
	// [Refit] learns them anew, in [0, 1].
	RefitDecayRate float64 `lgb:"refit_decay_rate"`

	// TweedieVariancePower is between poisson (1) and gamma (2), without them.
	TweedieVariancePower float64 `lgb:"tweedie_variance_power"`

	// NumThreads is the number of goroutines that train. It does not change
	// the model. 0 and below: all processors.
	NumThreads int `lgb:"num_threads"`
}

// Defaults are LightGBM's defaults.
func Defaults() Params {
	return Params{
		Boosting: "gbdt", DataSampleStrategy: "bagging", TopRate: 0.2, OtherRate: 0.1,
		Objective: "regression", NumClass: 1,
		NumIterations: 100, LearningRate: 0.1, NumLeaves: 31, MaxDepth: -1,
		MinDataInLeaf: 20, MinSumHessianInLeaf: 1e-3,
		FeatureFraction: 1, BaggingFraction: 1,
		MaxBin: 255, MinDataInBin: 3, BinConstructSampleCt: 200000, FeaturePreFilter: true, UseMissing: true,
		MaxCatToOnehot: 4, MaxCatThreshold: 32, MinDataPerGroup: 100, CatSmooth: 10, CatL2: 10,
		ScalePosWeight: 1, Sigmoid: 1, BoostFromAverage: true, PoissonMaxDeltaStep: 0.7, Alpha: 0.9, FairC: 1, TweedieVariancePower: 1.5, RefitDecayRate: 0.9,
	}
}

// ParamError is a parameter that cannot be taken.
type ParamError struct {
	Key, Value string
	Want       string   // what was expected
	Near       []string // names like Key, when Key is unknown
}

func (e *ParamError) Error() string {
	s := fmt.Sprintf("parameter %s=%s: %s", e.Key, e.Value, e.Want)
	if len(e.Near) > 0 {
		s += "; did you mean " + strings.Join(e.Near, " or ") + "?"
	}
	return s
}

// Set sets one parameter by its LightGBM name or alias. Names may have
// dashes for underscores; "true", "+", "1" and their opposites are read as
// truth values. Parameters that choose what this trainer does anyway
// (boosting=gbdt, device_type=cpu, verbosity, …) are taken without effect.
// An unknown name, a parameter of LightGBM that is not supported and a value
// of the wrong type are *[ParamError]s. Ranges are left to [Params.Validate].
func (p *Params) Set(key, value string) error {
	name := Canonical(key)
	value = strings.TrimSpace(value)
	if accepted, ok := neutral[name]; ok {
		if accepted == nil || slices.Contains(accepted, strings.ToLower(value)) {
			return nil
		}
		return &ParamError{Key: key, Value: value, Want: "only " + strings.Join(accepted, ", ") + " is supported"}
	}
	switch name {
	case "objective":
		return p.setObjective(key, value)
	case "boosting":
		return p.setBoosting(key, strings.ToLower(value))
	case "data_sample_strategy":
		value = strings.ToLower(value)
	}
	field, ok := fields[name]
	if !ok {
		want := "no such parameter"
		if slices.Contains(unsupported, name) {
			return &ParamError{Key: key, Value: value, Want: "this parameter of LightGBM is not supported"}
		}
		return &ParamError{Key: key, Value: value, Want: want, Near: near(name)}
	}
	v := reflect.ValueOf(p).Elem().Field(field)
	switch v.Kind() {
	case reflect.Int:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return &ParamError{Key: key, Value: value, Want: "expected a whole number"}
		}
		v.SetInt(n)
	case reflect.Float64:
		x, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(x) {
			return &ParamError{Key: key, Value: value, Want: "expected a number"}
		}
		v.SetFloat(x)
	case reflect.String:
		v.SetString(value)
	case reflect.Bool:
		switch strings.ToLower(value) {
		case "true", "+", "1":
			v.SetBool(true)
		case "false", "-", "0":
			v.SetBool(false)
		default:
			return &ParamError{Key: key, Value: value, Want: "expected true or false"}
		}
	}
	return nil
}

func (p *Params) setObjective(key, value string) error {
	name, ok := gbdt.CanonicalObjective(strings.ToLower(value))
	if !ok || !slices.Contains(Objectives(), name) {
		return &ParamError{Key: key, Value: value, Want: "expected one of " + strings.Join(Objectives(), ", ")}
	}
	p.Objective = name
	return nil
}

// setBoosting takes goss, too, which LightGBM lists among the ways to boost
// for the sake of older settings.
func (p *Params) setBoosting(key, value string) error {
	switch value {
	case "gbdt", "gbrt":
		p.Boosting = "gbdt"
	case "rf", "random_forest":
		p.Boosting = "rf"
	case "goss":
		p.Boosting, p.DataSampleStrategy = "gbdt", "goss"
	default:
		return &ParamError{Key: key, Value: value, Want: "expected gbdt, rf or goss"}
	}
	return nil
}

// Validate names the first field whose value is out of range, as a
// *[ParamError].
func (p *Params) Validate() error {
	for _, c := range []struct {
		ok   bool
		key  string
		got  any
		want string
	}{
		{slices.Contains(Objectives(), p.Objective), "objective", p.Objective, "one of " + strings.Join(Objectives(), ", ")},
		{p.Objective == "multiclass" && p.NumClass >= 2 && p.NumClass <= gbdt.MaxOutputs || p.Objective != "multiclass" && p.NumClass == 1,
			"num_class", p.NumClass, "at least 2 for multiclass and 1 for the rest"},
		{p.Boosting == "gbdt" || p.Boosting == "rf", "boosting", p.Boosting, "gbdt or rf"},
		{p.Boosting != "rf" || p.BaggingFreq > 0 && p.BaggingFraction < 1, "bagging_fraction", p.BaggingFraction, "below 1, and bagging_freq above 0, for a random forest"},
		{p.DataSampleStrategy == "bagging" || p.DataSampleStrategy == "goss", "data_sample_strategy", p.DataSampleStrategy, "bagging or goss"},
		{p.DataSampleStrategy != "goss" || p.BaggingFreq == 0 && p.Boosting == "gbdt", "bagging_freq", p.BaggingFreq, "0, and boosting=gbdt, with goss"},
		{p.TopRate >= 0 && p.OtherRate > 0 && p.TopRate+p.OtherRate <= 1, "top_rate", p.TopRate, "at least 0 and, with an other_rate above 0, at most 1"},
		{p.Alpha > 0 && (p.Alpha < 1 || p.Objective != "quantile"), "alpha", p.Alpha, "above 0, and below 1 for quantile"},
		{p.FairC > 0, "fair_c", p.FairC, "above 0"},
		{p.TweedieVariancePower > 1 && p.TweedieVariancePower < 2, "tweedie_variance_power", p.TweedieVariancePower, "between 1 and 2, without them"},
		{p.RefitDecayRate >= 0 && p.RefitDecayRate <= 1, "refit_decay_rate", p.RefitDecayRate, "0 to 1"},
		{p.NumIterations >= 1, "num_iterations", p.NumIterations, "at least 1"},
		{p.LearningRate > 0 && p.LearningRate <= math.MaxFloat32, "learning_rate", p.LearningRate, "above 0"},
		{p.NumLeaves >= 2 && p.NumLeaves <= 1<<16, "num_leaves", p.NumLeaves, "2 to 65536"},
		{p.MinDataInLeaf >= 0, "min_data_in_leaf", p.MinDataInLeaf, "at least 0"},
		{p.MinSumHessianInLeaf >= 0, "min_sum_hessian_in_leaf", p.MinSumHessianInLeaf, "at least 0"},
		{p.LambdaL1 >= 0, "lambda_l1", p.LambdaL1, "at least 0"},
		{p.LambdaL2 >= 0, "lambda_l2", p.LambdaL2, "at least 0"},
		{p.MaxDeltaStep >= 0, "max_delta_step", p.MaxDeltaStep, "at least 0"},
		{p.MinGainToSplit >= 0, "min_gain_to_split", p.MinGainToSplit, "at least 0"},
		{p.FeatureFraction > 0 && p.FeatureFraction <= 1, "feature_fraction", p.FeatureFraction, "above 0 and at most 1"},
		{p.BaggingFraction > 0 && p.BaggingFraction <= 1, "bagging_fraction", p.BaggingFraction, "above 0 and at most 1"},
		{p.BaggingFreq >= 0, "bagging_freq", p.BaggingFreq, "at least 0"},
		{p.EarlyStoppingRound >= 0, "early_stopping_round", p.EarlyStoppingRound, "at least 0"},
		{p.EarlyStoppingMinDelta >= 0, "early_stopping_min_delta", p.EarlyStoppingMinDelta, "at least 0"},
		{p.MaxBin >= 2 && p.MaxBin <= maxBins, "max_bin", p.MaxBin, fmt.Sprintf("2 to %d", maxBins)},
		{p.MinDataInBin >= 1, "min_data_in_bin", p.MinDataInBin, "at least 1"},
		{p.BinConstructSampleCt >= 1, "bin_construct_sample_cnt", p.BinConstructSampleCt, "at least 1"},
		{p.MaxCatToOnehot >= 1, "max_cat_to_onehot", p.MaxCatToOnehot, "at least 1"},
		{p.MaxCatThreshold >= 1, "max_cat_threshold", p.MaxCatThreshold, "at least 1"},
		{p.MinDataPerGroup >= 1, "min_data_per_group", p.MinDataPerGroup, "at least 1"},
		{p.CatSmooth >= 0, "cat_smooth", p.CatSmooth, "at least 0"},
		{p.CatL2 >= 0, "cat_l2", p.CatL2, "at least 0"},
		{p.ScalePosWeight > 0, "scale_pos_weight", p.ScalePosWeight, "above 0"},
		{!p.IsUnbalance || p.ScalePosWeight == 1, "scale_pos_weight", p.ScalePosWeight, "1 with is_unbalance"},
		{p.Sigmoid > 0, "sigmoid", p.Sigmoid, "above 0"},
		{!p.RegSqrt || p.Objective == "regression", "reg_sqrt", p.RegSqrt, "false but for regression"},
		{p.PoissonMaxDeltaStep > 0, "poisson_max_delta_step", p.PoissonMaxDeltaStep, "above 0"},
	} {
		if !c.ok {
			return &ParamError{Key: c.key, Value: fmt.Sprint(c.got), Want: "expected " + c.want}
		}
	}
	return nil
}

// seeds are the three seeds in force.
type seeds struct{ data, bagging, feature int }

func (p *Params) seeds() seeds {
	s := seeds{1, 3, 2}
	if p.Seed != 0 {
		r := newRandom(p.Seed)
		s.data = r.short(math.MaxInt16)
		s.bagging = r.short(math.MaxInt16)
		r.short(math.MaxInt16) // dart's
		s.feature = r.short(math.MaxInt16)
	}
	return seeds{cmp.Or(p.DataRandomSeed, s.data), cmp.Or(p.BaggingSeed, s.bagging), cmp.Or(p.FeatureFractionSeed, s.feature)}
}

// List returns every parameter with its value, in the order of the fields,
// as the model file has them. NumThreads is left out: it does not change the
// model, and the file must not change with it.
func (p *Params) List() [][2]string {
	var out [][2]string
	v := reflect.ValueOf(*p)
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("lgb")
		if name == "num_threads" {
			continue
		}
		f := v.Field(i)
		var s string
		switch f.Kind() {
		case reflect.Bool:
			s = "0"
			if f.Bool() {
				s = "1"
			}
		case reflect.Float64:
			s = strconv.FormatFloat(f.Float(), 'g', -1, 64)
		default:
			s = fmt.Sprint(f.Interface())
		}
		out = append(out, [2]string{name, s})
	}
	return out
}

// Objectives lists what can be trained.
func Objectives() []string {
	return []string{"regression", "regression_l1", "huber", "fair", "quantile", "mape", "poisson", "gamma", "tweedie", "binary", "multiclass"}
}
