package orchestrator

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Decimal is an exact decimal number of any size, for money and the like. In
// JSON it is a string, so that no reader rounds it through a float.
//
// The zero value is 0. Two Decimals are == exactly when they are numerically
// equal: 1.10 and 1.1 are one value, written "1.1". For arithmetic use
// [Decimal.Rat] or a library of your choice.
type Decimal struct {
	// text is canonical: no leading zeros but one before the point, no trailing
	// zeros after it, no "-0"; "" is 0. Comparing it compares the numbers.
	text string
}

// ParseDecimal reads an optional sign, digits, and an optional fraction, such
// as "-12.50". It refuses exponents, which could name numbers that fill the memory.
func ParseDecimal(s string) (Decimal, error) {
	digits := strings.TrimPrefix(s, "-")
	negative := len(digits) < len(s)
	whole, fraction, point := strings.Cut(digits, ".")
	if !allDigits(whole) || point && !allDigits(fraction) {
		return Decimal{}, fmt.Errorf("orchestrator: %q is not a decimal number", shorten(s))
	}
	trimmedWhole, trimmedFraction := strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if trimmedWhole == "" && trimmedFraction == "" {
		return Decimal{}, nil
	}
	if (whole == "0" || whole[0] != '0') && len(trimmedFraction) == len(fraction) {
		return Decimal{s}, nil
	}
	var b strings.Builder
	b.Grow(len(s) + 1)
	if negative {
		b.WriteByte('-')
	}
	if trimmedWhole == "" {
		trimmedWhole = "0"
	}
	b.WriteString(trimmedWhole)
	if trimmedFraction != "" {
		b.WriteByte('.')
		b.WriteString(trimmedFraction)
	}
	return Decimal{b.String()}, nil
}

// MustDecimal is [ParseDecimal] for constants; it panics on a bad one.
func MustDecimal(s string) Decimal {
	d, err := ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return d
}

// NewDecimal is unscaled divided by ten to the power of scale:
// NewDecimal(1250, 2) is 12.5. A negative scale multiplies.
func NewDecimal(unscaled int64, scale int) Decimal {
	digits := strconv.FormatInt(unscaled, 10)
	sign := ""
	if unscaled < 0 {
		sign, digits = "-", digits[1:]
	}
	switch {
	case scale < 0:
		digits += strings.Repeat("0", -scale)
	case scale > 0:
		if pad := scale - len(digits) + 1; pad > 0 {
			digits = strings.Repeat("0", pad) + digits
		}
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	return MustDecimal(sign + digits)
}

// String is the shortest plain notation, without an exponent.
func (d Decimal) String() string {
	if d.text == "" {
		return "0"
	}
	return d.text
}

// IsZero tells whether d is 0.
func (d Decimal) IsZero() bool { return d.text == "" }

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int {
	switch {
	case d.text == "":
		return 0
	case d.text[0] == '-':
		return -1
	}
	return 1
}

// Cmp compares numerically: -1 when d is less than e, 0 when equal, 1 when greater.
func (d Decimal) Cmp(e Decimal) int {
	sign := d.Sign()
	if c := cmp.Compare(sign, e.Sign()); c != 0 {
		return c
	}
	if d.text == e.text {
		return 0
	}
	dWhole, dFraction, _ := strings.Cut(strings.TrimPrefix(d.text, "-"), ".")
	eWhole, eFraction, _ := strings.Cut(strings.TrimPrefix(e.text, "-"), ".")
	// Canonical texts: the longer whole part is the larger number, and digits
	// of equal position compare as text.
	magnitude := cmp.Or(
		cmp.Compare(len(dWhole), len(eWhole)),
		cmp.Compare(dWhole, eWhole),
		cmp.Compare(dFraction, eFraction),
	)
	return sign * magnitude
}

// Rat is d as a fraction, for arithmetic.
func (d Decimal) Rat() *big.Rat {
	r, _ := new(big.Rat).SetString(d.String()) // the canonical text always parses
	return r
}

// MarshalText is [Decimal.String].
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is [ParseDecimal].
func (d *Decimal) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDecimal(string(text))
	return err
}

// Value stores d as text, which PostgreSQL takes for a numeric.
func (d Decimal) Value() (driver.Value, error) { return d.String(), nil }

// Scan reads what a driver returns for a numeric.
func (d *Decimal) Scan(source any) error {
	switch v := source.(type) {
	case string:
		return d.UnmarshalText([]byte(v))
	case []byte:
		return d.UnmarshalText(v)
	case int64:
		*d = NewDecimal(v, 0)
		return nil
	}
	return fmt.Errorf("orchestrator: cannot scan %T into a Decimal", source)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// shorten keeps error texts readable when the input is not.
func shorten(s string) string {
	const limit = 40
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}
