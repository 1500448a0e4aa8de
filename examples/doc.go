// Package examples holds small complete programs, each with tests that run it:
//
//	quickstart      the first program: a task, its handler, its result
//	transactional   a row and its task in one transaction, there and back
//	demonstration   what a handler sees and does, retries, dead letters
//	flow            groups: what runs in order and what runs side by side, on three workers
//	stdlib-index    thousands of tasks on real input, with a report and proof
//	observed        a module of its own: traces, metrics and logs on
//	backup          pg_dump every night: whole files, the newest few, no password to be seen
//	devserver       a service that is to stay up: health, restarts, cancel
//
// Package process beside them runs programs for them.
//
// Each says in its own comment what it shows, how to run it and what it prints.
// This package has no code; its tests are about all of them. It imports nothing.
package examples
