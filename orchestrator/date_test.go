package orchestrator_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

func TestDate(t *testing.T) {
	t.Parallel()
	d := orchestrator.NewDate(2026, time.November, 21)
	require.Equal(t, "2026-11-21", d.String())
	require.Equal(t, orchestrator.MustDate("2026-11-21"), d)
	require.Equal(t, time.Saturday, d.Weekday())
	require.Equal(t, orchestrator.NewDate(2026, time.July, 1), orchestrator.NewDate(2026, time.June, 31))
	require.Equal(t, "2024-02-29", orchestrator.MustDate("2024-03-01").AddDays(-1).String())
	require.Equal(t, 366, orchestrator.MustDate("2025-01-01").DaysSince(orchestrator.MustDate("2024-01-01")))
	require.Equal(t, "0001-01-01", orchestrator.Date{}.String())
	require.True(t, orchestrator.DateOf(time.Time{}).IsZero())

	east := time.FixedZone("", 14*60*60)
	require.Equal(t, "2026-11-22", orchestrator.DateOf(time.Date(2026, 11, 21, 23, 0, 0, 0, time.UTC).In(east)).String())
	require.Equal(t, time.Date(2026, 11, 21, 0, 0, 0, 0, east), d.In(east))

	for _, bad := range []string{"", "2026-02-30", "2026-2-3", "0000-01-01", "10000-01-01", "2026-11-21T00:00:00Z", "-001-01-01"} {
		_, err := orchestrator.ParseDate(bad)
		require.Error(t, err, bad)
	}
	_, err := orchestrator.MustDate("9999-12-31").AddDays(1).MarshalText()
	require.Error(t, err)
	_, err = orchestrator.Date{}.AddDays(-1).MarshalText()
	require.Error(t, err)
}

func TestDateRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := orchestrator.Date{}.AddDays(rapid.IntRange(0, 3652058).Draw(t, "days")) // to 9999-12-31
		text, err := json.Marshal(d)
		require.NoError(t, err)
		var back orchestrator.Date
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, d, back)
		require.Equal(t, orchestrator.NewDate(d.Date()), d)

		other := d.AddDays(rapid.IntRange(-1000, 1000).Draw(t, "distance"))
		require.Equal(t, d.In(time.UTC).Compare(other.In(time.UTC)), d.Compare(other))

		var scanned orchestrator.Date
		require.NoError(t, scanned.Scan(d.In(time.UTC)))
		require.Equal(t, d, scanned)
	})
}
