package golang

import (
	"fmt"
	"go/token"
	"strconv"
	"strings"
	"unicode"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// encodeBody writes the statements of a type's encode method, which writes the
// fields and checks their constraints.
func (e *emitter) encodeBody(t *model.Type) (string, error) {
	b := &bodyWriter{emitter: e, locals: map[string]bool{}}
	b.line("w.BeginObject(name)")
	for _, f := range t.Fields {
		if err := b.encodeField(f); err != nil {
			return "", unsupported(t, f, err.Error())
		}
	}
	b.line("w.EndObject()")
	return b.String(), nil
}

// bodyWriter collects statements; gofmt indents them.
type bodyWriter struct {
	*emitter
	strings.Builder
	locals map[string]bool
}

func (b *bodyWriter) line(format string, args ...any) {
	fmt.Fprintf(b, format+"\n", args...)
}

// place is where a value stands: its name's source, and whether leaving it out
// or leaving it zero is possible there.
type place struct {
	name    string // `"user_id"`, "codec.Item" or "key"
	isField bool
}

func (b *bodyWriter) encodeField(f *model.Field) error {
	value := "p." + f.GoName
	if f.Sensitive {
		value += ".Reveal()"
	}
	literal, err := b.defaultLiteral(f)
	if err != nil {
		return err
	}
	if literal != "" {
		value = "codec.Or(" + value + ", " + literal + ")"
	}
	if (literal != "" || f.Sensitive) && !isPlainScalar(f.Type) {
		value = b.local(f, value) // named more than once below
	}
	b.encode(place{strconv.Quote(f.Name), true}, value, f.Type)
	return nil
}

// local declares a variable named like the field.
func (b *bodyWriter) local(f *model.Field, value string) string {
	name := lowerFirst(f.GoName)
	for token.IsKeyword(name) || takenLocals[name] || b.locals[name] {
		name += "Value"
	}
	b.locals[name] = true
	b.line("%s := %s", name, value)
	return name
}

// takenLocals are names the statements use themselves.
var takenLocals = map[string]bool{
	"w": true, "p": true, "name": true, "item": true, "key": true, "i": true,
	"string": true, "len": true, "nil": true, "byte": true,
	"codec": true, "orchestrator": true, "time": true, "json": true,
	"int": true, "int64": true, "float64": true, "bool": true, "true": true, "false": true,
}

// encode writes the statements for one value, then for its constraints.
func (b *bodyWriter) encode(at place, value string, r *model.Ref) {
	switch r.Kind {
	case model.Optional:
		b.encodeOptional(at, value, r)
		return
	case model.List:
		b.line("w.BeginList(%s)", at.name)
		b.line("for _, item := range %s {", value)
		b.encode(place{name: "codec.Item"}, "item", r.Elem)
		b.line("}")
		b.line("w.EndList()")
	case model.Map:
		b.line("w.BeginMap(%s)", at.name)
		b.line("for _, key := range codec.Keys(%s) {", value)
		element := indexed(value)
		if !isPlainScalar(r.Elem) {
			b.line("item := %s", element)
			element = "item"
		}
		b.encode(place{name: "key"}, element, r.Elem)
		b.line("}")
		b.line("w.EndMap()")
	case model.Named:
		b.encodeNamed(at, value, r.Named)
	default:
		b.line("w.%s(%s, %s)", writerMethod(at, r.Kind), at.name, value)
	}
	b.check(value, r)
}

// encodeOptional leaves an absent field out, and writes null for an absent
// element, whose place must be kept.
func (b *bodyWriter) encodeOptional(at place, value string, r *model.Ref) {
	present := "*" + value
	if isObject(base(r.Elem)) {
		present = value // the method call follows the pointer
	}
	b.line("if %s != nil {", value)
	b.encode(place{name: at.name}, present, r.Elem)
	if !at.isField {
		b.line("} else {\nw.Null(%s)", at.name)
	}
	b.line("}")
}

func (b *bodyWriter) encodeNamed(at place, value string, t *model.Type) {
	switch t.Kind {
	case model.EnumType:
		b.line("w.Enum(%s, string(%s), enum%s)", at.name, value, t.GoName)
	case model.AliasType:
		b.encode(at, value, t.Aliased)
	default:
		b.line("%s.encode(w, %s)", value, at.name)
	}
}

// writerMethod is the method of codec.Writer for a scalar. Only in a required
// field must an id or a day not be zero.
func writerMethod(at place, k model.Kind) string {
	switch k {
	case model.UUID, model.Time, model.Date:
		if !at.isField {
			return "Any" + scalarMethods[k]
		}
	}
	return scalarMethods[k]
}

var scalarMethods = map[model.Kind]string{
	model.String:   "String",
	model.Bool:     "Bool",
	model.Int:      "Int",
	model.Int64:    "Int64",
	model.Float64:  "Float64",
	model.Decimal:  "Decimal",
	model.Bytes:    "Bytes",
	model.UUID:     "UUID",
	model.Time:     "Time",
	model.Date:     "Date",
	model.Duration: "Duration",
	model.Any:      "Any",
}

// check writes the statements for the constraints of one place.
func (b *bodyWriter) check(value string, r *model.Ref) {
	c := r.Constraints
	switch base(r).Kind {
	case model.String:
		b.checkString(value, c)
	case model.Int, model.Int64, model.Float64:
		b.bound("w.Check(%s >= %s, \"must be at least %[2]s\")", value, c.Min)
		b.bound("w.Check(%s <= %s, \"must be at most %[2]s\")", value, c.Max)
	case model.Duration:
		b.boundDuration(">=", "at least", value, c.Min)
		b.boundDuration("<=", "at most", value, c.Max)
	case model.Decimal:
		b.bound("w.MinDecimal(%s, %q)", value, c.Min)
		b.bound("w.MaxDecimal(%s, %q)", value, c.Max)
	case model.Time:
		b.bound("w.MinTime(%s, %q)", value, c.Min)
		b.bound("w.MaxTime(%s, %q)", value, c.Max)
	case model.Date:
		b.bound("w.MinDate(%s, %q)", value, c.Min)
		b.bound("w.MaxDate(%s, %q)", value, c.Max)
	case model.Bytes:
		b.size(">=", "at least", value, c.MinLength, "byte")
		b.size("<=", "at most", value, c.MaxLength, "byte")
	case model.List, model.Map:
		b.size(">=", "at least", value, c.MinItems, "item")
		b.size("<=", "at most", value, c.MaxItems, "item")
		if c.UniqueItems {
			b.line("codec.%s(w, %s)", uniqueFunction(base(r).Elem), value)
		}
	}
}

func (b *bodyWriter) checkString(value string, c model.Constraints) {
	if c.MinLength != nil {
		b.line("w.MinLength(%s, %d)", value, *c.MinLength)
	}
	if c.MaxLength != nil {
		b.line("w.MaxLength(%s, %d)", value, *c.MaxLength)
	}
	if c.Pattern != "" {
		b.line("w.Pattern(%s, %s)", value, quote(c.Pattern))
	}
	if c.Format != "" {
		b.line("w.Format(%s, codec.%s)", value, formatConstants[c.Format])
	}
}

var formatConstants = map[string]string{
	"email": "Email", "uri": "URI", "ip": "IP", "hostname": "Hostname",
}

func (b *bodyWriter) bound(format, value, bound string) {
	if bound != "" {
		b.line(format, value, bound)
	}
}

func (b *bodyWriter) boundDuration(operator, phrase, value, bound string) {
	if bound == "" {
		return
	}
	d, err := parseDuration(bound)
	if err != nil {
		panic(err) // the model's texts are canonical
	}
	b.use(enginePath)
	b.line("w.Check(%s %s orchestrator.Duration(%s), %q)", value, operator, b.duration(d), "must be "+phrase+" "+spec.FormatDuration(d))
}

func (b *bodyWriter) size(operator, phrase, value string, n *int, noun string) {
	if n == nil {
		return
	}
	if *n != 1 {
		noun += "s"
	}
	b.line("w.Check(len(%s) %s %d, %q)", value, operator, *n, fmt.Sprintf("must have %s %d %s", phrase, *n, noun))
}

func uniqueFunction(element *model.Ref) string {
	if base(element).Kind == model.Time {
		return "UniqueTimes"
	}
	return "Unique"
}

// hasChecks tells whether a value is named more than once by its statements.
func hasChecks(r *model.Ref) bool {
	if r.Kind == model.Named && r.Named.Kind == model.AliasType && hasChecks(r.Named.Aliased) {
		return true
	}
	return r.Constraints != (model.Constraints{})
}

// isPlainScalar tells whether one call writes the value.
func isPlainScalar(r *model.Ref) bool {
	if hasChecks(r) {
		return false
	}
	switch b := base(r); b.Kind {
	case model.List, model.Map, model.Optional:
		return false
	case model.Named:
		return b.Named.Kind == model.EnumType
	}
	return true
}

// indexed is an element of a map, which may stand behind a pointer.
func indexed(value string) string {
	if strings.HasPrefix(value, "*") {
		return "(" + value + ")[key]"
	}
	return value + "[key]"
}

// lowerFirst makes a local name: UserID to userID, ID to id, URLPath to urlPath.
func lowerFirst(name string) string {
	runes := []rune(name)
	for i, r := range runes {
		if !unicode.IsUpper(r) {
			break
		}
		if i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1]) {
			break
		}
		runes[i] = unicode.ToLower(r)
	}
	return string(runes)
}
