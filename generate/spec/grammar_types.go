package spec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
)

func (p *parser) typ(r *reader, key, n *Node) {
	name, ok := p.declared(r, key, typeName, typeWhat, maxNameLength)
	definition := r.definition(n)
	if definition != nil {
		r.docFallback(definition, key)
	}
	if ok {
		p.file.Types = append(p.file.Types, &Type{Name: name, Definition: definition})
	}
}

// body reads a payload or a result: a field map or the name of a type.
func (r *reader) body(key, n *Node) *Body {
	b := &Body{Key: key, Node: n}
	switch {
	case n.Kind == Scalar && !n.IsNull():
		if !typeName.MatchString(n.Text) {
			suggestion := "write the fields, as in {user_id: int64}, or the name of an object type"
			r.wrong(n, suggestion, "%q is neither a field map nor the name of a type", shorten(n.Text))
			b.Broken = true
			return b
		}
		b.Named = value(r, n, n.Text)
	case n.Kind == Sequence:
		r.wrong(n, "write {name: type}", "a field map is expected here, not a list")
		b.Broken = true
	case n.Kind == Invalid:
		b.Broken = true
	default:
		if object := n.child("object"); len(n.Pairs) == 1 && object != nil && object.Kind == Mapping && !isDefinition(object) {
			r.wrong(n.Pairs[0].Key, "write the fields directly under it", "%s is a field map already and takes no `object`", key.Text)
			b.Broken = true
			return b
		}
		b.Fields, b.Broken = r.fields(n)
	}
	return b
}

// isDefinition tells whether a mapping describes a type rather than being a
// field map.
func isDefinition(n *Node) bool {
	return n.child("type") != nil || n.child("enum") != nil || n.child("object") != nil
}

// fields reads a field map. It is broken when it holds less than was written.
func (r *reader) fields(n *Node) (fields []*Field, broken bool) {
	switch {
	case n.Kind == Invalid:
		return nil, true
	case n.IsNull():
		return nil, false
	case n.Kind != Mapping:
		r.wrong(n, "write {name: type}", "a field map is expected here, not %s", describe(n))
		return nil, true
	}
	for i := 0; i < len(n.Pairs); i++ {
		key, v := n.Pairs[i].Key, n.Pairs[i].Value
		if i+1 < len(n.Pairs) && r.splitMap(n, v, n.Pairs[i+1]) {
			i++
			broken = true
			continue
		}
		if before, after, glued := strings.Cut(key.Text, ":"); glued && v.IsNull() {
			r.wrong(key, fmt.Sprintf("write `%s: %s`", before, after), "a space is missing after the colon of %q", before)
			broken = true
			continue
		}
		name, ok := r.name(key, snakeName, snakeWhat, maxNameLength)
		definition := r.definition(v)
		if !ok {
			broken = true
			continue
		}
		if definition != nil {
			r.docFallback(definition, key)
		}
		fields = append(fields, &Field{Name: name, Definition: definition})
	}
	return fields, broken
}

// splitMap recognises {tags: map<string, int>}, which YAML reads as the two
// entries `tags: map<string` and `int>`.
func (r *reader) splitMap(n *Node, v *Node, next Pair) bool {
	if !n.Flow || v.Kind != Scalar || !strings.Contains(v.Text, "map<") || strings.Contains(v.Text, ">") ||
		!strings.HasSuffix(next.Key.Text, ">") || !next.Value.IsNull() {
		return false
	}
	elem := next.Key.Text[:len(next.Key.Text)-1]
	place := v.Place
	if next.Key.Place.Line == place.Line {
		place.Length = next.Key.Place.Column + next.Key.Place.Length - place.Column
	}
	r.bag.Add(diagnostic.Diagnostic{
		Place:      place,
		Path:       v.Path,
		Message:    fmt.Sprintf("%q: the keys of a map are always strings", v.Text+", "+next.Key.Text),
		Suggestion: fmt.Sprintf("write map<%s>", elem),
	})
	return true
}

// docFallback takes the comment above a key where there is no description.
func (r *reader) docFallback(d *Definition, key *Node) {
	if !d.Description.Set {
		d.Description = doc(r, key)
	}
}

