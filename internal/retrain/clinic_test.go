package retrain_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/healml/healml/internal/feature"
	"github.com/healml/healml/internal/gbdt/fit"
	"github.com/healml/healml/internal/heal"
	"github.com/healml/healml/internal/model"
	"github.com/healml/healml/internal/monitor"
	"github.com/healml/healml/internal/registry"
	"github.com/healml/healml/internal/retrain"
	"github.com/healml/healml/internal/synth"
	"github.com/healml/healml/internal/table"
	"github.com/healml/healml/internal/train"
)

// doctor has a champion for the past of a case.
type doctor struct {
	inf       *feature.Inferred
	champion  *model.Model
	params    fit.Params
	weights   *registry.Importance
	reference *table.Table
}

func newDoctor(t testing.TB, past *table.Table) *doctor {
	t.Helper()
	inf, err := feature.Infer(past, feature.InferOptions{Target: "y"})
	mustBe(t, err)
	rows, err := train.Prepare(past, inf, train.TimesOf(past, "date"), nil)
	mustBe(t, err)
	p, err := train.Params(inf.Task, len(inf.Classes), 1, 1, map[string]string{"num_iterations": "40", "num_leaves": "15"})
	mustBe(t, err)
	p.EarlyStoppingRound = 0
	res, err := rows.Fit(context.Background(), 0, rows.Len(), 0, p, nil)
	mustBe(t, err)
	d := &doctor{inf: inf, params: p}
	d.champion, err = model.New("v1", rows.Template, res.Model)
	mustBe(t, err)
	d.weights = registry.NewImportance(rows.Template, res.Model, nil, "", 0)
	d.reference = rows.Sample(0, 6000)
	return d
}

func mustBe(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// diagnose sees a case as healml retrain would.
func (d *doctor) diagnose(t testing.TB, c *synth.Case) *heal.Diagnosis {
	t.Helper()
	ctx := context.Background()
	predicted, err := d.champion.PredictTable(c.Served, 1)
	mustBe(t, err)
	served, err := c.Served.With(predicted.Columns(d.champion.Template)...)
	mustBe(t, err)
	times := c.Served.Column("date").Times
	from := c.Window.UnixMicro()
	at := sort.Search(len(times), func(i int) bool { return times[i] >= from })
	window := served.Slice(at, len(times))
	report, err := monitor.Compare(ctx, monitor.Input{
		Reference: monitor.Of(d.reference), Current: monitor.Of(window), Columns: d.champion.Template.Columns, Time: "date", ReferenceTime: "date",
		Now: c.Now, From: c.Window, To: c.Now, Options: monitor.Options{Threads: 1, Seed: 1, Alpha: 0.01},
	})
	mustBe(t, err)
	all, err := table.Concat(c.Past, c.Served)
	mustBe(t, err)
	rows, err := train.Prepare(all, feature.FromTemplate(d.champion.Template), all.Column("date").Times, nil)
	mustBe(t, err)
	seen := retrain.Seen{
		Report: report, Rows: rows, Unseen: c.Past.NumRows(), Champion: d.champion, Params: d.params, Importance: d.weights,
		From: c.Window, Reference: d.reference, Window: window, Now: c.Now,
	}
	for i, l := range c.Arrived {
		seen.Labels = append(seen.Labels, retrain.Arrival{Served: times[i], Label: l})
	}
	out, err := retrain.Diagnose(ctx, seen)
	mustBe(t, err)
	return out
}

// clinicSettings are the seeds, the first of them and the family, from the
// environment.
func clinicSettings() (seeds, first, family int) {
	set := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv("HEALML_CLINIC_" + name)); err == nil {
			return n
		}
		return otherwise
	}
	return set("SEEDS", 1), set("FIRST", 1), set("FAMILY", 1)
}

// TestClinic diagnoses every ailment at every severity, for a target of numbers
// and one of two classes. HEALML_CLINIC_SEEDS=50 makes the table of
// docs/healing.md.
func TestClinic(t *testing.T) {
	seeds, from, family := clinicSettings()
	found := ward{}
	var lock sync.Mutex
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			for _, binary := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d/binary=%v", from+seed, binary), func(t *testing.T) {
					t.Parallel()
					visit(t, uint64(from+seed), binary, family, func(key string, k heal.CauseKind) {
						lock.Lock()
						defer lock.Unlock()
						found.add(key, k)
					})
				})
			}
		}
	})
	right, wrong, doubt := tally(t, found)
	t.Logf("family %d, %d seeds: right %v, wrong %v, not sure or nothing %v, by severity", family, seeds, right, wrong, doubt)
	for severity, least := range []float64{0, 0.8, 0.9} {
		n := right[severity] + wrong[severity] + doubt[severity]
		if float64(right[severity]) < least*float64(n) || float64(wrong[severity]) > 0.05*float64(n) {
			t.Errorf("severity %d: %d of %d right and %d wrong", severity, right[severity], n, wrong[severity])
		}
	}
}

