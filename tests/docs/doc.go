// Package docs holds the pages of docs/ and README.md to the truth. A page
// that drifts from the code fails here:
//
//   - a `yaml` block is a whole spec, or sections of one, and loads; one marked
//     `yaml mistakes` does not, and the `console` block after it says how;
//   - a `console` block is run on the spec above it, and prints what it shows;
//   - a `go` block that begins with a package clause is a program or a test and
//     passes go vet; one marked with a path is an excerpt of that file;
//   - a `sql` block runs on a migrated database;
//   - commands, in `sh` blocks, indented blocks and code spans, exist with their
//     flags, and so do make targets, packages and tests;
//   - links lead somewhere, and tests that are named exist;
//   - every key of the spec language and every setting of a worker is described.
//
// Imports: generate/model, orchestratortest and testing helpers.
package docs
