package store

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// A claim must not write to any index: see the migration "claim".
func TestClaimsUpdateTheHeapAlone(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload, expires_at, deadline_at, group_key, limit_key, limit_slot)
		SELECT 1, 0, 'q', '{}', now() + interval '1 day', now() + interval '1 day', 'g' || i, 'l' || i, 1 FROM generate_series(1, 5000) AS i`)
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	tag, err := tx.Exec(t.Context(), claim, pgx.QueryExecModeExec, []string{"q"}, []string{""}, []int16{0}, []time.Time{time.Unix(0, 0)}, []int64{0},
		[]int32{5000}, 5000, int32(1), []int32{}, int64(7), int64(1))
	require.NoError(t, err)
	require.EqualValues(t, 5000, tag.RowsAffected())
	var updated, heapOnly int64
	require.NoError(t, tx.QueryRow(t.Context(), `
		SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE schemaname = 'orchestrator' AND relname = 'tasks'`).Scan(&updated, &heapOnly))
	require.EqualValues(t, 5000, updated)
	require.Equal(t, updated, heapOnly)
}

// A row that somebody keeps locked is left out, and holds nobody up.
func TestFinishLeavesLockedRowsOut(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, worker_id, claim)
		SELECT i, 1, 0, 'q', '{}', 1, 7, 1 FROM generate_series(1, 3) AS i`)
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), `SELECT FROM orchestrator.tasks WHERE id = 2 FOR UPDATE`)
	require.NoError(t, err)
	var batch []Finished
	for id := range int64(3) {
		batch = append(batch, Finished{Fence: Fence{ID: id + 1, Worker: 7, Claim: 1}, State: StateSucceeded, Attempts: 1, Kept: 7 * 24 * time.Hour})
	}
	ids, err := s.Finish(t.Context(), batch)
	require.NoError(t, err)
	require.ElementsMatch(t, []int64{1, 3}, ids)
	require.NoError(t, tx.Rollback(t.Context()))
	ids, err = s.Finish(t.Context(), batch[1:2])
	require.NoError(t, err)
	require.Equal(t, []int64{2}, ids)
}

// A fence is of a task and a claim together, not of each.
func TestFinishGoesByTheClaimOfEachTask(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, worker_id, claim)
		VALUES (1, 1, 0, 'q', '{}', 1, 7, 1), (2, 1, 0, 'q', '{}', 1, 7, 2)`)
	ids, err := s.Finish(t.Context(), []Finished{
		{Fence: Fence{ID: 1, Worker: 7, Claim: 2}, State: StateSucceeded, Attempts: 1, Kept: 7 * 24 * time.Hour},
		{Fence: Fence{ID: 2, Worker: 7, Claim: 2}, State: StateSucceeded, Attempts: 1, Kept: 7 * 24 * time.Hour},
	})
	require.NoError(t, err)
	require.Equal(t, []int64{2}, ids)
}

// Reading the whole table is for a death, or for a sweep.
func TestRecoveryLooksForTasksAfterADeathOrInASweep(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, worker_id, claim) VALUES (1, 1, 0, 'q', '{}', 1, 7, 1)`)
	l, leads, err := s.Campaign(t.Context(), 9, time.Hour)
	require.NoError(t, err)
	require.True(t, leads)
	recover := func(sweep bool) Recovery {
		t.Helper()
		r, err := s.Recover(t.Context(), l, 10, sweep, func(int32, int16) int16 { return 5 }, nil)
		require.NoError(t, err)
		return r
	}
	require.Equal(t, Recovery{Workers: []int64{}}, recover(false))
	require.Equal(t, Recovery{Workers: []int64{}, Swept: true, Back: 1}, recover(true))

	fill(t, s, `UPDATE orchestrator.tasks SET state = 1, worker_id = 8, claim = 1`,
		`INSERT INTO orchestrator.workers (id, lease, slots, pid, host, version, queues, heartbeat_at) VALUES (8, '1s', 1, 1, '', '', '{}', now() - interval '1 hour')`)
	require.Equal(t, Recovery{Workers: []int64{8}, Swept: true, Back: 1}, recover(false))
}
