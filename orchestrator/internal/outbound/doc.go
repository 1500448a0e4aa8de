// Package outbound is an HTTP client for addresses that somebody else has
// written down: it reaches public addresses, and private ones only where that
// is allowed.
//
// Imports: the standard library.
package outbound
