// Package measure measures what a user's own PostgreSQL gives the engine: how
// long a commit takes, how many tasks can be enqueued and worked, how soon a
// task starts. `orchestrator bench` prints its [Report].
//
// [Run] makes a schema of its own, named orchestrator_bench_ and eight random
// digits, works there alone, and drops it at the end, also after an error and
// when its context is cancelled. What is in the database already is neither
// read nor changed, but the server is kept busy.
//
// Each step is in a file of its own and takes a share of the time that is
// given. Nothing here prints.
//
// Imports: orchestrator, migrations, bun and the standard library.
package measure
