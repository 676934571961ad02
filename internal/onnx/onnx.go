// Package onnx writes a model as one ONNX graph from raw columns to the
// prediction, for ONNX Runtime and whatever else reads the format.
//
//	raw columns ─► features ─► TreeEnsemble ─► link ─► prediction
//
// Every step computes in double, and trees are written as the operator
// TreeEnsemble of ai.onnx.ml 5 with its category sets as they are, so that a
// runtime gives healml's own numbers to rounding: a float32 would send values
// to the other side of thresholds that lie between two neighbours.
//
// The inputs are described in docs/format/onnx.md.
package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/healml/healml/internal/gbdt"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/schema"
)

// The versions that the file declares. TreeEnsemble came with ai.onnx.ml 5.
const (
	irVersion   = 9
	mainOpset   = 18
	mlOpset     = 5
	mlDomain    = "ai.onnx.ml"
	missingTime = math.MinInt64
)

// ErrObjective is matched when the objective of a model has no counterpart.
var ErrObjective = errors.New("this objective cannot be written as ONNX")

// Encode is the graph of a model. program names what wrote it.
func Encode(m *model.Model, program string) ([]byte, error) {
	objective, err := gbdt.ParseObjective(m.Trees.Objective)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	g := &graph{t: m.Template, constants: map[string]string{}, own: "#"}
	for taken(m.Template, g.own) {
		g.own += "#"
	}
	g.inputsOf()
	e := newEnsemble(m.Trees)
	raw := g.trees(e)
	if m.Trees.AverageOutput {
		raw = g.op("Div", raw, g.number(float64(m.Trees.NumIterations())))
	}
	linked, err := g.link(raw, &objective)
	if err != nil {
		return nil, err
	}
	g.outputsOf(linked)
	template, err := json.Marshal(m.Template)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	out := message{}.varint(1, irVersion).text(2, "healml").text(3, program).text(6, "version "+m.Version+", predicts "+m.Template.Target).sub(7, g.encode(m.Version))
	out = out.sub(8, message{}.text(1, "").varint(2, mainOpset)).sub(8, message{}.text(1, mlDomain).varint(2, mlOpset))
	for _, p := range [][2]string{{"healml_model_version", m.Version}, {"healml_template", string(template)}} {
		out = out.sub(14, message{}.text(1, p[0]).text(2, p[1]))
	}
	return out, nil
}

// graph is an ONNX graph under construction. Names of values are those of
// inputs, or made up.
type graph struct {
	t         *schema.Template
	nodes     []message
	inputs    []message
	outputs   []message
	fixed     []message // initializers
	constants map[string]string
	features  []string // value of each, rows × 1
	times     map[string]calendar
	made      int
	own       string // what names of values begin with that are no column's
}

// taken says that a column's name begins so.
func taken(t *schema.Template, prefix string) bool {
	return slices.ContainsFunc(t.Columns, func(c schema.Column) bool { return strings.HasPrefix(c.Name, prefix) })
}

func (g *graph) encode(name string) message {
	m := message{}
	for _, n := range g.nodes {
		m = m.sub(1, n)
	}
	m = m.text(2, name)
	for _, c := range g.fixed {
		m = m.sub(5, c)
	}
	for _, v := range g.inputs {
		m = m.sub(11, v)
	}
	for _, v := range g.outputs {
		m = m.sub(12, v)
	}
	return m
}

// op adds a node of the main domain and returns its output.
func (g *graph) op(name string, inputs ...string) string { return g.node("", name, inputs) }

func (g *graph) node(domain, op string, inputs []string, attributes ...message) string {
	g.made++
	out := g.own + strconv.Itoa(g.made)
	g.add(domain, op, inputs, out, attributes...)
	return out
}

func (g *graph) add(domain, op string, inputs []string, out string, attributes ...message) {
	n := message{}
	for _, in := range inputs {
		n = n.text(1, in)
	}
	n = n.text(2, out).text(3, op+"_"+strconv.Itoa(len(g.nodes))).text(4, op)
	for _, a := range attributes {
		n = n.sub(5, a)
	}
	if domain != "" {
		n = n.text(7, domain)
	}
	g.nodes = append(g.nodes, n)
}

// constant is a value that is there once, by its key.
func (g *graph) constant(key string, make func(name string) message) string {
	if name, ok := g.constants[key]; ok {
		return name
	}
	name := g.own + "c" + strconv.Itoa(len(g.fixed))
	g.constants[key] = name
	g.fixed = append(g.fixed, make(name))
	return name
}

// number is a double, whole an int64.
func (g *graph) number(x float64) string {
	return g.constant("d"+strconv.FormatFloat(x, 'g', -1, 64), func(name string) message { return doubles(name, nil, []float64{x}) })
}

