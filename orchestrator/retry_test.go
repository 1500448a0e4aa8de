package orchestrator

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDelayGrowsAsDeclared(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		policy RetryPolicy
		want   []time.Duration
	}{
		"exponential":      {RetryPolicy{BaseDelay: time.Second}, []time.Duration{1e9, 2e9, 4e9, 8e9}},
		"multiplier":       {RetryPolicy{BaseDelay: time.Second, Multiplier: 3}, []time.Duration{1e9, 3e9, 9e9}},
		"linear":           {RetryPolicy{BaseDelay: time.Second, Backoff: Linear}, []time.Duration{1e9, 2e9, 3e9}},
		"constant":         {RetryPolicy{BaseDelay: time.Second, Backoff: Constant}, []time.Duration{1e9, 1e9, 1e9}},
		"limited":          {RetryPolicy{BaseDelay: time.Second, MaxDelay: 3 * time.Second}, []time.Duration{1e9, 2e9, 3e9, 3e9}},
		"engine's default": {RetryPolicy{}, []time.Duration{DefaultBaseDelay, 2 * DefaultBaseDelay}},
	} {
		one.policy.Jitter = NoJitter
		for i, want := range one.want {
			require.Equal(t, want, one.policy.Delay(i+1), "%s, attempt %d", name, i+1)
		}
	}
}

func TestDelayStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := RetryPolicy{
			BaseDelay:  time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "base")),
			MaxDelay:   time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "max")),
			Multiplier: rapid.Float64Range(0.1, 100).Draw(t, "multiplier"),
			Backoff:    rapid.SampledFrom([]Backoff{Exponential, Linear, Constant}).Draw(t, "backoff"),
			Jitter:     rapid.SampledFrom([]Jitter{FullJitter, EqualJitter, NoJitter}).Draw(t, "jitter"),
		}
		attempt := rapid.IntRange(1, math.MaxInt16).Draw(t, "attempt")
		whole := p
		whole.Jitter = NoJitter
		most := whole.Delay(attempt)
		least := map[Jitter]time.Duration{FullJitter: 0, EqualJitter: most / 2, NoJitter: most}[p.Jitter]
		got := p.delay(attempt, func() float64 { return rapid.Float64Range(0, 1).Draw(t, "random") })
		require.GreaterOrEqual(t, got, least)
		require.LessOrEqual(t, got, most)
		require.LessOrEqual(t, got, p.MaxDelay)
	})
}

// Full jitter spreads evenly from zero to the delay.
func TestFullJitterUsesTheWholeRange(t *testing.T) {
	t.Parallel()
	p := RetryPolicy{BaseDelay: time.Minute, Backoff: Constant}
	require.Equal(t, time.Duration(0), p.delay(1, func() float64 { return 0 }))
	require.Equal(t, 30*time.Second, p.delay(1, func() float64 { return 0.5 }))
	p.Jitter = EqualJitter
	require.Equal(t, 30*time.Second, p.delay(1, func() float64 { return 0 }))
	require.Equal(t, 45*time.Second, p.delay(1, func() float64 { return 0.5 }))
}
