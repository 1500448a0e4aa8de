package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// builtins are the types of the spec language without an element.
var builtins = map[string]Kind{
	"string": String, "bool": Bool, "int": Int, "int64": Int64, "float64": Float64, "decimal": Decimal,
	"bytes": Bytes, "uuid": UUID, "time": Time, "date": Date, "duration": Duration, "any": Any,
}

// containers are the types with an element.
var containers = map[string]Kind{"list": List, "map": Map, "optional": Optional}

// foreign are names of types in other languages.
var foreign = map[string]string{
	"str": "string", "text": "string", "varchar": "string", "char": "string", "email": "string with format: email", "url": "string with format: uri",
	"integer": "int", "int8": "int", "int16": "int", "int32": "int", "uint": "int64", "uint8": "int", "uint16": "int",
	"uint32": "int64", "uint64": "decimal", "long": "int64", "bigint": "int64", "short": "int", "byte": "int",
	"float": "float64", "float32": "float64", "double": "float64", "number": "float64 or decimal",
	"boolean": "bool", "numeric": "decimal", "money": "decimal", "binary": "bytes", "blob": "bytes",
	"guid": "uuid", "datetime": "time", "timestamp": "time", "timestamptz": "time", "interval": "duration",
	"json": "any", "jsonb": "any", "object": "any, or object: {...} with the fields", "array": "list<...>", "slice": "list<...>", "set": "list<...> with unique_items: true",
	"dict": "map<...>", "hash": "map<...>",
}

// kindNames are the spellings of the kinds.
var kindNames = func() map[Kind]string {
	names := make(map[Kind]string)
	for _, table := range []map[string]Kind{builtins, containers} {
		for name, kind := range table {
			names[kind] = name
		}
	}
	return names
}()

// String is the kind as the spec spells it.
func (k Kind) String() string {
	if k == Named {
		return "named"
	}
	return kindNames[k]
}

// describeRef spells a type as the spec would.
func describeRef(ref *Ref) string {
	switch {
	case ref == nil:
		return "unknown"
	case ref.Elem != nil:
		return fmt.Sprintf("%s<%s>", ref.Kind, describeRef(ref.Elem))
	case ref.Kind != Named:
		return ref.Kind.String()
	case ref.Named.Name != "":
		return ref.Named.Name
	case ref.Named.Kind == EnumType:
		return "an enum"
	default:
		return "an object"
	}
}

// reference is a use of a named type inside a named type.
type reference struct {
	from, to *Type
	place    diagnostic.Place
	path     string
}

// resolveTypes declares the `types` section. All names are known before the
// first body is read, so order does not matter.
func (r *resolver) resolveTypes() {
	decls := byName(slices.Clone(r.file.Types), func(t *spec.Type) string { return t.Name.V })
	for _, decl := range decls {
		t := &Type{Name: decl.Name.V, GoName: decl.Name.V, Position: decl.Name.Node.Place.Position}
		r.types[t.Name] = t
		r.namedNodes[t] = decl.Name.Node
		d := decl.Definition
		if d == nil {
			r.broken[t] = true
			continue
		}
		if d.GoName.Set {
			t.GoName = d.GoName.V
		}
		switch d.Form {
		case spec.Enum:
			t.Kind = EnumType
		case spec.Object:
			t.Kind = ObjectType
		default:
			t.Kind = AliasType
		}
	}
	for _, decl := range decls {
		if decl.Definition == nil {
			continue
		}
		t := r.types[decl.Name.V]
		r.ids.declare(t.GoName, "type "+t.Name, decl.Name.Node)
		r.out.Types = append(r.out.Types, t)
		r.define(t, decl.Definition, t)
	}
}

// define fills a named type in.
func (r *resolver) define(t *Type, d *spec.Definition, root *Type) {
	t.Description, t.Deprecated = d.Description.V, d.Deprecated.V
	if d.Sensitive.Set {
		r.wrong(d.Sensitive.Node, "write it on each field of this type", "sensitive belongs on fields")
	}
	if d.Default != nil {
		r.wrong(d.Default, "write it on each field of this type", "a default belongs on fields")
	}
	switch t.Kind {
	case EnumType:
		r.constraints(nil, d, "an enum")
		t.Values = r.enumValues(t, d)
	case ObjectType:
		r.constraints(nil, d, "an object")
		t.Fields = r.fields(t, d.Fields, root)
		r.broken[t] = d.Broken
	case AliasType:
		t.Aliased = r.alias(t, d, root)
	}
}

