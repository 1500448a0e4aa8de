// Package deploy has no code: its tests hold the files in deploy/ against the
// schemas of those who read them, and against the settings of the engine.
package deploy
