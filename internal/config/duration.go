package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration in Go's notation and also in days (7d) and
// weeks (2w).
func ParseDuration(s string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			v, err := strconv.ParseFloat(n, 64)
			if err != nil || !(v >= 0 && v*float64(unit) <= 1<<62) { // NaN is neither
				return 0, fmt.Errorf("duration %q, expected such as 90s, 12h, 7d or 2w", s)
			}
			return time.Duration(v * float64(unit)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("duration %q, expected such as 90s, 12h, 7d or 2w", s)
	}
	return d, nil
}

// durationHook decodes durations from text. A bare number other than 0 has no
// unit and is refused: 30 could mean days as well as nanoseconds.
func durationHook(from, to reflect.Type, v any) (any, error) {
	duration := reflect.TypeFor[time.Duration]()
	switch {
	case to != duration || from == duration:
		return v, nil
	case from.Kind() == reflect.String:
		return ParseDuration(v.(string))
	case fmt.Sprint(v) == "0":
		return time.Duration(0), nil
	}
	return nil, fmt.Errorf("duration %v has no unit, expected such as 90s, 12h, 7d or 2w", v)
}

// wholeHook refuses numbers that a whole setting cannot hold, which would be
// cut off or wrap around.
func wholeHook(from, to reflect.Value) (any, error) {
	broken := from.CanFloat() && !(from.Float() == math.Trunc(from.Float()) && math.Abs(from.Float()) <= 1<<53)
	switch {
	case to.CanInt() && broken:
		return nil, fmt.Errorf("%v, expected a whole number", from.Float())
	case to.CanUint() && (broken || from.CanFloat() && from.Float() < 0 || from.CanInt() && from.Int() < 0):
		return nil, fmt.Errorf("%v, expected a whole number of 0 or more", from.Interface())
	}
	return from.Interface(), nil
}
