package integration_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/task-orchestrator/task-orchestrator/orchestrator"
	"github.com/task-orchestrator/task-orchestrator/orchestrator/orchestratortest"
	"github.com/task-orchestrator/task-orchestrator/tests/harness"
)

// One client with two connections enqueues, works, leads and waits for results.
func TestTwoConnectionsAreEnough(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, harness.WithParameter(t, url, "pool_max_conns", "2"))
	stop := harness.StartWorker(t, client, harness.Mux(harness.Returning, harness.Echo, harness.Keyed), harness.Brisk())
	var all sync.WaitGroup
	errs := make([]error, 200)
	for i := range errs {
		all.Go(func() {
			request := harness.Requests(harness.Echo, i, 1)
			if i%2 == 0 {
				request = keyed(harness.Keyed, fmt.Sprint(i%20))
			}
			refs, err := client.Enqueue(t.Context(), request)
			if err == nil {
				_, err = client.WaitResult(t.Context(), refs[0])
			}
			errs[i] = err
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	stop()
	require.Equal(t, 110, harness.Value[int](t, db, `SELECT count(*) FROM tasks_finished WHERE state = 4`))
}

// Two transactions of the user's hold both connections there are, and enqueue a
// type that the client has not met. That must not need a third connection.
func TestEnqueueInTransactionsThatHoldAllConnections(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, harness.WithParameter(t, url, "pool_max_conns", "2"))
	var all, begun sync.WaitGroup
	begun.Add(2)
	errs := make([]error, 2)
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	for i := range errs {
		all.Go(func() {
			tx, err := client.DB().BeginTx(ctx, nil)
			begun.Done()
			if err != nil {
				errs[i] = err
				return
			}
			begun.Wait()
			if _, err = client.InTx(tx).Enqueue(ctx, harness.Requests(harness.Echo, i, 1)); err != nil {
				errs[i] = errors.Join(err, tx.Rollback())
				return
			}
			errs[i] = tx.Commit()
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Equal(t, 2, harness.Value[int](t, db, `SELECT count(*) FROM tasks`))
}

// A server that ends every statement after a moment makes the engine slow: it
// has to take smaller steps, and gets there.
func TestShortStatementTimeout(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db := harness.Observe(t, url)
	ids := harness.Enqueue(t, harness.Open(t, url), harness.Echo, 200)
	// On a slow disk, say: more than a few rows at once are too many.
	db.Exec(t, `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.002); RETURN coalesce(NEW, OLD); END'`)
	db.Exec(t, `CREATE TRIGGER slow BEFORE UPDATE OR DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION slow()`)
	worker := harness.Open(t, harness.WithOptions(t, url, "statement_timeout=50ms"))
	stop := harness.StartWorker(t, worker, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, ids)
}

// A worker that starts while the server is too busy to answer in time, starts
// when it is not.
func TestWorkerStartsInSpiteOfStatementTimeouts(t *testing.T) {
	t.Parallel()
	for step, lock := range map[string]string{
		"migrated": "migrations", "routing": "task_contracts", "settings": "task_settings", "registration": "workers IN SHARE MODE",
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			url := orchestratortest.DB(t)
			db := harness.Observe(t, url)
			ids := harness.Enqueue(t, harness.Open(t, url), harness.Echo, 1)
			tx, err := db.Pool.Begin(t.Context())
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
			_, err = tx.Exec(t.Context(), `LOCK TABLE `+lock)
			require.NoError(t, err)
			worker := harness.Open(t, harness.WithOptions(t, url, "statement_timeout=50ms"))
			stop := harness.StartWorker(t, worker, harness.Mux(harness.Returning, harness.Echo), harness.Brisk())
			waits := map[time.Time]bool{}
			harness.Await(t, "a second try", func() bool {
				var since time.Time
				if err := db.Pool.QueryRow(t.Context(), `
					SELECT max(query_start) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
					HAVING count(*) > 0`).Scan(&since); err == nil {
					waits[since] = true
				}
				return len(waits) > 1
			})
			require.NoError(t, tx.Rollback(t.Context()))
			db.AwaitDrained(t)
			stop()
			db.RequireEachDoneOnce(t, ids)
		})
	}
}

// A row that somebody keeps locked does not hold up what else the worker ends.
// Here it is a handler that completes its task, returns, and leaves the
// transaction open.
func TestLockedRowHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	url := orchestratortest.DB(t)
	db, client := harness.Observe(t, url), harness.Open(t, url)
	mux := harness.Mux(harness.Returning, harness.Echo)
	var left orchestrator.Tx
	mux.Handle(harness.Count, orchestrator.HandlerFunc(func(ctx context.Context, task *orchestrator.Raw) ([]byte, error) {
		if task.Attempt > 1 {
			return nil, nil
		}
		tx, err := client.DB().BeginTx(context.WithoutCancel(ctx), nil)
		left = tx
		return nil, errors.Join(err, task.Complete(ctx, tx, nil))
	}))
	stop := harness.StartWorker(t, client, mux, harness.Brisk())
	ids := harness.Enqueue(t, client, harness.Count, 1)
	db.AwaitTrue(t, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction')`)
	for range 100 {
		one := harness.Enqueue(t, client, harness.Echo, 1)
		_, err := client.WaitResult(t.Context(), client.Lookup(harness.Echo, one[0]))
		require.NoError(t, err)
		ids = append(ids, one...)
	}
	require.NoError(t, left.Rollback())
	db.AwaitDrained(t)
	stop()
	db.RequireEachDoneOnce(t, ids)
}
