package schema

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object whose members keep their order, so that equal specs
// give equal bytes and a reader finds "type" first.
type object []member

type member struct {
	name  string
	value any // object, list, raw, string, int or bool
}

type list []any

// raw is JSON text.
type raw string

func (o object) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendValue(b, m.name), ':')
		b = appendValue(b, m.value)
	}
	return append(b, '}')
}

func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case object:
		return v.appendJSON(b)
	case list:
		b = append(b, '[')
		for i, element := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, element)
		}
		return append(b, ']')
	case raw:
		return append(b, v...)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // patterns stay readable
	if err := encoder.Encode(value); err != nil {
		panic(err) // strings, numbers and bools always encode
	}
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
