package schema

import "github.com/task-orchestrator/task-orchestrator/generate/model"

// Texts of kinds that JSON has no type for. They accept what the generated
// decoder accepts and a little less: one canonical form each.
const (
	decimalPattern  = `^-?[0-9]+(?:\.[0-9]+)?$`
	durationPattern = `^-?P(?:[0-9]+W)?(?:[0-9]+D)?(?:T(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]{1,9})?S)?)?$`
	base64Pattern   = `^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`
)

// value is the schema of one use of a type, with the constraints of the place.
func (b *builder) value(r *model.Ref) object {
	c := r.Constraints
	switch r.Kind {
	case model.String:
		return append(object{{"type", "string"}}, stringConstraints(c)...)
	case model.Bool:
		return object{{"type", "boolean"}}
	case model.Int, model.Int64:
		// The bounds of int64 are left to the format, to keep documents readable.
		return append(object{{"type", "integer"}, {"format", "int64"}}, bounds("minimum", "maximum", c)...)
	case model.Float64:
		return append(object{{"type", "number"}}, bounds("minimum", "maximum", c)...)
	case model.Decimal:
		return append(object{{"type", "string"}, {"format", "decimal"}, {"pattern", decimalPattern}}, textBounds(c)...)
	case model.Bytes:
		return append(object{{"type", "string"}, {"contentEncoding", "base64"}, {"pattern", base64Pattern}}, byteLengths(c)...)
	case model.UUID:
		return object{{"type", "string"}, {"format", "uuid"}}
	case model.Time:
		return append(object{{"type", "string"}, {"format", "date-time"}}, textBounds(c)...)
	case model.Date:
		return append(object{{"type", "string"}, {"format", "date"}}, textBounds(c)...)
	case model.Duration:
		return append(object{{"type", "string"}, {"pattern", durationPattern}}, textBounds(c)...)
	case model.List:
		return append(object{{"type", "array"}, {"items", b.value(r.Elem)}}, sizes("minItems", "maxItems", c)...)
	case model.Map:
		return append(object{{"type", "object"}, {"additionalProperties", b.value(r.Elem)}}, sizes("minProperties", "maxProperties", c)...)
	case model.Optional:
		return object{{"anyOf", list{b.value(r.Elem), object{{"type", "null"}}}}}
	case model.Named:
		return append(b.named(r.Named), placeConstraints(r)...)
	}
	return object{} // any
}

// placeConstraints are those a use adds to an alias such as
// `Sku: {type: string, pattern: ...}`.
func placeConstraints(r *model.Ref) object {
	base := r
	for base.Kind == model.Named && base.Named.Kind == model.AliasType {
		base = base.Named.Aliased
	}
	c := r.Constraints
	switch base.Kind {
	case model.String:
		return stringConstraints(c)
	case model.Int, model.Int64, model.Float64:
		return bounds("minimum", "maximum", c)
	case model.Decimal, model.Time, model.Date, model.Duration:
		return textBounds(c)
	case model.Bytes:
		return byteLengths(c)
	case model.List:
		return sizes("minItems", "maxItems", c)
	case model.Map:
		return sizes("minProperties", "maxProperties", c)
	}
	return nil
}

func stringConstraints(c model.Constraints) object {
	var o object
	if c.MinLength != nil {
		o = append(o, member{"minLength", *c.MinLength})
	}
	if c.MaxLength != nil {
		o = append(o, member{"maxLength", *c.MaxLength})
	}
	if c.Pattern != "" {
		o = append(o, member{"pattern", c.Pattern})
	}
	switch c.Format {
	case "":
	case "ip": // the standard knows the two versions only
		o = append(o, member{"anyOf", list{object{{"format", "ipv4"}}, object{{"format", "ipv6"}}}})
	default:
		o = append(o, member{"format", c.Format})
	}
	return o
}

func bounds(least, most string, c model.Constraints) object {
	var o object
	if c.Min != "" {
		o = append(o, member{least, raw(c.Min)})
	}
	if c.Max != "" {
		o = append(o, member{most, raw(c.Max)})
	}
	return o
}

// textBounds bounds values that are strings in JSON. The standard has no such
// keyword; these are the names other validators use for it, annotations to
// those that do not know them.
func textBounds(c model.Constraints) object {
	var o object
	if c.Min != "" {
		o = append(o, member{"formatMinimum", c.Min})
	}
	if c.Max != "" {
		o = append(o, member{"formatMaximum", c.Max})
	}
	return o
}

// byteLengths is as close as a schema comes: base64 writes four characters for
// every three bytes begun.
func byteLengths(c model.Constraints) object {
	encoded := func(n int) int { return (n + 2) / 3 * 4 }
	var o object
	if c.MinLength != nil {
		o = append(o, member{"minLength", encoded(*c.MinLength)})
	}
	if c.MaxLength != nil {
		o = append(o, member{"maxLength", encoded(*c.MaxLength)})
	}
	return o
}

func sizes(least, most string, c model.Constraints) object {
	var o object
	if c.MinItems != nil {
		o = append(o, member{least, *c.MinItems})
	}
	if c.MaxItems != nil {
		o = append(o, member{most, *c.MaxItems})
	}
	if c.UniqueItems {
		o = append(o, member{"uniqueItems", true})
	}
	return o
}
