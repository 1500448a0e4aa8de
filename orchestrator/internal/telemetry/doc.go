// Package telemetry holds the engine's metrics and spans: their names, labels
// and attributes, and nothing of when they are recorded.
//
// Metrics are Prometheus's, with the prefix orchestrator_, base units and
// labels of types, queues and outcomes only, never of a task. Spans follow
// OpenTelemetry's conventions for messaging: "send {queue}" where tasks are
// enqueued, "process {queue}" for each attempt.
//
// A nil *Metrics and a nil *Tracing are valid and do nothing, which is what
// they are unless the client is given a Registerer and a TracerProvider.
//
// Imports: client_golang and OpenTelemetry's API, never its SDK.
package telemetry