func (g *graph) whole(x int64) string {
	return g.constant("i"+strconv.FormatInt(x, 10), func(name string) message { return integers(name, nil, []int64{x}) })
}

func (g *graph) cast(x string, to element) string {
	return g.node("", "Cast", []string{x}, attribute("to", int64(to)))
}

// inputsOf declares the raw columns that features are made of, and makes the
// features.
func (g *graph) inputsOf() {
	g.times = map[string]calendar{}
	codes := map[string]string{}
	declared := map[string]bool{}
	for _, f := range g.t.Features {
		c := &g.t.Columns[g.t.Column(f.Source)]
		if !declared[c.Name] {
			declared[c.Name] = true
			g.declare(c)
		}
		switch c.Kind {
		case schema.Categorical:
			if codes[c.Name] == "" {
				codes[c.Name] = g.codes(c)
			}
			g.features = append(g.features, codes[c.Name])
		case schema.Time:
			g.features = append(g.features, g.calendarOf(c.Name, f.Op))
		default:
			g.features = append(g.features, c.Name)
		}
	}
}

func (g *graph) declare(c *schema.Column) {
	switch c.Kind {
	case schema.Categorical:
		g.inputs = append(g.inputs, value(c.Name, stringType, 1, "a category; any other text, as the empty one, is one that training never saw"))
	case schema.Time:
		g.inputs = append(g.inputs, value(c.Name, int64Type, 1, "microseconds since 1970 UTC; the least int64 is missing"))
	case schema.Boolean:
		g.inputs = append(g.inputs, value(c.Name, doubleType, 1, "0 or 1; NaN is missing"))
	default:
		g.inputs = append(g.inputs, value(c.Name, doubleType, 1, "a number; NaN is missing"))
	}
}

// codes turns the texts of a column into the codes of its levels, −1 for others.
func (g *graph) codes(c *schema.Column) string {
	codes := make([]int64, len(c.Levels))
	for i := range codes {
		codes[i] = int64(i)
	}
	if len(codes) == 0 { // an encoder needs a key
		return g.op("Sub", g.cast(g.op("Equal", c.Name, c.Name), doubleType), g.number(2))
	}
	out := g.node(mlDomain, "LabelEncoder", []string{c.Name}, attribute("keys_strings", c.Levels), attribute("values_int64s", codes), attribute("default_int64", int64(-1)))
	return g.cast(out, doubleType)
}

// link turns raw scores into predictions.
func (g *graph) link(raw string, o *gbdt.Objective) (string, error) {
	one := func() string { return g.number(1) }
	switch o.Link() {
	case gbdt.LinkIdentity:
		return raw, nil
	case gbdt.LinkSquare:
		return g.op("Mul", raw, g.op("Abs", raw)), nil
	case gbdt.LinkExp:
		return g.op("Exp", raw), nil
	case gbdt.LinkSigmoid:
		return g.op("Div", one(), g.op("Add", one(), g.op("Exp", g.op("Mul", raw, g.number(-o.Sigmoid))))), nil
	case gbdt.LinkSoftmax:
		return g.node("", "Softmax", []string{raw}, attribute("axis", int64(1))), nil
	case gbdt.LinkLog1pExp:
		return g.op("Log", g.op("Add", one(), g.op("Exp", raw))), nil
	}
	return "", fmt.Errorf("onnx: %w: %s", ErrObjective, o.Name)
}

// outputsOf names the outputs: predicted_<target>, and the probabilities of
// classes.
func (g *graph) outputsOf(p string) {
	name := g.t.PredictionName()
	if !g.t.Task.Classified() {
		g.add("", "Identity", []string{p}, name)
		g.outputs = append(g.outputs, value(name, doubleType, 1, ""))
		return
	}
	if g.t.Task == schema.Binary {
		p = g.node("", "Concat", []string{g.op("Sub", g.number(1), p), p}, attribute("axis", int64(1)))
	}
	best := g.node("", "ArgMax", []string{p}, attribute("axis", int64(1)), attribute("keepdims", int64(0)))
	labels := g.constant("classes", func(name string) message { return texts(name, g.t.Classes) })
	g.add("", "Gather", []string{labels, best}, name, attribute("axis", int64(0)))
	second := "probabilities"
	for g.t.Column(second) >= 0 {
		second += "_"
	}
	g.add("", "Identity", []string{p}, second)
	g.outputs = append(g.outputs, value(name, stringType, 0, "the most probable class"), value(second, doubleType, int64(len(g.t.Classes)), "of the classes, in the order of healml_template"))
}
