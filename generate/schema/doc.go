// Package schema writes a task's payload or result as a JSON Schema 2020-12
// document. The document is stored with the task's contract, and the CLI, the
// API and the web interface check and show payloads by it. Its sibling file
// tasks.schema.json is another thing: the schema of the spec file itself, for
// editors.
//
// A document accepts what the generated decoder accepts, and refuses what the
// generated Validate refuses wherever JSON Schema can say it; bounds of
// decimals, times and durations are annotations (formatMinimum). Sensitive
// fields carry "x-sensitive": true.
//
// It imports the standard library and generate/model.
package schema
