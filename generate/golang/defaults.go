package golang

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/task-orchestrator/task-orchestrator/generate/model"
)

// defaultsBody writes the statements of fillDefaults, "" for a type that needs
// none: those whose defaults are Go's zero values.
func (e *emitter) defaultsBody(t *model.Type) (string, error) {
	b := &bodyWriter{emitter: e, locals: map[string]bool{}}
	for _, f := range t.Fields {
		literal, err := b.defaultLiteral(f)
		if err != nil {
			return "", unsupported(t, f, err.Error())
		}
		target := "p." + f.GoName
		if literal != "" {
			b.fillField(f, target, literal)
		}
		if !fillsDefaults(f.Type) {
			continue
		}
		if f.Sensitive {
			value := b.local(f, target+".Reveal()")
			b.fill(value, f.Type)
			b.line("%s = orchestrator.NewSensitive(%s)", target, value)
			continue
		}
		b.fill(target, f.Type)
	}
	return b.String(), nil
}

func (b *bodyWriter) fillField(f *model.Field, target, literal string) {
	if f.Sensitive {
		b.line("%s = orchestrator.NewSensitive(codec.Or(%[1]s.Reveal(), %s))", target, literal)
		return
	}
	b.line("%s = codec.Or(%[1]s, %s)", target, literal)
}

// fill writes the statements that fill in the defaults inside a value.
func (b *bodyWriter) fill(target string, r *model.Ref) {
	switch r.Kind {
	case model.Named:
		if r.Named.Kind == model.AliasType {
			b.fill(target, r.Named.Aliased)
			return
		}
		b.line("%s.fillDefaults()", target)
	case model.Optional:
		b.line("if %s != nil {", target)
		if isObject(base(r.Elem)) {
			b.fill(target, r.Elem)
		} else {
			b.fill("(*"+target+")", r.Elem)
		}
		b.line("}")
	case model.List:
		if element := base(r.Elem); element.Kind == model.Optional && isObject(base(element.Elem)) {
			b.line("for _, item := range %s {", target)
			b.fill("item", r.Elem)
		} else {
			b.line("for i := range %s {", target)
			b.line("item := &%s[i]", target)
			b.fill(pointee("item", r.Elem), r.Elem)
		}
		b.line("}")
	case model.Map:
		b.line("for key, item := range %s {", target)
		b.fill("item", r.Elem)
		b.line("%s[key] = item", target)
		b.line("}")
	}
}

func pointee(pointer string, r *model.Ref) string {
	if isObject(base(r)) {
		return pointer
	}
	return "(*" + pointer + ")"
}

// fillsDefaults tells whether values of the type have defaults inside that are
// not Go's zero values.
func fillsDefaults(r *model.Ref) bool {
	if r.Elem != nil {
		return fillsDefaults(r.Elem)
	}
	return r.Named != nil && typeFillsDefaults(r.Named)
}

func typeFillsDefaults(t *model.Type) bool {
	if t.Aliased != nil {
		return fillsDefaults(t.Aliased)
	}
	return slices.ContainsFunc(t.Fields, func(f *model.Field) bool {
		return f.Default != "" && !isZeroJSON(f.Type, f.Default) || fillsDefaults(f.Type)
	})
}

// defaultLiteral is the Go source of a field's default; "" when it has none or
// it is the zero value, which needs no filling in.
func (e *emitter) defaultLiteral(f *model.Field) (string, error) {
	if f.Default == "" || isZeroJSON(f.Type, f.Default) {
		return "", nil
	}
	return e.literal(f.Type, f.Default)
}

func isZeroJSON(r *model.Ref, text string) bool {
	switch b := base(r); b.Kind {
	case model.Duration:
		d, err := parseDuration(unquoted(text))
		return err == nil && d == 0
	case model.Decimal:
		return strings.Trim(unquoted(text), "-0.") == ""
	case model.UUID:
		return strings.Trim(unquoted(text), "-0") == ""
	case model.Int, model.Int64, model.Float64:
		n, err := strconv.ParseFloat(text, 64)
		return err == nil && n == 0
	}
	switch text {
	case "false", `""`:
		return true
	}
	return false
}

// literal is the Go source of a scalar's JSON. Only scalars have defaults.
func (e *emitter) literal(r *model.Ref, text string) (string, error) {
	switch r.Kind {
	case model.String:
		return quote(unquoted(text)), nil
	case model.Bool, model.Int, model.Int64, model.Float64:
		return text, nil
	case model.Time:
		return "codec.MustTime(" + text + ")", nil
	case model.UUID:
		return "codec.MustUUID(" + text + ")", nil
	case model.Decimal:
		e.use(enginePath)
		return "orchestrator.MustDecimal(" + text + ")", nil
	case model.Date:
		e.use(enginePath)
		return "orchestrator.MustDate(" + text + ")", nil
	case model.Duration:
		e.use(enginePath)
		d, err := parseDuration(unquoted(text))
		return "orchestrator.Duration(" + e.duration(d) + ")", err
	case model.Named:
		switch r.Named.Kind {
		case model.AliasType:
			return e.literal(r.Named.Aliased, text)
		case model.EnumType:
			for _, v := range r.Named.Values {
				if v.Value == unquoted(text) {
					return v.GoName, nil
				}
			}
		}
	}
	return "", fmt.Errorf("a default of %s is not supported", text)
}

// unquoted is the string of a JSON string, or text itself when it is none.
func unquoted(text string) string {
	var s string
	if json.Unmarshal([]byte(text), &s) != nil {
		return text
	}
	return s
}

// duration is the Go source of a time.Duration: 30*time.Second.
func (e *emitter) duration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	e.use("time")
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{
		{time.Hour, "time.Hour"},
		{time.Minute, "time.Minute"},
		{time.Second, "time.Second"},
		{time.Millisecond, "time.Millisecond"},
		{time.Microsecond, "time.Microsecond"},
	} {
		switch {
		case d == unit.length:
			return unit.name
		case d%unit.length == 0:
			return strconv.FormatInt(int64(d/unit.length), 10) + " * " + unit.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + " * time.Nanosecond"
}

// parseDuration reads the model's two canonical texts: Go's for bounds (1h30m0s)
// and ISO 8601 for JSON (PT1H30M).
func parseDuration(text string) (time.Duration, error) {
	iso, found := strings.CutPrefix(text, "P")
	if !found {
		return time.ParseDuration(text)
	}
	days, clock, _ := strings.Cut(iso, "T")
	var d time.Duration
	if days != "" {
		n, err := strconv.Atoi(strings.TrimSuffix(days, "D"))
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration", text)
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if clock == "" {
		return d, nil
	}
	rest, err := time.ParseDuration(strings.ToLower(clock))
	return d + rest, err
}
