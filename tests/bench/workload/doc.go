// Package workload is what the engine alone is asked to do, in cases that have
// no peer: tasks of many types, queues, priorities or groups, that sleep or do
// nothing, in one worker process or several.
//
// Task types are copies of the generated bench:noop, so payloads are validated
// and decoded by generated code; what differs is said by a [Shape]. It imports
// lab, contest, the generated tasks and the engine; cases import it.
package workload
