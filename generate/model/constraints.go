package model

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/task-orchestrator/task-orchestrator/generate/spec"
	"github.com/task-orchestrator/task-orchestrator/internal/format"
)

// applies says which kinds each constraint is for.
var applies = map[string][]Kind{
	"min":          {Int, Int64, Float64, Decimal, Duration, Time, Date},
	"max":          {Int, Int64, Float64, Decimal, Duration, Time, Date},
	"min_length":   {String, Bytes},
	"max_length":   {String, Bytes},
	"min_items":    {List, Map},
	"max_items":    {List, Map},
	"unique_items": {List},
	"pattern":      {String},
	"format":       {String},
}

// given is a constraint that a definition has.
type given struct {
	name string
	node *spec.Node
}

func givenConstraints(d *spec.Definition) []given {
	all := []given{
		{"min", d.Min}, {"max", d.Max},
		{"min_length", d.MinLength.Node}, {"max_length", d.MaxLength.Node},
		{"min_items", d.MinItems.Node}, {"max_items", d.MaxItems.Node},
		{"unique_items", d.UniqueItems.Node},
		{"pattern", d.Pattern.Node}, {"format", d.Format.Node},
	}
	return slices.DeleteFunc(all, func(g given) bool { return g.node == nil || g.node.Kind == spec.Invalid })
}

// constraints reads a definition's constraints into ref, or into its element
// where ref is optional. An enum or object, which has none, gives a nil ref and
// says what it is.
func (r *resolver) constraints(ref *Ref, d *spec.Definition, what string) {
	if ref != nil && ref.Kind == Optional {
		ref = ref.Elem
	}
	if ref != nil && ref.Kind == Named {
		for _, g := range givenConstraints(d) {
			r.wrong(g.node, fmt.Sprintf("write it in types.%s", ref.Named.Name), "%s belongs to the type %s itself", g.name, ref.Named.Name)
		}
		return
	}
	ok := true
	for _, g := range givenConstraints(d) {
		if ref == nil || !slices.Contains(applies[g.name], ref.Kind) {
			described := what
			if ref != nil {
				described = describeRef(ref)
			}
			r.wrong(g.node, "it is for "+kindList(applies[g.name]), "%s does not apply to %s", g.name, described)
			ok = false
		}
	}
	if ref == nil || !ok {
		return
	}
	c := &ref.Constraints
	c.Min, c.Max = r.bounds(ref.Kind, d)
	c.MinLength, c.MaxLength = r.counts(d.MinLength, d.MaxLength, "min_length", "max_length")
	c.MinItems, c.MaxItems = r.counts(d.MinItems, d.MaxItems, "min_items", "max_items")
	if d.UniqueItems.V {
		if elem := scalarRef(ref.Elem); keyKind(elem) || elem.Kind == Float64 {
			c.UniqueItems = true
		} else {
			r.wrong(d.UniqueItems.Node, "", "unique_items is for lists of scalars, not %s", describeRef(ref))
		}
	}
	c.Pattern = r.pattern(d.Pattern)
	c.Format = d.Format.V
}

func kindList(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// bounds reads min and max by the type they bound.
func (r *resolver) bounds(kind Kind, d *spec.Definition) (low, high string) {
	read := func(n *spec.Node) (literal, bool) {
		if n == nil || n.Kind == spec.Invalid {
			return literal{}, false
		}
		l, bad := readLiteral(kind, n)
		if bad != nil {
			r.wrong(n, bad.suggestion, "%s", bad.message)
			return literal{}, false
		}
		return l, true
	}
	least, hasLeast := read(d.Min)
	most, hasMost := read(d.Max)
	if hasLeast && hasMost && least.compare(most) > 0 {
		r.contradicts(d.Max, d.Min, "min is here", "", "max %s is below min %s", d.Max.Text, d.Min.Text)
	}
	return least.text, most.text
}

func (r *resolver) counts(least, most spec.Value[int], leastName, mostName string) (low, high *int) {
	if least.Set && most.Set && least.V > most.V {
		r.contradicts(most.Node, least.Node, leastName+" is here", "", "%s %d is below %s %d", mostName, most.V, leastName, least.V)
	}
	if least.Set {
		low = &least.V
	}
	if most.Set {
		high = &most.V
	}
	return low, high
}

// pattern checks a regular expression with the engine that generated code
// uses.
func (r *resolver) pattern(v spec.Value[string]) string {
	if !v.Set {
		return ""
	}
	if _, err := regexp.Compile(v.V); err != nil {
		message, suggestion := err.Error(), "patterns are RE2: `go doc regexp/syntax` lists what they may hold"
		var problem *syntax.Error
		if errors.As(err, &problem) {
			message = fmt.Sprintf("%s: %s", problem.Code, problem.Expr)
			if problem.Code == syntax.ErrInvalidPerlOp {
				suggestion = "RE2 has no look-around, possessive quantifiers or back-references"
			}
		}
		r.wrong(v.Node, suggestion, "the pattern does not compile: %s", message)
		return ""
	}
	return v.V
}

// violation tells which constraint a literal breaks; "" if none.
func (c Constraints) violation(l literal) string {
	length := utf8.RuneCountInString(l.str)
	if l.kind == Bytes {
		length = len(l.str)
	}
	switch {
	case (l.kind == UUID || l.kind == Time || l.kind == Date) && l.isZero():
		return fmt.Sprintf("the zero %s is not a value", l.kind)
	case c.Min != "" && l.compare(bound(l.kind, c.Min)) < 0:
		return "it is below min " + c.Min
	case c.Max != "" && l.compare(bound(l.kind, c.Max)) > 0:
		return "it is above max " + c.Max
	case c.MinLength != nil && length < *c.MinLength:
		return fmt.Sprintf("it is shorter than min_length %d", *c.MinLength)
	case c.MaxLength != nil && length > *c.MaxLength:
		return fmt.Sprintf("it is longer than max_length %d", *c.MaxLength)
	case c.Pattern != "" && !regexp.MustCompile(c.Pattern).MatchString(l.str):
		return "it does not match pattern " + c.Pattern
	case c.Format != "" && !hasFormat(c.Format, l.str):
		return "it is not of format " + c.Format
	default:
		return ""
	}
}

// bound reads a bound back from its canonical text.
func bound(kind Kind, text string) literal {
	l, _ := readLiteral(kind, &spec.Node{Kind: spec.Scalar, Text: text})
	return l
}

// hasFormat checks a value that stands in the spec itself, as the generated
// code checks one in a payload.
func hasFormat(name, text string) bool {
	switch name {
	case "email":
		return format.IsEmail(text)
	case "uri":
		return format.IsURI(text)
	case "ip":
		return format.IsIP(text)
	case "hostname":
		return format.IsHostname(text)
	default:
		return false
	}
}
