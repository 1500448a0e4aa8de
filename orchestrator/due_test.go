package orchestrator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator/internal/store"
)

// The due times of a schedule of every ten minutes, looked at when some of
// them have passed: which are enqueued, and which are not, and why.
func TestDueTimesThatPassed(t *testing.T) {
	t.Parallel()
	const grace = 90 * time.Second
	midnight := time.Date(2026, time.November, 22, 0, 0, 0, 0, time.UTC)
	clock := func(s string) time.Time {
		at, err := time.Parse("15:04:05", s)
		require.NoError(t, err)
		return midnight.Add(at.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)))
	}
	for what, one := range map[string]struct {
		missed, overlap     string
		live                bool
		next, now           string
		room                int
		fire                []string
		skipped, overlapped int
		then                string
	}{
		"not due yet":                         {missed: "run_all", next: "03:00:00", now: "02:59:59", then: "03:00:00"},
		"due":                                 {missed: "skip", next: "03:00:00", now: "03:00:00", fire: []string{"03:00:00"}, then: "03:10:00"},
		"late, within grace":                  {missed: "skip", next: "03:00:00", now: "03:01:30", fire: []string{"03:00:00"}, then: "03:10:00"},
		"skip: one missed":                    {missed: "skip", next: "03:00:00", now: "03:01:31", skipped: 1, then: "03:10:00"},
		"skip: all but the one on time":       {missed: "skip", next: "03:00:00", now: "03:20:01", fire: []string{"03:20:00"}, skipped: 2, then: "03:30:00"},
		"run_once: one missed":                {missed: "run_once", next: "03:00:00", now: "03:05:00", fire: []string{"03:00:00"}, then: "03:10:00"},
		"run_once: the latest":                {missed: "run_once", next: "03:00:00", now: "03:25:00", fire: []string{"03:20:00"}, skipped: 2, then: "03:30:00"},
		"run_once: the one on time stands":    {missed: "run_once", next: "03:00:00", now: "03:20:01", fire: []string{"03:20:00"}, skipped: 2, then: "03:30:00"},
		"run_all":                             {missed: "run_all", next: "03:00:00", now: "03:25:00", fire: []string{"03:00:00", "03:10:00", "03:20:00"}, then: "03:30:00"},
		"run_all: no more than there is room": {missed: "run_all", next: "03:00:00", now: "03:25:00", room: 2, fire: []string{"03:00:00", "03:10:00"}, then: "03:20:00"},
		"overlap skip: the last is live":      {missed: "run_once", overlap: "skip", live: true, next: "03:00:00", now: "03:00:00", overlapped: 1, then: "03:10:00"},
		"overlap allow: the last is live":     {missed: "run_once", overlap: "allow", live: true, next: "03:00:00", now: "03:00:00", fire: []string{"03:00:00"}, then: "03:10:00"},
		"overlap skip: missed and live":       {missed: "run_once", overlap: "skip", live: true, next: "03:00:00", now: "03:25:00", skipped: 2, overlapped: 1, then: "03:30:00"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			timetable, err := newTimetable("*/10 * * * *", "UTC")
			require.NoError(t, err)
			if one.room == 0 {
				one.room = 1000
			}
			got := due(&store.Schedule{ScheduleSpec: store.ScheduleSpec{Missed: one.missed, Overlap: one.overlap}, LastIsLive: one.live, NextAt: clock(one.next)},
				timetable, clock(one.now), grace, one.room)
			want := dueTimes{missed: one.skipped, overlapped: one.overlapped, next: clock(one.then)}
			for _, at := range one.fire {
				want.fire = append(want.fire, clock(at))
			}
			require.Equal(t, want, got)
		})
	}
}

// A year of minutes is gone through in several turns. What is made up for is
// the latest of all, not of each turn.
func TestManyMissedDueTimesTakeSeveralTurns(t *testing.T) {
	t.Parallel()
	timetable, err := newTimetable("* * * * *", "UTC")
	require.NoError(t, err)
	now := time.Date(2026, time.November, 22, 3, 0, 0, 0, time.UTC)
	s := store.Schedule{ScheduleSpec: store.ScheduleSpec{Missed: missedRunOnce, Overlap: overlapSkip}, NextAt: now.Add(-3 * maxDueTimes * time.Minute)}
	turns, missed := 0, 0
	var fired []time.Time
	for ; !s.NextAt.After(now.Add(-5 * time.Minute)); turns++ {
		d := due(&s, timetable, now.Add(-5*time.Minute), 0, 1000)
		s.NextAt, missed, fired = d.next, missed+d.missed, append(fired, d.fire...)
	}
	require.Equal(t, []time.Time{now.Add(-5 * time.Minute)}, fired)
	require.Equal(t, 3*maxDueTimes-5, missed)
	require.Equal(t, 3, turns)
}
