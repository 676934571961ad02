package synth

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/healml/healml/internal/table"
)

// Ailment is what is wrong with a case of the clinic.
type Ailment string

// The ailments.
const (
	BrokenFeed  Ailment = "data_fault"
	MovedInputs Ailment = "covariate_shift"
	MovedTarget Ailment = "target_shift"
	NewConcept  Ailment = "concept_shift"
	OldSeason   Ailment = "season"
	Poison      Ailment = "poisoned_labels"
	LateTruth   Ailment = "late_labels"
	Healthy     Ailment = "nothing"
)

// Ailments lists all of them.
func Ailments() []Ailment {
	return []Ailment{BrokenFeed, MovedInputs, MovedTarget, NewConcept, OldSeason, Poison, LateTruth, Healthy}
}

// Severities of an ailment.
const (
	Light = iota
	Medium
	Strong
)

// ClinicOptions choose a case of [Clinic].
type ClinicOptions struct {
	Ailment  Ailment
	Severity int  // Light, Medium or Strong
	Binary   bool // the target is "yes" or "no" instead of a number
	// Family is 0 or 1: two worlds with other laws, noise and numbers of rows.
	// Rules are made on one and reported on the other.
	Family int
}

// Case is a patient: a past to learn from, and what was served after it.
type Case struct {
	// Past is two years of labelled rows, Served the ten weeks after them, in
	// the order of time, both with the columns date (time), region, product
	// (string), price, temp, traffic, promo, age (number) and y. Served holds
	// the inputs as they were delivered and y as it came in by Now; a label
	// that did not is missing.
	Past, Served *table.Table
	// Arrived is when each label of Served came in, µs; table.NoTime for those
	// that did not.
	Arrived []int64
	// Window is when the last four weeks begin, in which the ailment sits.
	Window, Now time.Time
	What        string // the ailment in a sentence
}

// The lengths of a case in days, and the first of them: a window in December.
const (
	clinicPast   = 2 * 365
	clinicCalm   = 42
	clinicWindow = 28
	clinicBatch  = 7
)

// Clinic makes a case, the same for the same arguments.
func Clinic(seed uint64, o ClinicOptions) (*Case, error) {
	if o.Severity < Light || o.Severity > Strong || o.Family < 0 || o.Family > 1 || !slices.Contains(Ailments(), o.Ailment) {
		return nil, fmt.Errorf("clinic: no ailment %q of severity %d in family %d", o.Ailment, o.Severity, o.Family)
	}
	w := newClinicWorld(seed, o)
	past := w.rows(0, clinicPast)
	served := w.rows(clinicPast, clinicPast+clinicCalm+clinicWindow)
	start := w.start.AddDate(0, 0, clinicPast+clinicCalm)
	from := w.perDay * clinicCalm
	c := &Case{Past: past, Window: start, Now: start.AddDate(0, 0, clinicWindow), What: w.what}
	if o.Ailment == Poison {
		served = w.poison(served, from)
	}
	served, c.Arrived = w.deliver(served, from, c.Now)
	var err error
	if o.Ailment == BrokenFeed {
		served, c.Arrived, err = w.breakFeed(served, c.Arrived, from)
		c.What = w.what
	}
	c.Served = served
	return c, err
}

// clinicWorld is the law of one case.
type clinicWorld struct {
	o       ClinicOptions
	seed    uint64
	start   time.Time
	perDay  int
	noise   float64
	memory  float64 // of the days' states
	sway    float64 // sd of the days' sway of the target
	event   float64 // height of the yearly event
	regions []float64
	things  []float64 // effect of each product
	pull    []float64 // of the price, by product
	heat    float64
	crowd   float64
	promo   float64
	onset   int // days into the window
	variant uint64
	what    string
}

func newClinicWorld(seed uint64, o ClinicOptions) *clinicWorld {
	rng := rand.New(rand.NewPCG(seed, 1000+uint64(o.Family)))
	w := &clinicWorld{o: o, seed: seed, perDay: 30, noise: 0.45, memory: 0.6, sway: 0.1, event: 0.05}
	if o.Family == 1 {
		w.perDay, w.noise, w.memory, w.sway = 40, 0.55, 0.75, 0.08
	}
	draw := func(n int, sd float64) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = sd * rng.NormFloat64()
		}
		return v
	}
	w.regions, w.things, w.pull = draw(4+o.Family, 0.5), draw(5+2*o.Family, 0.5), draw(5+2*o.Family, 0.15)
	for i := range w.pull {
		w.pull[i] = -0.5 + w.pull[i]
	}
	w.heat, w.crowd, w.promo = 0.3+0.2*rng.Float64(), 0.3+0.2*rng.Float64(), 0.4+0.2*rng.Float64()
	w.start = date(2021, time.January, 1).AddDate(0, 0, rng.IntN(300))
	w.onset, w.variant = rng.IntN(clinicBatch), rng.Uint64()
	w.what = "nothing happened"
	if o.Ailment == OldSeason {
		w.event = []float64{0.5, 1, 2}[o.Severity]
		w.what = "the yearly event is on, as it was the year before"
	}
	return w
}

// ailing says whether the ailment is in force on a day.
func (w *clinicWorld) ailing(a Ailment, day int) bool {
	return w.o.Ailment == a && day >= clinicPast+clinicCalm+w.onset
}

// season is the yearly event, which fills the window, in [0, 1].
func season(day int) float64 {
	phase := math.Mod(float64(day-clinicPast-clinicCalm)+10*365, 365)
	d := (phase - clinicWindow/2.0) / (clinicWindow / 2.0)
	return math.Exp(-d * d * d * d)
}

