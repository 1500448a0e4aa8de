// Package lab runs the real programs that the observability suite looks
// through: Jaeger, Prometheus, and the two processes of examples/observed, all
// on loopback, as children of this process.
//
// Jaeger is built once from its source, pinned by checksum, into the user's
// cache directory (about three minutes); ORCHESTRATOR_JAEGER names a binary to
// use instead. Prometheus is looked for in PATH. The suite and the command
// behind `make jaeger` share this package.
//
// Imports: the standard library.
package lab

//go:generate go run -C ../../.. ./cmd/orchestrator generate --spec examples/observed/tasks.yaml --out examples/observed/tasks
