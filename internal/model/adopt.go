package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/schema"
	"github.com/healml/healml/internal/table"
)

// Adoption says what a model that was trained elsewhere cannot tell itself.
type Adoption struct {
	Target  string
	Time    string   // column that orders rows; may be empty
	Classes []string // labels in class order; nil finds them
}

// AdoptionError says why trees do not fit a table or a template. Every
// difference is listed.
type AdoptionError struct {
	Reason      string
	Differences []string
}

func (e *AdoptionError) Error() string {
	if len(e.Differences) == 0 {
		return e.Reason
	}
	return e.Reason + ": " + strings.Join(e.Differences, "; ")
}

// AdoptTypes are the types as which the columns of a data file must be read
// for [Adopt]: texts where the model carries categories. It is empty while only
// the values could tell which columns those are.
func AdoptTypes(trees *gbdt.Model, names []string) map[string]table.Type {
	types := map[string]table.Type{}
	lists, err := pandasCategories(trees, nil)
	if err != nil {
		return types
	}
	for _, name := range names {
		if f := featureOf(trees, name); f >= 0 && lists[f] != nil {
			types[name] = table.String
		}
	}
	return types
}

// Adopt makes the template under which trees that were trained elsewhere read
// the raw columns of t, one column a feature, by name; where a feature's name
// has "_" for white space, as LightGBM writes it, the column's may have the
// space. Numbers stay the numbers that they are, categories coded as whole
// numbers included. Texts are taken where the model carries their categories
// (pandas_categorical): the code of a category is its place in that list.
// Columns that the model does not read are ignored. Missing values are allowed
// everywhere. What does not fit is an *[AdoptionError].
func Adopt(trees *gbdt.Model, t *table.Table, o Adoption) (*schema.Template, error) {
	task, err := taskOf(trees, t.Column(o.Target))
	if err != nil {
		return nil, err
	}
	inf := &feature.Inferred{Target: o.Target, Time: o.Time, Task: task}
	if inf.Classes, err = classesOf(trees, task, t.Column(o.Target), o.Classes); err != nil {
		return nil, err
	}
	lists, err := pandasCategories(trees, t)
	if err != nil {
		return nil, err
	}
	var faults []string
	used := map[string]bool{o.Target: true}
	for f, name := range trees.FeatureNames {
		c := columnOf(t, name, o.Target)
		if c == nil {
			faults = append(faults, fmt.Sprintf("feature %q has no column", name))
			continue
		}
		used[c.Name] = true
		kind := schema.Numeric
		switch {
		case lists[f] != nil:
			kind = schema.Categorical
		case c.Type == table.Bool:
			kind = schema.Boolean
		case c.Type != table.Float:
			faults = append(faults, fmt.Sprintf("column %q holds %ss, but the model carries no categories for it", c.Name, c.Type))
		}
		inf.Choices = append(inf.Choices, feature.Choice{Name: c.Name, Kind: kind, Use: true})
	}
	var rest []string
	for _, name := range t.Names() {
		if !used[name] && name != "prediction_id" {
			rest = append(rest, name)
			inf.Choices = append(inf.Choices, feature.Choice{Name: name})
		}
	}
	if faults != nil {
		if rest != nil {
			faults = append(faults, fmt.Sprintf("columns that no feature is called like: %s", strings.Join(rest, ", ")))
		}
		return nil, &AdoptionError{"the data does not have the model's features", faults}
	}
	tmpl := feature.NewTemplate(t, inf, nil)
	for f := range trees.FeatureNames {
		c := &tmpl.Columns[f]
		c.Missing = true
		if lists[f] != nil {
			c.Levels = lists[f]
		}
		if lo, hi, ok := bounds(trees.FeatureInfos[f]); ok && c.Kind == schema.Numeric {
			c.Min, c.Max = &lo, &hi
		}
	}
	tmpl.Seal()
	return tmpl, nil
}

