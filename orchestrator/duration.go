package orchestrator

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a [time.Duration] whose JSON is an ISO 8601 duration, such as
// "PT1H30M", for readers in any language.
type Duration time.Duration

// ParseDuration reads weeks, days, hours, minutes and seconds: "P1DT12H",
// "PT0.25S", "-PT5M". A day is 24 hours. Years and months have no fixed length
// and are refused, as is what does not fit (about 292 years).
func ParseDuration(s string) (Duration, error) {
	d, err := parseISODuration(s)
	if err != nil {
		return 0, fmt.Errorf("orchestrator: %q is not an ISO 8601 duration such as PT1H30M: %w", shorten(s), err)
	}
	return d, nil
}

// MustDuration is [ParseDuration] for constants; it panics on a bad one.
func MustDuration(s string) Duration {
	d, err := ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

// Std is d as a [time.Duration].
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is the form of [ParseDuration], in hours, minutes and seconds.
func (d Duration) String() string { return string(d.Append(make([]byte, 0, 24))) }

// Append appends [Duration.String] to b.
func (d Duration) Append(b []byte) []byte {
	if d == 0 {
		return append(b, "PT0S"...)
	}
	left := uint64(d)
	if d < 0 {
		b = append(b, '-')
		left = -left // right for the smallest Duration too, whose negation does not fit
	}
	b = append(b, "PT"...)
	hours, left := left/uint64(time.Hour), left%uint64(time.Hour)
	minutes, left := left/uint64(time.Minute), left%uint64(time.Minute)
	if hours > 0 {
		b = append(strconv.AppendUint(b, hours, 10), 'H')
	}
	if minutes > 0 {
		b = append(strconv.AppendUint(b, minutes, 10), 'M')
	}
	if left == 0 {
		return b
	}
	b = strconv.AppendUint(b, left/uint64(time.Second), 10)
	if fraction := left % uint64(time.Second); fraction > 0 {
		digits := strconv.FormatUint(fraction+uint64(time.Second), 10)[1:] // nine digits
		b = append(b, '.')
		b = append(b, strings.TrimRight(digits, "0")...)
	}
	return append(b, 'S')
}

// MarshalText is [Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return d.Append(nil), nil }

// UnmarshalText is [ParseDuration].
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// parseISODuration sums up nanoseconds as a negative number, because the
// smallest Duration has no positive counterpart.
func parseISODuration(s string) (Duration, error) {
	rest, negative := strings.CutPrefix(s, "-")
	rest, found := strings.CutPrefix(rest, "P")
	if !found {
		return 0, errors.New("it does not start with P")
	}
	units := []isoUnit{{'W', 7 * 24 * time.Hour}, {'D', 24 * time.Hour}}
	var sum int64
	for parts, inTime := 0, false; rest != "" || parts == 0; parts++ {
		if !inTime && strings.HasPrefix(rest, "T") {
			rest, inTime = rest[1:], true
			units = []isoUnit{{'H', time.Hour}, {'M', time.Minute}, {'S', time.Second}}
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' && r != ',' })
		if end <= 0 {
			return 0, errors.New("a number and its unit are missing")
		}
		number, designator := rest[:end], rest[end]
		rest = rest[end+1:]
		unit, later, err := findUnit(units, designator)
		if err != nil {
			return 0, err
		}
		units = later
		amount, err := unit.times(number)
		if err != nil {
			return 0, err
		}
		if sum -= amount; sum > 0 || amount < 0 {
			return 0, errors.New("it is too long")
		}
	}
	if negative {
		return Duration(sum), nil
	}
	if sum == math.MinInt64 {
		return 0, errors.New("it is too long")
	}
	return Duration(-sum), nil
}

type isoUnit struct {
	designator byte
	length     time.Duration
}

// findUnit returns the unit and those that may follow it: each may stand once, in order.
func findUnit(units []isoUnit, designator byte) (isoUnit, []isoUnit, error) {
	for i, u := range units {
		if u.designator == designator {
			return u, units[i+1:], nil
		}
	}
	if designator == 'Y' || designator == 'M' {
		return isoUnit{}, nil, errors.New("years and months have no fixed length")
	}
	return isoUnit{}, nil, fmt.Errorf("the unit %q is unknown or out of order", designator)
}

// times multiplies; only seconds may have a fraction, of at most nine digits.
func (u isoUnit) times(number string) (int64, error) {
	whole, fraction, point := strings.Cut(strings.Replace(number, ",", ".", 1), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > math.MaxInt64/int64(u.length) {
		return 0, errors.New("it is too long")
	}
	total := n * int64(u.length)
	if !point {
		return total, nil
	}
	if u.designator != 'S' || !allDigits(fraction) || len(fraction) > 9 {
		return 0, errors.New("only seconds may have a fraction, of up to nine digits")
	}
	nanoseconds, _ := strconv.ParseInt(fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
	return total + nanoseconds, nil
}