// rows draws the days [from, to). Each day has a generator of its own, so that
// what is drawn on one leaves the others as they are.
func (w *clinicWorld) rows(from, to int) *table.Table {
	var dates []int64
	var regions, things []string
	values := make([][]float64, 6) // price, temp, traffic, promo, age, y
	var temp, crowd, sway float64
	for day := -30; day < to; day++ {
		rng := rand.New(rand.NewPCG(w.seed, uint64(day+100)*8+uint64(w.o.Family)))
		fresh := math.Sqrt(1 - w.memory*w.memory)
		temp = w.memory*temp + fresh*rng.NormFloat64()
		crowd = w.memory*crowd + fresh*rng.NormFloat64()
		sway = w.memory*sway + fresh*rng.NormFloat64()
		if day < from {
			continue
		}
		at := w.start.AddDate(0, 0, day).UnixMicro()
		for range w.perDay {
			r := w.row(rng, day, temp, crowd, sway)
			dates = append(dates, at)
			regions = append(regions, fmt.Sprintf("region-%d", r.region))
			things = append(things, fmt.Sprintf("product-%d", r.thing))
			for i, v := range []float64{r.price, r.temp, r.traffic, r.promo, r.age, r.y} {
				values[i] = append(values[i], v)
			}
		}
	}
	cols := []*table.Column{table.Times("date", dates), table.Strings("region", regions), table.Strings("product", things)}
	for i, name := range []string{"price", "temp", "traffic", "promo", "age"} {
		cols = append(cols, table.Floats(name, values[i]))
	}
	return table.Must(append(cols, w.target(values[5]))...)
}

// target is y as a column: numbers, or "yes" and "no".
func (w *clinicWorld) target(y []float64) *table.Column {
	if !w.o.Binary {
		return table.Floats("y", y)
	}
	words := make([]string, len(y))
	for i, v := range y {
		words[i] = []string{"no", "yes"}[int(v)]
	}
	return table.Strings("y", words)
}

// clinicRow is one row.
type clinicRow struct {
	region, thing                       int
	price, temp, traffic, promo, age, y float64
}

func (w *clinicWorld) row(rng *rand.Rand, day int, temp, crowd, sway float64) clinicRow {
	for {
		r := w.inputs(rng, day, temp, crowd)
		level := w.law(&r, day) + w.sway*sway + w.event*season(day)
		if !w.o.Binary {
			r.y = w.number(level + w.noise*rng.NormFloat64())
			if w.ailing(MovedTarget, day) {
				w.what = "the target moved as a whole"
				r.y += []float64{0.25, 0.6, 1.3}[w.o.Severity] * w.unit()
			}
			return r
		}
		if rng.Float64() < 1/(1+math.Exp(-2*level)) {
			r.y = 1
		}
		// A change of the classes' shares alone: some rows of one class are
		// never seen.
		if w.ailing(MovedTarget, day) && r.y == 0 {
			w.what = "one class became rarer"
			if rng.Float64() > []float64{0.75, 0.45, 0.2}[w.o.Severity] {
				continue
			}
		}
		return r
	}
}

// number is the target at a level; unit is about the standard deviation of it.
func (w *clinicWorld) number(level float64) float64 {
	if w.o.Family == 1 {
		return math.Round(1000*math.Exp(0.4*level)) / 10
	}
	return math.Round(10*(80+12*level)) / 10
}

func (w *clinicWorld) unit() float64 {
	if w.o.Family == 1 {
		return 40
	}
	return 12
}

func (w *clinicWorld) inputs(rng *rand.Rand, day int, temp, crowd float64) clinicRow {
	var r clinicRow
	move := 0.0
	if w.ailing(MovedInputs, day) {
		move = []float64{0.4, 1, 2}[w.o.Severity]
	}
	which := w.variant % 3
	r.region, r.thing = rng.IntN(len(w.regions)), rng.IntN(len(w.things))
	swap := rng.Float64()
	price := rng.NormFloat64()
	r.temp = 12 + 3*(0.7*temp+0.7*rng.NormFloat64())
	flow := 0.5*crowd + 0.85*rng.NormFloat64() + 0.6*w.event*season(day)
	if rng.Float64() < 0.25 {
		r.promo = 1
	}
	r.age = math.Round(40 + 12*rng.NormFloat64())
	if move > 0 {
		w.what = []string{"prices rose", "more traffic", "region-0 became more frequent"}[which]
		switch which {
		case 0:
			price += move
		case 1:
			flow += move
		default:
			if swap < move/2.5 {
				r.region = 0
			}
		}
	}
	r.price = math.Round(100*(10+0.5*float64(r.thing)+1.5*price)) / 100
	r.temp = math.Round(10*r.temp) / 10
	r.traffic = math.Round(200 * math.Exp(0.3*flow))
	return r
}

// law is the level that follows from the inputs.
func (w *clinicWorld) law(r *clinicRow, day int) float64 {
	price := (r.price - 10 - 0.5*float64(r.thing)) / 1.5
	region, thing, pull, promo := w.regions[r.region], w.things[r.thing], w.pull[r.thing], w.promo
	extra := 0.0
	if w.ailing(NewConcept, day) {
		s := []float64{0.3, 0.7, 1.5}[w.o.Severity]
		switch w.variant % 3 {
		case 0:
			w.what = "some regions rose and others fell"
			extra = s * []float64{1, -1, 0.7, -0.7, 0}[r.region]
		case 1:
			w.what = "the price pulls otherwise"
			extra = s * price
		default:
			w.what = "two products moved, in opposite directions"
			extra = 1.5 * s * []float64{1, -1, 0, 0, 0, 0, 0}[r.thing]
		}
	}
	return region + thing + pull*price + w.heat*math.Sin((r.temp-12)/4) + w.crowd*math.Log(r.traffic/200)/0.3 + promo*(r.promo-0.25) + extra
}
