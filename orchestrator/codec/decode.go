package codec

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Decode reads a document that a [Writer] wrote, perhaps one of an earlier or
// later version: keys that target does not know are skipped, and what is
// missing stays as it is. The subject, "payload" or "result", starts the error.
func Decode(subject string, document []byte, target any) error {
	if decodePlain(document, target) {
		return nil
	}
	if err := json.Unmarshal(document, target); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	return nil
}

// Or is v, or what stands for it in the spec when v is the zero value.
func Or[T comparable](v, byDefault T) T {
	var zero T
	if v == zero {
		return byDefault
	}
	return v
}

// EncodeNone is the EncodeResult of a task without a result.
func EncodeNone(orchestrator.None) ([]byte, error) { return nil, nil }

// DecodeNone is the DecodeResult of a task without a result.
func DecodeNone([]byte) (orchestrator.None, error) { return orchestrator.None{}, nil }

// MustUUID reads a constant of generated code.
func MustUUID(s string) orchestrator.UUID { return uuid.MustParse(s) }
