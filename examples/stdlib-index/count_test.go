package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCountExported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source string
		want   int
	}{
		"nothing":                   {"", 0},
		"functions":                 {"func A() {}; func b() {}; func G[T any]() {}", 2},
		"no methods":                {"type T int; func (T) M() {}; func (*T) N() {}", 1},
		"types and aliases":         {"type A struct{ Field int }; type B = A; type c int; type I interface{ M() }", 3},
		"groups":                    {"type ( A int; B int ); const ( C = iota; D; e )", 4},
		"lists":                     {"var A, B, c = 1, 2, 3", 2},
		"the blank identifier":      {"var _, A = 1, 2; func _() {}; const _ = 0; type _ int", 1},
		"no locals":                 {"func a() { type T int; const C = 1; var V = C }", 0},
		"not what is imported":      {"import Fmt \"fmt\"", 0},
		"capitals of any script":    {"var Ä, Ω, ß, 世 int", 2},
		"a name declared twice":     {"var A int; var A int", 2},
		"functions without a body":  {"func A()", 1},
		"names that only tests see": {"func TestA() {}", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := countExported("a.go", []byte("package a; "+c.source))
			require.NoError(t, err)
			require.Equal(t, c.want, n)
		})
	}
}

func TestCountLinesAsWcDoes(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int64{"": 0, "a": 0, "a\n": 1, "a\nb": 1, "\n\n": 2, "a\r\nb\r": 1, "\x00\n\xff": 1} {
		require.Equal(t, want, countLines([]byte(source)), "%q", source)
	}
}
