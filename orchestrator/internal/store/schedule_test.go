package store

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// However often the leader's right is used at the same time, a due time has one
// task; an old right does nothing.
func TestDueTimesFireOnce(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `
		INSERT INTO orchestrator.schedules (name, contract, cron, timezone, payload, missed, overlap, declared, next_at)
		SELECT 'schedule ' || i, 1, '', 'UTC', '{}', 'skip', 'allow', false, now() - interval '1 hour' FROM generate_series(1, 100) AS i`)
	first, leads, err := s.Campaign(t.Context(), 1, time.Minute)
	require.NoError(t, err)
	require.True(t, leads)

	fire := func(l Leadership) ([]int64, error) {
		return s.FireSchedules(t.Context(), l, []string{}, 30, func(due Schedule, contract Contract, now time.Time) (Firing, bool) {
			task := NewTask{Contract: contract.ID, Queue: "q", Payload: "{}", RunAt: due.NextAt.UnixMicro()}
			return Firing{Tasks: []NewTask{task, task}, LastAt: due.NextAt, NextAt: now.Add(time.Hour)}, true
		})
	}
	tasks := func() (n int) {
		require.NoError(t, s.queryRow(t.Context(), `SELECT count(*) FROM orchestrator.tasks`).Scan(&n))
		return n
	}
	_, err = s.exec(t.Context(), `UPDATE orchestrator.leader SET worker_id = 2, epoch = 2`)
	require.NoError(t, err)
	_, err = fire(first)
	require.NoError(t, err)
	require.Zero(t, tasks(), "an old right")

	var firing sync.WaitGroup
	errs := make(chan error, 40)
	for range cap(errs) {
		firing.Go(func() {
			_, err := fire(Leadership{Worker: 2, Epoch: 2})
			errs <- err
		})
	}
	firing.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 200, tasks())
	all, err := s.Schedules(t.Context())
	require.NoError(t, err)
	for _, one := range all {
		require.True(t, one.LastIsLive)
		require.NotZero(t, one.LastAt)
		require.True(t, one.NextAt.After(one.LastAt.Add(time.Hour)))
	}
}
