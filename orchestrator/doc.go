// Package orchestrator runs the tasks of a Go program on its own PostgreSQL:
// durable, retried, observable, and enqueued in the same transactions as the
// program's own rows.
//
// What the tasks are is declared in tasks.yaml; `orchestrator generate` turns
// that into typed functions and interfaces over this package:
//
//	client, err := orchestrator.Open(ctx, os.Getenv("DATABASE_URL"))
//	handle, err := tasks.EnqueueEmailSend(ctx, client, tasks.EmailSendPayload{To: "ada@example.com"})
//
//	mux := orchestrator.NewMux()
//	tasks.Register(mux, handlers{})
//	config, err := orchestrator.WorkerConfigFromEnv()
//	err = orchestrator.NewWorker(client, mux, config).Run(ctx)
//
//	result, err := handle.Result(ctx)
//
// # The pieces
//
// A [Client] enqueues and looks; [Client.InTx] and [Client.InPgxTx] enqueue
// inside a transaction. A [Mux] routes task types to handlers. A [Worker]
// claims tasks and runs them; any number of workers, in any number of
// processes, share a database. A [Handle] waits for a task's result.
//
// # The life of a task
//
//	scheduled ─► ready ─► running ─► succeeded
//	   ▲                   │  │ ├──► cancelled
//	   └──── retrying ◄────┘  │ └──► expired (its ttl was over)
//	                          └────► dead ──(redrive)──► ready
//
// # What is promised
//
// A task is run at least once, and at most one completion is accepted for each
// time it is claimed. Effects in the database are there exactly when the task
// is done if the handler completes it in its own transaction ([Task.Complete]).
//
// A worker holds its tasks by a lease that heartbeats renew. A worker that is
// silent for WorkerTimeout loses them; should it wake up, its handlers'
// contexts are cancelled with [ErrLeaseLost] as cause and what it completes
// changes nothing.
//
// Within a queue no task starts before one of higher priority that was visible
// when it was claimed, but for those that a worker has claimed ahead (as many
// as it finishes in some milliseconds) and for tasks whose enqueuing
// transaction took long to commit, which may wait about twice as long again.
// Low priorities starve while higher ones keep coming.
//
// All stored times are the database's. A worker's clock decides nothing.
//
// # Errors
//
// To match with errors.Is: [ErrNotFound], [ErrDuplicate], [ErrLeaseLost],
// [ErrUnknownTask], [ErrPayloadTooLarge], [ErrShutdown], [ErrTimeout],
// [ErrDeadline], and every [Code] a spec declares. With errors.As: [*ValidationError],
// [*UnknownTaskError], [*DuplicateError], [*TaskError], [*PanicError].
//
// A handler ends its task by returning nil; says more about a failure by
// [Permanent], [RetryAfter], [Snooze] or [Cancel]; and any other error, or a
// panic, is a failed attempt that its [RetryPolicy] follows with another.
//
// # Imports
//
// This package imports pgx, bun, caarlos0/env, jsonschema, client_golang and
// OpenTelemetry's API, the standard library, migrations, and internal packages:
// store (all SQL), groupcommit (batches without timers), contract (which old
// tasks a worker may run), telemetry (metrics and spans), canonical and format
// (what generated code and the untyped door must agree on) and nearest (what
// somebody may have meant). It never imports generate.
package orchestrator
