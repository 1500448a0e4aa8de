package model

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// literal is a scalar of the spec read by a declared type.
type literal struct {
	kind Kind
	json string // canonical JSON
	text string // canonical text, as Constraints holds it

	whole    int64 // of int, int64 and duration
	float    float64
	rational *big.Rat // of decimal
	moment   time.Time
	str      string // of string and bytes, the bytes themselves
}

// invalid is why a literal cannot be read and how to write it.
type invalid struct{ message, suggestion string }

var (
	wholeText   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	decimalText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	floatText   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	uuidText    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

const (
	zeroUUID = "00000000-0000-0000-0000-000000000000"
	// maxDigits bounds a decimal in the spec.
	maxDigits = 100
)

// readLiteral reads a scalar node as a kind without element, any excepted.
func readLiteral(kind Kind, n *spec.Node) (literal, *invalid) {
	if n.Kind != spec.Scalar || n.IsNull() {
		return literal{}, &invalid{fmt.Sprintf("%s is expected here, not %s", article(kind), describeNode(n)), ""}
	}
	l := literal{kind: kind}
	switch kind {
	case String:
		return l.readString(n)
	case Bool:
		if n.Text != "true" && n.Text != "false" {
			return l, refuse(n, kind, "write true or false")
		}
		l.text, l.json = n.Text, n.Text
		return l, nil
	case Int, Int64:
		whole, err := strconv.ParseInt(n.Text, 10, 64)
		if err != nil || !wholeText.MatchString(n.Text) {
			return l, refuse(n, kind, "write plain digits, as in 10")
		}
		l.whole = whole
		l.text = strconv.FormatInt(whole, 10)
		l.json = l.text
		return l, nil
	case Float64:
		return l.readFloat(n)
	case Decimal:
		if len(n.Text) > maxDigits || !decimalText.MatchString(n.Text) {
			return l, refuse(n, kind, "write plain digits, as in 19.90")
		}
		l.rational, _ = new(big.Rat).SetString(n.Text)
		l.text = canonicalDecimal(n.Text)
		l.json = quote(n.Text)
		return l, nil
	case Bytes:
		content, err := base64.StdEncoding.DecodeString(n.Text)
		if err != nil {
			return l, refuse(n, kind, "write it in base64")
		}
		l.str, l.text, l.json = string(content), n.Text, quote(n.Text)
		return l, nil
	case UUID:
		text := strings.ToLower(n.Text)
		if !uuidText.MatchString(text) {
			return l, refuse(n, kind, "")
		}
		l.text, l.json = text, quote(text)
		return l, nil
	case Time:
		moment, err := time.Parse(time.RFC3339Nano, n.Text)
		if err != nil {
			return l, refuse(n, kind, "write it as in 2026-11-21T09:30:00Z")
		}
		l.moment = moment.UTC()
		l.text = l.moment.Format(time.RFC3339Nano)
		l.json = quote(l.text)
		return l, nil
	case Date:
		moment, err := time.Parse(time.DateOnly, n.Text)
		if err != nil {
			return l, refuse(n, kind, "write it as in 2026-11-21")
		}
		l.moment = moment
		l.text, l.json = n.Text, quote(n.Text)
		return l, nil
	case Duration:
		d, err := spec.ParseDuration(n.Text)
		if err != nil {
			return l, refuse(n, kind, "write it as in 30s, 1h30m or 7d")
		}
		l.whole = int64(d)
		l.text = d.String()
		l.json = quote(isoDuration(d))
		return l, nil
	default:
		return l, refuse(n, kind, "")
	}
}

func (l literal) readString(n *spec.Node) (literal, *invalid) {
	if strings.ContainsRune(n.Text, 0) {
		return l, &invalid{"text cannot hold a NUL, which PostgreSQL does not store", ""}
	}
	l.str, l.text, l.json = n.Text, n.Text, quote(n.Text)
	return l, nil
}

func (l literal) readFloat(n *spec.Node) (literal, *invalid) {
	float, err := strconv.ParseFloat(n.Text, 64)
	if err != nil || !floatText.MatchString(n.Text) || math.IsInf(float, 0) {
		return l, refuse(n, l.kind, "write it as in 1.5 or 2e-3")
	}
	if float == 0 {
		float = 0 // not -0
	}
	text, err := json.Marshal(float)
	if err != nil {
		return l, refuse(n, l.kind, "")
	}
	l.float, l.text, l.json = float, string(text), string(text)
	return l, nil
}

func refuse(n *spec.Node, kind Kind, suggestion string) *invalid {
	return &invalid{fmt.Sprintf("%s is not %s", describeNode(n), article(kind)), suggestion}
}

// article is a kind in a sentence.
func article(kind Kind) string {
	switch kind {
	case Int, Int64:
		return "an " + kind.String()
	case Bytes:
		return "bytes"
	default:
		return "a " + kind.String()
	}
}

// describeNode names what stands in the spec.
func describeNode(n *spec.Node) string {
	const longest = 60
	switch {
	case n.IsNull():
		return "null"
	case n.Kind == spec.Mapping:
		return "a mapping"
	case n.Kind == spec.Sequence:
		return "a list"
	case utf8.RuneCountInString(n.Text) > longest:
		return strconv.Quote(string([]rune(n.Text)[:longest]) + "…")
	default:
		return strconv.Quote(n.Text)
	}
}

// compare orders literals of one kind that has an order.
func (l literal) compare(other literal) int {
	switch l.kind {
	case Float64:
		switch {
		case l.float < other.float:
			return -1
		case l.float > other.float:
			return 1
		}
		return 0
	case Decimal:
		return l.rational.Cmp(other.rational)
	case Time, Date:
		return l.moment.Compare(other.moment)
	default:
		switch {
		case l.whole < other.whole:
			return -1
		case l.whole > other.whole:
			return 1
		}
		return 0
	}
}

// isZero tells whether the value is the zero value of its Go type.
func (l literal) isZero() bool {
	switch l.kind {
	case String, Bytes:
		return l.str == ""
	case Bool:
		return l.text == "false"
	case Int, Int64, Duration:
		return l.whole == 0
	case Float64:
		return l.float == 0
	case Decimal:
		return l.rational.Sign() == 0
	case UUID:
		return l.text == zeroUUID
	case Time, Date:
		return l.moment.IsZero()
	default:
		return false
	}
}

// canonicalDecimal drops zeros behind the last digit that matters, so that
// equal bounds have one text.
func canonicalDecimal(text string) string {
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		return "0"
	}
	return text
}

// isoDuration writes a duration in ISO 8601 with hours as the largest unit,
// since a day of the calendar need not have 24 of them.
func isoDuration(d time.Duration) string {
	if d == 0 {
		return "PT0S"
	}
	var b strings.Builder
	b.WriteString("PT")
	if hours := d / time.Hour; hours > 0 {
		fmt.Fprintf(&b, "%dH", hours)
	}
	if minutes := d % time.Hour / time.Minute; minutes > 0 {
		fmt.Fprintf(&b, "%dM", minutes)
	}
	if rest := d % time.Minute; rest > 0 {
		seconds := fmt.Sprintf("%d.%09d", rest/time.Second, rest%time.Second)
		b.WriteString(strings.TrimRight(strings.TrimRight(seconds, "0"), "."))
		b.WriteByte('S')
	}
	return b.String()
}

// quote writes a JSON string without the escapes meant for HTML.
func quote(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return strconv.Quote(text) // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}