// ward counts the first causes by severity and ailment.
type ward map[string]map[heal.CauseKind]int

func (w ward) add(key string, k heal.CauseKind) {
	if w[key] == nil {
		w[key] = map[heal.CauseKind]int{}
	}
	w[key][k]++
}

// visit diagnoses all ailments of one seed.
func visit(t *testing.T, seed uint64, binary bool, family int, count func(key string, k heal.CauseKind)) {
	doctors := map[string]*doctor{}
	for _, a := range synth.Ailments() {
		for severity := synth.Light; severity <= synth.Strong; severity++ {
			c, err := synth.Clinic(seed, synth.ClinicOptions{Ailment: a, Severity: severity, Binary: binary, Family: family})
			mustBe(t, err)
			past := "usual"
			if a == synth.OldSeason {
				past = fmt.Sprint(a, severity)
			}
			if doctors[past] == nil {
				doctors[past] = newDoctor(t, c.Past)
			}
			d := doctors[past].diagnose(t, c)
			checkDiagnosis(t, d)
			first := d.Causes[0].Kind
			count(fmt.Sprintf("%d %s", severity, a), first)
			if string(first) != string(a) && os.Getenv("HEALML_CLINIC_SHOW") != "" {
				show(t, fmt.Sprintf("seed %d binary %v severity %d %s (%s)", seed, binary, severity, a, c.What), d)
			}
			if a == synth.Healthy {
				break // it has no severity
			}
		}
	}
}

func show(t *testing.T, what string, d *heal.Diagnosis) {
	var b strings.Builder
	for _, c := range d.Causes[:3] {
		fmt.Fprintf(&b, " %s %.2f;", c.Kind, c.Probability)
	}
	s := d.Signs
	fmt.Fprintf(&b, "\n   faults %v", s.Faults)
	for _, in := range s.Inputs {
		fmt.Fprintf(&b, " %s=%.2g", in.Column, in.P)
	}
	if r := s.Relation; r != nil {
		fmt.Fprintf(&b, "\n   target %.1f concept %.1f spoilt %.1f design %.1f bias %v where %s %s %v spoilt %.2f/%.3f rows %d", r.Target, r.Concept, r.Spoilt, r.Design, r.Bias, r.Column, r.Bin, r.BinOf, r.SpoiltShare, r.SpoiltBefore, r.Rows)
	}
	if s.Arrival != nil {
		fmt.Fprintf(&b, "\n   arrival %+v", *s.Arrival)
	}
	for _, c := range d.Causes {
		if c.Kind == heal.SeasonSeen {
			fmt.Fprintf(&b, "\n   season %v", c.Evidence)
		}
	}
	t.Logf("%s:%s", what, b.String())
}

// tally prints the confusion matrix and adds up by severity.
func tally(t *testing.T, found ward) (right, wrong, doubt [3]int) {
	var b strings.Builder
	columns := append([]heal.CauseKind{}, heal.NotSure)
	for _, a := range synth.Ailments() {
		columns = append(columns, heal.CauseKind(a))
	}
	for severity, name := range []string{"light", "medium", "strong"} {
		fmt.Fprintf(&b, "\n| %s |", name)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", strings.ReplaceAll(string(c), "_", " "))
		}
		b.WriteString("\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
		for _, a := range synth.Ailments() {
			fmt.Fprintf(&b, "| %s |", strings.ReplaceAll(string(a), "_", " "))
			for _, c := range columns {
				n := found[fmt.Sprintf("%d %s", severity, a)][c]
				fmt.Fprintf(&b, " %d |", n)
				switch {
				case string(c) == string(a):
					right[severity] += n
				case c == heal.NotSure || c == heal.NoCause:
					doubt[severity] += n
				default:
					wrong[severity] += n
				}
			}
			b.WriteString("\n")
		}
	}
	t.Log(b.String())
	return right, wrong, doubt
}

// checkDiagnosis: probabilities add up to 1 and are ranked, every cause has its
// evidence, and the causes follow from the signs again.
func checkDiagnosis(t *testing.T, d *heal.Diagnosis) {
	t.Helper()
	sum := 0.0
	for i, c := range d.Causes {
		sum += c.Probability
		if len(c.Evidence) == 0 || i > 0 && c.Probability > d.Causes[i-1].Probability {
			t.Fatalf("cause %d of %+v", i, d.Causes)
		}
	}
	if math.Abs(sum-1) > 1e-9 || len(d.Causes) != 9 {
		t.Fatalf("%d causes have %v in sum", len(d.Causes), sum)
	}
}
