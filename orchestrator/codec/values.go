package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/canonical"
)

// String writes a string. Invalid UTF-8 and NUL are violations.
func (w *Writer) String(name, v string) {
	w.buf = w.quote(w.key(name), v)
}

// Bool writes a bool.
func (w *Writer) Bool(name string, v bool) {
	w.buf = strconv.AppendBool(w.key(name), v)
}

// Int writes an int.
func (w *Writer) Int(name string, v int) { w.Int64(name, int64(v)) }

// Int64 writes an int64, in all its digits.
func (w *Writer) Int64(name string, v int64) {
	w.buf = strconv.AppendInt(w.key(name), v, 10)
}

// Float64 writes a float64. NaN and the infinities are violations.
func (w *Writer) Float64(name string, v float64) {
	w.buf = canonical.AppendFloat(w.key(name), v)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		w.Fail("must be a finite number")
	}
}

// Decimal writes a decimal as a string.
func (w *Writer) Decimal(name string, v orchestrator.Decimal) {
	w.buf = plain(w.key(name), v.String())
}

// Bytes writes base64, and nil as the empty string.
func (w *Writer) Bytes(name string, v []byte) {
	b := append(w.key(name), '"')
	b = base64.StdEncoding.AppendEncode(b, v)
	w.buf = append(b, '"')
}

// UUID writes a UUID of a required field: the zero one is a violation.
func (w *Writer) UUID(name string, v orchestrator.UUID) {
	w.AnyUUID(name, v)
	if v == (orchestrator.UUID{}) {
		w.Fail(required)
	}
}

// AnyUUID writes a UUID that may be zero.
func (w *Writer) AnyUUID(name string, v orchestrator.UUID) {
	b := canonical.AppendUUID(append(w.key(name), '"'), v)
	w.buf = append(b, '"')
}

// Time writes the time of a required field: the zero one is a violation.
func (w *Writer) Time(name string, v time.Time) {
	w.AnyTime(name, v)
	if v.IsZero() {
		w.Fail(required)
	}
}

// AnyTime writes a time that may be zero, as RFC 3339 with nanoseconds.
func (w *Writer) AnyTime(name string, v time.Time) {
	b, err := v.AppendText(append(w.key(name), '"'))
	w.buf = append(b, '"')
	if err != nil {
		w.Fail("must be in the years 0 to 9999, at whole minutes from UTC")
	}
}

// Date writes the date of a required field: the zero one is a violation.
func (w *Writer) Date(name string, v orchestrator.Date) {
	w.AnyDate(name, v)
	if v.IsZero() {
		w.Fail(required)
	}
}

// AnyDate writes a date that may be zero.
func (w *Writer) AnyDate(name string, v orchestrator.Date) {
	text, err := v.MarshalText()
	w.buf = plain(w.key(name), string(text))
	if err != nil {
		w.Fail("must be in the years 1 to 9999")
	}
}

// Duration writes an ISO 8601 duration.
func (w *Writer) Duration(name string, v orchestrator.Duration) {
	b := v.Append(append(w.key(name), '"'))
	w.buf = append(b, '"')
}

// Any writes JSON that the caller brings, and nil as null. Malformed JSON, and
// what PostgreSQL could not store (NUL, lone surrogates), are violations.
func (w *Writer) Any(name string, v json.RawMessage) {
	w.buf = w.key(name)
	switch {
	case v == nil:
		w.buf = append(w.buf, "null"...)
	case !json.Valid(v):
		w.Fail("not valid JSON")
	case !utf8.Valid(v):
		w.Fail(notUTF8)
	case hasUnstorableEscape(v):
		w.Fail(`must not contain \u0000 or a lone surrogate`)
	default:
		w.buf = append(w.buf, bytes.TrimSpace(v)...)
	}
}

// Null writes the null of an absent element of a list or map.
func (w *Writer) Null(name string) {
	w.buf = append(w.key(name), "null"...)
}

// Enum writes a string that must be one of values.
func (w *Writer) Enum(name, v string, values []string) {
	w.String(name, v)
	if !OneOf(v, values) {
		w.Fail(oneOf(values))
	}
}

// OneOf tells whether v is one of values.
func OneOf(v string, values []string) bool { return slices.Contains(values, v) }

const (
	required = "is required"
	notUTF8  = "not valid UTF-8"
	noNUL    = "must not contain NUL"
)

// plain appends a string that needs no escapes.
func plain(b []byte, s string) []byte {
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// quote appends a string of any content.
func (w *Writer) quote(b []byte, s string) []byte {
	b = append(b, '"')
	problem := ""
	start := 0 // of what is not yet appended
	for i := 0; i < len(s); {
		c := s[i]
		if isPlain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				problem = notUTF8
			}
			i += size
			continue
		}
		if c == 0 {
			problem = noNUL
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, c)
		i++
		start = i
	}
	b = append(b, s[start:]...)
	b = append(b, '"')
	if problem != "" {
		w.Fail(problem)
	}
	return b
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// isPlain tells the ASCII characters that stand for themselves in a JSON string.
var isPlain = func() (table [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

const hexDigits = "0123456789abcdef"

// hasUnstorableEscape looks for \u0000 and for halves of surrogate pairs in
// valid JSON: jsonb takes neither.
func hasUnstorableEscape(document []byte) bool {
	for i := 0; i < len(document); i++ {
		if document[i] != '\\' {
			continue
		}
		i++ // to the escaped character, which valid JSON has
		if document[i] != 'u' {
			continue
		}
		switch unit := hexUnit(document[i+1:]); {
		case unit == 0:
			return true
		case unit >= 0xD800 && unit < 0xDC00:
			next := document[i+5:]
			if len(next) < 6 || next[0] != '\\' || next[1] != 'u' {
				return true
			}
			if low := hexUnit(next[2:]); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 10
		case unit >= 0xDC00 && unit < 0xE000:
			return true
		default:
			i += 4
		}
	}
	return false
}

// hexUnit reads the four hexadecimal digits that valid JSON has after \u.
func hexUnit(digits []byte) uint16 {
	unit, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return uint16(unit)
}
