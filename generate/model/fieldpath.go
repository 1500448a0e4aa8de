package model

import (
	"fmt"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// fieldPaths resolves the settings of one task that name payload fields.
type fieldPaths struct {
	resolver *resolver
	task     *Task
	node     *spec.Node // the task's key
}

// resolve looks up a list of paths. An optional field can be a group (null is
// ungrouped) and nothing else.
func (f fieldPaths) resolve(list spec.Value[[]spec.Value[string]], use string, optional bool) []*FieldPath {
	var paths []*FieldPath
	for _, v := range list.V {
		if path := f.path(v, use, optional); path != nil {
			paths = append(paths, path)
		}
	}
	return paths
}

func (f fieldPaths) path(v spec.Value[string], use string, optional bool) *FieldPath {
	path := &FieldPath{Path: v.V}
	object := f.task.Payload
	steps := strings.Split(v.V, ".")
	for i, step := range steps {
		field := fieldNamed(object, step)
		if field == nil && f.resolver.broken[object] {
			return nil
		}
		if field == nil {
			where := "the payload"
			if i > 0 {
				where = strings.Join(steps[:i], ".")
			}
			f.wrong(v, diagnostic.DidYouMean(step, fieldNames(object)), "%s of %s has no field %q", where, f.task.Name, step)
			return nil
		}
		path.Fields = append(path.Fields, field)
		if field.Type == nil {
			return nil // its type was refused and reported
		}
		if i == len(steps)-1 {
			break
		}
		if field.Type.Kind != Named || field.Type.Named.Kind != ObjectType {
			f.wrong(v, "", "%s is %s, which has no required fields of its own", strings.Join(steps[:i+1], "."), describeRef(field.Type))
			return nil
		}
		object = field.Type.Named
	}
	return f.checkLast(v, path, use, optional)
}

// checkLast tells whether the value a path leads to can serve as a key.
func (f fieldPaths) checkLast(v spec.Value[string], path *FieldPath, use string, optional bool) *FieldPath {
	last := path.Fields[len(path.Fields)-1]
	ref := last.Type
	if ref.Kind == Optional {
		if !optional {
			f.wrong(v, "name a required field", "%s needs a value every time, and %s is optional", use, v.V)
			return nil
		}
		ref = ref.Elem
	}
	if !keyKind(scalarRef(ref)) {
		f.wrong(v, "name a string, number, uuid, date, time or enum", "%s cannot be %s, as %s is", use, describeRef(last.Type), v.V)
		return nil
	}
	if last.Sensitive {
		f.wrong(v, "name another field", "%s is stored in clear, and %s is sensitive", use, v.V)
		return nil
	}
	return path
}

// wrong reports a mistake where the setting stands, which may be a policy that
// the task uses.
func (f fieldPaths) wrong(v spec.Value[string], suggestion, format string, args ...any) {
	d := diagnostic.Diagnostic{
		Place:      v.Node.Place,
		Path:       v.Node.Path,
		Message:    fmt.Sprintf(format, args...),
		Suggestion: suggestion,
	}
	if v.Origin != "task" {
		d.Related = []diagnostic.Related{{Place: f.node.Place, Message: "it holds for the task here"}}
	}
	f.resolver.bag.Add(d)
}

func fieldNamed(object *Type, name string) *Field {
	for _, field := range object.Fields {
		if field.Name == name {
			return field
		}
	}
	return nil
}

func fieldNames(object *Type) []string {
	names := make([]string, len(object.Fields))
	for i, field := range object.Fields {
		names[i] = field.Name
	}
	return names
}

// scalarRef looks through a name for a scalar.
func scalarRef(ref *Ref) *Ref {
	if ref.Kind == Named && ref.Named.Kind == AliasType && ref.Named.Aliased != nil {
		return ref.Named.Aliased
	}
	return ref
}

// keyKind tells whether values of a type can be compared for equality by their
// text: float64 cannot, as 0.1+0.2 shows.
func keyKind(ref *Ref) bool {
	switch ref.Kind {
	case String, Bool, Int, Int64, Decimal, UUID, Time, Date, Duration:
		return true
	case Named:
		return ref.Named.Kind == EnumType
	default:
		return false
	}
}
