package fit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/gbdt"
)

// Result is a trained model.
type Result struct {
	// Model holds the trees; with early stopping, those up to BestIteration.
	Model *gbdt.Model
	// BestIteration is the number of iterations in the model.
	BestIteration int
	// Valid is the validation loss after each iteration that was trained,
	// dropped ones included; nil without validation data.
	Valid []float64
}

// Train grows a model on train. The objective's loss on valid, which may be
// nil, is followed: mean squared or absolute error on the scale of the
// labels, Poisson deviance (less its constant), or log loss, all weighted.
// Early stopping needs valid.
//
// The model depends on the data and p alone, not on NumThreads: the same call
// gives the same bytes. After each iteration progress, if not nil, is called
// from the same goroutine with the number of iterations done and the loss
// (NaN without valid). When ctx ends, its error is returned.
func Train(ctx context.Context, train, valid *Data, p Params, progress func(iteration int, validLoss float64)) (*Result, error) {
	data, err := NewDataset(train, p)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	v := View{}
	if valid != nil {
		if v.Data, err = data.Align(valid); err != nil {
			return nil, fmt.Errorf("train: validation data: %w", err)
		}
	}
	return TrainDataset(ctx, View{Data: data}, v, p, progress)
}

// TrainDataset is Train on rows of tables that are binned already: several
// models on windows of one table need but one Dataset. valid.Data is nil for
// none, train.Data itself, or aligned with it. The parameters about bins must
// be those that the Dataset was made with.
func TrainDataset(ctx context.Context, train, valid View, p Params, progress func(iteration int, validLoss float64)) (*Result, error) {
	t, err := newTrainer(train, valid, p)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	defer t.crew.close()
	return t.run(ctx, progress)
}

// trainer is the boosting loop.
type trainer struct {
	p         Params
	objective objective
	crew      *crew
	grower    *grower
	train     side
	valid     *side      // nil without validation data
	grad      [][]pair   // by output and row
	extents   [][]extent // of grad by output and block of rows
	// pending are the leaves of a tree that was not added to the training
	// scores yet: with one output that is left to the next gradients.
	pending  []float64
	whole    bool  // the bag is all rows in order
	bag      *bag  // nil: every row in every tree
	goss     *goss // nil: not that way either
	forest   bool  // trees do not build on one another
	in, out  []int32
	features random
	monotone []int // constraints by number in the table; nil: none
	usable   []int // features by number in the table, as Dataset.features indices
	drawn    []int
	initial  []float64
	trees    []gbdt.Tree
}

// side is training or validation data with its scores.
type side struct {
	data *Dataset
	target
	scores  [][]float64 // one slice an output, by row
	parts   []float64   // losses of blocks of rows
	weights float64     // their sum
}

func newSide(v View, outputs int) (*side, error) {
	rows, err := v.rows()
	if err != nil {
		return nil, err
	}
	s := &side{data: v.Data, target: target{v.Data.label, v.Data.weight, rows}}
	if n := len(v.Data.init); n > 0 && n != outputs {
		return nil, fmt.Errorf("%d initial scores a row, expected %d", n, outputs)
	}
	for k := range outputs {
		s.scores = append(s.scores, reserve[float64](v.Data.rows))
		if v.Data.init != nil {
			copy(s.scores[k], v.Data.init[k])
		}
	}
	for _, r := range rows {
		s.weights += s.w(r)
	}
	if s.weights == 0 {
		return nil, fmt.Errorf("all weights are 0")
	}
	s.parts = make([]float64, (len(rows)+rowBlock-1)/rowBlock)
	return s, nil
}

