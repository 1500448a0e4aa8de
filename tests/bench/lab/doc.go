// Package lab is the laboratory of the benchmarks: one PostgreSQL server with
// production durability, a fresh database for each measurement, a process of
// its own for each contestant, and rounds in which the contestants take turns.
//
//	RunAll ─ each Case ─ for each round ─ for each contestant, in changing order
//	        │                 │ fsync latency
//	        │                 ▼
//	        │            Case.Round ─ Lab.Database ─ Lab.Start(child) ─ Database.Observe
//	        ▼                                            │ spec: one line of JSON on stdin
//	     Outcome: medians, spread, ratios                ▼ "ready", then the result: one of JSON on stdout
//	                                                   this program again: `bench child CONTESTANT JOB`
//
// What a contestant does runs in child processes, so that the garbage and the
// caches of one do not weigh on the next, and so that its CPU time and memory
// are the child's. PostgreSQL's CPU time is that of the postmaster and all its
// children, read from /proc; where there is none it is left out.
//
// It may import devpg, pgx and the standard library: it knows no contestant.
// It runs on Linux and macOS.
package lab
