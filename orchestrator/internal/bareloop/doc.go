// Command bareloop drains the queue "default" with the engine's own claim and
// finish statements in plain pgx, without decoding what it claims and without
// handlers. It is the most that PostgreSQL gives to any engine with these
// statements, and what tests/bench measures the engine against. It is not a
// worker: no heartbeat protects what it claims.
//
//	DATABASE_URL=... bareloop --total 400000
//
// It prints one JSON object: {"tasks": 400000, "seconds": 4.2}.
//
// Imports: orchestrator/internal/store and pgx.
package main
