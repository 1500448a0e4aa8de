package orchestrator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/task-orchestrator/task-orchestrator/internal/format"
)

// payloadSchema checks documents as the generated Validate would, from the
// JSON Schema that was stored with the contract.
type payloadSchema struct {
	compiled *jsonschema.Schema
	root     schemaNode
}

// schemaURL names the document to the compiler; nothing is ever loaded from it.
const schemaURL = "orchestrator:payload"

func compilePayloadSchema(text string) (*payloadSchema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	compiler.AssertFormat()
	for name, accepts := range payloadFormats {
		compiler.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(value any) error {
			if accepts(value) {
				return nil
			}
			return errors.New("not " + formatNouns[name])
		}})
	}
	compiler.RegisterVocabulary(&jsonschema.Vocabulary{URL: schemaURL + "-bounds", Compile: compileTextBounds})
	compiler.AssertVocabs()
	if err := compiler.AddResource(schemaURL, document); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	root, _ := document.(map[string]any)
	return &payloadSchema{compiled: compiled, root: schemaNode{document: root, object: root}}, nil
}

// noLoader keeps a stored schema from making this process read files or URLs.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a payload's schema must not refer to %s", url)
}

// payloadFormats are the formats that generated schemas use, each accepting
// what the generated code accepts. Most are stricter or laxer in the standard.
var payloadFormats = map[string]func(value any) bool{
	"email":     ofString(format.IsEmail),
	"uri":       ofString(format.IsURI),
	"hostname":  ofString(format.IsHostname),
	"uuid":      ofString(func(s string) bool { _, err := uuid.Parse(s); return err == nil && len(s) == 36 }),
	"date":      ofString(func(s string) bool { _, err := ParseDate(s); return err == nil }),
	"date-time": ofString(func(s string) bool { _, err := parseTime(s); return err == nil }),
	"decimal":   ofString(func(s string) bool { _, err := ParseDecimal(s); return err == nil }),
	"int64":     isInt64,
}

var formatNouns = map[string]string{
	"email": "an email address", "uri": "an absolute URI", "hostname": "a host name", "uuid": "a UUID",
	"date": "a date such as 2026-11-21", "date-time": "a time in RFC 3339", "decimal": "a decimal number",
	"int64": "a whole number of 64 bits, written without point and exponent",
}

// ofString leaves values of other types to the keyword "type".
func ofString(accepts func(string) bool) func(any) bool {
	return func(value any) bool {
		s, ok := value.(string)
		return !ok || accepts(s)
	}
}

// isInt64 is about the text: 1.0 and 1e3 are integers to JSON Schema and
// errors to encoding/json.
func isInt64(value any) bool {
	n, ok := value.(json.Number)
	if !ok {
		return true
	}
	_, err := strconv.ParseInt(n.String(), 10, 64)
	return err == nil
}

// parseTime reads what time.Time reads from JSON.
func parseTime(s string) (t time.Time, err error) {
	return t, t.UnmarshalText([]byte(s))
}

// textBounds is formatMinimum and formatMaximum: the bounds of values that
// JSON has as strings. The shape of the bound says what is compared.
type textBounds struct{ least, most string }

func compileTextBounds(_ *jsonschema.CompilerContext, object map[string]any) (jsonschema.SchemaExt, error) {
	least, _ := object["formatMinimum"].(string)
	most, _ := object["formatMaximum"].(string)
	if least == "" && most == "" {
		return nil, nil
	}
	return textBounds{least, most}, nil
}

// Validate implements [jsonschema.SchemaExt].
func (b textBounds) Validate(ctx *jsonschema.ValidatorContext, value any) {
	text, ok := value.(string)
	if !ok {
		return
	}
	if b.least != "" && compareTexts(text, b.least) < 0 {
		ctx.AddError(&kind.Format{Got: value, Want: "minimum", Err: errors.New(boundMessage("at least", "not be before", b.least))})
	}
	if b.most != "" && compareTexts(text, b.most) > 0 {
		ctx.AddError(&kind.Format{Got: value, Want: "maximum", Err: errors.New(boundMessage("at most", "not be after", b.most))})
	}
}

// boundMessage words bounds as the generated code does.
func boundMessage(number, moment, bound string) string {
	_, dateErr := ParseDate(bound)
	_, timeErr := parseTime(bound)
	if dateErr == nil || timeErr == nil {
		return "must " + moment + " " + bound
	}
	return "must be " + number + " " + bound
}

