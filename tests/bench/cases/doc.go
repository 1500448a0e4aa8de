// Package cases holds what is measured: a file a case.
package cases
