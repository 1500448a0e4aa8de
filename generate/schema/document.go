package schema

import (
	"cmp"
	"slices"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

// Document is the schema of values of an object type, as compact JSON. The
// title is a label for readers. Types of the spec's `types` section are shared
// under $defs; inline ones stand where they are used.
func Document(title string, t *model.Type) []byte {
	b := &builder{defined: map[*model.Type]object{}}
	root := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", title},
	}
	root = append(root, b.typeBody(t)...)
	if len(b.order) > 0 {
		slices.SortFunc(b.order, func(x, y *model.Type) int { return cmp.Compare(x.Name, y.Name) })
		definitions := object{}
		for _, named := range b.order {
			definitions = append(definitions, member{named.Name, b.defined[named]})
		}
		root = append(root, member{"$defs", definitions})
	}
	return root.appendJSON(nil)
}

// builder collects the named types a document refers to.
type builder struct {
	defined map[*model.Type]object
	order   []*model.Type
}

func (b *builder) typeBody(t *model.Type) object {
	var body object
	switch t.Kind {
	case model.EnumType:
		values := list{}
		for _, v := range t.Values {
			values = append(values, v.Value)
		}
		body = object{{"enum", values}}
	case model.AliasType:
		body = b.value(t.Aliased)
	default:
		body = b.objectBody(t)
	}
	return described(body, t.Description, t.Deprecated != "")
}

func (b *builder) objectBody(t *model.Type) object {
	properties, required := object{}, list{}
	for _, f := range t.Fields {
		properties = append(properties, member{f.Name, b.field(f)})
		if f.Type.Kind != model.Optional && f.Default == "" {
			required = append(required, f.Name)
		}
	}
	body := object{{"type", "object"}}
	if len(properties) > 0 {
		body = append(body, member{"properties", properties})
	}
	if len(required) > 0 {
		body = append(body, member{"required", required})
	}
	return body
}

func (b *builder) field(f *model.Field) object {
	body := b.value(f.Type)
	if zero := zeroValue(f.Type); zero != "" && f.Default == "" {
		body = append(body, member{"not", object{{"const", zero}}})
	}
	if f.Default != "" {
		body = append(body, member{"default", raw(f.Default)})
	}
	if f.Sensitive {
		body = append(body, member{"x-sensitive", true})
	}
	return described(body, f.Description, f.Deprecated != "")
}

// zeroValue is the JSON string of a zero value that a required field must not
// have, "" when it may.
func zeroValue(r *model.Ref) string {
	switch r.Kind {
	case model.UUID:
		return "00000000-0000-0000-0000-000000000000"
	case model.Time:
		return "0001-01-01T00:00:00Z"
	case model.Date:
		return "0001-01-01"
	case model.Named:
		if r.Named.Kind == model.AliasType {
			return zeroValue(r.Named.Aliased)
		}
	}
	return ""
}

// named refers to a type: by $ref when the spec names it, else in place.
func (b *builder) named(t *model.Type) object {
	if t.Name == "" {
		return b.typeBody(t)
	}
	if _, done := b.defined[t]; !done {
		b.defined[t] = nil
		b.order = append(b.order, t)
		b.defined[t] = b.typeBody(t)
	}
	return object{{"$ref", "#/$defs/" + t.Name}}
}

func described(body object, description string, deprecated bool) object {
	if description != "" {
		body = append(body, member{"description", description})
	}
	if deprecated {
		body = append(body, member{"deprecated", true})
	}
	return body
}