func newTrainer(train, valid View, p Params) (*trainer, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d := train.Data
	if b := p.binning(); b != d.binning {
		return nil, fmt.Errorf("the data were binned with other parameters (%+v, now %+v)", d.binning, b)
	}
	s := p.seeds()
	p.DataRandomSeed, p.BaggingSeed, p.FeatureFractionSeed = s.data, s.bagging, s.feature
	t := &trainer{p: p}
	t.objective = newObjective(&t.p)
	tr, err := newSide(train, p.NumClass)
	if err != nil {
		return nil, err
	}
	t.train = *tr
	if err := t.objective.check(&t.train.target); err != nil {
		return nil, err
	}
	if valid.Data != nil {
		if err := t.addValid(valid); err != nil {
			return nil, fmt.Errorf("validation data: %w", err)
		}
	} else if p.EarlyStoppingRound > 0 {
		return nil, &ParamError{Key: "early_stopping_round", Value: fmt.Sprint(p.EarlyStoppingRound), Want: "expected 0 without validation data"}
	}
	for range p.NumClass {
		t.grad = append(t.grad, reserve[pair](d.rows))
		t.extents = append(t.extents, make([]extent, len(t.train.parts)))
	}
	t.in = t.train.rows
	if p.BaggingFreq > 0 && p.BaggingFraction < 1 {
		n := len(t.train.rows)
		t.bag = newBag(s.bagging, n, p.BaggingFraction)
		t.in, t.out = make([]int32, 0, n), make([]int32, 0, n)
	}
	if p.DataSampleStrategy == "goss" {
		t.goss = newGoss(&t.p, s.bagging, len(t.train.rows))
	}
	t.forest = p.Boosting == "rf"
	if t.forest && d.init != nil {
		return nil, fmt.Errorf("initial scores, but the trees of a random forest know nothing of one another")
	}
	t.whole = t.bag == nil && len(t.in) == d.rows && slices.IsSorted(t.in)
	t.usable = d.byNumber()
	t.features = newRandom(s.feature)
	t.crew = newCrew(p.NumThreads)
	t.grower = newGrower(d, &t.p, t.crew, len(t.train.rows))
	if err := t.constrain(); err != nil {
		t.crew.close()
		return nil, err
	}
	t.objective.prepare(&t.train.target)
	return t, nil
}

// constrain hands the monotone constraints to the grower. From here on they
// are numbers in order, as LightGBM knows them.
func (t *trainer) constrain() error {
	if t.p.MonotoneConstraints == "" {
		return nil
	}
	d := t.train.data
	var err error
	if t.monotone, err = t.p.monotone(d); err != nil {
		return err
	}
	texts := make([]string, len(t.monotone))
	for f, n := range t.monotone {
		texts[f] = strconv.Itoa(n)
	}
	t.p.MonotoneConstraints = strings.Join(texts, ",")
	for i := range d.features {
		t.grower.monotone[i] = t.monotone[d.features[i].index]
	}
	return nil
}

// monotone reads the constraints, one a feature of d.
func (p *Params) monotone(d *Dataset) ([]int, error) {
	bad := func(want string, a ...any) error {
		return &ParamError{Key: "monotone_constraints", Value: p.MonotoneConstraints, Want: fmt.Sprintf(want, a...)}
	}
	fields := strings.Split(p.MonotoneConstraints, ",")
	named := strings.Contains(p.MonotoneConstraints, ":")
	if !named && len(fields) != len(d.mappers) {
		return nil, bad("expected %d numbers, one a feature (%s), or name:number for some", len(d.mappers), strings.Join(d.names, ", "))
	}
	out := make([]int, len(d.mappers))
	for f, s := range fields {
		if named {
			name, number, _ := strings.Cut(s, ":")
			if f = slices.Index(d.names, strings.TrimSpace(name)); f < 0 {
				return nil, bad("expected features of this model (%s), not %q", strings.Join(d.names, ", "), name)
			}
			s = number
		}
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < -1 || n > 1 {
			return nil, bad("expected -1, 0 or 1 for every feature, not %q", s)
		}
		if n != 0 && d.mappers[f].categorical {
			return nil, bad("expected 0 for %s, whose categories have no order", d.names[f])
		}
		out[f] = n
	}
	return out, nil
}

func (t *trainer) addValid(v View) error {
	if len(v.Data.mappers) != len(t.train.data.mappers) || &v.Data.mappers[0] != &t.train.data.mappers[0] {
		return fmt.Errorf("not aligned with the training data")
	}
	if (v.Data.init == nil) != (t.train.data.init == nil) {
		return fmt.Errorf("initial scores for one of training and validation data, not for both")
	}
	s, err := newSide(v, t.p.NumClass)
	if err != nil {
		return err
	}
	t.valid = s
	return t.objective.check(&s.target)
}

// byNumber lists d.features in the order of the table.
func (d *Dataset) byNumber() []int {
	var out []int
	for f := range d.mappers {
		for i := range d.features {
			if d.features[i].index == f {
				out = append(out, i)
			}
		}
	}
	return out
}
