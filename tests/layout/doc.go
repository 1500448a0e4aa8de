// Package layout has no code: its test holds the repository to its layout,
// which package may import which, and that each says what it is for.
package layout
