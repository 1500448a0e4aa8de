package orchestrator

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"time"
)

// Date is a day of the calendar, without a time or a zone. In JSON it is a
// string such as "2026-11-21".
//
// Dates are comparable with ==. The zero value is 0001-01-01, like that of
// [time.Time], and stands for "no date".
type Date struct {
	days int32 // since 0001-01-01
}

// NewDate normalises as [time.Date] does: 31 June is 1 July.
func NewDate(year int, month time.Month, day int) Date {
	return DateOf(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
}

// DateOf is the day on which t falls in t's own location.
func DateOf(t time.Time) Date {
	year, month, day := t.Date()
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return Date{int32(floorDiv(midnight.Unix()-firstDay, secondsPerDay))}
}

// ParseDate reads "2026-11-21": years 0001 to 9999, and only days that exist.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1 {
		return Date{}, fmt.Errorf("orchestrator: %q is not a date such as 2026-11-21", shorten(s))
	}
	return DateOf(t), nil
}

// MustDate is [ParseDate] for constants; it panics on a bad one.
func MustDate(s string) Date {
	d, err := ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// String is the form of [ParseDate].
func (d Date) String() string { return d.utc().Format(time.DateOnly) }

// Date returns the parts of d.
func (d Date) Date() (year int, month time.Month, day int) { return d.utc().Date() }

// Weekday is the day of the week.
func (d Date) Weekday() time.Weekday { return d.utc().Weekday() }

// In is the moment d starts in loc. Where a change of the clocks skips
// midnight it is the moment [time.Date] gives.
func (d Date) In(loc *time.Location) time.Time {
	year, month, day := d.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, loc)
}

// AddDays is d n days later, or earlier when n is negative.
func (d Date) AddDays(n int) Date { return Date{d.days + int32(n)} }

// DaysSince is the number of days from e to d.
func (d Date) DaysSince(e Date) int { return int(d.days) - int(e.days) }

// Compare is -1 when d is before e, 0 when equal, 1 when after.
func (d Date) Compare(e Date) int { return cmp.Compare(d.days, e.days) }

// IsZero tells whether d is the zero value.
func (d Date) IsZero() bool { return d.days == 0 }

// MarshalText is [Date.String]; it fails outside the years 1 to 9999.
func (d Date) MarshalText() ([]byte, error) {
	if year, _, _ := d.Date(); year < 1 || year > 9999 {
		return nil, fmt.Errorf("orchestrator: date %s is outside the years 1 to 9999", d)
	}
	return []byte(d.String()), nil
}

// UnmarshalText is [ParseDate].
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// Value stores d as text, which PostgreSQL takes for a date.
func (d Date) Value() (driver.Value, error) { return d.String(), nil }

// Scan reads what a driver returns for a date.
func (d *Date) Scan(source any) error {
	switch v := source.(type) {
	case time.Time:
		*d = DateOf(v)
		return nil
	case string:
		return d.UnmarshalText([]byte(v))
	case []byte:
		return d.UnmarshalText(v)
	}
	return fmt.Errorf("orchestrator: cannot scan %T into a Date", source)
}

const (
	secondsPerDay = 24 * 60 * 60
	firstDay      = -62135596800 // 0001-01-01 in Unix seconds
)

func (d Date) utc() time.Time { return time.Unix(firstDay+int64(d.days)*secondsPerDay, 0).UTC() }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
