package spec_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/generate/spec"
)

func TestDurationsRoundTrip(t *testing.T) {
	t.Parallel()
	const longest = int64(36500 * 24 * time.Hour)
	rapid.Check(t, func(t *rapid.T) {
		// All sizes alike: the exponent first.
		d := time.Duration(rapid.Int64Range(0, longest).Draw(t, "d") >> rapid.IntRange(0, 60).Draw(t, "shift"))
		text := spec.FormatDuration(d)
		got, err := spec.ParseDuration(text)
		if err != nil || got != d {
			t.Fatalf("%d is %q, which reads as %d, %v", d, text, got, err)
		}
	})
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": day + 12*time.Hour,
		"1.5h": 90 * time.Minute, "500ms": 500 * time.Millisecond, "0s": 0, "36500d": 36500 * day,
	} {
		got, err := spec.ParseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "30", "1:30", "-5s", "+5s", "1.5d", "12h1d", "5 s", "s", "d", "1w", "1h 30m", "36501d", "36500d1s",
		"99999999999999999999d", "9223372036854775807s", "1e3s", "1_0s", "Infs",
	} {
		_, err := spec.ParseDuration(text)
		require.Error(t, err, text)
	}
}

func TestFormatDurationReadsLikeASpec(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0s": 0, "30s": 30 * time.Second, "1m30s": 90 * time.Second, "1d12h": 36 * time.Hour, "1d": 24 * time.Hour,
		"1.5s": 1500 * time.Millisecond, "250ms": 250 * time.Millisecond,
	} {
		require.Equal(t, want, spec.FormatDuration(d))
	}
}
