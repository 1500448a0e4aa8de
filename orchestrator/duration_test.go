package orchestrator_test

import (
	"math"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func TestDurationText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"PT0S": 0, "P0D": 0, "PT1H30M": 90 * time.Minute, "P1DT12H": 36 * time.Hour, "P2W": 14 * 24 * time.Hour,
		"PT0.25S": 250 * time.Millisecond, "PT0,5S": 500 * time.Millisecond, "-PT5M": -5 * time.Minute, "PT90M": 90 * time.Minute,
	} {
		d, err := orchestrator.ParseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, d.Std(), text)
	}
	require.Equal(t, "PT36H0.000000001S", orchestrator.Duration(36*time.Hour+1).String())
	for _, bad := range []string{
		"", "P", "PT", "1h", "P1", "PT1", "P1Y", "P1M", "PT1M1H", "PT1H1H", "P1DT", "PT1.5H", "PT0.0000000001S", "PT1.S",
		"PT-1S", "+PT1S", "pt1s", "P300Y", "PT9999999999H", "PT2562047H47M16.854775808S", "PT1H ", "PT.5S", "PT1..5S",
	} {
		_, err := orchestrator.ParseDuration(bad)
		require.Error(t, err, bad)
	}
}

func TestDurationRoundTrip(t *testing.T) {
	t.Parallel()
	// What generate/schema says a duration looks like.
	pattern := regexp.MustCompile(`^-?P(?:[0-9]+W)?(?:[0-9]+D)?(?:T(?:[0-9]+H)?(?:[0-9]+M)?(?:[0-9]+(?:\.[0-9]{1,9})?S)?)?$`)
	check := func(t require.TestingT, d orchestrator.Duration) {
		require.Regexp(t, pattern, d.String())
		back, err := orchestrator.ParseDuration(d.String())
		require.NoError(t, err)
		require.Equal(t, d, back)
	}
	check(t, math.MinInt64)
	check(t, math.MaxInt64)
	rapid.Check(t, func(t *rapid.T) { check(t, orchestrator.Duration(rapid.Int64().Draw(t, "d"))) })
}
