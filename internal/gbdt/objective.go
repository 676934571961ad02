package gbdt

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Link is the function from raw scores to predictions.
type Link uint8

// The links.
const (
	LinkIdentity Link = iota
	LinkSquare        // sign(x)·x², undoing the square root of the labels
	LinkExp           // e^x
	LinkSigmoid       // 1/(1+e^(−αx)), each output on its own
	LinkSoftmax       // over all outputs
	LinkLog1pExp      // log(1+e^x)
)

// Objective is a parsed objective line.
type Objective struct {
	Name    string  // LightGBM's canonical name; empty for raw output
	Outputs int     // number of classes that the line states, or 0
	Sigmoid float64 // α of binary and multiclassova, 1 elsewhere
	link    Link
}

// links lists the objectives that are known, with their output functions.
var links = map[string]Link{
	"":                     LinkIdentity,
	"regression":           LinkIdentity,
	"regression_l1":        LinkIdentity,
	"huber":                LinkIdentity,
	"fair":                 LinkIdentity,
	"quantile":             LinkIdentity,
	"mape":                 LinkIdentity,
	"lambdarank":           LinkIdentity,
	"rank_xendcg":          LinkIdentity,
	"poisson":              LinkExp,
	"gamma":                LinkExp,
	"tweedie":              LinkExp,
	"binary":               LinkSigmoid,
	"multiclassova":        LinkSigmoid,
	"cross_entropy":        LinkSigmoid,
	"multiclass":           LinkSoftmax,
	"cross_entropy_lambda": LinkLog1pExp,
}

var objectiveAliases = map[string]string{
	"regression_l2": "regression", "l2": "regression", "mean_squared_error": "regression",
	"mse": "regression", "l2_root": "regression", "root_mean_squared_error": "regression", "rmse": "regression",
	"l1": "regression_l1", "mean_absolute_error": "regression_l1", "mae": "regression_l1",
	"mean_absolute_percentage_error": "mape",
	"softmax":                        "multiclass",
	"multiclass_ova":                 "multiclassova", "ova": "multiclassova", "ovr": "multiclassova",
	"xentropy": "cross_entropy", "xentlambda": "cross_entropy_lambda",
	"xendcg": "rank_xendcg", "xe_ndcg": "rank_xendcg", "xe_ndcg_mart": "rank_xendcg", "xendcg_mart": "rank_xendcg",
	"none": "", "null": "", "na": "", "custom": "",
}

// CanonicalObjective returns LightGBM's own name for an objective or one of
// its aliases, and whether it is known.
func CanonicalObjective(name string) (string, bool) {
	if to, ok := objectiveAliases[name]; ok {
		return to, true
	}
	_, ok := links[name]
	return name, ok
}

// ParseObjective reads an objective line: a name or alias, then settings of
// which "sqrt", "sigmoid:α" and "num_class:k" count and others are passed
// over. An unknown name, a sigmoid that is not above zero and a number of
// classes below 2 are errors.
func ParseObjective(line string) (Objective, error) {
	fields := strings.Fields(line)
	o := Objective{Sigmoid: 1}
	if len(fields) == 0 {
		return o, nil
	}
	name, ok := CanonicalObjective(fields[0])
	if !ok {
		return o, fmt.Errorf("objective %q is unknown", fields[0])
	}
	o.Name, o.link = name, links[name]
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, ":")
		switch {
		case key == "sqrt" && o.link == LinkIdentity && name != "huber":
			o.link = LinkSquare
		case key == "sigmoid" && (name == "binary" || name == "multiclassova"):
			a, err := strconv.ParseFloat(value, 64)
			if err != nil || !(a > 0) || math.IsInf(a, 0) {
				return o, fmt.Errorf("objective %q: sigmoid %q, expected a number above 0", line, value)
			}
			o.Sigmoid = a
		case key == "num_class" && strings.HasPrefix(name, "multiclass"):
			k, err := strconv.Atoi(value)
			if err != nil || k < 2 || k > MaxOutputs {
				return o, fmt.Errorf("objective %q: num_class %q, expected 2 to %d", line, value, MaxOutputs)
			}
			o.Outputs = k
		}
	}
	if strings.HasPrefix(name, "multiclass") && o.Outputs == 0 {
		return o, fmt.Errorf("objective %q: num_class is missing", line)
	}
	return o, nil
}

// Link is the objective's link.
func (o *Objective) Link() Link { return o.link }

// Apply turns raw scores into predictions in place. Softmax subtracts the
// greatest score first, so finite scores never overflow.
func (o *Objective) Apply(scores []float64) {
	switch o.link {
	case LinkIdentity:
	case LinkSquare:
		for i, x := range scores {
			scores[i] = math.Copysign(x*x, x)
		}
	case LinkExp:
		for i, x := range scores {
			scores[i] = math.Exp(x)
		}
	case LinkSigmoid:
		for i, x := range scores {
			scores[i] = 1 / (1 + math.Exp(-o.Sigmoid*x))
		}
	case LinkSoftmax:
		Softmax(scores)
	case LinkLog1pExp:
		for i, x := range scores {
			scores[i] = math.Log1p(math.Exp(x))
		}
	}
}

// Softmax turns scores into shares e^s/Σe^s in place. scores must not be
// empty.
func Softmax(scores []float64) {
	top := slices.Max(scores)
	sum := 0.0
	for i, x := range scores {
		scores[i] = math.Exp(x - top)
		sum += scores[i]
	}
	for i := range scores {
		scores[i] /= sum
	}
}
