package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// object checks a mapping of the spec against an object type and writes it as
// canonical JSON: the fields in the type's order, absent ones left out. It
// reports every mistake; the JSON is good only when there was none.
func (r *resolver) object(t *Type, n *spec.Node) string {
	if n.Kind != spec.Mapping && !n.IsNull() {
		if n.Kind != spec.Invalid {
			r.wrong(n, "", "a mapping is expected here, not %s", describeNode(n))
		}
		return "{}"
	}
	values := make(map[string]*spec.Node, len(n.Pairs))
	for _, pair := range n.Pairs {
		if fieldNamed(t, pair.Key.Text) == nil && r.broken[t] {
			continue
		}
		if fieldNamed(t, pair.Key.Text) == nil {
			r.wrong(pair.Key, diagnostic.DidYouMean(pair.Key.Text, fieldNames(t)), "there is no field %q", pair.Key.Text)
			continue
		}
		values[pair.Key.Text] = pair.Value
	}
	var members []string
	var missing []string
	for _, field := range t.Fields {
		v, present := values[field.Name]
		switch {
		case field.Type == nil:
		case present && v.IsNull() && field.Type.Kind == Optional:
		case present:
			members = append(members, quote(field.Name)+":"+r.value(field.Type, v))
		case field.Type.Kind != Optional && field.Default == "":
			missing = append(missing, field.Name)
		}
	}
	if len(missing) > 0 {
		r.wrong(n, "", "%s missing: %s", plural(len(missing), "a required field is", "required fields are"), strings.Join(missing, ", "))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func plural(count int, one, many string) string {
	if count == 1 {
		return one
	}
	return many
}

// value checks any value of the spec against a type.
func (r *resolver) value(ref *Ref, n *spec.Node) string {
	switch {
	case ref == nil || n.Kind == spec.Invalid:
		return "null"
	case ref.Kind == Optional:
		if n.IsNull() {
			return "null"
		}
		return r.value(ref.Elem, n)
	case ref.Kind == Any:
		return r.anyValue(n)
	case n.IsNull():
		r.wrong(n, "", "a value is required here")
		return "null"
	case ref.Kind == List:
		return r.list(ref, n)
	case ref.Kind == Map:
		return r.mapValue(ref, n)
	case ref.Kind == Named:
		switch t := ref.Named; t.Kind {
		case ObjectType:
			return r.object(t, n)
		case AliasType:
			return r.value(t.Aliased, n)
		default:
			if values := enumTexts(t); n.Kind != spec.Scalar || !slices.Contains(values, n.Text) {
				r.wrong(n, diagnostic.DidYouMean(n.Text, values), "%s is not one of %s", describeNode(n), strings.Join(values, ", "))
			}
			return quote(n.Text)
		}
	}
	l, bad := readLiteral(ref.Kind, n)
	if bad != nil {
		r.wrong(n, bad.suggestion, "%s", bad.message)
		return "null"
	}
	if violated := ref.Constraints.violation(l); violated != "" {
		r.wrong(n, "", "%s", violated)
	}
	return l.json
}

func (r *resolver) list(ref *Ref, n *spec.Node) string {
	if n.Kind != spec.Sequence {
		r.wrong(n, "", "a list is expected here, not %s", describeNode(n))
		return "[]"
	}
	r.countItems(ref, n, len(n.Items))
	items := make([]string, len(n.Items))
	seen := make(map[string]bool, len(n.Items))
	for i, item := range n.Items {
		items[i] = r.value(ref.Elem, item)
		if ref.Constraints.UniqueItems && seen[items[i]] {
			r.wrong(item, "", "%s is in the list already", items[i])
		}
		seen[items[i]] = true
	}
	return "[" + strings.Join(items, ",") + "]"
}

func (r *resolver) mapValue(ref *Ref, n *spec.Node) string {
	if n.Kind != spec.Mapping {
		r.wrong(n, "", "a mapping is expected here, not %s", describeNode(n))
		return "{}"
	}
	r.countItems(ref, n, len(n.Pairs))
	return joinMembers(n, func(v *spec.Node) string { return r.value(ref.Elem, v) })
}

// joinMembers writes a mapping as a JSON object with its keys sorted.
func joinMembers(n *spec.Node, value func(*spec.Node) string) string {
	members := make([]string, 0, len(n.Pairs))
	for _, pair := range byName(slices.Clone(n.Pairs), func(p spec.Pair) string { return p.Key.Text }) {
		members = append(members, quote(pair.Key.Text)+":"+value(pair.Value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (r *resolver) countItems(ref *Ref, n *spec.Node, count int) {
	c := ref.Constraints
	if c.MinItems != nil && count < *c.MinItems {
		r.wrong(n, "", "%d items, and min_items is %d", count, *c.MinItems)
	}
	if c.MaxItems != nil && count > *c.MaxItems {
		r.wrong(n, "", "%d items, and max_items is %d", count, *c.MaxItems)
	}
}

// anyValue writes a value without a declared type as YAML 1.2 and JSON read it:
// here alone there is nothing but the text to go by.
func (r *resolver) anyValue(n *spec.Node) string {
	switch n.Kind {
	case spec.Mapping:
		return joinMembers(n, r.anyValue)
	case spec.Sequence:
		items := make([]string, len(n.Items))
		for i, item := range n.Items {
			items[i] = r.anyValue(item)
		}
		return "[" + strings.Join(items, ",") + "]"
	case spec.Invalid:
		return "null"
	}
	switch n.Class {
	case spec.Null:
		return "null"
	case spec.Bool:
		return strings.ToLower(n.Text)
	case spec.Number:
		if !json.Valid([]byte(n.Text)) {
			r.wrong(n, fmt.Sprintf("write plain digits, or quotes for text: %q", n.Text), "%s is not a number in JSON", n.Text)
		}
		return n.Text
	}
	l, bad := readLiteral(String, n)
	if bad != nil {
		r.wrong(n, bad.suggestion, "%s", bad.message)
	}
	return l.json
}
