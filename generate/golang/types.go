package golang

import (
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

// typeDecl writes down a type with its methods.
func (e *emitter) typeDecl(t *model.Type, o owner) (*typeDecl, error) {
	d := &typeDecl{Name: t.GoName, Doc: typeDoc(t, o), Subject: o.subject}
	switch t.Kind {
	case model.EnumType:
		e.use(enginePath + "/codec")
		d.Spec = "string"
		for _, v := range t.Values {
			d.Constants = append(d.Constants, constant{Name: v.GoName, Value: quote(v.Value)})
		}
		return d, nil
	case model.AliasType:
		d.Spec = "= " + e.goType(t.Aliased)
		return d, nil
	}
	e.use(enginePath + "/codec")
	d.Spec = e.structSpec(t)
	var err error
	if d.Encode, err = e.encodeBody(t); err != nil {
		return nil, err
	}
	d.Defaults, err = e.defaultsBody(t)
	return d, err
}

func typeDoc(t *model.Type, o owner) string {
	doc := t.Description
	switch {
	case o.subject != "":
		doc = paragraphs(t.GoName+" is the "+o.subject+" of "+o.task.Name+".", doc)
	case doc == "" && o.task != nil:
		doc = t.GoName + " is declared in place by " + o.task.Name + "."
	case doc == "":
		doc = t.GoName + " is declared by the spec's types."
	}
	return paragraphs(doc, deprecated(t.Deprecated))
}

func (e *emitter) structSpec(t *model.Type) string {
	if len(t.Fields) == 0 {
		return "struct{}"
	}
	var b strings.Builder
	b.WriteString("struct {\n")
	for _, f := range t.Fields {
		if doc := paragraphs(f.Description, deprecated(f.Deprecated)); doc != "" {
			b.WriteString(comment(doc) + "\n")
		}
		b.WriteString(f.GoName + " " + e.fieldType(f) + " `json:\"" + f.Name + "\"`\n")
	}
	b.WriteString("}")
	return b.String()
}

func (e *emitter) fieldType(f *model.Field) string {
	if f.Sensitive {
		e.use(enginePath)
		return "orchestrator.Sensitive[" + e.goType(f.Type) + "]"
	}
	return e.goType(f.Type)
}

// goType is the Go type of a value.
func (e *emitter) goType(r *model.Ref) string {
	switch r.Kind {
	case model.String:
		return "string"
	case model.Bool:
		return "bool"
	case model.Int:
		return "int"
	case model.Int64:
		return "int64"
	case model.Float64:
		return "float64"
	case model.Bytes:
		return "[]byte"
	case model.Time:
		e.use("time")
		return "time.Time"
	case model.Any:
		e.use("encoding/json")
		return "json.RawMessage"
	case model.List:
		return "[]" + e.goType(r.Elem)
	case model.Map:
		return "map[string]" + e.goType(r.Elem)
	case model.Optional:
		return "*" + e.goType(r.Elem)
	case model.Named:
		return r.Named.GoName
	}
	e.use(enginePath)
	return "orchestrator." + engineTypes[r.Kind]
}

var engineTypes = map[model.Kind]string{
	model.Decimal:  "Decimal",
	model.UUID:     "UUID",
	model.Date:     "Date",
	model.Duration: "Duration",
}

// base follows aliases to the value they stand for.
func base(r *model.Ref) *model.Ref {
	for r.Kind == model.Named && r.Named.Kind == model.AliasType {
		r = r.Named.Aliased
	}
	return r
}

func isObject(r *model.Ref) bool { return r.Kind == model.Named && r.Named.Kind == model.ObjectType }

func isEnum(r *model.Ref) bool { return r.Kind == model.Named && r.Named.Kind == model.EnumType }

// paragraphs joins those that are not empty.
func paragraphs(texts ...string) string {
	var kept []string
	for _, text := range texts {
		if text = strings.TrimSpace(text); text != "" {
			kept = append(kept, text)
		}
	}
	return strings.Join(kept, "\n\n")
}

func deprecated(text string) string {
	if text == "" {
		return ""
	}
	return "Deprecated: " + text
}
