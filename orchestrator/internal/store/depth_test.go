package store

import (
	"cmp"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func fill(t testing.TB, s *Store, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := s.pool.Exec(context.WithoutCancel(t.Context()), statement)
		require.NoError(t, err)
	}
}

func sorted(depths []QueueDepth) []QueueDepth {
	slices.SortFunc(depths, func(a, b QueueDepth) int { return cmp.Compare(a.Queue, b.Queue) })
	return depths
}

const someTasks = `
INSERT INTO orchestrator.tasks (contract, priority, queue, payload, state, waits_for, run_at, attempts)
SELECT 1, i % 3, q, '{}'::json, 0, 0, now() - interval '1 minute' - i * interval '1 second', 0 FROM generate_series(1, 30) AS i, (VALUES ('email'), ('index')) AS v(q)
UNION ALL SELECT 1, 0, 'email', '{}', 0, 0, now() + interval '1 hour', 0 FROM generate_series(1, 7)
UNION ALL SELECT 1, 0, 'email', '{}', 0, 0, now() + interval '1 hour', 2 FROM generate_series(1, 5)
UNION ALL SELECT 1, 0, 'email', '{}', 2, 2, now(), 0 FROM generate_series(1, 6)
UNION ALL SELECT 1, 0, 'email', '{}', 2, 2, now() + interval '1 hour', 0 FROM generate_series(1, 2)
UNION ALL SELECT 1, 0, 'email', '{}', 3, 3, now(), 1 FROM generate_series(1, 8)
UNION ALL SELECT 1, 0, 'index', '{}', 3, 3, now(), 0 FROM generate_series(1, 9)
UNION ALL SELECT 1, 0, 'index', '{}', 1, 0, now(), 0 FROM generate_series(1, 4)`

const someDead = `
INSERT INTO orchestrator.tasks_dead (id, finished_at, scheduled_for, enqueued_at, contract, priority, attempts, queue, payload)
SELECT -i, now(), now(), now(), 1, 0, 5, 'email', '{}' FROM generate_series(1, 3) AS i`

func TestDepthCountsEveryQueueAndState(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, someTasks, someDead,
		`INSERT INTO orchestrator.workers (id, lease, slots, pid, host, version, queues) VALUES (1, '1m', 1, 1, '', '', '{idle}')`)
	want := []QueueDepth{
		{Queue: "email", Ready: 30, Scheduled: 9, Retrying: 5, Blocked: 6, Throttled: 8, Dead: 3},
		{Queue: "idle"}, // worked, and empty
		{Queue: "index", Ready: 30, Throttled: 9, Running: 4},
		{Queue: "q"}, // declared, and empty
	}
	got, err := s.Depth(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, sorted(got))
}

// A short queue in a table that is too large to be read whole is counted
// exactly; a long one is estimated.
func TestDepthOfALargeTable(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, someTasks, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload, run_at)
		SELECT 1, 50, 'bulk', '{}', now() + CASE WHEN i % 4 = 0 THEN interval '1 day' ELSE interval '-1 day' END FROM generate_series(1, 60000) AS i`, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload, state, waits_for, group_key)
		SELECT 1, 0, 'bulk', '{}', 2, 2, 'g' FROM generate_series(1, 20000)`, `
		INSERT INTO orchestrator.workers (id, lease, slots, pid, host, version, queues, held, heartbeat_at)
		VALUES (1, '1m', 1, 1, '', '', '{}', '{"index": 3}', now()), (2, '1m', 1, 1, '', '', '{}', '{"index": 1}', now()),
			(3, '1m', 1, 1, '', '', '{}', '{"index": 9}', now() - interval '1 hour')`) // is dead
	got, err := s.depth(t.Context(), 400)
	require.NoError(t, err)
	byQueue := map[string]QueueDepth{}
	for _, d := range got {
		byQueue[d.Queue] = d
	}
	require.Equal(t, int64(30), byQueue["email"].Ready)
	require.Equal(t, int64(30), byQueue["index"].Ready)
	require.Equal(t, int64(4), byQueue["index"].Running)
	require.Equal(t, int64(6), byQueue["email"].Blocked)
	require.Equal(t, int64(8), byQueue["email"].Throttled)
	require.Equal(t, int64(9), byQueue["index"].Throttled)
	require.Zero(t, byQueue["bulk"].Throttled)
	require.InEpsilon(t, 20_000, byQueue["bulk"].Blocked, .25)
	require.InEpsilon(t, 45_000, byQueue["bulk"].Ready, .25)
	require.InEpsilon(t, 15_000, byQueue["bulk"].Scheduled, .25)
}

