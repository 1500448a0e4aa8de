// Package nearest finds the names that somebody may have meant.
//
// Imports: the standard library.
package nearest
