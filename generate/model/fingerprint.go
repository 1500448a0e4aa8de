package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fingerprints computes contract fingerprints: sha256 over a canonical text of
// what a stored payload or result must look like, cut to 128 bits.
//
// What enters, of the payload and of the result, at every depth: the names of
// the fields, their types, their constraints and their defaults, and the values
// of enums. Fields and enum values are sorted, as JSON does not order them
// either. A named type enters by what it is, not by its name, so naming an
// inline type changes nothing; the same holds for `payload: Name`.
//
// What does not enter: the task's name, Go names, descriptions, deprecations,
// sensitive, policies and error codes. A missing result differs from an empty
// one; a missing payload does not, since both store {}.
//
// An object enters the text of the one around it as its own hash, so that a
// type used many times is read once. The prefix v1 names this encoding.
type fingerprints struct {
	objects map[*Type]string
}

func newFingerprints() *fingerprints {
	return &fingerprints{objects: make(map[*Type]string)}
}

// contract is the fingerprint of a task.
func (f *fingerprints) contract(t *Task) string {
	text := "payload " + f.typ(t.Payload)
	if t.Result != nil {
		text += "\nresult " + f.typ(t.Result)
	}
	return "v1:" + hash(text)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// typ is the canonical text of a declared type.
func (f *fingerprints) typ(t *Type) string {
	switch t.Kind {
	case AliasType:
		return f.ref(t.Aliased)
	case EnumType:
		values := make([]string, len(t.Values))
		for i, v := range t.Values {
			values[i] = strconv.Quote(v.Value)
		}
		slices.Sort(values)
		return "enum(" + strings.Join(values, ",") + ")"
	}
	if known, ok := f.objects[t]; ok {
		return known
	}
	lines := make([]string, len(t.Fields))
	for i, field := range t.Fields {
		lines[i] = field.Name + ":" + f.ref(field.Type)
		if field.Default != "" {
			lines[i] += "=" + field.Default
		}
	}
	slices.Sort(lines)
	text := "object(" + hash(strings.Join(lines, "\n")) + ")"
	f.objects[t] = text
	return text
}

func (f *fingerprints) ref(ref *Ref) string {
	switch {
	case ref.Kind == Named:
		return f.typ(ref.Named)
	case ref.Elem != nil:
		return fmt.Sprintf("%s<%s>%s", ref.Kind, f.ref(ref.Elem), ref.Constraints.canonical())
	default:
		return ref.Kind.String() + ref.Constraints.canonical()
	}
}

// canonical is the text of the constraints that are there, in a fixed order.
func (c Constraints) canonical() string {
	var parts []string
	text := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+strconv.Quote(value))
		}
	}
	count := func(name string, value *int) {
		if value != nil {
			parts = append(parts, fmt.Sprintf("%s=%d", name, *value))
		}
	}
	text("min", c.Min)
	text("max", c.Max)
	count("min_length", c.MinLength)
	count("max_length", c.MaxLength)
	count("min_items", c.MinItems)
	count("max_items", c.MaxItems)
	if c.UniqueItems {
		parts = append(parts, "unique_items")
	}
	text("pattern", c.Pattern)
	text("format", c.Format)
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}
