// Package contest holds the contestants, one file each, and what each is asked
// to do: prepare a database, fill it, drain it, enqueue one by one or in
// batches or in a transaction, be probed for how soon a task starts, and work
// or idle until it is stopped.
//
// Those in Go are adapted to the queue interface (queue.go), and loops of their
// own measure all of them alike (jobs.go, work.go). graphile-worker does the same
// in graphile.mjs, as far as its cases ask. What each is set to is in its file
// and, through About, in the report.
//
// Cases without a peer have two more, of which the report's list does not tell:
// the engine with tasks of many types, queues, priorities or groups (shaped.go),
// and a plain pool of goroutines (plain.go).
//
// It imports lab, the generated tasks, the engine and the peers; cases import it.
package contest