// AdoptTemplate returns t with its features in the order in which the trees
// read them, which they name. Features that only one of the two has, and
// categories that the model carries under other codes, are an *[AdoptionError].
func AdoptTemplate(trees *gbdt.Model, t *schema.Template) (*schema.Template, error) {
	names := make([]string, len(t.Features))
	for i, f := range t.Features {
		names[i] = f.Name
	}
	names = gbdt.FeatureNames(names)
	var faults []string
	out := *t
	out.Features = nil
	for _, name := range trees.FeatureNames {
		i := slices.Index(names, name)
		if i < 0 {
			faults = append(faults, fmt.Sprintf("the template has no feature %q", name))
			continue
		}
		out.Features = append(out.Features, t.Features[i])
	}
	for i, name := range names {
		if !slices.Contains(trees.FeatureNames, name) {
			faults = append(faults, fmt.Sprintf("the model has no feature %q", t.Features[i].Name))
		}
	}
	if faults != nil {
		return nil, &AdoptionError{"the template does not have the model's features", faults}
	}
	if lists, err := pandasCategories(trees, nil); err == nil {
		for f, list := range lists {
			c := t.Columns[t.Column(out.Features[f].Source)]
			if list != nil && c.Kind == schema.Categorical && !slices.Equal(c.Levels, list) {
				faults = append(faults, fmt.Sprintf("column %q has the levels %q, the model %q", c.Name, c.Levels, list))
			}
		}
	}
	if faults != nil {
		return nil, &AdoptionError{"the template does not have the model's categories", faults}
	}
	out.Seal()
	return &out, nil
}

// columnOf is the column that a feature reads, nil when there is none.
func columnOf(t *table.Table, feature, target string) *table.Column {
	for _, same := range []func(string) bool{
		func(name string) bool { return name == feature },
		func(name string) bool { return underscored(name) == feature },
	} {
		for _, c := range t.Columns() {
			if c.Name != target && same(c.Name) {
				return c
			}
		}
	}
	return nil
}

// featureOf is the feature that a column is read by, or −1.
func featureOf(trees *gbdt.Model, column string) int {
	if f := slices.Index(trees.FeatureNames, column); f >= 0 {
		return f
	}
	return slices.Index(trees.FeatureNames, underscored(column))
}

// underscored is a name as LightGBM's Python package writes it.
func underscored(name string) string { return strings.ReplaceAll(name, " ", "_") }

// taskOf is the task that an objective stands for. The labels decide about
// cross_entropy, which takes shares as well as classes.
func taskOf(trees *gbdt.Model, target *table.Column) (schema.Task, error) {
	o, err := gbdt.ParseObjective(trees.Objective)
	if err != nil {
		return "", err
	}
	switch {
	case strings.HasPrefix(o.Name, "multiclass") && o.Outputs > 2:
		return schema.Multiclass, nil
	case o.Name == "binary":
		return schema.Binary, nil
	case trees.NumOutputs() > 1:
		return "", &AdoptionError{fmt.Sprintf("the model has %d outputs and the objective %q: they cannot be read as classes", trees.NumOutputs(), trees.Objective), nil}
	case o.Name == "cross_entropy" && target != nil && len(labels(target, 3)) == 2:
		return schema.Binary, nil
	}
	return schema.Regression, nil
}

// classesOf settles the labels: those named; else 0 to k−1, which is what
// LightGBM was given, if the target holds no others; else the target's, sorted
// as scikit-learn does.
func classesOf(trees *gbdt.Model, task schema.Task, target *table.Column, named []string) ([]string, error) {
	if !task.Classified() {
		return nil, nil
	}
	k := max(trees.NumOutputs(), 2)
	if named != nil {
		if len(named) != k {
			return nil, &AdoptionError{fmt.Sprintf("%d classes are named, the model has %d", len(named), k), nil}
		}
		return named, nil
	}
	numbered := make([]string, k)
	for i := range numbered {
		numbered[i] = strconv.Itoa(i)
	}
	if target == nil {
		return numbered, nil
	}
	found := labels(target, k+1)
	if !slices.ContainsFunc(found, func(s string) bool { return !slices.Contains(numbered, s) }) {
		return numbered, nil
	}
	if len(found) != k {
		return nil, &AdoptionError{fmt.Sprintf("the model has %d classes, %q has %d values or more: name the classes in the model's order", k, target.Name, len(found)), nil}
	}
	if target.Type == table.Float {
		slices.SortFunc(found, byNumber)
	} else {
		slices.Sort(found)
	}
	return found, nil
}

