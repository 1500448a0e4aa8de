package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
)

// A task is stored the same by the statement for one, for several, and for
// those that have everything, and by the door of other drivers.
func TestEveryInsertStoresTheSame(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts)
	db := stdlib.OpenDBFromPool(s.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for name, task := range map[string]NewTask{
		"plain":   {Queue: "q", Priority: -7, Payload: `{"a": 1}`},
		"grouped": {Queue: "q", GroupKey: "g", LimitKey: "l", Payload: "[]", TraceParent: "p"},
		"limited": {Queue: "r", LimitKey: "l", Sublane: "t", Payload: "{}", TraceParent: "p", TraceState: "s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task.Contract, task.Type = 1, "t"
			general := task
			general.Timeout = 1 // makes it take the long way
			want := stored(t, s, []NewTask{general})
			want = slices.DeleteFunc(want, func(column string) bool { return column == "timeout_ms=1" })
			for _, tasks := range [][]NewTask{{task}, {task, task}, slices.Repeat([]NewTask{task}, FewestCopied)} {
				require.Equal(t, want, stored(t, s, tasks), "%d tasks at a time", len(tasks))
			}
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			one, err := s.InsertOneIn(t.Context(), SQLTx{Tx: tx}, task, "q 0")
			require.NoError(t, err)
			rows, _, err := s.InsertIn(t.Context(), SQLTx{Tx: tx}, []NewTask{task, task})
			require.NoError(t, err)
			prepared, err := s.InsertOneIn(t.Context(), s.OwnTx(tx), task, "q 0")
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			require.Equal(t, want, columnsOf(t, s, one.ID))
			require.Equal(t, want, columnsOf(t, s, prepared.ID))
			require.Equal(t, want, columnsOf(t, s, rows[1].ID))
		})
	}
}

// stored inserts tasks and returns what the last one is in the table.
func stored(t *testing.T, s *Store, tasks []NewTask) []string {
	t.Helper()
	rows, err := s.Insert(t.Context(), tasks)
	require.NoError(t, err)
	require.Len(t, rows, len(tasks))
	return columnsOf(t, s, rows[len(rows)-1].ID)
}

// columnsOf are the columns of a task which have a value, but for its id and
// its times, of which it says only whether they are one.
func columnsOf(t *testing.T, s *Store, id int64) (columns []string) {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `
		SELECT each.key || '=' || each.value FROM orchestrator.tasks t, json_each_text(to_json(t)) AS each
		WHERE t.id = $1 AND each.value IS NOT NULL AND each.key NOT IN ('id', 'run_at', 'scheduled_for', 'enqueued_at')
		UNION ALL SELECT 'due at once: ' || (t.run_at = t.enqueued_at AND t.scheduled_for = t.enqueued_at) FROM orchestrator.tasks t WHERE t.id = $1
		ORDER BY 1`, id)
	require.NoError(t, err)
	columns, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return columns
}

// Ids grow in the order of a batch: groups go by them.
func TestIDsGrowInTheOrderOfABatch(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]struct {
		n    int
		task func(i int) NewTask
	}{
		"copied": {5000, func(int) NewTask { return NewTask{} }},
		"alike":  {FewestCopied - 1, func(int) NewTask { return NewTask{} }},
		"simple": {FewestCopied - 1, func(i int) NewTask { return NewTask{Priority: int16(i % 3)} }},
		"timed":  {FewestCopied - 1, func(i int) NewTask { return NewTask{Delay: int64(i % 3)} }},
		"mixed":  {5000, func(i int) NewTask { return NewTask{Delay: int64(i % 2)} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t)
			fill(t, s, addContracts)
			tasks := make([]NewTask, kind.n)
			for i := range tasks {
				tasks[i] = kind.task(i)
				tasks[i].Contract, tasks[i].Type, tasks[i].Queue, tasks[i].Payload = 1, "t", "q", fmt.Sprintf(`{"i": %d}`, i)
			}
			rows, err := s.InsertWith(t.Context(), tasks, s.DrawIDs(t.Context(), kind.n))
			require.NoError(t, err)
			require.Len(t, rows, kind.n)
			require.True(t, slices.IsSortedFunc(rows, func(a, b Inserted) int { return cmp.Compare(a.ID, b.ID) }))
			var out int
			require.NoError(t, s.pool.QueryRow(t.Context(), `
				SELECT count(*) FROM (SELECT (payload ->> 'i')::int AS i, row_number() OVER (ORDER BY id) - 1 AS n FROM orchestrator.tasks) AS o WHERE i <> n`).Scan(&out))
			require.Zero(t, out)
		})
	}
}

// A batch whose ids stop coming while its rows are on their way is not stored.
func TestBatchWhoseIDsStopComingStoresNothing(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts)
	lost := errors.New("connection lost")
	ids := &IDs{list: make([]int64, 2*drawnTogether), drawn: make(chan int, 1), err: lost}
	for i := range drawnTogether {
		ids.list[i] = int64(i + 1)
	}
	ids.drawn <- drawnTogether
	close(ids.drawn)
	_, err := s.InsertWith(t.Context(), slices.Repeat([]NewTask{{Contract: 1, Type: "t", Queue: "q", Payload: "{}"}}, 2*drawnTogether), ids)
	require.ErrorIs(t, err, lost)
	var stored int
	require.NoError(t, s.pool.QueryRow(t.Context(), `SELECT count(*) FROM orchestrator.tasks`).Scan(&stored))
	require.Zero(t, stored)
}

// Ids need not be on the disk when they are drawn, but what the connection does
// afterwards must be.
func TestDrawingIDsLeavesCommitsDurable(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	ids := s.DrawIDs(t.Context(), 3*drawnTogether)
	require.NoError(t, ids.wait())
	require.True(t, slices.IsSorted(ids.list))
	for _, conn := range s.pool.AcquireAllIdle(t.Context()) {
		var level string
		err := conn.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&level)
		conn.Release()
		require.NoError(t, err)
		require.Equal(t, "on", level)
	}
}

// Whoever gave the table a trigger that leaves rows out is told, by every
// statement that inserts tasks without a key.
func TestTasksLeftOutAreAnError(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	fill(t, s, addContracts, `
		CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`, `
		CREATE TRIGGER leave_out BEFORE INSERT ON orchestrator.tasks FOR EACH ROW WHEN (NEW.priority = 7) EXECUTE FUNCTION leave_out()`)
	db := stdlib.OpenDBFromPool(s.pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	task := NewTask{Contract: 1, Type: "t", Queue: "q", Priority: 7, Payload: "{}"}
	timed := task
	timed.Timeout = 1
	other := task
	other.Priority = 0
	for name, tasks := range map[string][]NewTask{
		"one":    {task},
		"alike":  {task, task},
		"simple": {task, other},
		"timed":  {timed, timed},
		"copied": slices.Repeat([]NewTask{task}, FewestCopied),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s.Insert(t.Context(), tasks)
			require.ErrorContains(t, err, fmt.Sprintf("rows stored of %d", len(tasks)))
		})
	}
	t.Run("in a transaction", func(t *testing.T) {
		t.Parallel()
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		_, err = s.InsertOneIn(t.Context(), s.OwnTx(tx), task, "q 0")
		require.ErrorContains(t, err, "0 rows stored of 1")
	})
}
