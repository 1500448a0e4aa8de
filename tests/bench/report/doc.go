// Package report writes what the laboratory found as Markdown: where it was
// measured, a table a case, and all targets at the end. It decides nothing.
package report