func byNumber(a, b string) int {
	x, _ := strconv.ParseFloat(a, 64)
	y, _ := strconv.ParseFloat(b, 64)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// labels are up to limit different values, as text.
func labels(c *table.Column, limit int) []string {
	var out []string
	for i := range c.Len() {
		if len(out) == limit {
			break
		}
		if !c.Missing(i) && !slices.Contains(out, c.Format(i)) {
			out = append(out, c.Format(i))
		}
	}
	return out
}

// bounds reads a feature's info "[min:max]".
func bounds(info string) (lo, hi float64, ok bool) {
	a, b, found := strings.Cut(strings.Trim(info, "[]"), ":")
	if !found || !strings.HasPrefix(info, "[") {
		return 0, 0, false
	}
	lo, errLo := strconv.ParseFloat(a, 64)
	hi, errHi := strconv.ParseFloat(b, 64)
	return lo, hi, errLo == nil && errHi == nil && lo <= hi
}

// categorical tells which features the model takes as categories: by its
// parameter, by what it notes of them, and by its splits.
func categorical(trees *gbdt.Model) []bool {
	out := make([]bool, len(trees.FeatureNames))
	for _, p := range trees.Params {
		if p[0] != "categorical_feature" {
			continue
		}
		for _, s := range strings.Split(p[1], ",") {
			if i, err := strconv.Atoi(strings.TrimSpace(s)); err == nil && i >= 0 && i < len(out) {
				out[i] = true
			}
		}
	}
	for f, info := range trees.FeatureInfos {
		if info != "none" && info != "" && !strings.HasPrefix(info, "[") {
			out[f] = true
		}
	}
	for i := range trees.Trees {
		t := &trees.Trees[i]
		for j, f := range t.Feature {
			if t.Decision[j]&gbdt.Categorical != 0 {
				out[f] = true
			}
		}
	}
	return out
}

// pandasCategories are the categories that the model carries, by feature; nil
// for a feature that has none. The file lists them in the order of the
// features but does not say which those are: all categorical ones when the
// numbers agree, else those whose columns in t are no numbers.
func pandasCategories(trees *gbdt.Model, t *table.Table) ([][]string, error) {
	out := make([][]string, len(trees.FeatureNames))
	if trees.PandasCategorical == "" {
		return out, nil
	}
	var lists [][]any
	if err := json.Unmarshal([]byte(trees.PandasCategorical), &lists); err != nil {
		return nil, &AdoptionError{"the model's last line, pandas_categorical, is no list of lists of categories: " + err.Error(), nil}
	}
	if len(lists) == 0 {
		return out, nil
	}
	var features, texts []int
	for f, is := range categorical(trees) {
		if !is {
			continue
		}
		features = append(features, f)
		if t == nil {
			continue
		}
		if c := columnOf(t, trees.FeatureNames[f], ""); c != nil && c.Type == table.String {
			texts = append(texts, f)
		}
	}
	if len(features) != len(lists) {
		features = texts
	}
	if len(features) != len(lists) {
		return nil, &AdoptionError{fmt.Sprintf("the model carries categories of %d columns, and %d columns could be meant", len(lists), len(features)), nil}
	}
	for i, f := range features {
		levels, err := levels(lists[i])
		if err != nil {
			return nil, &AdoptionError{fmt.Sprintf("the categories of feature %q: %v", trees.FeatureNames[f], err), nil}
		}
		out[f] = levels
	}
	return out, nil
}

// levels are categories as the texts that stand for them in data.
func levels(list []any) ([]string, error) {
	out := make([]string, len(list))
	for i, v := range list {
		switch v := v.(type) {
		case string:
			out[i] = v
		case bool:
			out[i] = strconv.FormatBool(v)
		case float64:
			out[i] = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			return nil, fmt.Errorf("%v, expected a text, a number or a truth", v)
		}
		if slices.Contains(out[:i], out[i]) {
			return nil, fmt.Errorf("%q comes twice", out[i])
		}
	}
	return out, nil
}
