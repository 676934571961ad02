package onnx

import "github.com/healml/healml/internal/schema"

const (
	hourMicros = int64(3600e6)
	dayMicros  = 24 * hourMicros
)

// calendar are the parts of a column of times that were made so far, as int64.
type calendar struct {
	day   string // since 1970
	inDay string // microseconds since midnight
	doe   string // day of a 400-year era that begins in March
	doy   string // day of a year that begins in March
	yoe   string // year of the era
	mp    string // month from March on, 0…11
}

// calendarOf reads a part of a time, NaN where it is missing.
func (g *graph) calendarOf(column string, op schema.Op) string {
	c := g.times[column]
	if c.day == "" {
		// Mod of integers has the sign of the divisor, so that days before 1970
		// are whole, too.
		c.inDay = g.op("Mod", column, g.whole(dayMicros))
		c.day = g.op("Div", g.op("Sub", column, c.inDay), g.whole(dayMicros))
	}
	var part string
	switch op {
	case schema.Hour:
		part = g.op("Div", c.inDay, g.whole(hourMicros))
	case schema.Weekday:
		part = g.op("Mod", g.op("Add", c.day, g.whole(4)), g.whole(7))
	default:
		if c.doy == "" {
			g.civil(&c)
		}
		part = g.civilPart(&c, op)
	}
	g.times[column] = c
	missing := g.op("Equal", column, g.whole(missingTime))
	return g.op("Where", missing, g.number(nan), g.cast(part, doubleType))
}

// civil does the steps of Howard Hinnant's days-to-civil algorithm that all
// parts of a date share, as package feature does.
func (g *graph) civil(c *calendar) {
	z := g.op("Add", c.day, g.whole(719468))
	c.doe = g.op("Mod", z, g.whole(146097))
	div := func(x string, by int64) string { return g.op("Div", x, g.whole(by)) }
	c.yoe = div(g.op("Sub", g.op("Add", g.op("Sub", c.doe, div(c.doe, 1460)), div(c.doe, 36524)), div(c.doe, 146096)), 365)
	before := g.op("Sub", g.op("Add", g.op("Mul", g.whole(365), c.yoe), div(c.yoe, 4)), div(c.yoe, 100))
	c.doy = g.op("Sub", c.doe, before)
	c.mp = div(g.op("Add", g.op("Mul", g.whole(5), c.doy), g.whole(2)), 153)
}

func (g *graph) civilPart(c *calendar, op schema.Op) string {
	switch op {
	case schema.Month:
		return g.op("Add", g.op("Mod", g.op("Add", c.mp, g.whole(2)), g.whole(12)), g.whole(1))
	case schema.Day:
		begins := g.op("Div", g.op("Add", g.op("Mul", g.whole(153), c.mp), g.whole(2)), g.whole(5))
		return g.op("Add", g.op("Sub", c.doy, begins), g.whole(1))
	case schema.YearDay:
		return g.yearDay(c)
	}
	panic("onnx: unknown calendar operation " + string(op))
}

// yearDay counts from January 1: January and February are the last 306…365 days
// of a year that begins in March, the others follow 59 or 60 days of theirs.
func (g *graph) yearDay(c *calendar) string {
	winter := g.op("GreaterOrEqual", c.doy, g.whole(306))
	// The year of the era of March is that of its January but for winter, which
	// belongs to the next.
	zero := func(x string, by int64) string { return g.op("Equal", g.op("Mod", x, g.whole(by)), g.whole(0)) }
	leap := g.op("And", zero(c.yoe, 4), g.op("Or", g.op("Not", zero(c.yoe, 100)), zero(c.yoe, 400)))
	days := g.op("Where", leap, g.whole(61), g.whole(60))
	return g.op("Where", winter, g.op("Sub", c.doy, g.whole(305)), g.op("Add", c.doy, days))
}
