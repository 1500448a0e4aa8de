// Package golang turns a resolved spec into Go source.
//
// [Generate] reads downward: plan which declarations go into which file, write
// down every declaration as plain data (ir.go), render the data through the
// templates, format. Decisions are made while the data is built; templates
// only lay out text. Bodies that follow the shape of a type, statement by
// statement, are written by encode.go and defaults.go.
//
// # Files
//
//	<segment>_gen.go  the tasks that share a first name segment, and their types
//	types_gen.go      the types of the spec's `types` section, if there are any
//	tasks_gen.go      queues, Handlers, Register, schedules
//
// A segment called "types" or "tasks" gets two underscores, as no segment's
// name ends in one. The ending _gen.go keeps names such as x_test and
// x_windows from meaning something to the go command.
//
// # Identifiers
//
// For a task T, with a payload and a result declared in place: T, TPayload,
// TResult, TTask, THandler, EnqueueT, EnqueueTMany, LookupT, RegisterT, and its
// codes. For a segment S: SHandlers and RegisterS, which is the task's own when
// the segment is one task called S. For a queue Q: QueueQ. For a
// schedule H: ScheduleH. For the spec: Handlers and Register. Object types have the method Validate,
// enums the method Valid. Unexported identifiers are one of the prefixes
// encode, decode, request, queue, enum and schema with one of these names, so
// they collide only where exported ones do.
//
// # Weight
//
// The generated package of a large spec must build fast, and the compiler's
// work is per function and per instantiated generic function. So each type has
// one method that encodes and validates in one pass, and no generic function
// body is instantiated per task.
//
// It imports the standard library, golang.org/x/sync, generate/model,
// generate/schema, and generate/spec for the spelling of durations. It never imports the engine: what the two share is the
// generated code.
package golang
