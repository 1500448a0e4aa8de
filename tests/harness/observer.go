package harness

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/migrations"
	"github.com/task-orchestrator/task-orchestrator/orchestrator"
)

// Observer looks into the engine's tables on connections of its own. Its
// statements name tables without a schema.
type Observer struct{ Pool *pgxpool.Pool }

// Observe returns an observer of the database at url; schema may be omitted.
func Observe(t testing.TB, url string, schema ...string) *Observer {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.MaxConns = 3
	config.ConnConfig.RuntimeParams["search_path"] = migrations.DefaultSchema
	if len(schema) > 0 {
		config.ConnConfig.RuntimeParams["search_path"] = schema[0]
	}
	config.ConnConfig.RuntimeParams["application_name"] = "observer"
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &Observer{pool}
}

// Value returns the one value that a query gives.
func Value[T any](t testing.TB, o *Observer, query string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, o.Pool.QueryRow(t.Context(), query, args...).Scan(&v), query)
	return v
}

// Exec runs a statement.
func (o *Observer) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := o.Pool.Exec(t.Context(), statement, args...)
	require.NoError(t, err, statement)
}

// AwaitTrue returns when a query gives true. A database that does not answer
// is asked again: tests take it away on purpose.
func (o *Observer) AwaitTrue(t testing.TB, query string, args ...any) {
	t.Helper()
	Await(t, query, func() bool {
		var yes bool
		return o.Pool.QueryRow(t.Context(), query, args...).Scan(&yes) == nil && yes
	})
}

// AwaitDrained returns when no task is live.
func (o *Observer) AwaitDrained(t testing.TB) {
	t.Helper()
	drained := false
	t.Cleanup(func() {
		if !drained {
			o.explain(t)
		}
	})
	o.AwaitTrue(t, `SELECT NOT EXISTS (SELECT FROM tasks)`)
	drained = true
}

