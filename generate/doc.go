// Package generate turns a spec file into a Go package.
//
// [Generate] is the generator as a pure function: spec in, map of file name to
// source out. [Run] is the command around it: it compares the sources with a
// directory and, unless it is only asked to check, brings the directory up to
// date. Neither prints; the command line does.
//
//	tasks.yaml --spec--> syntax tree --model--> checked data --golang, schema, monitoring--> sources --> Changes --> files
//
// The writer touches nothing unless everything before it succeeded, writes
// only files whose content changed, so that build caches hold, and removes
// files it wrote in earlier runs, which it knows by their first line. Files of
// anybody else it neither changes nor removes.
//
// It imports the standard library and its own sub-packages, never the engine.
package generate
