package table

import (
	"math"
	"strconv"
)

// text is what values are parsed from: fields of a file or strings.
type text interface{ ~string | ~[]byte }

// IsMissing reports whether s stands for a missing value: nothing, NA, N/A,
// NULL, null, NaN, nan or a question mark. "None" and "-200" are values.
func IsMissing(s string) bool {
	switch s {
	case "", "NA", "N/A", "NULL", "null", "NaN", "nan", "?":
		return true
	}
	return false
}

func missing(b []byte) bool { return len(b) <= len("NULL") && IsMissing(string(b)) }

var nan = math.NaN()

// maxWhole is the greatest whole number up to which every whole number is a
// float64: 2^53.
const maxWhole = 1 << 53

// pow10 holds the powers of ten that are exact in a float64.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// scanFloat reads the decimal number that b starts with: [+-]digits[.digits]
// [e[+-]digits]. n is its length, 0 when there is none. big says that it is
// written as a whole number beyond ±2^53, which v may not hold exactly.
//
// A number of at most 2^53 in its digits and with at most 22 decimals is one
// division of two exact values, which rounds correctly (Clinger, "How to read
// floating point numbers accurately", 1990); others go to strconv.
func scanFloat(b []byte) (v float64, n int, big bool) {
	i := 0
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		i++
	}
	first := i
	var m uint64
	for i < len(b) && b[i]-'0' < 10 {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	digits, decimals, whole := i-first, 0, true
	if i < len(b) && b[i] == '.' {
		whole = false
		i++
		point := i
		for i < len(b) && b[i]-'0' < 10 {
			m = m*10 + uint64(b[i]-'0')
			i++
		}
		decimals = i - point
		digits += decimals
	}
	if digits == 0 {
		return 0, 0, false
	}
	if e := exponent(b[i:]); e > 0 {
		i += e
		whole = false
		decimals = len(pow10)
	}
	if digits <= 19 && m <= maxWhole && decimals < len(pow10) {
		v = float64(m) / pow10[decimals]
		if negative {
			v = -v
		}
		return v, i, false
	}
	// Out of range is no error here: the value is an infinity or zero.
	v, _ = strconv.ParseFloat(string(b[:i]), 64)
	return v, i, whole
}

// exponent is the length of the exponent that b starts with, 0 for none.
func exponent(b []byte) int {
	if len(b) < 2 || b[0]|0x20 != 'e' {
		return 0
	}
	i := 1
	if b[i] == '-' || b[i] == '+' {
		i++
	}
	first := i
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	if i == first {
		return 0
	}
	return i
}

// parseFloat is scanFloat over the whole of b, and takes inf and infinity in
// any case.
func parseFloat(b []byte) (v float64, big, ok bool) {
	v, n, big := scanFloat(b)
	if n > 0 {
		return v, big, n == len(b)
	}
	sign := 1
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		if b[0] == '-' {
			sign = -1
		}
		b = b[1:]
	}
	if isWord(b, "inf") || isWord(b, "infinity") {
		return math.Inf(sign), false, true
	}
	return 0, false, false
}

// parseBool takes true, false, t and f in any case.
func parseBool(b []byte) (v float64, ok bool) {
	switch {
	case isWord(b, "true"), isWord(b, "t"):
		return 1, true
	case isWord(b, "false"), isWord(b, "f"):
		return 0, true
	}
	return 0, false
}

// isWord reports whether b is the lower-case word, in any case.
func isWord(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != word[i] {
			return false
		}
	}
	return true
}

// trim takes the blanks off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func formatValue(c *Column, i int) string {
	if c.Type == String {
		return c.Text(i)
	}
	var buf [32]byte
	return string(appendValue(buf[:0], c, i))
}

// appendValue appends value i as it stands in a CSV file, before quoting.
func appendValue(b []byte, c *Column, i int) []byte {
	if c.Missing(i) {
		return b
	}
	switch c.Type {
	case String:
		return append(b, c.Dict[c.Codes[i]]...)
	case Time:
		return appendTime(b, c.Times[i])
	case Bool:
		return strconv.AppendBool(b, c.Floats[i] != 0)
	}
	return appendFloat(b, c.Floats[i])
}

// appendFloat appends the shortest text that reads as v. Whole numbers have
// no decimals; beyond 2^53 they have an exponent, by which a reader knows
// them from identifiers that must stay text.
func appendFloat(b []byte, v float64) []byte {
	size := math.Abs(v)
	switch {
	case math.IsInf(v, 1):
		return append(b, "inf"...)
	case math.IsInf(v, -1):
		return append(b, "-inf"...)
	case size != 0 && (size < 1e-5 || size >= maxWhole):
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}
