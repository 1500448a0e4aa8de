package store

import (
	"context"
	"fmt"
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

// What somebody else is claiming is passed over without an attempt to lock it,
// and is there again when that somebody has let go.
func TestClaimsPassOverWhatOthersClaim(t *testing.T) {
	t.Parallel()
	const ready, theirs, ours = 100, 40, 30
	claimOf := func(limit, worker int) []any {
		return []any{[]string{"q"}, []string{""}, []int16{0}, []time.Time{time.Unix(0, 0)}, []int64{0}, []int32{ready}, limit, 1, []int32{}, worker, 1}
	}
	for name, iBeganFirst := range map[string]bool{"who began before": false, "who began after": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			fill(t, s, addContracts, fmt.Sprintf(`INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload)
				SELECT i, 1, 0, 'q', '{}' FROM generate_series(1, %d) AS i`, ready))
			begin := func(level pgx.TxIsoLevel) pgx.Tx {
				t.Helper()
				tx, err := s.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
				require.NoError(t, err)
				t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
				return tx
			}
			me := begin(pgx.RepeatableRead)
			var age int
			if iBeganFirst {
				require.NoError(t, me.QueryRow(t.Context(), `SELECT age('3'::xid)`).Scan(&age)) // of this moment, for the transaction
			}
			other := begin(pgx.ReadCommitted)
			tag, err := other.Exec(t.Context(), claim, append([]any{pgx.QueryExecModeExec}, claimOf(theirs, 7)...)...)
			require.NoError(t, err)
			require.EqualValues(t, theirs, tag.RowsAffected())
			fill(t, s, `SELECT pg_current_xact_id()`) // later than the other's, and over

			plan := explain(t, me.Conn(), claim, claimOf(ours, 8), "ANALYZE")
			locked := map[string]float64{}
			plan.each(func(n planNode) {
				for _, from := range n.Plans {
					locked[n.Type] = max(locked[n.Type], from.Rows)
				}
			})
			require.EqualValues(t, ours, locked["LockRows"])
			require.NoError(t, me.Rollback(t.Context()))

			require.NoError(t, other.Rollback(t.Context()))
			fill(t, s, `SELECT FROM orchestrator.tasks WHERE id = 2 FOR UPDATE`)
			claimed, _, err := s.Claim(t.Context(), ClaimRequest{
				Lanes: []Lane{{LaneKey: LaneKey{Queue: "q"}, Want: ready}}, Limit: ready, Worker: 9, Claim: 1, Known: 1, Foreign: []int32{}})
			require.NoError(t, err)
			require.Len(t, claimed, ready)
		})
	}
}

// finished are the ends of tasks that worker 7 runs: alike, so that one
// statement is enough, or with a result, for the one that is for all.
func finished(fences []Fence, result string) (batch []*Finished) {
	for _, f := range fences {
		batch = append(batch, &Finished{Fence: f, State: StateSucceeded, Attempts: 1, Kept: 7 * 24 * time.Hour, Result: result})
	}
	return batch
}

var resultsOfFinished = map[string]string{"alike": "", "with a result": `{"a": 1}`}

// A row that somebody keeps locked is left out, and holds nobody up.
func TestFinishLeavesLockedRowsOut(t *testing.T) {
	t.Parallel()
	for name, result := range resultsOfFinished {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			fill(t, s, addContracts, `INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, worker_id, claim)
				SELECT i, 1, 0, 'q', '{}', 1, 7, 1 FROM generate_series(1, 3) AS i`)
			tx, err := s.pool.Begin(t.Context())
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(t.Context()) }()
			_, err = tx.Exec(t.Context(), `SELECT FROM orchestrator.tasks WHERE id = 2 FOR UPDATE`)
			require.NoError(t, err)
			batch := finished([]Fence{{1, 7, 1}, {2, 7, 1}, {3, 7, 1}}, result)
			ids, err := s.Finish(t.Context(), batch)
			require.NoError(t, err)
			require.ElementsMatch(t, []int64{1, 3}, ids)
			require.NoError(t, tx.Rollback(t.Context()))
			ids, err = s.Finish(t.Context(), batch[1:2])
			require.NoError(t, err)
			require.Equal(t, []int64{2}, ids)
		})
	}
}

