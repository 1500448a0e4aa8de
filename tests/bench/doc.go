// Bench compares the engine with its peers, side by side on one PostgreSQL,
// and writes what it found as Markdown. See docs/performance.md.
//
//	go run . --cases drain,bulk --rounds 5 --out ../../docs/benchmarks.md
package main
