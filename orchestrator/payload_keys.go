package orchestrator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/canonical"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/nearest"
)

// schemaNode is one place of a generated JSON Schema.
type schemaNode struct {
	document map[string]any // the whole, for references
	object   map[string]any
}

// resolved follows references to named types and steps into optional ones.
func (n schemaNode) resolved() schemaNode {
	for {
		if ref, ok := n.object["$ref"].(string); ok {
			definitions, _ := n.document["$defs"].(map[string]any)
			target, _ := definitions[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
			n.object = target
			continue
		}
		if inner := n.optional(); inner != nil {
			n.object = inner
			continue
		}
		return n
	}
}

// optional is X of {"anyOf": [X, {"type": "null"}]}, else nil.
func (n schemaNode) optional() map[string]any {
	alternatives, _ := n.object["anyOf"].([]any)
	if len(alternatives) != 2 {
		return nil
	}
	if last, _ := alternatives[1].(map[string]any); last["type"] != "null" {
		return nil
	}
	inner, _ := alternatives[0].(map[string]any)
	return inner
}

func (n schemaNode) property(name string) (schemaNode, bool) {
	properties, _ := n.object["properties"].(map[string]any)
	object, ok := properties[name].(map[string]any)
	return schemaNode{n.document, object}, ok
}

// misspelt finds keys that a handler would read as another, because
// encoding/json ignores case, or not at all, and that stand where a declared
// one is missing. Other unknown keys are none of our business: a newer version
// of the spec may declare them.
func misspelt(n schemaNode, value any, pointer string) []Violation {
	n = n.resolved()
	var all []Violation
	switch v := value.(type) {
	case []any:
		items, _ := n.object["items"].(map[string]any)
		for i, item := range v {
			all = append(all, misspelt(schemaNode{n.document, items}, item, pointer+"/"+strconv.Itoa(i))...)
		}
	case map[string]any:
		values, isMap := n.object["additionalProperties"].(map[string]any)
		properties, _ := n.object["properties"].(map[string]any)
		for name, member := range v {
			at := pointer + jsonPointer([]string{name})
			if isMap {
				all = append(all, misspelt(schemaNode{n.document, values}, member, at)...)
			} else if declared, ok := n.property(name); ok {
				all = append(all, misspelt(declared, member, at)...)
			} else if meant := meantBy(name, properties, v); meant != "" {
				all = append(all, Violation{at, fmt.Sprintf("unknown key; did you mean %q?", meant)})
			}
		}
	}
	return all
}

func meantBy(name string, properties, present map[string]any) string {
	var missing []string
	for _, declared := range slices.Sorted(maps.Keys(properties)) {
		if strings.EqualFold(declared, name) {
			return declared
		}
		if _, ok := present[declared]; !ok {
			missing = append(missing, declared)
		}
	}
	if near := nearest.Names(name, missing, 1); len(near) > 0 && len(name) > 3 { // cc and bcc are no misspellings
		return near[0]
	}
	return ""
}

// rawKey derives one key from a payload in JSON, as the generated code derives
// it from the payload's struct.
type rawKey struct {
	fields []keyField
	target func(*Request) *string
}

// keyField is a scalar in the payload.
type keyField struct {
	path      []string
	read      func(value any) (any, error)
	byDefault any // JSON value that stands for an absent one; nil for none
}

// durationPattern is what tells a duration in a generated schema from another
// string: the standard's own format has no fractions and no sign.
const durationPattern = `^-?P(?:[0-9]+W)?(?:[0-9]+D)?(?:T(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]{1,9})?S)?)?$`

func (s *payloadSchema) key(paths []string, target func(*Request) *string) (rawKey, error) {
	key := rawKey{target: target}
	for _, path := range paths {
		field := keyField{path: strings.Split(path, ".")}
		node := s.root
		for _, step := range field.path {
			next, ok := node.resolved().property(step)
			if !ok {
				return key, fmt.Errorf("it has no field %s, which a key is made of", path)
			}
			node = next
		}
		field.byDefault = node.object["default"]
		field.read = readerOf(node.resolved())
		key.fields = append(key.fields, field)
	}
	return key, nil
}

// set writes the key into r, or nothing when a field is absent or null.
func (k rawKey) set(r *Request, document any) error {
	values := make([]any, len(k.fields))
	for i, field := range k.fields {
		value := field.in(document)
		if value == nil {
			return nil
		}
		read, err := field.read(value)
		if err != nil {
			return fmt.Errorf("payload /%s: %w", strings.Join(field.path, "/"), err)
		}
		values[i] = read
	}
	*k.target(r) = canonical.Key(values...)
	return nil
}

// in finds the field's value, nil when it is absent or null.
func (f keyField) in(document any) any {
	value := document
	for _, step := range f.path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[step]
	}
	if value == nil {
		return f.byDefault
	}
	return value
}

// readerOf turns a checked JSON value into the Go value that generated code
// would make the key of.
func readerOf(n schemaNode) func(any) (any, error) {
	switch {
	case n.object["type"] == "integer":
		return func(v any) (any, error) { n, err := v.(json.Number).Int64(); return n, err }
	case n.object["type"] == "number":
		return func(v any) (any, error) { n, err := v.(json.Number).Float64(); return n, err }
	case n.object["format"] == "uuid":
		return func(v any) (any, error) { return uuid.Parse(v.(string)) }
	case n.object["format"] == "date-time":
		return func(v any) (any, error) { return parseTime(v.(string)) }
	case n.object["format"] == "date":
		return func(v any) (any, error) { return ParseDate(v.(string)) }
	case n.object["format"] == "decimal":
		return func(v any) (any, error) { return ParseDecimal(v.(string)) }
	case n.object["pattern"] == durationPattern:
		return func(v any) (any, error) { return ParseDuration(v.(string)) }
	case n.object["contentEncoding"] == "base64":
		return func(v any) (any, error) { return base64.StdEncoding.DecodeString(v.(string)) }
	}
	return func(v any) (any, error) { return v, nil } // a string or a bool
}