// A fence is of a task, a worker and a claim together, not of each.
func TestFinishGoesByTheClaimOfEachTask(t *testing.T) {
	t.Parallel()
	for name, result := range resultsOfFinished {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			fill(t, s, addContracts, `INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, worker_id, claim)
				VALUES (1, 1, 0, 'q', '{}', 1, 7, 1), (2, 1, 0, 'q', '{}', 1, 7, 2), (3, 1, 0, 'q', '{}', 1, 8, 2), (4, 1, 0, 'q', '{}', 0, NULL, NULL)`)
			ids, err := s.Finish(t.Context(), finished([]Fence{{1, 7, 2}, {2, 7, 2}, {3, 7, 2}, {4, 7, 2}}, result))
			require.NoError(t, err)
			require.Equal(t, []int64{2}, ids)
		})
	}
}

// What is kept of tasks that ended alike is what is kept of others.
func TestFinishedAlikeOrNot(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, state, worker_id, claim, errors)
		SELECT i, 1, 5, 'q', '{"a": 1}', 1, 7, 1, CASE i % 2 WHEN 0 THEN '[{"message": "once"}]'::jsonb END FROM generate_series(1, 4) AS i`)
	both := finished([]Fence{{1, 7, 1}, {2, 7, 1}}, "")
	require.True(t, alike(both))
	one := finished([]Fence{{3, 7, 1}, {4, 7, 1}, {5, 7, 1}}, "")
	one[2].Attempts = 2
	require.False(t, alike(one))
	for _, batch := range [][]*Finished{both, one} {
		ids, err := s.Finish(t.Context(), batch)
		require.NoError(t, err)
		require.Len(t, ids, 2)
	}
	rows, err := s.pool.Query(t.Context(), `
		SELECT row(f.keep_until - f.finished_at, f.scheduled_for IS NULL, f.worker_id, f.claim, f.contract, f.priority, f.queue, f.payload, f.state,
			f.attempts, f.result, f.errors)::text FROM orchestrator.tasks_finished f ORDER BY f.id`)
	require.NoError(t, err)
	kept, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Len(t, kept, 4)
	require.Equal(t, kept[:2], kept[2:])
	require.NotEqual(t, kept[0], kept[1])
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

// The index of lanes has queues and sublanes as hashes. Those that have one in
// common are still lanes of their own.
func TestLanesWithOneHashAreKeptApart(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	var one, other string
	require.NoError(t, s.pool.QueryRow(t.Context(), `
		SELECT min(name), max(name) FROM (SELECT 'q' || i AS name FROM generate_series(1, 500000) AS i) AS names
		GROUP BY orchestrator.lane_hash(name, '') HAVING count(*) > 1 LIMIT 1`).Scan(&one, &other))
	fill(t, s, addContracts, fmt.Sprintf(`
		INSERT INTO orchestrator.tasks (id, contract, priority, queue, sublane, payload) VALUES
			(1, 1, 0, '%[1]s', '', '{}'), (2, 1, 0, '%[2]s', '', '{}'), (3, 1, 0, '%[1]s', '', '{}'),
			(4, 1, 0, '%[1]s', '%[1]s', '{}'), (5, 1, 0, '%[1]s', '%[2]s', '{}'), (6, 1, 0, '%[2]s', 'z', '{}')`, one, other))
	sublanes, err := s.Sublanes(t.Context(), []string{one, other})
	require.NoError(t, err)
	require.Contains(t, sublanes, LaneKey{Queue: other, Sublane: "z"})
	require.NotContains(t, sublanes, LaneKey{Queue: one, Sublane: "z"})
	for key, want := range map[LaneKey][]int64{
		{Queue: one}:                   {1, 3},
		{Queue: other}:                 {2},
		{Queue: one, Sublane: one}:     {4},
		{Queue: one, Sublane: other}:   {5},
		{Queue: other, Sublane: "z"}:   {6},
		{Queue: other, Sublane: other}: nil,
	} {
		question := LaneQuestion{Every: []LaneKey{key}, Known: 1, Foreign: []int32{}}
		heads, _, err := s.Lanes(t.Context(), question)
		require.NoError(t, err)
		require.Len(t, heads, min(1, len(want)), "%+v", key)
		tasks, _, err := s.Claim(t.Context(), ClaimRequest{Lanes: []Lane{{LaneKey: key, Want: 10}}, Limit: 10, Worker: 7, Claim: 1, Known: 1, Foreign: []int32{}})
		require.NoError(t, err)
		var ids []int64
		for _, task := range tasks {
			require.Equal(t, key, *task.LaneKey)
			ids = append(ids, task.ID)
		}
		require.Equal(t, want, ids, "%+v", key)
	}
}

// While a long transaction keeps dead entries in the index, looking for sublanes
// must not walk over those of the main lane, or of other queues.
func TestSublanesAreFoundPastDeadLanes(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload)
		SELECT 1, 0, CASE WHEN i % 2 = 0 THEN 'q' ELSE 'q' || i % 99 END, '{}' FROM generate_series(1, 40000) AS i`, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, sublane, payload) VALUES (1, 0, 'q', 'a', '{}'), (1, 0, 'q', 'b', '{}')`)
	tx, err := s.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	_, err = tx.Exec(t.Context(), `SELECT FROM orchestrator.tasks LIMIT 1`)
	require.NoError(t, err)
	fill(t, s, `DELETE FROM orchestrator.tasks WHERE sublane = ''`)

	found, err := s.Sublanes(t.Context(), []string{"q"})
	require.NoError(t, err)
	require.ElementsMatch(t, []LaneKey{{Queue: "q", Sublane: "a"}, {Queue: "q", Sublane: "b"}}, found)
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	require.NoError(t, s.pool.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+findSublanes, []string{"q"}).Scan(&plans))
	require.Less(t, plans[0].Plan.Hit+plans[0].Plan.Read, 50, "pages")
}

// Extras are those of each task, and shared by the tasks that have none.
func TestClaimBringsWhatEachTaskHas(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	fill(t, s, addContracts, `INSERT INTO orchestrator.tasks (id, contract, priority, queue, payload, run_at, enqueued_at, scheduled_for, timeout_ms, metadata, trace_parent, expires_at) VALUES
		(1, 1, 0, 'q', '{}', '2026-01-02 03:04:05.678901Z', '2026-01-02 03:04:05Z', '2026-01-02 03:04:06Z', NULL, NULL, NULL, NULL),
		(2, 1, 0, 'q', '{"a": 1}', '2026-01-02 03:04:06Z', '2026-01-02 03:04:05Z', '2026-01-02 03:04:06Z', 1500, '{"who": "ada"}', '`+trace+`', now() + interval '1 hour'),
		(3, 1, 0, 'q', '{}', '2026-01-02 03:04:07Z', '2026-01-02 03:04:05Z', '2026-01-02 03:04:06Z', NULL, NULL, NULL, NULL)`)
	lane := Lane{LaneKey: LaneKey{Queue: "q"}, Want: 10}
	tasks, _, err := s.Claim(t.Context(), ClaimRequest{Lanes: []Lane{lane}, Limit: 10, Worker: 7, Claim: 1, Known: 1, Foreign: []int32{}})
	require.NoError(t, err)
	require.Len(t, tasks, 3)
	require.Zero(t, *tasks[0].Extras)
	require.Same(t, tasks[0].Extras, tasks[2].Extras)
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC), tasks[0].RunAt.Time().UTC())
	require.Equal(t, time.Second, tasks[0].ScheduledFor.Sub(tasks[0].EnqueuedAt))
	extras := *tasks[1].Extras
	require.InDelta(t, time.Hour, extras.TimeToLive, float64(time.Minute))
	extras.TimeToLive = 0
	require.Equal(t, trace, tasks[1].TraceParent)
	require.Equal(t, Extras{TimeoutMS: 1500, Metadata: []byte(`{"who": "ada"}`)}, extras)
	require.JSONEq(t, `{"a": 1}`, string(tasks[1].Payload))
}
