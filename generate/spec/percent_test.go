package spec

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPercentsAreExact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Percent{
		"99.5%": 995_000, "99.95%": 999_500, "99.9999%": 999_999, "99.50%": 995_000, "0.0001%": 1, "7%": 70_000, "100%": Whole,
	} {
		got, ok := parsePercent(text)
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := Percent(rapid.IntRange(0, int(Whole)).Draw(t, "millionths"))
		again, ok := parsePercent(p.String())
		require.True(t, ok, p)
		require.Equal(t, p, again)
	})
}
