// Package model turns a spec's syntax tree into checked, resolved and sorted
// plain data, the only thing the emitters read.
//
//	load.go         files -> *Spec or diagnostics: the entry point
//	model.go        the plain data
//	resolve.go      the order of the steps
//	settings.go     engine's defaults < defaults < policy < task
//	types.go        definitions -> types; constraints.go and defaults.go check them
//	slo.go          service levels, and at which bounds they are measured
//	literal.go      scalars read by a declared type
//	value.go        whole values against a type: the payloads of schedules
//	fieldpath.go    group, concurrency.by and idempotency.key
//	schedule.go     cron expressions and time zones
//	goname.go       names in Go; identifiers.go: everything the generator emits, and collisions
//	fingerprint.go  what makes two contracts the same
//
// Every mistake is reported in one run together with those that package spec
// found. A [Spec] exists only when there is none.
//
// The package may import generate/spec, generate/diagnostic, the standard
// library and github.com/netresearch/go-cron. It embeds the time zone database
// (time/tzdata), so that a spec is valid or not on every machine alike.
package model