// alias resolves a name for a scalar, list or map.
func (r *resolver) alias(t *Type, d *spec.Definition, root *Type) *Ref {
	ref := r.expression(d.Type, root)
	switch {
	case ref == nil:
		return nil
	case ref.Kind == Named:
		r.wrong(d.Node, fmt.Sprintf("use %s where %s is used", ref.Named.Name, t.Name), "%s is only another name for %s", t.Name, ref.Named.Name)
		return nil
	case ref.Kind == Optional:
		r.wrong(d.Node, fmt.Sprintf("name its element, and write optional<%s> in the fields", t.Name), "a named type cannot be optional itself")
		return nil
	}
	r.constraints(ref, d, "")
	return ref
}

func (r *resolver) enumValues(t *Type, d *spec.Definition) []*EnumValue {
	values := make([]*EnumValue, 0, len(d.Values))
	for _, v := range d.Values {
		name := t.GoName + enumGoName(v.Value.V)
		if v.GoName.Set {
			name = t.GoName + v.GoName.V
		}
		r.ids.declare(name, fmt.Sprintf("the enum value %q", v.Value.V), v.Value.Node)
		values = append(values, &EnumValue{Value: v.Value.V, GoName: name})
	}
	return values
}

// body resolves a payload or result; nil without one.
func (r *resolver) body(b *spec.Body, name, what string) *Type {
	if b == nil {
		return nil
	}
	t := &Type{GoName: name, Kind: ObjectType, Position: b.Key.Place.Position}
	if b.Named.Set {
		named := r.types[b.Named.V]
		switch {
		case named != nil && named.Kind == ObjectType:
			return named
		case named != nil:
			r.wrong(b.Named.Node, fmt.Sprintf("write a field map such as {value: %s}", named.Name), "%s is not an object, and %s is", named.Name, what)
		case !r.file.Rejected["types."+b.Named.V]:
			r.wrong(b.Named.Node, r.suggestType(b.Named.V), "there is no type %q", b.Named.V)
		}
		r.broken[t] = true
		return t
	}
	r.own(t)
	r.broken[t] = b.Broken
	t.Fields = r.fields(t, b.Fields, nil)
	return t
}

// fields resolves a field map. Root is the named type it is a part of, nil in
// a task.
func (r *resolver) fields(owner *Type, fields []*spec.Field, root *Type) []*Field {
	out := make([]*Field, 0, len(fields))
	byGoName := make(map[string]*spec.Field, len(fields))
	for _, f := range fields {
		field := &Field{Name: f.Name.V, GoName: goName(f.Name.V), Position: f.Name.Node.Place.Position}
		out = append(out, field)
		d := f.Definition
		if d != nil {
			field.GoName = named(f.Name.V, d.GoName)
			field.Description, field.Deprecated, field.Sensitive = d.Description.V, d.Deprecated.V, d.Sensitive.V
		}
		r.checkFieldName(field, f, byGoName)
		if d == nil {
			continue
		}
		field.Type = r.fieldType(owner, field, f, root)
		if field.Type != nil && d.Default != nil {
			r.fieldDefault(field, d)
		}
	}
	return out
}

func (r *resolver) checkFieldName(field *Field, f *spec.Field, byGoName map[string]*spec.Field) {
	if other := byGoName[field.GoName]; other != nil {
		r.contradicts(f.Name.Node, other.Name.Node, fmt.Sprintf("field %s is here", other.Name.V), "give one of them a go_name",
			"fields %s and %s are both %s in Go", other.Name.V, field.Name, field.GoName)
		return
	}
	byGoName[field.GoName] = f
	if slices.Contains(typeMethods, field.GoName) {
		r.wrong(f.Name.Node, fmt.Sprintf("write {type: ..., go_name: %sField}", field.GoName),
			"the field is %s in Go, which is a method of the generated type", field.GoName)
	}
}

// fieldType resolves a field's type; an inline enum or object gets a name made
// from its owner's and the field's.
func (r *resolver) fieldType(owner *Type, field *Field, f *spec.Field, root *Type) *Ref {
	d := f.Definition
	if d.Form == spec.Expression {
		ref := r.expression(d.Type, root)
		if ref != nil {
			r.constraints(ref, d, "")
		}
		return ref
	}
	inline := &Type{
		GoName:      owner.GoName + field.GoName,
		Description: d.Description.V,
		Position:    field.Position,
	}
	r.ids.declare(inline.GoName, "the type of field "+field.Name, f.Name.Node)
	r.own(inline)
	if d.Form == spec.Enum {
		inline.Kind = EnumType
		r.constraints(nil, d, "an enum")
		inline.Values = r.enumValues(inline, d)
	} else {
		inline.Kind = ObjectType
		r.constraints(nil, d, "an object")
		inline.Fields = r.fields(inline, d.Fields, root)
		r.broken[inline] = d.Broken
	}
	return &Ref{Kind: Named, Named: inline}
}

