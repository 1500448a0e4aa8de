// Package format checks the formats that a field of the spec may name. It
// serves the generator (for values in the spec), the generated Validate and
// the untyped door alike, so that a value is good at all of them or at none.
//
// Imports: the standard library.
package format
