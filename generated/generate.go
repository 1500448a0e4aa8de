// Package generated is the tasks of tasks.yaml, the spec that this repository's
// examples and tests run on: for each task its payload, its result, the functions
// that enqueue it, and the interface of its handler. All but this file is written
// by `make generate`, and is committed, as a user's would be.
package generated

//go:generate go run ../cmd/orchestrator generate --spec ../tasks.yaml --out .
