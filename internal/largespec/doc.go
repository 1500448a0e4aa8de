// Package largespec writes specs as large as one asks for: what measures the
// generator measures it on the same one.
//
// Imports: the standard library.
package largespec
