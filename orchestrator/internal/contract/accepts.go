package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
)

// Accepts returns nil when every payload that is valid by the schema stored is
// also valid by the schema compiled, and else an error that says where and why
// not: "/to: is required and was not before".
func Accepts(compiled, stored []byte) error {
	var mine, theirs schema
	if err := decode(compiled, &mine); err != nil {
		return fmt.Errorf("compiled schema: %w", err)
	}
	if err := decode(stored, &theirs); err != nil {
		return fmt.Errorf("stored schema: %w", err)
	}
	c := comparison{mine: mine, theirs: theirs}
	return c.accepts(mine, theirs, "")
}

// schema is a JSON Schema object; numbers are json.Number.
type schema = map[string]any

func decode(text []byte, to *schema) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

// comparison holds the two documents, for their references.
type comparison struct{ mine, theirs schema }

func (c *comparison) accepts(mine, theirs schema, at string) error {
	mine, theirs = deref(mine, c.mine), deref(theirs, c.theirs)
	if mine["type"] == nil && mine["anyOf"] == nil && mine["enum"] == nil {
		return nil // any JSON
	}
	mineInner, mineNull := optional(mine)
	theirsInner, theirsNull := optional(theirs)
	if theirsNull && !mineNull {
		return fmt.Errorf("%s: may not be null any more", place(at))
	}
	if mineNull || theirsNull {
		return c.accepts(mineInner, theirsInner, at)
	}
	if err := sameType(mine, theirs, at); err != nil {
		return err
	}
	if err := noStricter(mine, theirs, at); err != nil {
		return err
	}
	if err := c.properties(mine, theirs, at); err != nil {
		return err
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		m, isMine := mine[inner].(schema)
		t, isTheirs := theirs[inner].(schema)
		switch {
		case isMine && isTheirs:
			if err := c.accepts(m, t, at+"/*"); err != nil {
				return err
			}
		case isMine:
			return fmt.Errorf("%s: its elements have a type, which they had not before", place(at))
		}
	}
	return nil
}

// properties compares the fields of objects. A field that is gone does no
// harm: decoding ignores it.
func (c *comparison) properties(mine, theirs schema, at string) error {
	fields, _ := mine["properties"].(schema)
	before, _ := theirs["properties"].(schema)
	required, requiredBefore := names(mine["required"]), names(theirs["required"])
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field, _ := fields[name].(schema)
		old, existed := before[name].(schema)
		if slices.Contains(required, name) && !slices.Contains(requiredBefore, name) {
			return fmt.Errorf("%s: is required and was not before", place(at+"/"+name))
		}
		if !existed {
			continue
		}
		if err := c.accepts(field, old, at+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func sameType(mine, theirs schema, at string) error {
	if reflect.DeepEqual(mine["type"], theirs["type"]) || mine["type"] == "number" && theirs["type"] == "integer" {
		return nil
	}
	return fmt.Errorf("%s: is %v and was %v", place(at), mine["type"], theirs["type"])
}

// Bounds of which a greater value is stricter, and of which a smaller one is.
var (
	lowerBounds = []string{"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
	upperBounds = []string{"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
	// exact are keywords that cannot be compared: they must be what they were,
	// or be gone.
	exact = []string{"pattern", "format", "formatMinimum", "formatMaximum", "contentEncoding", "uniqueItems", "anyOf", "const"}
)

func noStricter(mine, theirs schema, at string) error {
	for _, keyword := range lowerBounds {
		if err := bound(mine, theirs, at, keyword, -1); err != nil {
			return err
		}
	}
	for _, keyword := range upperBounds {
		if err := bound(mine, theirs, at, keyword, +1); err != nil {
			return err
		}
	}
	for _, keyword := range exact {
		if mine[keyword] != nil && !reflect.DeepEqual(mine[keyword], theirs[keyword]) {
			return fmt.Errorf("%s: %s is %v and was %v", place(at), keyword, mine[keyword], theirs[keyword])
		}
	}
	values, limited := mine["enum"].([]any)
	if !limited {
		return nil
	}
	before, wasLimited := theirs["enum"].([]any)
	if !wasLimited {
		return fmt.Errorf("%s: is an enum and was not before", place(at))
	}
	for _, value := range before {
		if !slices.Contains(values, value) {
			return fmt.Errorf("%s: %v is not a value any more", place(at), value)
		}
	}
	return nil
}

// bound checks that mine allows what theirs allows; room is the sign of
// mine - theirs when mine is the wider one.
func bound(mine, theirs schema, at, keyword string, room int) error {
	m, isMine := number(mine[keyword])
	if !isMine {
		return nil
	}
	t, isTheirs := number(theirs[keyword])
	if !isTheirs {
		return fmt.Errorf("%s: has a %s and had none", place(at), keyword)
	}
	if diff := m.Cmp(t); diff != 0 && diff != room {
		return fmt.Errorf("%s: %s is %v and was %v", place(at), keyword, mine[keyword], theirs[keyword])
	}
	return nil
}

func number(v any) (*big.Rat, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return nil, false
	}
	return new(big.Rat).SetString(n.String())
}

// optional takes {anyOf: [X, {type: null}]} apart.
func optional(s schema) (inner schema, null bool) {
	either, _ := s["anyOf"].([]any)
	if len(either) != 2 {
		return s, false
	}
	last, _ := either[1].(schema)
	first, ok := either[0].(schema)
	if !ok || last["type"] != "null" {
		return s, false
	}
	return first, true
}

// deref follows a reference into the document's definitions; keywords beside
// the reference hold as well.
func deref(s, document schema) schema {
	const prefix = "#/$defs/"
	ref, ok := s["$ref"].(string)
	if !ok || len(ref) <= len(prefix) {
		return s
	}
	definitions, _ := document["$defs"].(schema)
	target, ok := definitions[ref[len(prefix):]].(schema)
	if !ok {
		return s
	}
	merged := schema{}
	for _, part := range []schema{deref(target, document), s} {
		for key, value := range part {
			if key != "$ref" {
				merged[key] = value
			}
		}
	}
	return merged
}

func names(v any) []string {
	var all []string
	list, _ := v.([]any)
	for _, one := range list {
		if name, ok := one.(string); ok {
			all = append(all, name)
		}
	}
	return all
}

func place(at string) string {
	if at == "" {
		return "payload"
	}
	return at
}
