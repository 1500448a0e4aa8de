// Package integration holds the engine to its invariants from outside: real
// worker processes that are killed and frozen, a real PostgreSQL that crashes,
// a network that loses answers. Each file is one kind of trouble.
//
// What is checked in the end is always the same: every acknowledged task has
// exactly one accepted completion, none is lost, none runs out of bounds.
//
// The tests run in `make test`, in parallel, each on a database of its own.
// Longer and larger ones of the same kind are in package faults.
//
// Imports: anything public of this module.
package integration
