package orchestrator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
)

// Sensitive holds a value that must not show up in logs. However it is
// printed, logged or marshalled, it comes out as "[redacted]"; only
// [Sensitive.Reveal] gives the value. The generated encoder calls it when it
// stores the payload; json.Marshal of a payload redacts.
type Sensitive[T any] struct {
	// value is behind a pointer because fmt prints the unexported fields of a
	// struct that holds this one without asking for its methods: then it prints
	// an address. Nil is T's zero value, so that equal values are DeepEqual.
	value *T
}

// NewSensitive wraps a value.
func NewSensitive[T any](value T) Sensitive[T] {
	if reflect.ValueOf(&value).Elem().IsZero() {
		return Sensitive[T]{}
	}
	return Sensitive[T]{&value}
}

// Reveal returns the value.
func (s Sensitive[T]) Reveal() T {
	if s.value == nil {
		var zero T
		return zero
	}
	return *s.value
}

// String redacts.
func (s Sensitive[T]) String() string { return redacted }

// GoString redacts.
func (s Sensitive[T]) GoString() string { return redacted }

// Format redacts under every verb.
func (s Sensitive[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts.
func (s Sensitive[T]) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts.
func (s Sensitive[T]) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON redacts, because JSON log handlers marshal whole payloads.
func (s Sensitive[T]) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// UnmarshalJSON reads a T. Its errors do not quote the input.
func (s *Sensitive[T]) UnmarshalJSON(data []byte) error {
	var value T
	if err := json.Unmarshal(data, &value); err != nil {
		return errors.New("a sensitive value has the wrong type")
	}
	*s = NewSensitive(value)
	return nil
}

const redacted = "[redacted]"
