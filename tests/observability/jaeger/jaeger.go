//go:build never

// Package jaeger names what is built here: nothing else of this module exists.
package jaeger

import _ "github.com/jaegertracing/jaeger/cmd/all-in-one"
