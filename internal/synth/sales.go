// Package synth makes seeded streams of data whose drift is known, for the
// demo, the shipped sample and tests.
//
// [Sales] is a shop's daily sales over three years: a law that a model can
// learn, then three changes of the world at known dates. [Inject] breaks any
// table from a given row on in the ways in which real feeds break. Both are
// pure: the same arguments give the same values on every platform, because
// all randomness comes from PCG generators and values are rounded as real
// data are, which hides the last bits in which platforms differ.
package synth

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/healml/healml/internal/table"
)

// Options of [Sales].
type Options struct {
	// Days is the length of the stream from [Start]; 0 means three years
	// (1,096 days).
	Days int
	// Still leaves the shifts out: the law of the first day holds to the
	// last.
	Still bool
}

// Shift is a change of the world: from Date on, What is different.
type Shift struct {
	Date time.Time // midnight UTC of the first day that it holds
	Name string
	What string
}

// Start is the first day of [Sales].
var Start = date(2022, time.January, 1)

var (
	priceRise   = date(2024, time.January, 15)
	newRegion   = date(2024, time.March, 1)
	demandShift = date(2024, time.May, 15)
)

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// category is one row of the law: what is sold, and how its buyers behave.
// Exponents and lifts act on the logarithm of the expected sales.
type category struct {
	name       string
	price      float64 // list price
	units      float64 // sold on an ordinary day in a region of size 1
	elasticity float64 // exponent of the price relative to the list price
	promo      float64 // lift of a promotion
	weekend    float64 // lift of Saturday and Sunday
	season     float64 // amplitude of the yearly wave
	peak       float64 // day of the year on which the wave is highest
	gifts      float64 // lift at the height of December
	rise       float64 // factor on the list price from the price rise on
	demand     float64 // factor on the units from the demand shift on
}

var categories = []category{
	{"Electronics", 980, 28, 1.2, .30, .15, .06, 330, .25, 1.25, .68},
	{"Grocery", 24, 210, .7, .18, .25, .04, 180, .08, 1.18, 1.35},
	{"Clothing", 62, 74, 1.5, .38, .30, .12, 110, .12, 1.22, .62},
	{"Home", 145, 46, 1.0, .26, .20, .08, 140, .05, 1.28, 1.30},
	{"Toys", 35, 58, 1.3, .34, .28, .05, 200, .35, 1.20, .80},
}

// region is a market. Its first day is the stream's unless opens is set.
type region struct {
	name  string
	size  float64 // factor on the units
	price float64 // factor on the list price
	opens time.Time
}

var regions = []region{
	{name: "North", size: 1.15, price: 1.02},
	{name: "South", size: .85, price: .97},
	{name: "East", size: 1.00, price: 1.00},
	{name: "West", size: 1.35, price: 1.04},
	{name: "Central", size: 1.70, price: .99, opens: newRegion},
}

const (
	promoRate   = .18 // share of days on promotion
	promoPrice  = .88 // factor on the price on promotion
	priceSpread = .07 // standard deviation of a day's log price
	salesSpread = .11 // standard deviation of a day's log sales
	promoAfter  = .25 // what the demand shift leaves of the lift of a promotion
)

// Sales returns the stream and the shifts in it, in order of time. There is
// one row a day, category and region, ordered so, with the columns date
// (time), category, region (string), price (number, two decimals), promo
// (number, 0 or 1) and the target sales (number, whole).
//
// The expected sales follow one law: units of the category × size of the
// region × (price ÷ list price)^−elasticity × lifts of promotion, weekend,
// yearly wave and December; a day's log sales scatter around it.
func Sales(seed uint64, o Options) (*table.Table, []Shift) {
	days := o.Days
	if days == 0 {
		days = 1096
	}
	var (
		dates               []int64
		names, places       []string
		prices, promo, sold []float64
	)
	series := newSeries(seed, o.Still)
	for d := range days {
		day := Start.AddDate(0, 0, d)
		for i := range series {
			s := &series[i]
			if !s.open(day) {
				continue
			}
			price, promoted, sales := s.next(day)
			dates = append(dates, day.UnixMicro())
			names = append(names, s.category.name)
			places = append(places, s.region.name)
			prices = append(prices, price)
			promo = append(promo, promoted)
			sold = append(sold, sales)
		}
	}
	t := table.Must(
		table.Times("date", dates),
		table.Strings("category", names),
		table.Strings("region", places),
		table.Floats("price", prices),
		table.Floats("promo", promo),
		table.Floats("sales", sold),
	)
	if o.Still {
		return t, nil
	}
	return t, shiftsWithin(Start.AddDate(0, 0, days))
}

// shiftsWithin lists the shifts before end.
func shiftsWithin(end time.Time) []Shift {
	all := []Shift{
		{priceRise, "price-rise", "list prices rise by 18 to 28 %; buyers answer by the law they always followed"},
		{newRegion, "new-region", "the region Central opens, 1.7 times the size of East"},
		{demandShift, "demand-shift", "buyers change: Grocery and Home sell more and the rest less, weekdays overtake weekends, promotions lose three quarters of their pull"},
	}
	for i, s := range all {
		if !s.Date.Before(end) {
			return all[:i]
		}
	}
	return all
}

// series is one category in one region. Each has a generator of its own, so
// that a region that opens leaves the others' values as they were.
type series struct {
	category category
	region   region
	still    bool
	rng      *rand.Rand
}

func newSeries(seed uint64, still bool) []series {
	var all []series
	for _, c := range categories {
		for _, r := range regions {
			rng := rand.New(rand.NewPCG(seed, uint64(len(all))))
			all = append(all, series{category: c, region: r, still: still, rng: rng})
		}
	}
	return all
}

// open reports whether the series has a row on the day.
func (s *series) open(day time.Time) bool {
	return s.region.opens.IsZero() || s.holds(s.region.opens, day)
}

// holds reports whether a shift of the given date is in force on the day.
func (s *series) holds(shift, day time.Time) bool { return !s.still && !day.Before(shift) }

// next draws the day's row.
func (s *series) next(day time.Time) (price, promo, sales float64) {
	c := s.category
	if s.rng.Float64() < promoRate {
		promo = 1
	}
	scatter := math.Exp(priceSpread * s.rng.NormFloat64())
	relative := s.region.price * scatter
	if promo == 1 {
		relative *= promoPrice
	}
	if s.holds(priceRise, day) {
		relative *= c.rise
	}
	price = math.Round(c.price*relative*100) / 100

	weekend, lift, units := c.weekend, c.promo, c.units
	if s.holds(demandShift, day) {
		weekend, lift, units = -weekend, lift*promoAfter, units*c.demand
	}
	level := -c.elasticity*math.Log(price/c.price) + lift*promo + c.calendar(day)
	if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
		level += weekend
	}
	level += salesSpread * s.rng.NormFloat64()
	return price, promo, math.Round(units * s.region.size * math.Exp(level))
}

// calendar is the lift of the season on the day.
func (c *category) calendar(day time.Time) float64 {
	yd := float64(day.YearDay())
	wave := c.season * math.Cos(2*math.Pi*(yd-c.peak)/365.25)
	fromGifts := (yd - 350) / 12
	return wave + c.gifts*math.Exp(-fromGifts*fromGifts/2)
}