// explain logs where tasks stand that were waited for in vain.
func (o *Observer) explain(t testing.TB) {
	t.Helper()
	rows, err := o.Pool.Query(context.WithoutCancel(t.Context()), `
		SELECT format('%s tasks: state %s, worker %s (%s), claim %s, attempts %s, suspect %s, due since %s', count(*), state, worker_id,
			(SELECT 'heartbeat ' || now() - heartbeat_at || ', busy ' || busy FROM workers w WHERE w.id = worker_id), claim, attempts, suspect, min(now() - run_at))
		FROM tasks GROUP BY state, worker_id, claim, attempts, suspect LIMIT 50`)
	if err != nil {
		t.Log(err)
		return
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	t.Log(strings.Join(lines, "\n"), err)
}

// RequireEachDoneOnce checks the first two invariants of the engine for ids,
// which are all that were ever acknowledged: each has exactly one accepted
// completion, as a success, and within its attempts; nothing is left, nothing
// dead, and nothing is there that nobody enqueued.
func (o *Observer) RequireEachDoneOnce(t testing.TB, ids []orchestrator.TaskID) {
	t.Helper()
	o.requireDone(t, ids)
	require.Equal(t, len(ids), Value[int](t, o, `SELECT count(*) FROM tasks_finished`), "tasks that nobody was told of")
}

// RequireAtLeastDoneOnce is RequireEachDoneOnce where enqueues failed with an
// unknown outcome: there may be tasks that nobody was told of, and they too
// are done once.
func (o *Observer) RequireAtLeastDoneOnce(t testing.TB, ids []orchestrator.TaskID) {
	t.Helper()
	o.requireDone(t, ids)
}

func (o *Observer) requireDone(t testing.TB, ids []orchestrator.TaskID) {
	t.Helper()
	numbers := make([]int64, len(ids))
	for i, id := range ids {
		numbers[i] = int64(id)
	}
	require.Zero(t, Value[int](t, o, `SELECT count(*) FROM tasks`), "live")
	require.Zero(t, Value[int](t, o, `SELECT count(*) FROM tasks_dead`), "dead")
	require.Zero(t, Value[int](t, o, `
		SELECT count(*) FROM (SELECT id FROM tasks_finished GROUP BY id HAVING count(*) > 1) AS twice`), "finished twice")
	require.Zero(t, Value[int](t, o, `
		SELECT count(*) FROM unnest($1::bigint[]) AS acknowledged(id)
		WHERE NOT EXISTS (SELECT FROM tasks_finished f WHERE f.id = acknowledged.id AND f.state = 4)`, numbers), "lost")
	require.Zero(t, Value[int](t, o, `SELECT count(*) FROM tasks_finished WHERE attempts NOT BETWEEN 1 AND 5`), "attempts out of bounds")
}

// RequireEachEndedOnce checks that each of ids, which are all that were ever
// acknowledged, is finished or dead, once, and that nothing else is there.
func (o *Observer) RequireEachEndedOnce(t testing.TB, ids []orchestrator.TaskID) {
	t.Helper()
	require.Zero(t, Value[int](t, o, `
		SELECT count(*) FROM unnest($1::bigint[]) AS acknowledged(id)
		FULL JOIN (SELECT id, count(*) AS n FROM all_tasks WHERE place <> 'live' GROUP BY id) AS ended USING (id)
		WHERE acknowledged.id IS NULL OR n IS DISTINCT FROM 1`, ids), "lost, ended twice, or never enqueued")
}

// RequireTurns checks that at this moment, and so at any, the turns of groups
// that are taken are those that live tasks have.
func (o *Observer) RequireTurns(t testing.TB) {
	t.Helper()
	require.Empty(t, Value[string](t, o, `
		SELECT coalesce(string_agg(format('turn of group %s: taken %s, tasks that have it: %s', key, g.key IS NOT NULL, coalesce(n, 0)), E'\n'), '')
		FROM groups g FULL JOIN (
			SELECT group_key AS key, count(*) AS n FROM tasks WHERE group_key IS NOT NULL AND state <> 2 GROUP BY group_key) AS t USING (key)
		WHERE g.key IS NULL OR n IS DISTINCT FROM 1`))
}

// RequireSlots checks that at this moment, and so at any, the slots of limits
// that are taken are those that live tasks have, and that none runs without.
func (o *Observer) RequireSlots(t testing.TB) {
	t.Helper()
	require.Empty(t, Value[string](t, o, `
		SELECT coalesce(string_agg(wrong, E'\n'), '') FROM (
			SELECT format('slot %s of limit %s: taken %s, tasks that have it: %s', slot, key, s.key IS NOT NULL, coalesce(n, 0)) AS wrong
			FROM slots s FULL JOIN (
				SELECT limit_key AS key, limit_slot AS slot, count(*) AS n FROM tasks WHERE limit_slot IS NOT NULL GROUP BY limit_key, limit_slot
			) AS t USING (key, slot)
			WHERE s.key IS NULL OR n IS DISTINCT FROM 1
			UNION ALL
			SELECT format('task %s of limit %s in state %s has the slot %s', id, limit_key, state, limit_slot)
			FROM tasks WHERE limit_key IS NOT NULL AND (state IN (0, 1)) <> (limit_slot IS NOT NULL)) AS all_wrong`))
}

// RequireNoTurns checks that no turn of a group and no slot of a limit is taken.
func (o *Observer) RequireNoTurns(t testing.TB) {
	t.Helper()
	require.Zero(t, Value[int](t, o, `SELECT count(*) FROM groups`), "turns of groups")
	require.Zero(t, Value[int](t, o, `SELECT count(*) FROM slots`), "slots of limits")
	require.Zero(t, Value[int](t, o, `SELECT count(*) FROM tasks`), "live tasks")
}

// CutEverything ends every connection to the database but the observer's.
func (o *Observer) CutEverything(ctx context.Context) error {
	_, err := o.Pool.Exec(ctx, `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'observer'`)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
