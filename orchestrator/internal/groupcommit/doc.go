// Package groupcommit gathers work that is better done in batches: whatever
// arrives while one batch is under way becomes the next one. There is no timer,
// so a lone item never waits, and under load batches grow by themselves.
//
//	Add ──► pending ──► flush (one at a time, or a few) ──► Add's next items ...
//
// A Group keeps a goroutine only while it has work, and none for an item that
// its producer flushes itself: see [Group.Alone].
//
// Imports: the standard library.
package groupcommit
