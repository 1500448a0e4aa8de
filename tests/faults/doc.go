// Package faults is the long form of package integration: more of everything,
// for longer, and faults that take their time to be noticed.
//
// It runs when ORCHESTRATOR_TEST_FAULTS is set, which `make test-faults` does.
//
// Imports: anything public of this module.
package faults
