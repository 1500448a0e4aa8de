// Package diagnostic describes mistakes in spec files: where they stand, what
// is wrong and how to mend it, for people (text with the source line and
// carets) and for programs (JSON).
//
// Diagnostics are plain data. Whoever finds a mistake adds it to a [Bag],
// which knows the sources and hands back one [List] sorted by position, so
// that all the mistakes of a run are reported at once.
//
// The package may import the standard library only.
package diagnostic
