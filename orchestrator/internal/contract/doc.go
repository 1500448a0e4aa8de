// Package contract decides whether a worker may run tasks that were enqueued
// under another version of their contract than the one it was compiled with.
//
// The question is asked of two JSON Schema documents as package
// generate/schema writes them: is every payload that the stored version allows
// one that the compiled version allows too? [Accepts] answers no when it is not
// sure, so a worker leaves such tasks to one that knows them; they wait, and
// are never run with a payload that their handler was not written for.
//
// Imports: the standard library.
package contract