// expression resolves a type as it is written; nil after a mistake.
func (r *resolver) expression(e *spec.TypeExpression, root *Type) *Ref {
	if kind, ok := builtins[e.Name]; ok {
		return &Ref{Kind: kind}
	}
	if kind, ok := containers[e.Name]; ok {
		elem := r.expression(e.Elem, root)
		if elem == nil {
			return nil
		}
		if kind == Optional && (elem.Kind == Optional || elem.Kind == Any) {
			message := "an optional<any> has two ways to be null"
			if elem.Kind == Optional {
				message = "an optional of an optional"
			}
			r.bag.Add(diagnostic.Diagnostic{
				Place: e.Place, Path: e.Path, Message: message,
				Suggestion: "write " + describeRef(elem),
			})
			return nil
		}
		return &Ref{Kind: kind, Elem: elem}
	}
	t := r.types[e.Name]
	if t == nil && r.file.Rejected["types."+e.Name] {
		return nil
	}
	if t == nil {
		r.bag.Add(diagnostic.Diagnostic{
			Place:      e.Place,
			Path:       e.Path,
			Message:    fmt.Sprintf("there is no type %q", e.Name),
			Suggestion: r.suggestType(e.Name),
		})
		return nil
	}
	if root != nil {
		r.references = append(r.references, reference{from: root, to: t, place: e.Place, path: e.Path})
	}
	return &Ref{Kind: Named, Named: t}
}

// suggestType guesses what a misspelt type was meant to be.
func (r *resolver) suggestType(name string) string {
	if r.bag.Full() {
		return ""
	}
	if ours, ok := foreign[strings.ToLower(name)]; ok {
		return "write " + ours
	}
	if _, ok := builtins[strings.ToLower(name)]; ok {
		return "write " + strings.ToLower(name)
	}
	names := keys(r.types)
	names = append(names, keys(builtins)...)
	if suggestion := diagnostic.DidYouMean(name, names); suggestion != "" {
		return suggestion
	}
	if name[0] >= 'A' && name[0] <= 'Z' {
		return fmt.Sprintf("declare it: types: {%s: {object: {...}}}", name)
	}
	return "the types are string, bool, int, int64, float64, decimal, bytes, uuid, time, date, duration, any, list<...>, map<...>, optional<...> and those under types"
}

// checkRecursion reports each named type that contains itself, at the
// reference that closes the circle.
func (r *resolver) checkRecursion() {
	uses := make(map[*Type][]reference)
	for _, ref := range r.references {
		uses[ref.from] = append(uses[ref.from], ref)
	}
	const (
		open = iota + 1
		done
	)
	state := make(map[*Type]int)
	var trail []*Type
	var visit func(t *Type)
	visit = func(t *Type) {
		state[t] = open
		trail = append(trail, t)
		for _, use := range uses[t] {
			switch state[use.to] {
			case 0:
				visit(use.to)
			case open:
				names := []string{}
				for _, on := range trail[slices.Index(trail, use.to):] {
					names = append(names, on.Name)
				}
				r.bag.Add(diagnostic.Diagnostic{
					Place:      use.place,
					Path:       use.path,
					Message:    fmt.Sprintf("type %s contains itself: %s", use.to.Name, strings.Join(append(names, use.to.Name), " > ")),
					Suggestion: "refer to it by an id, or use any",
					Related:    []diagnostic.Related{{Place: r.namedNodes[use.to].Place, Message: use.to.Name + " is here"}},
				})
			}
		}
		trail = trail[:len(trail)-1]
		state[t] = done
	}
	for _, t := range r.out.Types {
		if state[t] == 0 && t.Name != "" {
			visit(t)
		}
	}
}

// markTypes sets what holds at any depth. Types do not contain themselves, so
// each is visited once.
func markTypes(types []*Type) {
	done := make(map[*Type]bool)
	var mark func(t *Type)
	markRef := func(ref *Ref) (sensitive, defaults bool) {
		for ref.Elem != nil {
			ref = ref.Elem
		}
		if ref.Kind != Named {
			return false, false
		}
		mark(ref.Named)
		return ref.Named.Sensitive, ref.Named.Defaults
	}
	mark = func(t *Type) {
		if done[t] {
			return
		}
		done[t] = true
		if t.Aliased != nil {
			t.Sensitive, t.Defaults = markRef(t.Aliased)
		}
		for _, f := range t.Fields {
			sensitive, defaults := markRef(f.Type)
			t.Sensitive = t.Sensitive || f.Sensitive || sensitive
			t.Defaults = t.Defaults || f.Default != "" || defaults
		}
	}
	for _, t := range types {
		mark(t)
	}
}
