package table

import (
	"bytes"
	"math"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIsMissing(t *testing.T) {
	for _, s := range []string{"", "NA", "N/A", "NULL", "null", "NaN", "nan", "?"} {
		if !IsMissing(s) || !missing([]byte(s)) {
			t.Errorf("%q must be missing", s)
		}
	}
	for _, s := range []string{"None", "-200", "na", "n/a", "Null", "NAN", "-", " ", "0", "NULLs", "??"} {
		if IsMissing(s) || missing([]byte(s)) {
			t.Errorf("%q must not be missing", s)
		}
	}
}

// TestFloats compares numbers of every shape with strconv, to the last bit.
func TestFloats(t *testing.T) {
	digits := rapid.StringMatching(`[+-]?([0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?`)
	rapid.Check(t, func(t *rapid.T) {
		s := digits.Draw(t, "number")
		want, _ := strconv.ParseFloat(s, 64)
		got, n, big := scanFloat([]byte(s + ",7"))
		if n != len(s) || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s reads as %v of %d bytes, want %v", s, got, n, want)
		}
		whole := !bytes.ContainsAny([]byte(s), ".eE")
		if whole && math.Abs(want) > maxWhole && !big || big && (!whole || math.Abs(want) < maxWhole) {
			t.Fatalf("%s: beyond 2^53 is %t", s, big)
		}
	})
}

// TestFloatsRoundTrip writes numbers and reads them back.
func TestFloatsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		if math.IsNaN(v) {
			return
		}
		text := appendFloat(nil, v)
		got, big, ok := parseFloat(text)
		if !ok || big || math.Float64bits(got) != math.Float64bits(v) {
			t.Fatalf("%v is written as %s and reads as %v", v, text, got)
		}
	})
}

func TestParseTime(t *testing.T) {
	at := func(y, mo, d, h, mi, s, us int) int64 {
		return time.Date(y, time.Month(mo), d, h, mi, s, us*1000, time.UTC).UnixMicro()
	}
	good := map[string]int64{
		"1970-01-01":                       0,
		"2024-02-29":                       at(2024, 2, 29, 0, 0, 0, 0),
		"0001-01-01":                       at(1, 1, 1, 0, 0, 0, 0),
		"9999-12-31T23:59:59.999999Z":      at(9999, 12, 31, 23, 59, 59, 999999),
		"2012-10-02 09:00:00":              at(2012, 10, 2, 9, 0, 0, 0),
		"2012-10-02 9:05":                  at(2012, 10, 2, 9, 5, 0, 0),
		"2012-10-02t09:00:00z":             at(2012, 10, 2, 9, 0, 0, 0),
		"2012-10-02T09:00:00.5":            at(2012, 10, 2, 9, 0, 0, 500000),
		"2012-10-02T09:00:00,25Z":          at(2012, 10, 2, 9, 0, 0, 250000),
		"2012-10-02T09:00:00.123456789Z":   at(2012, 10, 2, 9, 0, 0, 123456),
		"2012-10-02T09:00:00+02:00":        at(2012, 10, 2, 7, 0, 0, 0),
		"2012-10-02 09:00:00-0530":         at(2012, 10, 2, 14, 30, 0, 0),
		"2012-10-02 09:00:00+00":           at(2012, 10, 2, 9, 0, 0, 0),
		"2012-10-02 09:00:00 UTC":          at(2012, 10, 2, 9, 0, 0, 0),
		"2012-10-02 09:00:00.000000+00:00": at(2012, 10, 2, 9, 0, 0, 0),
		"1/31/2020":                        at(2020, 1, 31, 0, 0, 0, 0),
		"01/02/2020":                       at(2020, 1, 2, 0, 0, 0, 0),
		"12/31/1999 23:59":                 at(1999, 12, 31, 23, 59, 0, 0),
		"1/2/2020 3:04:05":                 at(2020, 1, 2, 3, 4, 5, 0),
		"1/2/2020 3:04 PM":                 at(2020, 1, 2, 15, 4, 0, 0),
		"1/2/2020 12:04:05 AM":             at(2020, 1, 2, 0, 4, 5, 0),
		"1/2/2020 12:04pm":                 at(2020, 1, 2, 12, 4, 0, 0),
	}
	for s, want := range good {
		if got, ok := ParseTime(s); !ok || got != want {
			t.Errorf("%s: %s (%t), want %s", s, FormatTime(got), ok, FormatTime(want))
		}
	}
	for _, s := range []string{
		"", "2020", "2020-01", "20200101", "2020-1-1", "2020-13-01", "2020-00-01", "2020-02-30", "2023-02-29", "1900-02-29",
		"2020-04-31", "2020-01-00", "0000-01-01", "2020/01/01", "2020-01-01T", "2020-01-01 ", "2020-01-01x", "2020-01-01T24:00",
		"2020-01-01T10:60", "2020-01-01T10:00:60", "2020-01-01T10", "2020-01-01T10:0", "2020-01-01T10:00:00.", "2020-01-01T10:00Q",
		"2020-01-01T10:00+24:00", "2020-01-01T10:00+1", "2020-01-01T10:00+01:60", "2020-01-01T10:00+01:0", "2020-01-01T10:00+01:000",
		"2020-01-01T10:00 EST", "2020-01-01T10:00 ", "2020-01-01 10:00 PM", "25/12/2020", "1/32/2020", "0/1/2020", "1/2/20", "1/2/20200",
		"1-2-2020", "1/2/2020 13:00 PM", "1/2/2020 0:30 AM", "1/2/2020 3:04 XM", "1/2/2020 3:04 P", "1/2/2020T03:04", "1/2/2020 3:04Z",
		"10:30", "noon", "2020-0a-01", "-2020-01-01", "/1/2020", "1//2020",
	} {
		if got, ok := ParseTime(s); ok {
			t.Errorf("%q reads as %s, want no time", s, FormatTime(got))
		}
	}
}

// TestTimesRoundTrip compares with package time on all days that are read.
func TestTimesRoundTrip(t *testing.T) {
	first := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	last := time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC).UnixMicro()
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(first, last).Draw(t, "µs")
		us -= us % rapid.SampledFrom([]int64{1, second, minute, day}).Draw(t, "unit")
		want := time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.000000Z")
		switch {
		case us%day == 0:
			want = want[:10]
		case us%second == 0:
			want = want[:19] + "Z"
		}
		text := FormatTime(us)
		if got, ok := ParseTime(text); text != want || !ok || got != us {
			t.Fatalf("%d is written as %s, want %s, and reads as %d", us, text, want, got)
		}
	})
	if got := FormatTime(NoTime); got != "" {
		t.Errorf("NoTime is written as %q", got)
	}
	if got := FormatTime(last + 1); got != "10000-01-01" {
		t.Errorf("the year 10000 is written as %q", got)
	}
}
