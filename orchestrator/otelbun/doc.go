// Package otelbun gives the queries that run through bun spans of their own,
// after OpenTelemetry's stable conventions for databases:
//
//	db := client.DB().WithQueryHook(otelbun.New(provider))
//
// A span says which operation on which table of which database, and the
// SQLSTATE of an error. It never holds the text of a statement: bun writes
// arguments into it, so that it would hold what users keep. A query outside any
// trace, such as the engine's own upkeep, gets no span.
//
// bun's own extra/bunotel records the text and follows conventions that were
// replaced before they became stable.
//
// Imports: bun, pgx's errors and OpenTelemetry's API.
package otelbun
