package orchestrator_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// following returns n due times after a moment, in the schedule's own zone.
func following(t *testing.T, expression, zone, after string, n int) []string {
	t.Helper()
	location, err := time.LoadLocation(zone)
	require.NoError(t, err)
	at, err := time.ParseInLocation("2006-01-02 15:04", after, location)
	require.NoError(t, err)
	schedule := orchestrator.Schedule{Name: "s", Cron: expression, Timezone: zone}
	var all []string
	for range n {
		at, err = schedule.Next(at)
		require.NoError(t, err)
		all = append(all, at.In(location).Format("2006-01-02 15:04 -0700"))
	}
	return all
}

// Where clocks jump, each time on the wall that an expression names is due
// once; an expression of every hour follows the clock.
func TestDueTimesWhereClocksJump(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		what, cron, zone, after string
		want                    []string
	}{
		{"left out, an hour", "30 1 * * *", "Europe/Lisbon", "2026-03-28 00:00", []string{
			"2026-03-28 01:30 +0000", "2026-03-29 02:30 +0100", "2026-03-30 01:30 +0100"}},
		{"twice, an hour", "30 1 * * *", "Europe/Lisbon", "2026-10-24 12:00", []string{
			"2026-10-25 01:30 +0100", "2026-10-26 01:30 +0000"}},
		{"every quarter, left out", "*/30 * * * *", "Europe/Lisbon", "2026-03-29 00:15", []string{
			"2026-03-29 00:30 +0000", "2026-03-29 02:00 +0100", "2026-03-29 02:30 +0100"}},
		{"every quarter, twice", "*/30 * * * *", "Europe/Lisbon", "2026-10-25 00:45", []string{
			"2026-10-25 01:00 +0100", "2026-10-25 01:30 +0100", "2026-10-25 01:00 +0000", "2026-10-25 01:30 +0000", "2026-10-25 02:00 +0000"}},
		{"left out", "30 2 * * *", "America/New_York", "2026-03-07 12:00", []string{
			"2026-03-08 03:30 -0400", "2026-03-09 02:30 -0400"}},
		{"left out, and the time it moves to is due itself", "30 2,3 * * *", "America/New_York", "2026-03-07 12:00", []string{
			"2026-03-08 03:30 -0400", "2026-03-09 02:30 -0400"}},
		{"several left out, on one date", "*/20 2 8 3 *", "America/New_York", "2026-03-07 12:00", []string{
			"2026-03-08 03:00 -0400", "2026-03-08 03:20 -0400", "2026-03-08 03:40 -0400", "2027-03-08 02:00 -0500"}},
		{"twice", "*/30 1 * * *", "America/New_York", "2026-10-31 12:00", []string{
			"2026-11-01 01:00 -0400", "2026-11-01 01:30 -0400", "2026-11-02 01:00 -0500"}},
		{"around what is twice", "0 0-3 * * *", "America/New_York", "2026-10-31 12:00", []string{
			"2026-11-01 00:00 -0400", "2026-11-01 01:00 -0400", "2026-11-01 02:00 -0500", "2026-11-01 03:00 -0500"}},
		{"hourly, left out", "@hourly", "America/New_York", "2026-03-08 00:30", []string{
			"2026-03-08 01:00 -0500", "2026-03-08 03:00 -0400", "2026-03-08 04:00 -0400"}},
		{"hourly, twice", "@hourly", "America/New_York", "2026-11-01 00:30", []string{
			"2026-11-01 01:00 -0400", "2026-11-01 01:00 -0500", "2026-11-01 02:00 -0500"}},
		{"left out, half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", []string{
			"2026-10-04 02:45 +1100", "2026-10-05 02:15 +1100"}},
		{"the end of half an hour that is left out is a time there is", "30 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00", []string{
			"2026-10-04 02:30 +1100", "2026-10-05 02:30 +1100"}},
		{"twice, half an hour", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00", []string{
			"2026-04-05 01:45 +1100", "2026-04-06 01:45 +1030"}},
		{"every quarter, half an hour twice", "*/15 * * * *", "Australia/Lord_Howe", "2026-04-05 01:20", []string{
			"2026-04-05 01:30 +1100", "2026-04-05 01:45 +1100", "2026-04-05 01:30 +1030", "2026-04-05 01:45 +1030", "2026-04-05 02:00 +1030"}},
		{"midnight left out", "0 0 * * *", "America/Sao_Paulo", "2018-11-02 12:00", []string{
			"2018-11-03 00:00 -0300", "2018-11-04 01:00 -0200", "2018-11-05 00:00 -0200"}},
		{"midnight left out, a date", "30 0 4 11 *", "America/Sao_Paulo", "2018-11-02 12:00", []string{
			"2018-11-04 01:30 -0200", "2019-11-04 00:30 -0300"}},
		{"the hour before midnight, twice", "30 23 * * *", "America/Sao_Paulo", "2018-02-16 12:00", []string{
			"2018-02-16 23:30 -0200", "2018-02-17 23:30 -0200", "2018-02-18 23:30 -0300"}},
		{"midnight after an hour that is twice", "@daily", "America/Sao_Paulo", "2018-02-17 12:00", []string{
			"2018-02-18 00:00 -0300", "2018-02-19 00:00 -0300"}},
		{"left out after Ramadan", "30 2 * * *", "Africa/Casablanca", "2026-03-21 12:00", []string{
			"2026-03-22 03:30 +0100", "2026-03-23 02:30 +0100"}},
		{"twice before Ramadan", "30 2 * * *", "Africa/Casablanca", "2026-02-14 12:00", []string{
			"2026-02-15 02:30 +0100", "2026-02-16 02:30 +0000"}},
		{"a day left out", "0 9 * * *", "Pacific/Apia", "2011-12-28 12:00", []string{
			"2011-12-29 09:00 -1000", "2011-12-31 09:00 +1400", "2012-01-01 09:00 +1400"}},
		{"a date left out", "0 9 30 12 *", "Pacific/Apia", "2011-12-28 12:00", []string{
			"2011-12-31 09:00 +1400", "2012-12-30 09:00 +1400"}},
		{"no clock jumps", "30 2 29 2 1", "UTC", "2026-01-01 00:00", []string{
			"2044-02-29 02:30 +0000", "2072-02-29 02:30 +0000"}},
		{"rare, where clocks jump", "30 2 29 2 1", "America/New_York", "2026-01-01 00:00", []string{
			"2044-02-29 02:30 -0500", "2072-02-29 02:30 -0500"}},
		{"every so often, from no particular moment", "@every 90m", "Europe/Lisbon", "2026-10-25 00:00", []string{
			"2026-10-25 01:00 +0100", "2026-10-25 01:30 +0000", "2026-10-25 03:00 +0000"}},
	} {
		t.Run(one.what+" "+one.zone, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, one.want, following(t, one.cron, one.zone, one.after, len(one.want)))
		})
	}
}

