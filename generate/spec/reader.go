package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

// reader turns nodes into the syntax tree. It reports and goes on: what could
// not be read is left unset.
type reader struct {
	bag    *diagnostic.Bag
	origin string // stamped on every value; see Value.Origin
}

// wrong reports a mistake at a node.
func (r *reader) wrong(n *Node, suggestion, format string, args ...any) {
	r.bag.Add(diagnostic.Diagnostic{
		Place:      n.Place,
		Path:       n.Path,
		Message:    fmt.Sprintf(format, args...),
		Suggestion: suggestion,
	})
}

// entry is a key a mapping may have and what to do with its value.
type entry struct {
	key  string
	read func(key, value *Node)
}

// mapping reads a mapping with a fixed set of keys. A null is an empty one.
// Hints maps keys that are wrong here to what to do with them.
func (r *reader) mapping(n *Node, hints map[string]string, entries []entry) {
	switch {
	case n.Kind == Invalid || n.IsNull():
		return
	case n.Kind != Mapping:
		r.wrong(n, "write {"+entries[0].key+": ...}", "a mapping is expected here, not %s", describe(n))
		return
	}
	for _, pair := range n.Pairs {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.key == pair.Key.Text })
		if i < 0 {
			r.unknownKey(n, pair, hints, entries)
			continue
		}
		entries[i].read(pair.Key, pair.Value)
	}
}

func (r *reader) unknownKey(n *Node, pair Pair, hints map[string]string, entries []entry) {
	key := pair.Key.Text
	known := make([]string, len(entries))
	for i, e := range entries {
		known[i] = e.key
	}
	if before, after, glued := strings.Cut(key, ":"); glued && pair.Value.IsNull() && slices.Contains(known, before) {
		r.wrong(pair.Key, fmt.Sprintf("write `%s: %s`", before, after), "a space is missing after the colon of %q", before)
		return
	}
	if r.bag.Full() {
		r.wrong(pair.Key, "", "unknown key") // it is only counted
		return
	}
	suggestion := hints[key]
	if suggestion == "" {
		suggestion = diagnostic.DidYouMean(key, known)
	}
	if suggestion == "" && n.Flow && pair.Value.IsNull() {
		suggestion = "in braces a comma ends a text: put the text before it in quotes if this belongs to it"
	}
	if suggestion == "" {
		suggestion = "the keys here are " + strings.Join(known, ", ")
	}
	r.wrong(pair.Key, suggestion, "unknown key %q", key)
}

// describe names what a node is, for messages.
func describe(n *Node) string {
	switch {
	case n.IsNull():
		return "nothing"
	case n.Kind == Mapping:
		return "a mapping"
	case n.Kind == Sequence:
		return "a list"
	default:
		return strconv.Quote(shorten(n.Text))
	}
}

// shorten keeps messages readable when the text quoted in them is long.
func shorten(text string) string {
	const longest = 60
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return text
}

func value[T any](r *reader, n *Node, v T) Value[T] {
	return Value[T]{V: v, Set: true, Node: n, Origin: r.origin}
}

// scalar gives the text of a scalar that is not null.
func (r *reader) scalar(n *Node, what string) (string, bool) {
	switch {
	case n.Kind == Invalid:
		return "", false
	case n.Kind != Scalar || n.IsNull():
		r.wrong(n, "", "%s is expected here, not %s", what, describe(n))
		return "", false
	}
	return n.Text, true
}

// text reads free text of a bounded length.
func (r *reader) text(n *Node) Value[string] {
	const longest = 10_000
	text, ok := r.scalar(n, "text")
	if !ok {
		return Value[string]{}
	}
	if len(text) > longest {
		r.wrong(n, "", "text of %d bytes; at most %d are read", len(text), longest)
		return Value[string]{}
	}
	return value(r, n, text)
}

// description reads free text and catches a number sign that was meant as a
// part of it but began a comment.
func (r *reader) description(n *Node) Value[string] {
	if n.Kind == Scalar && n.Style == Plain && n.Behind != "" && !n.IsNull() {
		comment, _, _ := strings.Cut(n.Behind, "\n")
		r.wrong(n, fmt.Sprintf("quote the text if it goes on: %q; or put the comment on a line of its own", shorten(n.Text+" "+comment)),
			"the text ends at the number sign: YAML reads %q as a comment", shorten(comment))
		return Value[string]{}
	}
	if n.IsNull() && n.Behind != "" {
		comment, _, _ := strings.Cut(n.Behind, "\n")
		r.wrong(n, fmt.Sprintf("quote the text: %q", shorten(comment)), "there is no text: YAML reads %q as a comment", shorten(comment))
		return Value[string]{}
	}
	v := r.text(n)
	v.V = strings.TrimSpace(v.V)
	return v
}

// deprecated reads the note that says what to use instead.
func (r *reader) deprecated(n *Node) Value[string] {
	if n.Kind == Scalar && n.Class == Bool {
		r.wrong(n, `say what to use instead: deprecated: "use email:send"`, "deprecated takes a text, not %s", n.Text)
		return Value[string]{}
	}
	return r.description(n)
}

// word reads one of a few words.
func (r *reader) word(n *Node, words ...string) Value[string] {
	choice := oneOf(words)
	text, ok := r.scalar(n, choice)
	if !ok {
		return Value[string]{}
	}
	if !slices.Contains(words, text) {
		suggestion := diagnostic.DidYouMean(strings.ToLower(text), words)
		if slices.Contains(words, strings.ToLower(text)) {
			suggestion = fmt.Sprintf("write it in lower case: %s", strings.ToLower(text))
		}
		r.wrong(n, suggestion, "%q is not %s", shorten(text), choice)
		return Value[string]{}
	}
	return value(r, n, text)
}