// compareTexts compares a value with a bound, 0 when the value cannot be read:
// then its format or pattern has been complained of.
func compareTexts(value, bound string) int {
	if limit, err := ParseDate(bound); err == nil {
		if v, err := ParseDate(value); err == nil {
			return v.Compare(limit)
		}
		return 0
	}
	if limit, err := parseTime(bound); err == nil {
		if v, err := parseTime(value); err == nil {
			return v.Compare(limit)
		}
		return 0
	}
	if limit, err := ParseDecimal(bound); err == nil {
		if v, err := ParseDecimal(value); err == nil {
			return v.Cmp(limit)
		}
		return 0
	}
	if limit, err := time.ParseDuration(bound); err == nil {
		if v, err := ParseDuration(value); err == nil {
			return cmp.Compare(v.Std(), limit)
		}
	}
	return 0
}

// check returns every violation, in the order of their pointers.
func (s *payloadSchema) check(document any) []Violation {
	violations := misspelt(s.root, document, "")
	var failed *jsonschema.ValidationError
	if err := s.compiled.Validate(document); errors.As(err, &failed) {
		violations = append(violations, violationsOf(failed)...)
	}
	slices.SortStableFunc(violations, func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	return slices.Compact(violations)
}

// violationsOf turns the leaves of the validator's tree into violations, worded
// as the generated code words them.
func violationsOf(failed *jsonschema.ValidationError) []Violation {
	pointer := jsonPointer(failed.InstanceLocation)
	one := func(message string) []Violation { return []Violation{{pointer, message}} }
	switch k := failed.ErrorKind.(type) {
	case *kind.Required:
		missing := make([]Violation, len(k.Missing))
		for i, name := range k.Missing {
			missing[i] = Violation{pointer + jsonPointer([]string{name}), "is required"}
		}
		return missing
	case *kind.AnyOf:
		return alternatives(failed)
	case *kind.Not: // only the zero of a required uuid, time or date is excluded
		return one("is required")
	case *kind.Format:
		return one(k.Err.Error())
	case *kind.Type:
		return one("must be " + typeNoun(k.Want) + ", not " + typeNoun([]string{k.Got}))
	case *kind.Enum:
		return one("must be one of " + quotedList(k.Want))
	case *kind.Pattern:
		return one(patternMessage(k.Want))
	case *kind.MinLength:
		return one("must have at least " + counted(k.Want, "character"))
	case *kind.MaxLength:
		return one("must have at most " + counted(k.Want, "character"))
	case *kind.MinItems:
		return one("must have at least " + counted(k.Want, "item"))
	case *kind.MaxItems:
		return one("must have at most " + counted(k.Want, "item"))
	case *kind.MinProperties:
		return one("must have at least " + counted(k.Want, "item"))
	case *kind.MaxProperties:
		return one("must have at most " + counted(k.Want, "item"))
	case *kind.UniqueItems:
		return []Violation{{pointer + "/" + strconv.Itoa(k.Duplicates[1]), "duplicate of item " + strconv.Itoa(k.Duplicates[0])}}
	case *kind.Minimum:
		return one("must be at least " + number(k.Want))
	case *kind.Maximum:
		return one("must be at most " + number(k.Want))
	}
	if len(failed.Causes) == 0 {
		return one("does not satisfy " + strings.Join(failed.ErrorKind.KeywordPath(), " "))
	}
	var all []Violation
	for _, cause := range failed.Causes {
		all = append(all, violationsOf(cause)...)
	}
	return all
}

// alternatives is for anyOf, which generated schemas have in two places:
// optional values, where being null is not what was meant, and the two
// versions of an IP address.
func alternatives(failed *jsonschema.ValidationError) []Violation {
	var all []Violation
	addresses := 0
	for _, cause := range failed.Causes {
		switch k := cause.ErrorKind.(type) {
		case *kind.Type:
			if slices.Equal(k.Want, []string{"null"}) {
				continue
			}
		case *kind.Format:
			if k.Want == "ipv4" || k.Want == "ipv6" {
				addresses++
				continue
			}
		}
		all = append(all, violationsOf(cause)...)
	}
	if addresses > 0 {
		all = append(all, Violation{jsonPointer(failed.InstanceLocation), "not an IP address"})
	}
	return all
}

func jsonPointer(location []string) string {
	var b strings.Builder
	for _, step := range location {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	return b.String()
}

func typeNoun(types []string) string {
	nouns := map[string]string{
		"string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false",
		"object": "an object", "array": "a list", "null": "null",
	}
	words := make([]string, len(types))
	for i, name := range types {
		words[i] = nouns[name]
	}
	return strings.Join(words, " or ")
}

func patternMessage(pattern string) string {
	if pattern == durationPattern {
		return "not an ISO 8601 duration such as PT1H30M"
	}
	return "must match " + pattern
}

func quotedList(values []any) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = strconv.Quote(fmt.Sprint(v))
	}
	return strings.Join(quoted, ", ")
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func number(n *big.Rat) string {
	if n.IsInt() {
		return n.Num().String()
	}
	f, _ := n.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}
