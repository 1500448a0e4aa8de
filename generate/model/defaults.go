package model

import (
	"fmt"
	"slices"
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate/diagnostic"
	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

// fieldDefault reads a field's default. In Go the zero value of a defaulted
// field means the default, so a default is accepted only where nobody can mean
// the zero value itself: where it equals the default or breaks the field's
// constraints.
func (r *resolver) fieldDefault(field *Field, d *spec.Definition) {
	n := d.Default
	if n.Kind == spec.Invalid {
		return
	}
	ref := scalarRef(field.Type)
	switch {
	case ref.Kind == Optional:
		r.wrong(n, "remove optional<...>, or the default", "an optional field has no default: a missing value is null")
		return
	case ref.Kind == Named && ref.Named.Kind == EnumType:
		r.enumDefault(field, ref.Named, n)
		return
	case ref.Kind == List || ref.Kind == Map:
		r.wrong(n, "remove it: a missing one is empty", "%s has no default", describeRef(field.Type))
		return
	case ref.Kind == Named || ref.Kind == Any || ref.Kind == Bytes:
		r.wrong(n, "", "%s has no default", describeRef(field.Type))
		return
	}

	l, bad := readLiteral(ref.Kind, n)
	if bad != nil {
		r.wrong(n, bad.suggestion, "%s", bad.message)
		return
	}
	if violated := ref.Constraints.violation(l); violated != "" {
		r.wrong(n, "", "the default breaks the field's own constraints: %s", violated)
		return
	}
	if !l.isZero() && !zeroBreaks(ref) {
		r.wrong(n, zeroAdvice(ref, field.Name, l), "the default cannot be told from %s, which is also a value of the field", zeroText(ref.Kind))
		return
	}
	field.Default = l.json
}

func (r *resolver) enumDefault(field *Field, enum *Type, n *spec.Node) {
	values := enumTexts(enum)
	if n.Kind != spec.Scalar || !slices.Contains(values, n.Text) {
		r.wrong(n, diagnostic.DidYouMean(n.Text, values), "%s is not a value of the enum", describeNode(n))
		return
	}
	field.Default = quote(n.Text)
}

func enumTexts(enum *Type) []string {
	texts := make([]string, len(enum.Values))
	for i, v := range enum.Values {
		texts[i] = v.Value
	}
	return texts
}

// zeroBreaks tells whether the Go zero value breaks a scalar's constraints.
func zeroBreaks(ref *Ref) bool {
	zero := literal{kind: ref.Kind}
	switch ref.Kind {
	case Bool:
		return false
	case UUID, Time, Date:
		return true
	case Decimal:
		zero = bound(Decimal, "0")
	}
	return ref.Constraints.violation(zero) != ""
}

func zeroText(kind Kind) string {
	switch kind {
	case String:
		return `""`
	case Bool:
		return "false"
	default:
		return "0"
	}
}

// zeroAdvice says how to make the default unmistakable.
func zeroAdvice(ref *Ref, name string, l literal) string {
	switch ref.Kind {
	case Bool:
		return fmt.Sprintf("use optional<bool>, or invert the flag so that false is the default (no_%s)", name)
	case String:
		return "use optional<string>, or forbid the empty string with min_length: 1"
	case Duration:
		return "use optional<duration>, or forbid 0 with min: " + spec.FormatDuration(min(time.Second, time.Duration(l.whole)))
	default:
		return fmt.Sprintf("use optional<%s>, or forbid 0 with min: 1", ref.Kind)
	}
}
