// Package contest holds the contestants, one file each, and what each is asked
// to do: prepare a database, fill it, drain it, enqueue one by one or in
// batches or in a transaction, and be probed for how soon a task starts.
//
// Those in Go are adapted to the queue interface (queue.go), and loops of their
// own measure all of them alike (jobs.go). graphile-worker does the same in
// graphile.mjs. What each is set to is in its file and, through About, in the
// report.
//
// It imports lab, the generated tasks, the engine and the peers; cases import it.
package contest
