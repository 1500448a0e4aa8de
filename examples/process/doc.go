// Package process runs a program from a handler, together with everything that
// program starts: when the handler's context ends, all of it is asked to end,
// and killed when it does not. The examples that run programs use it.
//
// Processes are grouped on Unix. Elsewhere only the program itself is killed.
//
// Imports: the standard library.
package process
