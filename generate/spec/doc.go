// Package spec reads tasks.yaml and the files it includes into a syntax tree
// in which everything knows its position, and reports every mistake that can
// be seen without resolving a reference.
//
//	Parse      files -> *File, diagnostics
//	yaml.go    bytes -> Node tree; the one place that knows the YAML library
//	syntax.go  what YAML itself refuses, told in the terms of the spec
//	reader.go  the ways a Node is read: mappings, words, numbers, durations
//	grammar_*  one file a section of the spec: Node -> syntax tree
//
// Scalars are read from their text by the type the grammar declares for them,
// never by YAML's guess. Anchors, aliases, merge keys, tags and further
// documents are refused; sizes and depths are bounded.
//
// The tree is raw: nothing is merged, defaulted or looked up. That is the work
// of package model.
//
// The package may import generate/diagnostic, the standard library and
// gopkg.in/yaml.v3, which no other package imports.
package spec