// What is counted exactly does not grow with the number of lanes.
func TestDepthOfManyLanes(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload, run_at)
		SELECT 1, 0, 'short', '{}'::json, now() FROM generate_series(1, 20) UNION ALL
		SELECT 1, i % 200 - 100, 'long', '{}', now() FROM generate_series(1, 40000) AS i`)
	rows, err := s.pool.Query(t.Context(), countLanes, exactLane)
	require.NoError(t, err)
	counted := map[string]int64{}
	var queue string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&queue, &n}, func() error { counted[queue] = n; return nil })
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"short": 20, "long": -200 * (10*exactLane/201 + 2)}, counted)
	depths, err := s.depth(t.Context(), 400) // pages at random: their number alone deviates by a twentieth
	require.NoError(t, err)
	require.Equal(t, int64(20), sorted(depths)[1].Ready)
	require.InEpsilon(t, 40_000, sorted(depths)[0].Ready, .3)
}

func TestOldestReady(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	ages, err := s.OldestReady(t.Context())
	require.NoError(t, err)
	require.Empty(t, ages)
	fill(t, s, someTasks)
	ages, err = s.OldestReady(t.Context())
	require.NoError(t, err)
	require.Len(t, ages, 2)
	require.InDelta(t, 90*time.Second, ages["email"], float64(10*time.Second))

	// A rate-limited type has a lane of its own.
	fill(t, s, `INSERT INTO orchestrator.tasks (contract, priority, queue, sublane, payload, run_at)
		VALUES (1, 0, 'email', 'email:send', '{}', now() - interval '1 hour')`)
	ages, err = s.OldestReady(t.Context())
	require.NoError(t, err)
	require.InDelta(t, time.Hour, ages["email"], float64(10*time.Second))
}

func TestFinishedTasksAreCounted(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	n, err := s.CountFinished(t.Context())
	require.NoError(t, err)
	require.Equal(t, FinishedCount{}, n)
	fill(t, s, addContracts, `
		INSERT INTO orchestrator.tasks_finished (id, keep_until, finished_at, scheduled_for, enqueued_at, contract, state, priority, attempts, queue, payload)
		SELECT i, now() + (7 + i % 5) * interval '1 day', now(), now(), now(), 1, CASE WHEN i % 10 = 0 THEN 6 WHEN i % 5 = 0 THEN 5 ELSE 4 END, 0, 1, 'q', '{}'
		FROM generate_series(1, 50000) AS i`)
	n, err = s.CountFinished(t.Context())
	require.NoError(t, err)
	require.Equal(t, FinishedCount{Succeeded: 40_000, Cancelled: 5_000, Expired: 5_000}, n)

	n, err = s.countFinished(t.Context(), 300) // of some 700 pages
	require.NoError(t, err)
	require.True(t, n.Estimated)
	require.InEpsilon(t, 40_000, n.Succeeded, .3)
	require.InEpsilon(t, 5_000, n.Expired, .3)
}

// What the leader asks at every turn must walk indexes, whatever the planner
// believes.
func TestDepthStatementsKeepTheirPlans(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, addScheduled, addRunning, plannersTable, addReady)
	conn, err := s.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	run(t, conn.Conn(), "SET enable_seqscan = off")
	for _, one := range []struct {
		statement string
		args      []any
	}{{oldestReady, nil}, {countLanes, []any{exactLane}}, {countArrivals, []any{exactLane}}} {
		plan := explainAny(t, conn.Conn(), one.statement, one.args)
		plan.each(func(n planNode) {
			require.False(t, n.Relation == "tasks" && n.Type == "Seq Scan", one.statement)
		})
	}
}

func explainAny(t *testing.T, conn *pgx.Conn, statement string, args []any) planNode {
	t.Helper()
	if len(args) > 0 {
		return explain(t, conn, statement, args)
	}
	return explain(t, conn, statement+" LIMIT $1", []any{1000})
}

// BenchmarkDepth counts ten million tasks.
//
//	go test ./orchestrator/internal/store -run '^$' -bench Depth -benchtime 5x -timeout 30m
func BenchmarkDepth(b *testing.B) {
	s := migrated(b)
	fill(b, s, addContracts, `
		INSERT INTO orchestrator.tasks (contract, priority, queue, payload, run_at, attempts)
		SELECT 1, i % 7, 'queue_' || i % 5, '{"user_id": 1, "template": "welcome"}',
			now() + (CASE WHEN i % 3 = 0 THEN -1 ELSE 1 END) * (i % 86400) * interval '1 second', i % 11 / 10
		FROM generate_series(1, 10000000) AS i`, `VACUUM ANALYZE orchestrator.tasks`, someTasks)
	measure := func(what string, run func() error) {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, run())
			}
		})
	}
	measure("oldest", func() error { _, err := s.OldestReady(b.Context()); return err })
	measure("sampled", func() error {
		depths, err := s.Depth(b.Context())
		for _, d := range depths {
			b.Logf("%+v", d)
		}
		return err
	})
	measure("whole", func() error { _, err := s.depth(b.Context(), 1<<40); return err })
}
