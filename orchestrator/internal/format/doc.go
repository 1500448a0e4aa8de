// Package format checks the formats that a field of the spec may name. It
// serves the generated Validate and the untyped door alike, so that a payload
// is good at both or at neither.
//
// Imports: the standard library.
package format