// Due times never stand still and never go back, from whatever moment one asks,
// and asking from within gives the same ones.
func TestDueTimesAreOneSequence(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"UTC", "Europe/Lisbon", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "Pacific/Apia"} {
		for _, expression := range []string{"*/7 * * * *", "*/20 0-3 * * *", "30 2 * * *", "0 0 * * *", "15 1 * 3,4,10,11 SUN", "@every 47m"} {
			t.Run(zone+" "+expression, func(t *testing.T) {
				t.Parallel()
				schedule := orchestrator.Schedule{Cron: expression, Timezone: zone}
				at := time.Date(2017, 10, 1, 0, 0, 0, 0, time.UTC)
				for range 500 {
					next, err := schedule.Next(at)
					require.NoError(t, err)
					require.True(t, next.After(at))
					for _, within := range []time.Time{at.Add(1), at.Add(next.Sub(at) / 2), next.Add(-1), next.Add(-time.Second)} {
						again, err := schedule.Next(within)
						require.NoError(t, err)
						require.Equal(t, next, again, "from %s", within)
					}
					at = next
				}
			})
		}
	}
}

func TestBadTimetablesAreRefused(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]orchestrator.Schedule{
		`cron "0 0 30 2 *" never comes: there is no such date; look at the day of the month and the month`:             {Cron: "0 0 30 2 *"},
		`cron "0 0 * *": 4 fields, and a cron expression has five: minute, hour, day of month, month, day of week`:     {Cron: "0 0 * *"},
		`cron "0 0 0 * * *": 6 fields, and a cron expression has five: minute, hour, day of month, month, day of week`: {Cron: "0 0 0 * * *"},
		`cron "": 0 fields, and a cron expression has five: minute, hour, day of month, month, day of week`:            {},
		`cron "TZ=UTC 0 3 * * *": the time zone is not a part of the expression: give it as the time zone`:             {Cron: "TZ=UTC 0 3 * * *"},
		`cron "0 25 * * *": end of range (25) above maximum (23): "25"`:                                                {Cron: "0 25 * * *"},
		`there is no time zone "Europe/Lisboa": want an IANA name such as Europe/Lisbon, or UTC`:                       {Cron: "@daily", Timezone: "Europe/Lisboa"},
		`"Local" is not a time zone: want an IANA name such as Europe/Lisbon, or UTC`:                                  {Cron: "@daily", Timezone: "Local"},
		`"../../etc/passwd" is not a time zone: want an IANA name such as Europe/Lisbon, or UTC`:                       {Cron: "@daily", Timezone: "../../etc/passwd"},
	} {
		s.Name = "nightly"
		_, err := s.Next(time.Now())
		require.EqualError(t, err, "orchestrator: schedule nightly: "+want)
	}
}
