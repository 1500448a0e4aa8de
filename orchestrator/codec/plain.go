package codec

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// decodePlain reads a document as [Writer] mostly writes them into the struct
// that target points to: an object without escapes in its strings and without
// objects, lists or null in it. encoding/json takes longer for that, which
// shows in a worker of short tasks.
//
// It is as strict as encoding/json and never reads anything in another way. It
// returns false when the document is not plain, or not right; then encoding/json
// has to read it from the beginning.
func decodePlain(document []byte, target any) bool {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return false
	}
	fields := plainFieldsOf(v.Type())
	if fields == nil {
		return false
	}
	s := scanner{rest: document}
	if !s.next('{') {
		return false
	}
	if s.next('}') {
		return s.atEnd()
	}
	for i := 0; ; i++ {
		key, ok := s.text()
		if !ok || !s.next(':') {
			return false
		}
		if i >= len(fields) || fields[i].name != string(key) { // a Writer keeps the order
			i = slices.IndexFunc(fields, func(f plainField) bool { return f.name == string(key) })
		}
		if i < 0 || !fields[i].read(&s, v.Elem().Field(fields[i].index)) {
			return false
		}
		if s.next(',') {
			continue
		}
		return s.next('}') && s.atEnd()
	}
}

// plainField is a field of a struct that decodePlain can fill.
type plainField struct {
	name  string
	index int
	kind  reflect.Kind // as plainKind has it
}

var plainFields sync.Map // reflect.Type of a pointer to a struct -> []plainField

func plainFieldsOf(pointer reflect.Type) []plainField {
	if found, ok := plainFields.Load(pointer); ok {
		return found.([]plainField)
	}
	made, _ := plainFields.LoadOrStore(pointer, newPlainFields(pointer))
	return made.([]plainField)
}

var (
	jsonReader = reflect.TypeFor[json.Unmarshaler]()
	textReader = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// newPlainFields is nil for a struct that is not like those that are generated.
func newPlainFields(pointer reflect.Type) []plainField {
	if pointer.Implements(jsonReader) || pointer.Implements(textReader) {
		return nil
	}
	t := pointer.Elem()
	fields := make([]plainField, 0, t.NumField())
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || !field.IsExported() || name == "" || name == "-" || strings.Contains(options, "string") ||
			slices.ContainsFunc(fields, func(f plainField) bool { return f.name == name }) {
			return nil
		}
		fields = append(fields, plainField{name: name, index: i, kind: plainKind(field.Type)})
	}
	return fields
}

// plainKind is how values of a type are read: as those of a kind, or, with
// reflect.Interface, by the type itself from text. It is reflect.Invalid when
// they are not plain.
func plainKind(t reflect.Type) reflect.Kind {
	switch {
	case reflect.PointerTo(t).Implements(jsonReader) || t == reflect.TypeFor[json.Number]():
		return reflect.Invalid
	case reflect.PointerTo(t).Implements(textReader):
		return reflect.Interface
	}
	switch kind := t.Kind(); kind {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32:
		return reflect.Int64
	case reflect.Float32:
		return reflect.Float64
	case reflect.String, reflect.Bool, reflect.Int64, reflect.Float64:
		return kind
	}
	return reflect.Invalid
}

func (f *plainField) read(s *scanner, into reflect.Value) bool {
	switch f.kind {
	case reflect.Interface:
		text, ok := s.text()
		return ok && into.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text) == nil
	case reflect.String:
		text, ok := s.text()
		if ok {
			into.SetString(string(text))
		}
		return ok
	case reflect.Bool:
		yes := s.word("true")
		ok := yes || s.word("false")
		if ok {
			into.SetBool(yes)
		}
		return ok
	case reflect.Int64:
		text, whole := s.number()
		n, err := strconv.ParseInt(string(text), 10, 64)
		if !whole || err != nil || into.OverflowInt(n) {
			return false
		}
		into.SetInt(n)
		return true
	case reflect.Float64:
		text, _ := s.number()
		n, err := strconv.ParseFloat(string(text), into.Type().Bits())
		if err != nil {
			return false
		}
		into.SetFloat(n)
		return true
	}
	return false
}

// scanner takes the parts of a document off its front.
type scanner struct{ rest []byte }

func (s *scanner) skipSpace() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\n' || s.rest[0] == '\t' || s.rest[0] == '\r') {
		s.rest = s.rest[1:]
	}
}

func (s *scanner) atEnd() bool {
	s.skipSpace()
	return len(s.rest) == 0
}

// next takes c, if that is what comes.
func (s *scanner) next(c byte) bool {
	s.skipSpace()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// word takes w, if that is what comes.
func (s *scanner) word(w string) bool {
	s.skipSpace()
	if len(s.rest) < len(w) || string(s.rest[:len(w)]) != w {
		return false
	}
	s.rest = s.rest[len(w):]
	return true
}

// text takes a string without escapes.
func (s *scanner) text() ([]byte, bool) {
	if !s.next('"') {
		return nil, false
	}
	ascii := true
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text, ascii || utf8.Valid(text)
		case c < ' ' || c == '\\':
			return nil, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false
}

// number takes a number, and tells whether it has neither a fraction nor an
// exponent. It is nil when there is none.
func (s *scanner) number() (text []byte, whole bool) {
	s.skipSpace()
	i := 0
	if s.at(i) == '-' {
		i++
	}
	end := s.digits(i)
	if end == i || s.at(i) == '0' && end > i+1 {
		return nil, false
	}
	i, whole = end, true
	if s.at(i) == '.' {
		if end = s.digits(i + 1); end == i+1 {
			return nil, false
		}
		i, whole = end, false
	}
	if s.at(i) == 'e' || s.at(i) == 'E' {
		i++
		if s.at(i) == '+' || s.at(i) == '-' {
			i++
		}
		if end = s.digits(i); end == i {
			return nil, false
		}
		i, whole = end, false
	}
	text, s.rest = s.rest[:i], s.rest[i:]
	return text, whole
}

// digits is where the digits that begin at i end.
func (s *scanner) digits(i int) int {
	for '0' <= s.at(i) && s.at(i) <= '9' {
		i++
	}
	return i
}

// at is the byte at i, 0 after the end.
func (s *scanner) at(i int) byte {
	if i < len(s.rest) {
		return s.rest[i]
	}
	return 0
}
