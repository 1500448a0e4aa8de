package store

import (
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

const addHistory = `
INSERT INTO orchestrator.tasks_finished (id, keep_until, finished_at, scheduled_for, enqueued_at, contract, state, priority, attempts, queue, payload)
SELECT nextval('orchestrator.task_id'), now() + (7 + i % 5) * interval '1 day', now(), now(), now() + (5 + i % 5) * interval '1 day', 1, 4, 0, 1, 'q', '{}' FROM generate_series(1, 20000) AS i;
INSERT INTO orchestrator.tasks_dead (id, finished_at, scheduled_for, enqueued_at, contract, priority, attempts, queue, payload)
SELECT nextval('orchestrator.task_id'), now(), now(), now(), 1, 0, 1, 'q', '{}' FROM generate_series(1, 20000);
ANALYZE;`

// A page of a listing must cost a page: the view's parts are merged by their
// primary keys and never sorted, and tables that hold no such state are left out.
func TestListingsWalkIndexes(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), cloned(t)+"&default_query_exec_mode=exec")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db := bun.NewDB(stdlib.OpenDBFromPool(pool), pgdialect.New())
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.DB.ExecContext(t.Context(), addContracts+addReady+addHistory)
	require.NoError(t, err)
	s := New(pool, db, "orchestrator", false)

	var today time.Time
	require.NoError(t, db.NewRaw("SELECT date_trunc('day', min(enqueued_at), 'UTC') FROM orchestrator.tasks").Scan(t.Context(), &today))
	today = today.UTC()
	var rows []TaskRow
	for _, c := range []struct {
		name          string
		query         *bun.SelectQuery
		with, without []string
	}{
		{"all", s.tasksBefore(&rows, TaskFilter{}, math.MaxInt64, 200), []string{"Merge Append", "tasks_pkey", "tasks_dead_pkey", "tasks_kept_until_"}, nil},
		{"of a type", s.tasksBefore(&rows, TaskFilter{Types: []string{"t"}, Queues: []string{"q"}}, 50_000, 200), []string{"Merge Append"}, nil},
		{"live", s.tasksBefore(&rows, TaskFilter{Places: []string{PlaceLive}}, math.MaxInt64, 200),
			[]string{"tasks_pkey"}, []string{"tasks_finished", "tasks_dead"}},
		{"of late", s.tasksBefore(&rows, TaskFilter{EnqueuedSince: today.AddDate(0, 0, 8)}, math.MaxInt64, 200),
			[]string{"Merge Append"}, []string{"tasks_kept_until_" + today.AddDate(0, 0, 7).Format("20060102")}},
		{"dead", s.deadBefore(&rows, TaskFilter{}, time.Now(), 70_000, 200), []string{"tasks_dead_newest"}, []string{"tasks_finished", "tasks_pkey"}},
	} {
		var lines []string
		require.NoError(t, db.NewRaw("EXPLAIN (COSTS OFF) ?", c.query).Scan(t.Context(), &lines))
		plan := ""
		for _, line := range lines {
			plan += line + "\n"
		}
		for _, want := range c.with {
			require.Contains(t, plan, want, c.name)
		}
		for _, unwanted := range append(c.without, "->  Sort", "Seq Scan on tasks") {
			require.NotContains(t, plan, unwanted, "%s:\n%s", c.name, plan)
		}
		require.NoError(t, c.query.Scan(t.Context()))
		require.Len(t, rows, 200, c.name)
		rows = nil
	}
}
