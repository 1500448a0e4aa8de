// Package canonical writes the one text that a value has in keys and payloads.
//
// An idempotency key may be made by generated code from Go values, or by the
// untyped door from JSON; both must come to the same text, today and in every
// later version, because stored keys are compared with new ones.
//
// Imports: the standard library and google/uuid.
package canonical
