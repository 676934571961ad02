package table

import "strconv"

const (
	second = 1_000_000 // in microseconds
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// ParseTime reads a point in time and returns it in microseconds since 1970
// UTC. It takes
//
//	2006-01-02
//	2006-01-02T15:04[:05[.999999]][Z|UTC|+07:00|+0700|+07]   (T or a blank)
//	1/2/2006 [15:04[:05[.999999]] [AM|PM]]                    (month first)
//
// Without a zone it is UTC. Fractions beyond microseconds are cut off. With
// slashes the month always comes first: 25/12/2020 is no time, and no value
// is ever guessed to have its day first.
func ParseTime(s string) (us int64, ok bool) { return parseTime(s) }

func parseTime[T text](s T) (us int64, ok bool) {
	if len(s) >= 10 && s[4] == '-' {
		return parseISO(s)
	}
	return parseSlashed(s)
}

func parseISO[T text](s T) (us int64, ok bool) {
	y, i, ok1 := number(s, 0, 4, 4)
	m, i, ok2 := number(s, i+1, 2, 2)
	if !ok1 || !ok2 || i >= len(s) || s[i] != '-' {
		return 0, false
	}
	d, i, ok3 := number(s, i+1, 2, 2)
	if !ok3 || !validDate(y, m, d) {
		return 0, false
	}
	us = daysOf(y, m, d) * day
	if i == len(s) {
		return us, true
	}
	if s[i] != ' ' && s[i] != 'T' && s[i] != 't' {
		return 0, false
	}
	clock, i, ok := parseClock(s, i+1)
	if !ok {
		return 0, false
	}
	east, ok := parseZone(s, i)
	return us + clock - east, ok
}

func parseSlashed[T text](s T) (us int64, ok bool) {
	m, i, ok1 := number(s, 0, 1, 2)
	if !ok1 || i >= len(s) || s[i] != '/' {
		return 0, false
	}
	d, i, ok2 := number(s, i+1, 1, 2)
	if !ok2 || i >= len(s) || s[i] != '/' {
		return 0, false
	}
	y, i, ok3 := number(s, i+1, 4, 4)
	if !ok3 || !validDate(y, m, d) {
		return 0, false
	}
	us = daysOf(y, m, d) * day
	if i == len(s) {
		return us, true
	}
	if s[i] != ' ' {
		return 0, false
	}
	clock, i, ok := parseClock(s, i+1)
	if !ok {
		return 0, false
	}
	if i < len(s) {
		clock, ok = parseHalf(s, i, clock)
	}
	return us + clock, ok
}

// number reads between least and most digits at s[i:].
func number[T text](s T, i, least, most int) (v, next int, ok bool) {
	first := i
	for i < len(s) && i < first+most && s[i]-'0' < 10 {
		v = v*10 + int(s[i]-'0')
		i++
	}
	return v, i, i-first >= least
}

// parseClock reads h:mm[:ss[.fraction]] and returns microseconds.
func parseClock[T text](s T, i int) (us int64, next int, ok bool) {
	h, i, ok := number(s, i, 1, 2)
	if !ok || h > 23 || i >= len(s) || s[i] != ':' {
		return 0, i, false
	}
	m, i, ok := number(s, i+1, 2, 2)
	if !ok || m > 59 {
		return 0, i, false
	}
	us = int64(h)*hour + int64(m)*minute
	if i >= len(s) || s[i] != ':' {
		return us, i, true
	}
	sec, i, ok := number(s, i+1, 2, 2)
	if !ok || sec > 59 {
		return 0, i, false
	}
	us += int64(sec) * second
	if i >= len(s) || s[i] != '.' && s[i] != ',' {
		return us, i, true
	}
	first := i + 1
	i = first
	for unit := int64(second / 10); i < len(s) && s[i]-'0' < 10; i++ {
		us += int64(s[i]-'0') * unit
		unit /= 10
	}
	return us, i, i > first
}

// parseZone reads the rest of s as a zone and returns its microseconds east
// of UTC.
func parseZone[T text](s T, i int) (east int64, ok bool) {
	if i < len(s) && s[i] == ' ' {
		i++
	} else if i == len(s) {
		return 0, true
	}
	switch len(s) - i {
	case 1:
		return 0, s[i] == 'Z' || s[i] == 'z'
	case 3:
		if s[i] == 'U' && s[i+1] == 'T' && s[i+2] == 'C' {
			return 0, true
		}
	}
	if i >= len(s) || s[i] != '+' && s[i] != '-' {
		return 0, false
	}
	sign := int64(1)
	if s[i] == '-' {
		sign = -1
	}
	h, i, ok := number(s, i+1, 2, 2)
	if !ok || h > 23 {
		return 0, false
	}
	m := 0
	if i < len(s) {
		if s[i] == ':' {
			i++
		}
		if m, i, ok = number(s, i, 2, 2); !ok || m > 59 {
			return 0, false
		}
	}
	return sign * (int64(h)*hour + int64(m)*minute), i == len(s)
}

// parseHalf reads the rest of s as AM or PM and applies it to a clock of
// twelve hours.
func parseHalf[T text](s T, i int, clock int64) (us int64, ok bool) {
	if s[i] == ' ' {
		i++
	}
	h := clock / hour
	if len(s)-i != 2 || s[i+1]|0x20 != 'm' || h < 1 || h > 12 {
		return 0, false
	}
	if h == 12 {
		clock -= 12 * hour
	}
	switch s[i] | 0x20 {
	case 'a':
		return clock, true
	case 'p':
		return clock + 12*hour, true
	}
	return 0, false
}

func validDate(y, m, d int) bool {
	if y < 1 || m < 1 || m > 12 || d < 1 {
		return false
	}
	switch {
	case m == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0):
		return d <= 29
	case m == 2:
		return d <= 28
	case m == 4 || m == 6 || m == 9 || m == 11:
		return d <= 30
	}
	return d <= 31
}

