package codec

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// MinLength wants at least n characters.
func (w *Writer) MinLength(v string, n int) {
	if len(v) < n || utf8.RuneCountInString(v) < n {
		w.Fail("must have at least " + count(n, "character"))
	}
}

// MaxLength wants at most n characters.
func (w *Writer) MaxLength(v string, n int) {
	if len(v) > n && utf8.RuneCountInString(v) > n {
		w.Fail("must have at most " + count(n, "character"))
	}
}

// Pattern wants a match of the RE2 expression, which the generator has
// compiled before; here it is compiled at first use.
func (w *Writer) Pattern(v, expression string) {
	if !compiled(expression).MatchString(v) {
		w.Fail("must match " + expression)
	}
}

// Format wants one of the known formats.
func (w *Writer) Format(v string, f Format) {
	if !f.Valid(v) {
		w.Fail("not " + f.noun())
	}
}

// MinDecimal wants at least bound, a decimal number.
func (w *Writer) MinDecimal(v orchestrator.Decimal, bound string) {
	if v.Cmp(orchestrator.MustDecimal(bound)) < 0 {
		w.Fail("must be at least " + bound)
	}
}

// MaxDecimal wants at most bound, a decimal number.
func (w *Writer) MaxDecimal(v orchestrator.Decimal, bound string) {
	if v.Cmp(orchestrator.MustDecimal(bound)) > 0 {
		w.Fail("must be at most " + bound)
	}
}

// MinTime wants bound, in RFC 3339, or later.
func (w *Writer) MinTime(v time.Time, bound string) {
	if v.Before(MustTime(bound)) {
		w.Fail("must not be before " + bound)
	}
}

// MaxTime wants bound, in RFC 3339, or earlier.
func (w *Writer) MaxTime(v time.Time, bound string) {
	if v.After(MustTime(bound)) {
		w.Fail("must not be after " + bound)
	}
}

// MinDate wants bound or later.
func (w *Writer) MinDate(v orchestrator.Date, bound string) {
	if v.Compare(orchestrator.MustDate(bound)) < 0 {
		w.Fail("must not be before " + bound)
	}
}

// MaxDate wants bound or earlier.
func (w *Writer) MaxDate(v orchestrator.Date, bound string) {
	if v.Compare(orchestrator.MustDate(bound)) > 0 {
		w.Fail("must not be after " + bound)
	}
}

// Unique wants no element twice in the list written last.
func Unique[T comparable](w *Writer, items []T) {
	if len(items) <= smallList {
		for i, item := range items {
			for first := range i {
				if items[first] == item {
					w.failDuplicate(i, first)
					break
				}
			}
		}
		return
	}
	seen := make(map[T]int, len(items))
	for i, item := range items {
		if first, duplicate := seen[item]; duplicate {
			w.failDuplicate(i, first)
			continue
		}
		seen[item] = i
	}
}

// UniqueTimes is [Unique] for times; the same moment in two zones is one.
func UniqueTimes(w *Writer, items []time.Time) {
	moments := make([]time.Time, len(items))
	for i, item := range items {
		moments[i] = item.Round(0).UTC()
	}
	Unique(w, moments)
}

// smallList is the length up to which comparing all pairs beats a map.
const smallList = 16

func (w *Writer) failDuplicate(i, first int) {
	w.failAt(w.pointer()+"/"+strconv.Itoa(i), "duplicate of item "+strconv.Itoa(first))
}

var patterns sync.Map // expression -> *regexp.Regexp; only constants of generated code get here

func compiled(expression string) *regexp.Regexp {
	if re, ok := patterns.Load(expression); ok {
		return re.(*regexp.Regexp)
	}
	re, _ := patterns.LoadOrStore(expression, regexp.MustCompile(expression))
	return re.(*regexp.Regexp)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func oneOf(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(v)
	}
	return "must be one of " + strings.Join(quoted, ", ")
}

// MustTime reads a constant of generated code.
func MustTime(rfc3339 string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, rfc3339)
	if err != nil {
		panic(fmt.Sprintf("codec: %v", err))
	}
	return t
}

// Keys returns the keys of m in order, so that equal maps have equal JSON.
func Keys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