// definition reads what stands for a type. It gives nil after a mistake that
// leaves no type.
func (r *reader) definition(n *Node) *Definition {
	switch {
	case n.Kind == Invalid:
		return nil
	case n.IsNull():
		r.wrong(n, "write a type such as string", "a type is expected here, not nothing")
		return nil
	case n.Kind == Scalar:
		expression := r.typeExpression(n)
		if expression == nil {
			return nil
		}
		return &Definition{Node: n, Type: expression}
	case n.Kind == Sequence:
		suggestion := ""
		if len(n.Items) == 1 && n.Items[0].Kind == Scalar && typeOrName(n.Items[0].Text) {
			suggestion = fmt.Sprintf("write list<%s>", n.Items[0].Text)
		}
		r.wrong(n, suggestion, "a type is expected here, not a list")
		return nil
	}

	if looksLikeFields(n) {
		r.wrong(n, "wrap them in object, as in {object: {...}}", "fields of a field stand under `object`")
		return nil
	}

	d := &Definition{Node: n}
	var forms []*Node
	hints := map[string]string{
		"required": "fields are required unless their type is optional<...>",
		"nullable": "write type: optional<...>",
		"optional": "write type: optional<...>",
		"fields":   "write object",
		"values":   "write enum",
		"items":    "write type: list<...>",
		"minimum":  "write min",
		"maximum":  "write max",
		"regex":    "write pattern",
	}
	before := r.bag.Len()
	r.mapping(n, hints, []entry{
		{"type", func(k, v *Node) {
			forms = append(forms, k)
			d.Form, d.Type = Expression, r.typeExpression(v)
		}},
		{"enum", func(k, v *Node) {
			forms = append(forms, k)
			d.Form, d.Values = Enum, r.enum(v)
		}},
		{"object", func(k, v *Node) {
			forms = append(forms, k)
			d.Form = Object
			d.Fields, d.Broken = r.fields(v)
		}},
		{"description", func(_, v *Node) { d.Description = r.description(v) }},
		{"deprecated", func(_, v *Node) { d.Deprecated = r.deprecated(v) }},
		{"go_name", func(_, v *Node) { d.GoName = r.goIdentifier(v) }},
		{"sensitive", func(_, v *Node) { d.Sensitive = r.flag(v) }},
		{"default", func(_, v *Node) { d.Default = v }},
		{"min", func(_, v *Node) { d.Min = v }},
		{"max", func(_, v *Node) { d.Max = v }},
		{"min_length", func(_, v *Node) { d.MinLength = r.integer(v, 0, maxLength) }},
		{"max_length", func(_, v *Node) { d.MaxLength = r.integer(v, 0, maxLength) }},
		{"min_items", func(_, v *Node) { d.MinItems = r.integer(v, 0, maxLength) }},
		{"max_items", func(_, v *Node) { d.MaxItems = r.integer(v, 0, maxLength) }},
		{"unique_items", func(_, v *Node) { d.UniqueItems = r.flag(v) }},
		{"pattern", func(_, v *Node) { d.Pattern = r.pattern(v) }},
		{"format", func(_, v *Node) { d.Format = r.word(v, "email", "uri", "ip", "hostname") }},
	})
	switch {
	case len(forms) == 0:
		if r.bag.Len() == before {
			r.wrong(n, "add a type", "a description has one of type, enum and object")
		}
		return nil
	case len(forms) > 1:
		r.bag.Add(diagnostic.Diagnostic{
			Place:   forms[1].Place,
			Path:    forms[1].Path,
			Message: "a description has only one of type, enum and object",
			Related: []diagnostic.Related{{Place: forms[0].Place, Message: "the other one is here"}},
		})
		return nil
	case d.Form == Expression && d.Type == nil:
		return nil
	case d.Form == Enum && len(d.Values) == 0:
		return nil
	}
	return d
}

// maxLength bounds lengths and item counts; payloads are far smaller.
const maxLength = 1 << 30

func typeOrName(text string) bool {
	return typeName.MatchString(text) || snakeName.MatchString(text)
}

// looksLikeFields tells whether a mapping was meant as a field map: none of its
// keys belongs to a description, and its values could be types.
func looksLikeFields(n *Node) bool {
	return len(n.Pairs) > 0 && !slices.ContainsFunc(n.Pairs, func(p Pair) bool {
		return slices.Contains(descriptionKeys, p.Key.Text) ||
			p.Value.Kind != Mapping && (p.Value.Kind != Scalar || !typeStart.MatchString(p.Value.Text))
	})
}