// daysOf is the number of days from 1970-01-01 to a date of the Gregorian
// calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
func daysOf(y, m, d int) int64 {
	if m <= 2 {
		y--
	}
	era := floorDiv(int64(y), 400)
	yearOfEra := int64(y) - era*400
	dayOfYear := int64((153*((m+9)%12)+2)/5 + d - 1)
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

// dateOf is the inverse of daysOf.
func dateOf(days int64) (y int64, m, d int) {
	days += 719468
	era := floorDiv(days, 146097)
	n := days - era*146097
	yearOfEra := (n - n/1460 + n/36524 - n/146096) / 365
	dayOfYear := int(n - (365*yearOfEra + yearOfEra/4 - yearOfEra/100))
	mp := (5*dayOfYear + 2) / 153
	d = dayOfYear - (153*mp+2)/5 + 1
	m = mp + 3
	if m > 12 {
		m -= 12
	}
	y = yearOfEra + era*400
	if m <= 2 {
		y++
	}
	return y, m, d
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// FormatTime writes a time as ParseTime reads it: the date alone at midnight,
// else 2006-01-02T15:04:05[.999999]Z. NoTime is the empty string.
func FormatTime(us int64) string {
	if us == NoTime {
		return ""
	}
	var buf [40]byte
	return string(appendTime(buf[:0], us))
}

func appendTime(b []byte, us int64) []byte {
	days := floorDiv(us, day)
	us -= days * day
	y, m, d := dateOf(days)
	if y < 0 {
		b = append(b, '-')
		y = -y
	}
	for limit := int64(1000); limit > y && limit > 1; limit /= 10 {
		b = append(b, '0')
	}
	b = strconv.AppendInt(b, y, 10)
	b = appendTwo(append(b, '-'), m)
	b = appendTwo(append(b, '-'), d)
	if us == 0 {
		return b
	}
	b = appendTwo(append(b, 'T'), int(us/hour))
	b = appendTwo(append(b, ':'), int(us/minute%60))
	b = appendTwo(append(b, ':'), int(us/second%60))
	if us %= second; us != 0 {
		b = append(b, '.')
		for unit := int64(second / 10); unit > 0; unit /= 10 {
			b = append(b, byte('0'+us/unit%10))
		}
	}
	return append(b, 'Z')
}

func appendTwo(b []byte, v int) []byte { return append(b, byte('0'+v/10), byte('0'+v%10)) }
