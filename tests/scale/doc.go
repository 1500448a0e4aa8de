// Scale measures what a very large spec costs: generating its package, and
// building that package when everything it imports is built.
//
//	go run ./tests/scale [-tasks 700] [-segments 25] [-fields 8]
//
// At the default size there are targets: 2 s and 300 MB for the whole generate
// command. When one is missed, the exit status is 1. The build aims at 15 CPU
// seconds, which depend so much on the machine that they are only printed.
package main