var (
	typeStart = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*(<|$)`)

	descriptionKeys = []string{
		"type", "enum", "object", "description", "deprecated", "go_name", "sensitive", "default", "min", "max",
		"min_length", "max_length", "min_items", "max_items", "unique_items", "pattern", "format",
		"required", "optional", "nullable", // people write these in descriptions
	}
)

// enum reads the values of an enum: strings, or {value, go_name} where the Go
// name has to be chosen.
func (r *reader) enum(n *Node) []EnumValue {
	const most = 1000
	switch {
	case n.Kind == Invalid:
		return nil
	case n.Kind != Sequence:
		r.wrong(n, "write enum: [first, second]", "a list of values is expected here, not %s", describe(n))
		return nil
	case len(n.Items) == 0:
		r.wrong(n, "", "an enum needs at least one value")
		return nil
	case len(n.Items) > most:
		r.wrong(n, "", "an enum of %d values; at most %d are allowed", len(n.Items), most)
		return nil
	}
	var values []EnumValue
	for _, item := range n.Items {
		var v EnumValue
		if item.Kind == Mapping {
			r.mapping(item, nil, []entry{
				{"value", func(_, n *Node) { v.Value = r.enumValue(n) }},
				{"go_name", func(_, n *Node) { v.GoName = r.goIdentifier(n) }},
			})
			if item.child("value") == nil {
				r.wrong(item, "", "the entry has no value")
			}
		} else {
			v.Value = r.enumValue(item)
		}
		if !v.Value.Set {
			continue
		}
		i := slices.IndexFunc(values, func(other EnumValue) bool { return other.Value.V == v.Value.V })
		if i >= 0 {
			r.bag.Add(diagnostic.Diagnostic{
				Place:   item.Place,
				Path:    item.Path,
				Message: fmt.Sprintf("%q is in the enum already", v.Value.V),
				Related: []diagnostic.Related{{Place: values[i].Value.Node.Place, Message: "the first one is here"}},
			})
			continue
		}
		values = append(values, v)
	}
	return values
}

func (r *reader) enumValue(n *Node) Value[string] {
	const longest = 128
	switch {
	case n.Kind == Invalid:
		return Value[string]{}
	case n.IsNull():
		r.wrong(n, "leave it out, and make the field optional<...> if it may be missing", "null cannot be a value of an enum")
		return Value[string]{}
	case n.Kind != Scalar:
		r.wrong(n, "", "a string is expected here, not %s", describe(n))
		return Value[string]{}
	case n.Style == Plain && n.Class != Text:
		r.wrong(n, fmt.Sprintf("write %q", n.Text), "the values of an enum are strings, and %s reads as a %s", n.Text, className(n.Class))
		return Value[string]{}
	case n.Text == "":
		r.wrong(n, "make the field optional<...> if it may be missing", "the empty string cannot be a value of an enum")
		return Value[string]{}
	case len(n.Text) > longest || !printableText(n.Text):
		r.wrong(n, "", "a value of an enum is printable text of at most %d bytes", longest)
		return Value[string]{}
	}
	return value(r, n, n.Text)
}

func className(c Class) string {
	switch c {
	case Bool:
		return "boolean"
	case Number:
		return "number"
	default:
		return "null"
	}
}

// pattern reads a regular expression, in single quotes alone: in double quotes
// YAML takes the backslashes for itself, and without quotes a comma, a bracket
// or a number sign may end the text.
func (r *reader) pattern(n *Node) Value[string] {
	text, ok := r.scalar(n, "a pattern in single quotes")
	if !ok {
		return Value[string]{}
	}
	suggestion := "write it in single quotes: '" + strings.ReplaceAll(text, "'", "''") + "'"
	switch n.Style {
	case DoubleQuoted:
		if raw := n.raw(); !printableText(text) {
			// \b was read as a backspace, for one.
			suggestion = "write it in single quotes: '" + strings.ReplaceAll(strings.Trim(raw, `"`), "'", "''") + "'"
		}
		r.wrong(n, suggestion, "a pattern in double quotes, where YAML reads the backslashes itself")
		return Value[string]{}
	case Plain:
		if n.Behind != "" {
			suggestion = "write it in single quotes: 'like this'"
		}
		r.wrong(n, suggestion, "a pattern without quotes")
		return Value[string]{}
	}
	return value(r, n, text)
}

// raw is a quoted scalar as it stands in the source, its first line at least.
func (n *Node) raw() string {
	line := []rune(n.Place.Source)
	from := min(n.Place.Column-1, len(line))
	return string(line[from:min(from+n.Place.Length, len(line))])
}

// printableText tells whether text is free of control characters.
func printableText(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}
