// Package migrations holds the engine's database schema as SQL files and
// applies them with bun/migrate.
//
// The files are templates with one value, the name of the schema they create
// everything in. [Migrator.Up] runs what is missing, [Migrator.Down] takes
// back the newest group, [Migrator.Status] tells what is applied, and [SQL]
// renders the text for people who run it by hand.
//
// bun/migrate's own lock is a plain row, which a crash leaves behind. So an
// advisory lock, which dies with its connection, is held around every change:
// any number of processes may migrate at once, and all but the first find
// nothing to do.
//
// Imports: bun and the standard library.
package migrations