func oneOf(words []string) string {
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

var integerText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// integer reads a decimal integer between bounds.
func (r *reader) integer(n *Node, least, most int) Value[int] {
	text, ok := r.scalar(n, "a whole number")
	if !ok {
		return Value[int]{}
	}
	if !integerText.MatchString(text) {
		r.wrong(n, "write plain digits, as in 10", "%q is not a whole number", shorten(text))
		return Value[int]{}
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < least || v > most {
		r.wrong(n, "", "%s is not between %d and %d", shorten(text), least, most)
		return Value[int]{}
	}
	return value(r, n, v)
}

var numberText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// number reads a decimal fraction between bounds.
func (r *reader) number(n *Node, least, most float64) Value[float64] {
	text, ok := r.scalar(n, "a number")
	if !ok {
		return Value[float64]{}
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !numberText.MatchString(text) {
		r.wrong(n, "", "%q is not a number such as 2 or 1.5", shorten(text))
		return Value[float64]{}
	}
	if v < least || v > most {
		r.wrong(n, "", "%s is not between %g and %g", shorten(text), least, most)
		return Value[float64]{}
	}
	return value(r, n, v)
}

// flag reads true or false.
func (r *reader) flag(n *Node) Value[bool] {
	text, ok := r.scalar(n, "true or false")
	if !ok {
		return Value[bool]{}
	}
	switch text {
	case "true", "false":
		return value(r, n, text == "true")
	}
	suggestion := ""
	switch strings.ToLower(text) {
	case "true", "yes", "on", "y", "1":
		suggestion = "write true"
	case "false", "no", "off", "n", "0":
		suggestion = "write false"
	}
	r.wrong(n, suggestion, "%q is not true or false", shorten(text))
	return Value[bool]{}
}

// duration reads a duration above zero.
func (r *reader) duration(n *Node) Value[time.Duration] {
	text, ok := r.scalar(n, "a duration such as 30s")
	if !ok {
		return Value[time.Duration]{}
	}
	d, err := ParseDuration(text)
	switch {
	case bareNumber.MatchString(text):
		r.wrong(n, durationHint(text), "a duration needs a unit, and %q has none", shorten(text))
		return Value[time.Duration]{}
	case clockTime.MatchString(text):
		r.wrong(n, durationHint(text), "%q can be read in two ways", shorten(text))
		return Value[time.Duration]{}
	case err != nil:
		r.wrong(n, durationHint(text), "%q is %s", shorten(text), err)
		return Value[time.Duration]{}
	case d == 0:
		r.wrong(n, "", "a duration above zero is expected here")
		return Value[time.Duration]{}
	}
	return value(r, n, d)
}

// durationOrNone reads a duration, or `none` as 0.
func (r *reader) durationOrNone(n *Node) Value[time.Duration] {
	if n.Kind == Scalar && n.Text == "none" {
		return value[time.Duration](r, n, 0)
	}
	if n.Kind == Scalar && (n.Text == "0" || n.Text == "0s") {
		r.wrong(n, "write none for no limit", "%q is not a limit", n.Text)
		return Value[time.Duration]{}
	}
	return r.duration(n)
}

// rate reads 100/s.
func (r *reader) rate(n *Node) Value[Rate] {
	text, ok := r.scalar(n, "a rate such as 100/s")
	if !ok {
		return Value[Rate]{}
	}
	rate, ok := parseRate(text)
	if !ok {
		suggestion := "write a count and s, m, h or d, as in 100/s or 10/m"
		if integerText.MatchString(text) {
			suggestion = fmt.Sprintf("say per what: %s/s, %s/m or %s/h", text, text, text)
		}
		r.wrong(n, suggestion, "%q is not a rate", shorten(text))
		return Value[Rate]{}
	}
	return value(r, n, rate)
}

const maxWords = 100

// words reads a list of words that each match a form, without repetitions.
// Where single is set, one word may stand without the list.
func (r *reader) words(n *Node, form *regexp.Regexp, what string, single bool) Value[[]Value[string]] {
	items := n.Items
	switch {
	case n.Kind == Invalid:
		return Value[[]Value[string]]{}
	case n.Kind == Scalar && single && !n.IsNull():
		items = []*Node{n}
	case n.Kind != Sequence:
		suggestion := ""
		if n.Kind == Scalar && !n.IsNull() {
			suggestion = fmt.Sprintf("write [%s]", n.Text)
		}
		r.wrong(n, suggestion, "a list is expected here, not %s", describe(n))
		return Value[[]Value[string]]{}
	case len(n.Items) == 0:
		r.wrong(n, "", "the list is empty")
		return Value[[]Value[string]]{}
	case len(n.Items) > maxWords:
		r.wrong(n, "", "a list of %d; at most %d are allowed", len(n.Items), maxWords)
		return Value[[]Value[string]]{}
	}
	list := make([]Value[string], 0, len(items))
	for _, item := range items {
		text, ok := r.scalar(item, what)
		switch {
		case !ok:
			continue
		case !form.MatchString(text) || len(text) > maxKeyLength:
			r.wrong(item, "", "%q is not %s", shorten(text), what)
			continue
		case slices.ContainsFunc(list, func(v Value[string]) bool { return v.V == text }):
			r.wrong(item, "", "%q is in the list already", text)
			continue
		}
		list = append(list, value(r, item, text))
	}
	if len(list) == 0 {
		return Value[[]Value[string]]{}
	}
	return value(r, n, list)
}
