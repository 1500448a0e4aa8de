// Package store holds all SQL of the engine, one file a concern, and the plain
// rows that go in and come out. It knows nothing of handlers, retries or
// clocks: what to write is decided in package orchestrator, when is decided by
// the database's now().
//
// The hot statements (insert, claim, finish) must be fast whatever the
// planner's statistics say, because a queue table is empty at one moment and
// holds a million rows at the next. So they share a shape:
//
//   - rows are found by LATERAL probes with ORDER BY and LIMIT, which only the
//     index can serve;
//   - rows are changed by id = ANY (ARRAY(SELECT ...)), through the primary key;
//   - a predicate of the fence (worker, claim, state) is never joined on.
//
// A test checks their plans on tables analysed empty, all scheduled and all
// running.
//
// Every name is qualified with the schema; search_path is never relied on. The
// texts below say "orchestrator.", which [Store] replaces when the schema is
// another.
//
// Imports: pgx, bun and the standard library.
package store
